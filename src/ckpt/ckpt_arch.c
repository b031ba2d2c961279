/* A network's architecture as JSON, read and written. The stored description, the configurations of
 * both references and the trainer's own name the network's settings alike and obey the same
 * ranges. */
#include "ckpt_arch.h"

#include <string.h>

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
    if (json_get_int(object, key, true, 1, max, &value, what, e) != 0)
        return -1;
    *out = (int)value;
    return 0;
}

static int words_read(const json_t *object, struct nn_arch *out, const char *what, struct err *e)
{
    const char *pyramid, *embedding;
    if (json_get_string(object, "progressive_input", true, &pyramid, what, e) != 0 ||
        json_get_string(object, "embedding_type", true, &embedding, what, e) != 0)
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
    if (strict && json_only_keys(object, keys, sizeof keys / sizeof keys[0], what, e) != 0)
        return -1;
    if (ckpt_int_read(object, "dimension", NN_CHANNELS_MAX, &out->channels, what, e) != 0 ||
        ckpt_int_read(object, "width", NN_CHANNELS_MAX, &width, what, e) != 0 ||
        ckpt_int_read(object, "depth", 1000, &out->num_res_blocks, what, e) != 0)
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
    if (strict && json_only_keys(object, keys, sizeof keys / sizeof keys[0], what, e) != 0)
        return -1;
    if (ckpt_int_read(object, "image_size", NN_SIDE_MAX, &out->image_size, what, e) != 0 ||
        ckpt_int_read(object, "channels", 16, &out->channels, what, e) != 0 ||
        ckpt_int_read(object, "nf", NN_CHANNELS_MAX, &out->nf, what, e) != 0 ||
        ckpt_ints_read(object, "ch_mult", 1, NN_CHANNELS_MAX, out->ch_mult, &out->levels, what,
                       e) != 0 ||
        ckpt_int_read(object, "num_res_blocks", 1000, &out->num_res_blocks, what, e) != 0 ||
        ckpt_ints_read(object, "attn_resolutions", 0, NN_SIDE_MAX, out->attn_resolutions,
                       &out->attn_count, what, e) != 0 ||
        json_get_bool(object, "fir", true, &out->fir, what, e) != 0 ||
        words_read(object, out, what, e) != 0)
        return -1;
    return 0;
}

static json_t *ints_json(const int *values, int n)
{
    json_t *array = json_array();
    for (int i = 0; i < n; i++) {
        if (json_array_append_new(array, json_integer(values[i])) != 0) {
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

int ckpt_description_check_arch(const struct ckpt_description *d, const char *what, struct err *e)
{
    struct err reason = {0};
    return nn_arch_check(&d->arch, &reason) != 0 ? err_within(e, &reason, what) : 0;
}

struct image_shape ckpt_arch_shape(const struct ckpt_description *d)
{
    if (nn_arch_of_vectors(&d->arch))
        return (struct image_shape){1, 1, d->arch.channels};
    return (struct image_shape){d->arch.channels, d->arch.image_size, d->arch.image_size};
}
