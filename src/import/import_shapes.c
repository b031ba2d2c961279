/* The modules of the reference's network are numbered in the order of its construction: embedding,
 * stem, per level the blocks, each with its attention if the level has any, then the block that
 * halves; the middle is a block, an attention and a block. So the list can be read back once the
 * number of blocks per level is known. This is tried from 1 on, and a try counts only if the whole
 * network that it leads to has exactly the file's tensors. */
#include "import_shapes.h"
#include "base_buf.h"
#include "import_plain.h"
#include "import_table.h"
#include <stdlib.h>
#include <string.h>

#define SIDE_TRIED 1024 /* which any number of levels divides */
#define BLOCKS_TRIED 16

enum kind { KIND_NONE, KIND_BLOCK, KIND_ATTENTION, KIND_PYRAMID };

static const struct import_torch_tensor *tensor(const struct import_torch *t, int module,
                                                const char *name)
{
    char full[NN_NAME_MAX];
    snprintf(full, sizeof full, "all_modules.%d.%s", module, name);
    int64_t at = import_torch_find(t, full);
    return at < 0 ? NULL : import_torch_tensor(t, (size_t)at);
}

static enum kind kind_of(const struct import_torch *t, int module)
{
    return tensor(t, module, "Conv_0.weight")     ? KIND_BLOCK
           : tensor(t, module, "NIN_0.W")         ? KIND_ATTENTION
           : tensor(t, module, "Conv2d_0.weight") ? KIND_PYRAMID
                                                  : KIND_NONE;
}

/* The first number of a shape; 0 for one that cannot be. */
static int width_of(const struct import_torch_tensor *t)
{
    return t && t->rank > 0 && t->shape[0] <= INT32_MAX ? (int)t->shape[0] : 0;
}

/* Embedding and stem; the number of the module behind them, or 0. */
static int read_stem(const struct import_torch *t, struct nn_arch *a)
{
    const bool fourier = tensor(t, 0, "W") != NULL;
    const int stem = fourier ? 3 : 2;
    const struct import_torch_tensor *conv = tensor(t, stem, "weight");
    a->embedding = fourier ? NN_EMBEDDING_FOURIER : NN_EMBEDDING_POSITIONAL;
    a->nf = width_of(conv);
    if (a->nf == 0 || conv->rank != 4 || conv->shape[1] > INT32_MAX)
        return 0;
    a->channels = (int)conv->shape[1];
    return stem + 1;
}

/* One level's blocks from module `*at` on. */
static bool read_level(const struct import_torch *t, int *at, struct nn_arch *a)
{
    bool attention = false;
    int width = 0;
    for (int block = 0; block < a->num_res_blocks; block++) {
        const int own = width_of(tensor(t, *at, "Conv_0.weight"));
        if (own == 0 || own % a->nf != 0 || (block > 0 && own != width))
            return false;
        width = own;
        ++*at;
        const bool has = kind_of(t, *at) == KIND_ATTENTION;
        if (block > 0 && has != attention)
            return false;
        attention = has;
        *at += has;
    }
    a->ch_mult[a->levels] = width / a->nf;
    if (attention)
        a->attn_resolutions[a->attn_count++] = SIDE_TRIED >> a->levels;
    a->levels++;
    return true;
}

/* The way down, with a->num_res_blocks blocks per level. */
static bool read_levels(const struct import_torch *t, int at, struct nn_arch *a)
{
    while (a->levels < NN_LEVELS_MAX && read_level(t, &at, a)) {
        if (kind_of(t, at) != KIND_BLOCK)
            return false;
        if (kind_of(t, at + 1) == KIND_ATTENTION)
            return true; /* the middle */
        at++;
        if (kind_of(t, at) != KIND_PYRAMID)
            continue;
        a->pyramid = NN_PYRAMID_RESIDUAL;
        a->fir = true;
        at++;
    }
    return false;
}

static bool same_shape(const struct import_torch_tensor *t, const struct nn_param *p)
{
    if (t->rank != p->rank)
        return false;
    for (int i = 0; i < p->rank; i++)
        if (t->shape[i] != p->shape[i])
            return false;
    return true;
}

/* Whether the network has the file's tensors and no others. */
static bool matches(const struct import_torch *t, const struct nn_arch *a)
{
    size_t count = 0;
    struct nn_param *params = nn_arch_params(a, &count, NULL);
    bool all = params && count + (import_torch_find(t, "sigmas") >= 0) == import_torch_count(t);
    for (size_t i = 0; all && i < count; i++) {
        int64_t at = import_torch_find(t, params[i].name);
        all = at >= 0 && same_shape(import_torch_tensor(t, (size_t)at), &params[i]);
    }
    free(params);
    return all;
}

