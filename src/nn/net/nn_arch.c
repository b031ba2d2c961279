/* Checks, presets, and the parameter list of an architecture. The list walks the plan (nn_plan.h),
 * which holds the module order; here are only the tensors inside each module, in the order in which
 * the reference registers them. Everything is a pure function of the architecture. */
#include "nn_arch.h"
#include "nn_mlp.h"
#include "nn_plan.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct list {
    struct nn_param *params;
    size_t count, capacity;
    int module;
    bool failed;
};

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
    if (check_range("num_res_blocks", a->num_res_blocks, 1, NN_RES_BLOCKS_MAX, e))
        return -1;
    if (a->attn_count < 0 || a->attn_count > NN_LEVELS_MAX)
        return err_fail(e, ERR_INPUT, "attn_resolutions", "takes up to %d entries, has %d",
                        NN_LEVELS_MAX, a->attn_count);
    for (int i = 0; i < a->attn_count; i++)
        if (check_range("attn_resolutions", a->attn_resolutions[i], 1, NN_SIDE_MAX, e))
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
    if (check_range("dimension", a->channels, 1, NN_CHANNELS_MAX, e) ||
        check_range("width", 4 * (a->nf < NN_CHANNELS_MAX ? a->nf : NN_CHANNELS_MAX), 16,
                    NN_CHANNELS_MAX, e) ||
        check_range("depth", a->num_res_blocks, 1, NN_RES_BLOCKS_MAX, e) ||
        check_range("classes", a->classes, 0, NN_CLASSES_MAX, e))
        return -1;
    if (a->nf % 2 != 0)
        return err_fail(e, ERR_INPUT, "width", "must be a multiple of 8, is %d", 4 * a->nf);
    if (a->image_size != 1 || a->pyramid != NN_PYRAMID_NONE || a->denoiser ||
        a->embedding != NN_EMBEDDING_POSITIONAL)
        return err_fail(e, ERR_INTERNAL, "kind", "an mlp with settings of an image's network");
    return 0;
}

/* Ranges first, because the plan's arithmetic rests on them; then what only the plan knows. */
static int check_and_plan(const struct nn_arch *a, struct nn_plan *plan, struct err *e)
{
    if (a->kind == NN_ARCH_MLP)
        return check_mlp(a, e) || nn_plan_build(a, plan, e) ? -1 : 0;
    if (check_range("image_size", a->image_size, 1, NN_SIDE_MAX, e) ||
        check_range("channels", a->channels, 1, 16, e) ||
        check_range("nf", a->nf, 4, NN_CHANNELS_MAX, e) || check_levels(a, e) ||
        check_settings(a, e) || nn_plan_build(a, plan, e))
        return -1;
    int faulty = plan->groups_faulty;
    if (faulty) {
        nn_plan_free(plan);
        return err_fail(e, ERR_INPUT, "nf",
                        "with these ch_mult a group norm sees %d channels, which its %d groups do "
                        "not divide",
                        faulty, nn_groups(faulty));
    }
    return 0;
}

int nn_arch_check(const struct nn_arch *arch, struct err *e)
{
    struct nn_plan plan;
    if (check_and_plan(arch, &plan, e))
        return -1;
    nn_plan_free(&plan);
    return 0;
}

/* ---- parameters ---- */

static void add_named(struct list *l, const char *name, int rank, const int *shape)
{
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 64;
        struct nn_param *grown = reallocarray(l->params, capacity, sizeof *grown);
        if (!grown) {
            l->failed = true;
            return;
        }
        l->params = grown;
        l->capacity = capacity;
    }
    struct nn_param *p = &l->params[l->count++];
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "%s", name);
    p->rank = rank;
    p->count = 1;
    p->trainable = true;
    for (int i = 0; i < rank; i++) {
        p->shape[i] = (size_t)shape[i];
        p->count *= p->shape[i]; /* at most 4096 · 8192 · 9 */
    }
}

static void add(struct list *l, const char *tensor, int rank, const int *shape)
{
    char name[NN_NAME_MAX];
    snprintf(name, sizeof name, "all_modules.%d.%s", l->module, tensor);
    add_named(l, name, rank, shape);
}

/* "layer.weight" and "layer.bias", or without the dot when the module is the layer itself. */
static void add_pair(struct list *l, const char *layer, int rank, const int *shape, int bias)
{
    char name[48];
    const char *dot = *layer ? "." : "";
    snprintf(name, sizeof name, "%s%sweight", layer, dot);
    add(l, name, rank, shape);
    snprintf(name, sizeof name, "%s%sbias", layer, dot);
    add(l, name, 1, &bias);
}

static void add_norm(struct list *l, const char *layer, int channels)
{
    add_pair(l, layer, 1, &channels, channels);
}

static void add_conv(struct list *l, const char *layer, int in, int out, int kernel)
{
    const int shape[4] = {out, in, kernel, kernel};
    add_pair(l, layer, 4, shape, out);
}

static void add_linear(struct list *l, const char *layer, int in, int out)
{
    const int shape[2] = {out, in};
    add_pair(l, layer, 2, shape, out);
}

static void add_nin(struct list *l, int number, int channels)
{
    char name[24];
    const int shape[2] = {channels, channels};
    snprintf(name, sizeof name, "NIN_%d.W", number);
    add(l, name, 2, shape);
    snprintf(name, sizeof name, "NIN_%d.b", number);
    add(l, name, 1, shape);
}

