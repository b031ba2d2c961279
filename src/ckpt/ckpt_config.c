/* Descriptions of models that the reference code trained: from its configuration or a published
 * preset.
 *
 * The reference's names (z_max, z_exp, M, upper_norm) are translated here and nowhere else. What
 * its samplers do beyond the configuration is fixed for every imported model: the prior's norm is
 * at least 1 and 1e-5 is added to the divisor (pfgm's sampling code). */
#include "ckpt_description_keys.h"

#include <math.h>
#include <string.h>

#define REFERENCE_NORM_MIN 1.0
#define REFERENCE_DIVISOR_OFFSET 1e-5

int ckpt_ints_read(const json_t *object, const char *key, int least, int64_t max, int *out,
                   int *count, const char *what, struct err *e)
{
    const json_t *array = json_object_get(object, key);
    size_t n = json_array_size(array);

    if (!json_is_array(array) || n < (size_t)least || n > NN_LEVELS_MAX)
        return err_fail(e, ERR_INPUT, what, "\"%s\" must be an array of %d to %d integers", key,
                        least, NN_LEVELS_MAX);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(array, i);
        if (!json_is_integer(item) || json_integer_value(item) < 1 ||
            json_integer_value(item) > max)
            return err_fail(e, ERR_INPUT, what,
                            "\"%s\" element %zu must be an integer from 1 to %lld", key, i,
                            (long long)max);
        out[i] = (int)json_integer_value(item);
    }
    *count = (int)n;
    return 0;
}

int ckpt_int_read(const json_t *object, const char *key, int64_t max, int *out, const char *what,
                  struct err *e)
{
    int64_t value = 0;

    if (json_get_int(object, key, true, 1, max, &value, what, e))
        return -1;
    *out = (int)value;
    return 0;
}

static int words_read(const json_t *object, struct nn_arch *out, const char *what, struct err *e)
{
    const char *pyramid, *embedding;

    if (json_get_string(object, "progressive_input", true, &pyramid, what, e) ||
        json_get_string(object, "embedding_type", true, &embedding, what, e))
        return -1;
    if (strcmp(pyramid, "none") == 0)
        out->pyramid = NN_PYRAMID_NONE;
    else if (strcmp(pyramid, "residual") == 0)
        out->pyramid = NN_PYRAMID_RESIDUAL;
    else
        return err_fail(e, ERR_UNSUPPORTED, what,
                        "\"progressive_input\" is \"%.40s\"; known: \"none\", \"residual\"",
                        pyramid);
    if (strcmp(embedding, "positional") == 0)
        out->embedding = NN_EMBEDDING_POSITIONAL;
    else if (strcmp(embedding, "fourier") == 0)
        out->embedding = NN_EMBEDDING_FOURIER;
    else
        return err_fail(e, ERR_UNSUPPORTED, what,
                        "\"embedding_type\" is \"%.40s\"; known: \"positional\", \"fourier\"",
                        embedding);
    return 0;
}

static int mlp_read(const json_t *object, bool strict, struct nn_arch *out, const char *what,
                    struct err *e)
{
    static const char *const keys[] = {"kind", "dimension", "width", "depth"};
    int width = 0;

    *out = (struct nn_arch){.kind = NN_ARCH_MLP, .image_size = 1};
    if (strict && json_only_keys(object, keys, sizeof keys / sizeof keys[0], what, e))
        return -1;
    if (ckpt_int_read(object, "dimension", NN_CHANNELS_MAX, &out->channels, what, e) ||
        ckpt_int_read(object, "width", NN_CHANNELS_MAX, &width, what, e) ||
        ckpt_int_read(object, "depth", 1000, &out->num_res_blocks, what, e))
        return -1;
    if (width % 8 != 0)
        return err_fail(e, ERR_INPUT, what, "\"width\" must be a multiple of 8, is %d", width);
    out->nf = width / 4;
    return 0;
}

int ckpt_arch_read(const json_t *object, bool strict, struct nn_arch *out, const char *what,
                   struct err *e)
{
    static const char *const keys[] = {"image_size", "channels",          "nf",
                                       "ch_mult",    "num_res_blocks",    "attn_resolutions",
                                       "fir",        "progressive_input", "embedding_type"};

    *out = (struct nn_arch){0};
    if (!json_is_object(object))
        return err_fail(e, ERR_INPUT, what, "\"arch\" must be an object");
    const json_t *kind = strict ? json_object_get(object, "kind") : NULL;
    if (kind && json_is_string(kind) && strcmp(json_string_value(kind), "mlp") == 0)
        return mlp_read(object, strict, out, what, e);
    if (strict && json_only_keys(object, keys, sizeof keys / sizeof keys[0], what, e))
        return -1;
    if (ckpt_int_read(object, "image_size", NN_SIDE_MAX, &out->image_size, what, e) ||
        ckpt_int_read(object, "channels", 16, &out->channels, what, e) ||
        ckpt_int_read(object, "nf", NN_CHANNELS_MAX, &out->nf, what, e) ||
        ckpt_ints_read(object, "ch_mult", 1, NN_CHANNELS_MAX, out->ch_mult, &out->levels, what,
                       e) ||
        ckpt_int_read(object, "num_res_blocks", 1000, &out->num_res_blocks, what, e) ||
        ckpt_ints_read(object, "attn_resolutions", 0, NN_SIDE_MAX, out->attn_resolutions,
                       &out->attn_count, what, e) ||
        json_get_bool(object, "fir", true, &out->fir, what, e) || words_read(object, out, what, e))
        return -1;
    return 0;
}