int import_shapes_read(const struct import_torch *t, struct nn_arch *out, struct err *e)
{
    struct nn_arch stem = {.image_size = SIDE_TRIED};
    const int first = read_stem(t, &stem);
    for (int blocks = 1; first > 0 && blocks <= BLOCKS_TRIED; blocks++) {
        struct nn_arch a = stem;
        a.num_res_blocks = blocks;
        if (!read_levels(t, first, &a) || !matches(t, &a))
            continue;
        for (int i = 0; i < a.attn_count; i++) {
            int level = 0;
            while (SIDE_TRIED >> level != a.attn_resolutions[i])
                level++;
            a.attn_resolutions[i] = level;
        }
        a.image_size = 0;
        *out = a;
        return 0;
    }
    return err_fail(e, ERR_INPUT, import_torch_path(t),
                    "its tensors are those of no network of PFGM's reference code (DDPM++ or "
                    "NCSN++): say with --preset or --config what it is");
}

/* ---- as a configuration ---- */

static const struct {
    const char *key, *option;
} asked[] = {{"image_size", "--image-size"},
             {"fir", "--fir"},
             {"gamma", "--gamma"},
             {"sigma", "--sigma"},
             {"tau", "--tau"},
             {"M", "--M"},
             {"z_max", "--z-max"},
             {"z_min", "--z-min"},
             {"upper_norm", "--upper-norm"},
             {"z_exp", "--z-exp"}};
#define ASKED_COUNT (sizeof asked / sizeof asked[0])

/* All that is missing, in one error. */
static int check_settings(const char *path, const struct nn_arch *a, const json_t *settings,
                          struct err *e)
{
    char missing[256] = "";
    for (size_t i = 0; i < ASKED_COUNT; i++) {
        const bool known =
            json_object_get(settings, asked[i].key) || (a->fir && strcmp(asked[i].key, "fir") == 0);
        const size_t length = strlen(missing);
        if (!known)
            snprintf(missing + length, sizeof missing - length, "%s%s", length > 0 ? ", " : "",
                     asked[i].option);
    }
    return *missing == '\0'
               ? 0
               : err_fail(e, ERR_INPUT, path,
                          "its tensors say nf %d, %d level%s, %d block%s per level, %d channel%s; "
                          "they do not say the rest: give %s (as it was trained; all published "
                          "models have gamma 5, sigma 0.01, tau 0.03 and z_min 0.001), or "
                          "--preset, or --config",
                          a->nf, a->levels, a->levels == 1 ? "" : "s", a->num_res_blocks,
                          a->num_res_blocks == 1 ? "" : "s", a->channels,
                          a->channels == 1 ? "" : "s", missing);
}

static int add_shapes(json_t *config, const struct nn_arch *a, int64_t image_size)
{
    json_t *mult = json_array(), *attention = json_array();
    int result = 0;
    for (int i = 0; i < a->levels; i++)
        result |= json_array_append_new(mult, json_integer(a->ch_mult[i]));
    for (int i = 0; i < a->attn_count; i++)
        result |= json_array_append_new(
            attention, json_integer((json_int_t)(image_size >> a->attn_resolutions[i])));
    result |= json_object_set_new(config, "ch_mult", mult);
    result |= json_object_set_new(config, "attn_resolutions", attention);
    result |= json_object_set_new(config, "nf", json_integer(a->nf));
    result |= json_object_set_new(config, "channels", json_integer(a->channels));
    result |= json_object_set_new(config, "num_res_blocks", json_integer(a->num_res_blocks));
    result |= json_object_set_new(
        config, "embedding_type",
        json_string(a->embedding == NN_EMBEDDING_FOURIER ? "fourier" : "positional"));
    result |=
        json_object_set_new(config, "progressive_input",
                            json_string(a->pyramid == NN_PYRAMID_RESIDUAL ? "residual" : "none"));
    if (a->fir && !json_object_get(config, "fir"))
        result |= json_object_set_new(config, "fir", json_true());
    return result;
}

static json_t *config_of(const struct import_torch *t, const json_t *settings, struct err *e)
{
    struct nn_arch a;
    int64_t side = 0;
    const char *path = import_torch_path(t);
    if (import_shapes_read(t, &a, e) != 0 || check_settings(path, &a, settings, e) != 0)
        return NULL;
    side = json_integer_value(json_object_get(settings, "image_size"));
    if (side < 1 || side % (1 << (a.levels - 1)) != 0) {
        err_fail(e, ERR_INPUT, "--image-size",
                 "%lld cannot be halved %d times, as the network's %d levels need", (long long)side,
                 a.levels - 1, a.levels);
        return NULL;
    }
    json_t *config = json_deep_copy(settings);
    if (config && add_shapes(config, &a, side) == 0)
        return config;
    json_decref(config);
    err_fail_memory(e, 4096);
    return NULL;
}

json_t *import_shapes_config(const char *path, const json_t *settings, bool *whole, struct err *e)
{
    *whole = false;
    if (import_plain_is(path, whole, e) != 0)
        return NULL;
    struct import_torch *t = *whole ? NULL : import_torch_open(path, e);
    if (*whole || !t)
        return NULL;
    *whole = import_torch_is_whole(t);
    json_t *config = *whole ? NULL : config_of(t, settings, e);
    import_torch_close(t);
    return config;
}
