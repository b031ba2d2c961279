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
    if (json_get_string(config, "family", false, &family, what, e) != 0)
        return -1;
    if (strcmp(family, "pfgm") != 0)
        return err_fail(e, ERR_UNSUPPORTED, what, "unknown family \"%.40s\"; known: \"pfgm\"",
                        family);
    if (json_only_keys(config, keys, sizeof keys / sizeof keys[0], what, e) != 0 ||
        json_get_int(config, "num_scales", false, 1, 10000000, &num_scales, what, e) != 0)
        return -1;
    return 0;
}

int ckpt_description_from_config(const json_t *config, const char *what,
                                 struct ckpt_description *out, struct err *e)
{
    struct ckpt_description d = {0};
    reference_constants_set(&d);
    if (config_keys_check(config, what, e) != 0 ||
        ckpt_arch_read(config, false, &d.arch, what, e) != 0 ||
        json_get_real(config, "gamma", true, 0, CKPT_GAMMA_MAX, &d.gamma, what, e) != 0 ||
        json_get_real(config, "sigma", true, 0, CKPT_SIGMA_MAX, &d.sigma, what, e) != 0 ||
        json_get_real(config, "tau", true, 0, CKPT_TAU_MAX, &d.tau, what, e) != 0 ||
        json_get_int(config, "M", true, 0, CKPT_M_MAX, &d.m, what, e) != 0 ||
        json_get_real(config, "z_max", true, 0, FIELD_T_MAX, &d.t_max, what, e) != 0 ||
        json_get_real(config, "z_min", true, 0, FIELD_T_MAX, &d.t_min, what, e) != 0 ||
        json_get_real(config, "upper_norm", true, 0, CKPT_NORM_MAX, &d.norm_max, what, e) != 0 ||
        json_get_real(config, "z_exp", true, 0, FIELD_T_MAX, &d.t_substitution, what, e) != 0 ||
        ckpt_description_check(&d, "z_max", "z_min", "upper_norm", what, e) != 0)
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