static json_t *ints_json(const int *values, int n)
{
    json_t *array = json_array();

    for (int i = 0; i < n; i++) {
        if (json_array_append_new(array, json_integer(values[i]))) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

json_t *ckpt_arch_json(const struct nn_arch *arch)
{
    if (nn_arch_of_vectors(arch))
        return json_pack("{s:s, s:i, s:i, s:i}", "kind", "mlp", "dimension", arch->channels,
                         "width", 4 * arch->nf, "depth", arch->num_res_blocks);
    return json_pack("{s:i, s:i, s:i, s:o, s:i, s:o, s:b, s:s, s:s}", "image_size",
                     arch->image_size, "channels", arch->channels, "nf", arch->nf, "ch_mult",
                     ints_json(arch->ch_mult, arch->levels), "num_res_blocks", arch->num_res_blocks,
                     "attn_resolutions", ints_json(arch->attn_resolutions, arch->attn_count), "fir",
                     arch->fir, "progressive_input",
                     arch->pyramid == NN_PYRAMID_RESIDUAL ? "residual" : "none", "embedding_type",
                     arch->embedding == NN_EMBEDDING_FOURIER ? "fourier" : "positional");
}

/* What every imported model has; provenance is filled by the import. */
static void reference_constants_set(struct ckpt_description *d)
{
    d->family = CKPT_FAMILY_PFGM;
    d->norm_min = REFERENCE_NORM_MIN;
    d->divisor_offset = REFERENCE_DIVISOR_OFFSET;
    d->provenance.step = -1;
    strcpy(d->provenance.weights, "ema");
}

static int config_keys_check(const json_t *config, const char *what, struct err *e)
{
    static const char *const keys[] = {
        "image_size",       "channels", "nf",         "ch_mult", "num_res_blocks",
        "attn_resolutions", "fir",      "gamma",      "sigma",   "progressive_input",
        "embedding_type",   "tau",      "M",          "z_max",   "z_min",
        "upper_norm",       "z_exp",    "num_scales", "family"};
    const char *family = "pfgm";
    int64_t num_scales; /* length of a buffer that the network does not use */

    if (!json_is_object(config))
        return err_fail(e, ERR_INPUT, what, "the configuration must be a JSON object");
    if (json_get_string(config, "family", false, &family, what, e))
        return -1;
    if (strcmp(family, "pfgm") != 0)
        return err_fail(e, ERR_UNSUPPORTED, what, "unknown family \"%.40s\"; known: \"pfgm\"",
                        family);
    if (json_only_keys(config, keys, sizeof keys / sizeof keys[0], what, e) ||
        json_get_int(config, "num_scales", false, 1, 10000000, &num_scales, what, e))
        return -1;
    return 0;
}

int ckpt_description_from_config(const json_t *config, const char *what,
                                 struct ckpt_description *out, struct err *e)
{
    struct ckpt_description d = {0};

    reference_constants_set(&d);
    if (config_keys_check(config, what, e) || ckpt_arch_read(config, false, &d.arch, what, e) ||
        json_get_real(config, "gamma", true, 0, CKPT_GAMMA_MAX, &d.gamma, what, e) ||
        json_get_real(config, "sigma", true, 0, CKPT_SIGMA_MAX, &d.sigma, what, e) ||
        json_get_real(config, "tau", true, 0, CKPT_TAU_MAX, &d.tau, what, e) ||
        json_get_int(config, "M", true, 0, CKPT_M_MAX, &d.m, what, e) ||
        json_get_real(config, "z_max", true, 0, FIELD_T_MAX, &d.t_max, what, e) ||
        json_get_real(config, "z_min", true, 0, FIELD_T_MAX, &d.t_min, what, e) ||
        json_get_real(config, "upper_norm", true, 0, CKPT_NORM_MAX, &d.norm_max, what, e) ||
        json_get_real(config, "z_exp", true, 0, FIELD_T_MAX, &d.t_substitution, what, e) ||
        ckpt_description_check(&d, "z_max", "z_min", "upper_norm", what, e))
        return -1;
    *out = d;
    return 0;
}

int ckpt_description_from_preset(const char *name, struct ckpt_description *out, struct err *e)
{
    /* the field's constants of the published configurations; the networks are nn_arch_preset's */
    static const struct {
        const char *name;
        double z_max, upper_norm, z_exp;
        int m;
    } presets[] = {
        {"cifar10-ddpmpp", 40, 3000, 5, 291},     {"cifar10-ddpmpp-deep", 40, 3000, 5, 291},
        {"cifar10-ncsnpp", 40, 3000, 5, 291},     {"celeba64-ddpmpp", 60, 6000, 1, 291},
        {"bedroom-ddpmpp", 100, 30000, 0.1, 356},
    };

    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        const struct nn_arch *arch = nn_arch_preset(presets[i].name);
        if (strcmp(name, presets[i].name) != 0 || !arch)
            continue;
        *out = (struct ckpt_description){.arch = *arch,
                                         .t_max = presets[i].z_max,
                                         .t_min = 1e-3,
                                         .sigma = 0.01,
                                         .tau = 0.03,
                                         .m = presets[i].m,
                                         .gamma = 5,
                                         .norm_max = presets[i].upper_norm,
                                         .t_substitution = presets[i].z_exp};
        reference_constants_set(out);
        return 0;
    }
    return err_fail(e, ERR_INPUT, "--preset",
                    "unknown preset \"%.60s\"; known: cifar10-ddpmpp, cifar10-ddpmpp-deep, "
                    "cifar10-ncsnpp, celeba64-ddpmpp, bedroom-ddpmpp",
                    name);
}
