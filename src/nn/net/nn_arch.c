/* The ranges of an architecture's settings, and the published settings. */
#include "nn_arch.h"
#include <string.h>

/* ---- checks ---- */

static int check_range(const char *key, int value, int min, int max, struct err *e)
{
    if (value < min || value > max)
        return err_fail(e, ERR_INPUT, key, "must be %d to %d, is %d", min, max, value);
    return 0;
}

static int check_levels(const struct nn_arch *a, struct err *e)
{
    if (a->levels < 1 || a->levels > NN_LEVELS_MAX)
        return err_fail(e, ERR_INPUT, "ch_mult", "needs 1 to %d entries, has %d", NN_LEVELS_MAX,
                        a->levels);
    for (int i = 0; i < a->levels; i++) {
        if (a->ch_mult[i] < 1)
            return err_fail(e, ERR_INPUT, "ch_mult", "entry %d must be at least 1, is %d", i + 1,
                            a->ch_mult[i]);
        if (a->ch_mult[i] > NN_CHANNELS_MAX / a->nf)
            return err_fail(e, ERR_LIMIT, "ch_mult",
                            "entry %d makes a layer wider than %d channels", i + 1,
                            NN_CHANNELS_MAX);
    }
    int step = 1 << (a->levels - 1);
    if (a->image_size % step != 0)
        return err_fail(e, ERR_INPUT, "image_size",
                        "%d cannot be halved %d times for the %d levels of ch_mult", a->image_size,
                        a->levels - 1, a->levels);
    return 0;
}

static int check_settings(const struct nn_arch *a, struct err *e)
{
    if (check_range("num_res_blocks", a->num_res_blocks, 1, NN_RES_BLOCKS_MAX, e) != 0)
        return -1;
    if (a->attn_count < 0 || a->attn_count > NN_LEVELS_MAX)
        return err_fail(e, ERR_INPUT, "attn_resolutions", "takes up to %d entries, has %d",
                        NN_LEVELS_MAX, a->attn_count);
    for (int i = 0; i < a->attn_count; i++)
        if (check_range("attn_resolutions", a->attn_resolutions[i], 1, NN_SIDE_MAX, e) != 0)
            return -1;
    if (a->embedding != NN_EMBEDDING_POSITIONAL && a->embedding != NN_EMBEDDING_FOURIER)
        return err_fail(e, ERR_INPUT, "embedding_type", "must be positional or fourier");
    if (a->embedding == NN_EMBEDDING_POSITIONAL && a->nf % 2 != 0)
        return err_fail(e, ERR_INPUT, "nf",
                        "must be even for the positional embedding's sines and cosines, is %d",
                        a->nf);
    if (a->pyramid != NN_PYRAMID_NONE && a->pyramid != NN_PYRAMID_RESIDUAL)
        return err_fail(e, ERR_INPUT, "progressive_input", "must be none or residual");
    if (a->pyramid == NN_PYRAMID_RESIDUAL && !a->fir)
        return err_fail(e, ERR_UNSUPPORTED, "progressive_input",
                        "residual is known only with the filter: set fir true");
    return check_range("classes", a->classes, 0, NN_CLASSES_MAX, e);
}

/* As the settings of an mlp are called in a description. */
static int check_mlp(const struct nn_arch *a, struct err *e)
{
    if (check_range("dimension", a->channels, 1, NN_CHANNELS_MAX, e) != 0 ||
        check_range("width", 4 * (a->nf < NN_CHANNELS_MAX ? a->nf : NN_CHANNELS_MAX), 16,
                    NN_CHANNELS_MAX, e) != 0 ||
        check_range("depth", a->num_res_blocks, 1, NN_RES_BLOCKS_MAX, e) != 0 ||
        check_range("classes", a->classes, 0, NN_CLASSES_MAX, e) != 0)
        return -1;
    if (a->nf % 2 != 0)
        return err_fail(e, ERR_INPUT, "width", "must be a multiple of 8, is %d", 4 * a->nf);
    if (a->image_size != 1 || a->pyramid != NN_PYRAMID_NONE || a->denoiser ||
        a->embedding != NN_EMBEDDING_POSITIONAL)
        return err_fail(e, ERR_INTERNAL, "kind", "an mlp with settings of an image's network");
    return 0;
}

int nn_arch_check_ranges(const struct nn_arch *a, struct err *e)
{
    if (nn_arch_of_vectors(a))
        return check_mlp(a, e);
    return check_range("image_size", a->image_size, 1, NN_SIDE_MAX, e) != 0 ||
                   check_range("channels", a->channels, 1, 16, e) != 0 ||
                   check_range("nf", a->nf, 4, NN_CHANNELS_MAX, e) != 0 ||
                   check_levels(a, e) != 0 || check_settings(a, e) != 0
               ? -1
               : 0;
}

/* ---- presets ---- */

#define CIFAR                                                                                      \
    .image_size = 32, .channels = 3, .nf = 128, .levels = 4, .ch_mult = {1, 2, 2, 2},              \
    .attn_count = 1, .attn_resolutions = {16}

static const struct {
    const char *name;
    struct nn_arch arch;
} presets[] = {
    {"cifar10-ddpmpp", {CIFAR, .num_res_blocks = 4}},
    {"cifar10-ddpmpp-deep", {CIFAR, .num_res_blocks = 8}},
    {"cifar10-ncsnpp",
     {CIFAR, .num_res_blocks = 4, .fir = true, .pyramid = NN_PYRAMID_RESIDUAL,
      .embedding = NN_EMBEDDING_FOURIER}},
    {"celeba64-ddpmpp",
     {.image_size = 64,
      .channels = 3,
      .nf = 128,
      .levels = 4,
      .ch_mult = {1, 2, 2, 2},
      .num_res_blocks = 4,
      .attn_count = 1,
      .attn_resolutions = {16}}},
    {"bedroom-ddpmpp",
     {.image_size = 256,
      .channels = 3,
      .nf = 128,
      .levels = 6,
      .ch_mult = {1, 1, 2, 2, 4, 4},
      .num_res_blocks = 2,
      .attn_count = 1,
      .attn_resolutions = {16}}},
};

const struct nn_arch *nn_arch_preset(const char *name)
{
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++)
        if (strcmp(presets[i].name, name) == 0)
            return &presets[i].arch;
    return NULL;
}