static void add_res(struct list *l, const struct nn_step *s, int embedding)
{
    int in = s->channels_in + s->channels_skip;
    add_norm(l, "GroupNorm_0", in);
    add_conv(l, "Conv_0", in, s->channels_out, 3);
    add_linear(l, "Dense_0", embedding, s->channels_out);
    add_norm(l, "GroupNorm_1", s->channels_out);
    add_conv(l, "Conv_1", s->channels_out, s->channels_out, 3);
    if (s->shortcut)
        add_conv(l, "Conv_2", in, s->channels_out, 1);
}

static void add_mlp_module(struct list *l, const struct nn_step *s, const struct nn_arch *arch)
{
    int width = 4 * arch->nf;
    l->module = s->module;
    if (s->kind == NN_STEP_RES) {
        add_linear(l, "Linear_0", width, width);
        add_linear(l, "Dense_0", width, width);
        add_linear(l, "Linear_1", width, width);
    } else if (s->kind == NN_STEP_STEM) {
        add_linear(l, "", arch->channels + NN_MLP_EXTRA, width);
    } else {
        add_linear(l, "", width, arch->channels);
    }
}

static void add_module(struct list *l, const struct nn_step *s, const struct nn_arch *arch)
{
    if (arch->kind == NN_ARCH_MLP) {
        add_mlp_module(l, s, arch);
        return;
    }
    l->module = s->module;
    switch (s->kind) {
    case NN_STEP_STEM:
        add_conv(l, "", s->channels_in, s->channels_out, 3);
        break;
    case NN_STEP_RES:
        add_res(l, s, 4 * arch->nf);
        break;
    case NN_STEP_ATTENTION:
        add_norm(l, "GroupNorm_0", s->channels_in);
        for (int i = 0; i < 4; i++)
            add_nin(l, i, s->channels_in);
        break;
    case NN_STEP_PYRAMID:
        add_conv(l, "Conv2d_0", s->channels_in, s->channels_out, 3);
        break;
    case NN_STEP_HEAD:
        add_norm(l, "", s->channels_in);
        l->module++;
        add_conv(l, "", s->channels_in, s->channels_out, 3);
        break;
    }
}

static void add_time(struct list *l, const struct nn_arch *arch)
{
    l->module = 0;
    if (arch->kind == NN_ARCH_MLP) {
        const int one = 1;
        add_named(l, NN_MLP_OFFSET, 1, &arch->channels);
        add_named(l, NN_MLP_SCALE, 1, &one);
        for (size_t i = 0; i < l->count; i++)
            l->params[i].trainable = false;
        l->module = 1;
    } else if (arch->embedding == NN_EMBEDDING_FOURIER) {
        add(l, "W", 1, &arch->nf);
        if (!l->failed)
            l->params[0].trainable = false;
        l->module = 1;
    }
    add_linear(l, "", nn_embedding_length(arch), 4 * arch->nf);
    l->module++;
    add_linear(l, "", 4 * arch->nf, 4 * arch->nf);
}

struct nn_param *nn_arch_params(const struct nn_arch *arch, size_t *count, struct err *e)
{
    struct nn_plan plan;
    struct list l = {0};
    if (check_and_plan(arch, &plan, e))
        return NULL;
    add_time(&l, arch);
    for (int i = 0; i < plan.step_count && !l.failed; i++)
        add_module(&l, &plan.steps[i], arch);
    nn_plan_free(&plan);
    const int embedding[2] = {arch->classes, nn_label_length(arch)};
    if (arch->classes > 0)
        add_named(&l, NN_LABEL_EMBEDDING, 2, embedding);
    if (l.failed) {
        err_fail_memory(e, 2 * l.capacity * sizeof *l.params);
        free(l.params);
        return NULL;
    }
    *count = l.count;
    return l.params;
}

size_t nn_arch_scalars(const struct nn_arch *arch)
{
    size_t count = 0, total = 0;
    struct nn_param *params = nn_arch_params(arch, &count, NULL);
    for (size_t i = 0; i < count; i++)
        total += params[i].count;
    free(params);
    return total;
}

/* ---- multiply-adds ---- */

static uint64_t step_macs(const struct nn_step *s, const struct nn_arch *arch)
{
    uint64_t width = 4 * (uint64_t)arch->nf;
    if (arch->kind == NN_ARCH_MLP)
        return width * (s->kind == NN_STEP_RES    ? 3 * width
                        : s->kind == NN_STEP_STEM ? (uint64_t)arch->channels + NN_MLP_EXTRA
                                                  : (uint64_t)arch->channels);
    uint64_t pixels = (uint64_t)s->side_out * (uint64_t)s->side_out;
    uint64_t in = (uint64_t)(s->channels_in + s->channels_skip), out = (uint64_t)s->channels_out;
    switch (s->kind) {
    case NN_STEP_RES:
        return pixels * out * (9 * in + 9 * out + (s->shortcut ? in : 0)) +
               4 * (uint64_t)arch->nf * out;
    case NN_STEP_ATTENTION: /* four NINs, scores, and their product with the values */
        return pixels * in * (4 * in + 2 * pixels);
    case NN_STEP_STEM:
    case NN_STEP_PYRAMID:
    case NN_STEP_HEAD:
        break;
    }
    return pixels * 9 * in * out;
}

uint64_t nn_arch_macs(const struct nn_arch *arch)
{
    struct nn_plan plan;
    if (check_and_plan(arch, &plan, NULL))
        return 0;
    uint64_t wide = 4 * (uint64_t)arch->nf;
    uint64_t total = wide * ((uint64_t)nn_embedding_length(arch) + wide);
    for (int i = 0; i < plan.step_count; i++)
        total += step_macs(&plan.steps[i], arch);
    nn_plan_free(&plan);
    return total;
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
