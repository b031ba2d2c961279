/* Names and layouts of the reference's tensors, walked along the plan of our network.
 *
 * Layouts. Queries, keys and values are one 1×1 convolution [3C,C,1,1] whose output channel 3c + k
 * is channel c of part k; ours are three matrices [in,out]. The projection is a convolution, ours a
 * matrix, transposed. A class's embedding is weight · onehot · √classes + bias, and the bias is
 * added without a class too: since what it is added to goes into a linear layer alone, it becomes
 * part of that layer's bias, b + W bias (in double, rounded once). */
#include "import_song.h"

#include "base_size.h"
#include "nn_plan.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILTER_TOLERANCE 1e-6
#define LAYER_BYTES 64 /* of a layer's name without "model.": two numbers of 11 digits at most */
#define MAP_LAYER0 "model.map_layer0"
#define MAP_LABEL "model.map_label"
#define MAP_AUGMENT "model.map_augment.weight"

/* The reference's name of each of our modules. */
struct names {
    struct nn_plan plan;
    char (*module)[NN_NAME_MAX];
    enum nn_step_kind *kind; /* what the module is part of; NN_STEP_STEM for those before it too */
    int count;
};

static void names_clear(struct names *n)
{
    free(n->module);
    free(n->kind);
    nn_plan_clear(&n->plan);
}

static void name_set(struct names *n, int module, enum nn_step_kind kind, const char *name)
{
    snprintf(n->module[module], NN_NAME_MAX, "model.%s", name);
    n->kind[module] = kind;
}

/* Where the walk is: blocks of this resolution so far, and of the middle. */
struct position {
    int block, middle;
};

static void res_name(const struct nn_arch *arch, const struct nn_step *s, struct position *at,
                     char out[LAYER_BYTES])
{
    int side = s->side_out;
    if (s->resampling != NN_RESAMPLE_NONE) {
        bool down = s->resampling == NN_RESAMPLE_DOWN;
        snprintf(out, LAYER_BYTES, "%s.%dx%d_%s", down ? "enc" : "dec", side, side,
                 down ? "down" : "up");
        at->block = 0;
    } else if (s->other >= 0) {
        snprintf(out, LAYER_BYTES, "dec.%dx%d_block%d", side, side, at->block++);
    } else if (at->block < arch->num_res_blocks) {
        snprintf(out, LAYER_BYTES, "enc.%dx%d_block%d", side, side, at->block++);
    } else {
        snprintf(out, LAYER_BYTES, "dec.%dx%d_in%d", side, side, at->middle++);
        if (at->middle == 2)
            at->block = 0;
    }
}

/* The names of the steps that are not numbered: "enc.32x32_conv". */
static const struct {
    const char *path, *layer, *second; /* second: of the step's next module, if it has two */
} step_names[NN_STEP_KINDS] = {[NN_STEP_STEM] = {"enc", "conv", NULL},
                               [NN_STEP_PYRAMID] = {"enc", "aux_residual", NULL},
                               [NN_STEP_HEAD] = {"dec", "aux_norm", "aux_conv"}};

static void plain_name(struct names *n, const struct nn_step *s, int module, const char *layer)
{
    char text[LAYER_BYTES];
    snprintf(text, sizeof text, "%s.%dx%d_%s", step_names[s->kind].path, s->side_out, s->side_out,
             layer);
    name_set(n, module, s->kind, text);
}

static void step_name(struct names *n, const struct nn_arch *arch, const struct nn_step *s,
                      struct position *at)
{
    char text[LAYER_BYTES];
    if (s->kind == NN_STEP_ATTENTION) { /* part of the block before it */
        strcpy(n->module[s->module], n->module[s->module - 1]);
        n->kind[s->module] = s->kind;
    } else if (s->kind == NN_STEP_RES) {
        res_name(arch, s, at, text);
        name_set(n, s->module, s->kind, text);
    } else {
        plain_name(n, s, s->module, step_names[s->kind].layer);
        if (step_names[s->kind].second)
            plain_name(n, s, s->module + 1, step_names[s->kind].second);
    }
}

static int names_build(struct names *n, const struct nn_arch *arch, struct err *e)
{
    struct position at = {0};
    int stem = nn_stem_module(arch);
    *n = (struct names){0};
    if (nn_plan_build(arch, &n->plan, e) != 0)
        return -1;
    n->count = n->plan.steps[n->plan.step_count - 1].module + 2;
    n->module = calloc((size_t)n->count, sizeof *n->module);
    n->kind = calloc((size_t)n->count, sizeof *n->kind);
    if (!n->module || !n->kind) {
        names_clear(n);
        return err_fail_memory(e, (size_t)n->count * sizeof *n->module);
    }
    if (stem == 3)
        name_set(n, 0, NN_STEP_STEM, "map_noise");
    name_set(n, stem - 2, NN_STEP_STEM, "map_layer0");
    name_set(n, stem - 1, NN_STEP_STEM, "map_layer1");
    for (int i = 0; i < n->plan.step_count; i++)
        step_name(n, arch, &n->plan.steps[i], &at);
    return 0;
}

/* Our tensor of a module, the reference's of the same, and how the one lies in the other. */
static const struct tail {
    enum nn_step_kind kind;
    const char *ours, *theirs;
    enum import_layout layout;
    int part;
} tails[] = {
    {NN_STEP_STEM, "W", "freqs", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_STEM, "weight", "weight", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_STEM, "bias", "bias", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_RES, "GroupNorm_0.weight", "norm0.weight", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_RES, "GroupNorm_0.bias", "norm0.bias", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_RES, "Conv_0.weight", "conv0.weight", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_RES, "Conv_0.bias", "conv0.bias", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_RES, "Dense_0.weight", "affine.weight", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_RES, "Dense_0.bias", "affine.bias", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_RES, "GroupNorm_1.weight", "norm1.weight", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_RES, "GroupNorm_1.bias", "norm1.bias", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_RES, "Conv_1.weight", "conv1.weight", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_RES, "Conv_1.bias", "conv1.bias", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_RES, "Conv_2.weight", "skip.weight", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_RES, "Conv_2.bias", "skip.bias", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_ATTENTION, "GroupNorm_0.weight", "norm2.weight", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_ATTENTION, "GroupNorm_0.bias", "norm2.bias", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_ATTENTION, "NIN_0.W", "qkv.weight", IMPORT_LAYOUT_QKV, 0},
    {NN_STEP_ATTENTION, "NIN_0.b", "qkv.bias", IMPORT_LAYOUT_QKV, 0},
    {NN_STEP_ATTENTION, "NIN_1.W", "qkv.weight", IMPORT_LAYOUT_QKV, 1},
    {NN_STEP_ATTENTION, "NIN_1.b", "qkv.bias", IMPORT_LAYOUT_QKV, 1},
    {NN_STEP_ATTENTION, "NIN_2.W", "qkv.weight", IMPORT_LAYOUT_QKV, 2},
    {NN_STEP_ATTENTION, "NIN_2.b", "qkv.bias", IMPORT_LAYOUT_QKV, 2},
    {NN_STEP_ATTENTION, "NIN_3.W", "proj.weight", IMPORT_LAYOUT_TRANSPOSED, 0},
    {NN_STEP_ATTENTION, "NIN_3.b", "proj.bias", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_PYRAMID, "Conv2d_0.weight", "weight", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_PYRAMID, "Conv2d_0.bias", "bias", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_HEAD, "weight", "weight", IMPORT_LAYOUT_SAME, 0},
    {NN_STEP_HEAD, "bias", "bias", IMPORT_LAYOUT_SAME, 0},
};

/* The reference's name of a parameter, and its layout. */
static int param_locate(const struct names *n, const struct nn_arch *arch,
                        const struct nn_param *param, char name[2 * NN_NAME_MAX],
                        struct import_song_item *item, struct err *e)
{
    int module = -1, end = 0;
    *item = (struct import_song_item){0};
    if (strcmp(param->name, NN_LABEL_EMBEDDING) == 0) {
        item->layout = IMPORT_LAYOUT_LABELS;
        strcpy(name, MAP_LABEL ".weight");
        return 0;
    }
    sscanf(param->name, "all_modules.%d.%n", &module, &end);
    for (size_t i = 0; i < sizeof tails / sizeof tails[0] && end > 0; i++) {
        if (module < 0 || module >= n->count || n->kind[module] != tails[i].kind ||
            strcmp(param->name + end, tails[i].ours) != 0)
            continue;
        item->layout = tails[i].layout;
        item->part = tails[i].part;
        snprintf(name, 2 * NN_NAME_MAX, "%s.%s", n->module[module], tails[i].theirs);
        if (arch->classes > 0 && strcmp(name, MAP_LAYER0 ".bias") == 0)
            item->layout = IMPORT_LAYOUT_FOLDED;
        return 0;
    }
    return err_fail(e, ERR_INTERNAL, param->name, "has no name in the reference's network");
}

/* The shape of the reference's tensor; returns its rank. */
static int shape_there(const struct nn_param *param, enum import_layout layout, size_t shape[4])
{
    size_t parts = layout == IMPORT_LAYOUT_QKV ? 3 : 1;
    memcpy(shape, param->shape, sizeof param->shape);
    if (layout == IMPORT_LAYOUT_SAME || layout == IMPORT_LAYOUT_FOLDED)
        return param->rank;
    if (param->rank == 1) {
        shape[0] *= parts;
        return 1;
    }
    shape[0] = parts * param->shape[1];
    shape[1] = param->shape[0];
    shape[2] = shape[3] = 1;
    return layout == IMPORT_LAYOUT_LABELS ? 2 : 4;
}

/* ---- the census ---- */

struct census {
    const struct import_song *song;
    const struct import_source *source;
    struct names names;
    bool *used; /* tensors of the source */
};

/* As import_source_take, and notes that the tensor has been used. */
static int64_t take(struct census *c, const char *name, int rank, const size_t *shape,
                    const char *param, struct err *e)
{
    int64_t at = import_source_take(c->source, name, rank, shape, param, e);
    if (at >= 0)
        c->used[at] = true;
    return at;
}

static int param_match(struct census *c, const struct nn_param *param,
                       struct import_song_item *item, struct err *e)
{
    const struct nn_arch *arch = &c->song->description->arch;
    char name[2 * NN_NAME_MAX];
    size_t shape[4];
    if (param_locate(&c->names, arch, param, name, item, e) != 0)
        return -1;
    int64_t at = take(c, name, shape_there(param, item->layout, shape), shape, param->name, e);
    if (at < 0)
        return -1;
    item->index = (size_t)at;
    if (item->layout != IMPORT_LAYOUT_FOLDED)
        return 0;
    size_t length = (size_t)nn_embedding_length(arch), weight[2] = {param->count, length};
    at = take(c, MAP_LAYER0 ".weight", 2, weight, MAP_LAYER0 ".weight", e);
    if (at < 0)
        return -1;
    item->folded_weight = (size_t)at;
    at = take(c, MAP_LABEL ".bias", 1, &length, param->name, e);
    item->folded_bias = (size_t)at;
    return at < 0 ? -1 : 0;
}

/* The buffer of a layer that resamples: outer product of [1,1] or [1,3,3,1], its sum 1. */
static int filter_check(struct census *c, const char *layer, bool values, struct err *e)
{
    static const double box[4] = {0.5, 0.5}, fir[4] = {0.125, 0.375, 0.375, 0.125};
    bool wide = c->song->description->arch.fir;
    const double *taps = wide ? fir : box;
    size_t side = wide ? 4 : 2, shape[4] = {1, 1, side, side};
    char name[2 * NN_NAME_MAX];
    float found[16];
    snprintf(name, sizeof name, "%s.resample_filter", layer);
    int64_t at = take(c, name, 4, shape, name, e);
    if (at < 0 || !values)
        return at < 0 ? -1 : 0;
    if (c->source->read(c->source->owner, (size_t)at, found, e) != 0)
        return -1;
    for (size_t i = 0; i < side * side; i++) {
        double wanted = taps[i / side] * taps[i % side];
        if (!(fabs((double)found[i] - wanted) <= FILTER_TOLERANCE))
            return err_fail(e, ERR_UNSUPPORTED, c->source->path,
                            "tensor \"%s\": element %zu is %g, but %g in the filter %s of this "
                            "architecture",
                            name, i, (double)found[i], wanted, wide ? "[1,3,3,1]" : "[1,1]");
    }
    return 0;
}

/* That the filters are there, and in a second round, when nothing unexpected is in the table, that
 * their values are right: the table bounds what reading them may unpack. */
static int filters_check(struct census *c, bool values, struct err *e)
{
    const struct nn_plan *plan = &c->names.plan;
    char layer[NN_NAME_MAX + 8];
    for (int i = 0; i < plan->step_count; i++) {
        const struct nn_step *s = &plan->steps[i];
        const char *name = c->names.module[s->module];
        if (s->kind == NN_STEP_PYRAMID && filter_check(c, name, values, e) != 0)
            return -1;
        if (s->kind != NN_STEP_RES || s->resampling == NN_RESAMPLE_NONE)
            continue;
        snprintf(layer, sizeof layer, "%s.conv0", name);
        if (filter_check(c, layer, values, e) != 0)
            return -1;
        snprintf(layer, sizeof layer, "%s.skip", name);
        if (filter_check(c, layer, values, e) != 0)
            return -1;
    }
    return 0;
}

/* The labels of an augmentation are absent when sampling, and their term with them. */
static int augment_check(struct census *c, struct err *e)
{
    const struct nn_arch *arch = &c->song->description->arch;
    size_t shape[2] = {(size_t)nn_embedding_length(arch), (size_t)c->song->augment_dim};
    return c->song->augment_dim > 0 && take(c, MAP_AUGMENT, 2, shape, MAP_AUGMENT, e) < 0 ? -1 : 0;
}

static int rest_check(const struct census *c, struct err *e)
{
    for (size_t i = 0; i < c->source->table->count; i++)
        if (!c->used[i])
            return err_fail(e, ERR_INPUT, c->source->path,
                            "tensor \"%.200s\" in \"%s\" is unexpected: the network that the file "
                            "describes has none of that name",
                            c->source->table->tensors[i].name, c->source->word);
    return 0;
}

int import_song_match(const struct import_song *song, const struct nn_param *params, size_t count,
                      const struct import_source *source, struct import_song_item *items,
                      struct err *e)
{
    struct census c = {.song = song, .source = source};
    int result = 0;
    if (names_build(&c.names, &song->description->arch, e) != 0)
        return -1;
    c.used = calloc(source->table->count + 1, sizeof *c.used);
    if (!c.used)
        result = err_fail_memory(e, source->table->count + 1);
    for (size_t i = 0; !result && i < count; i++)
        result = param_match(&c, &params[i], &items[i], e);
    if (!result)
        result = filters_check(&c, false, e) != 0 || augment_check(&c, e) != 0 ||
                         rest_check(&c, e) != 0 || filters_check(&c, true, e) != 0
                     ? -1
                     : 0;
    free(c.used);
    names_clear(&c.names);
    return result;
}

/* ---- values ---- */

/* A tensor's values in memory of their own. */
static float *values_get(const struct import_source *source, size_t index, struct err *e)
{
    size_t count = (size_t)source->table->tensors[index].count, bytes;
    float *values = size_mul(count + 1, sizeof *values, &bytes) ? malloc(bytes) : NULL;
    if (!values) {
        err_fail_memory(e, count * sizeof *values);
        return NULL;
    }
    if (source->read(source->owner, index, values, e) != 0) {
        free(values);
        return NULL;
    }
    return values;
}

/* out[i][o] = scale · there[step · o + part][i]; a vector is a matrix of one row. */
static void transpose(const float *there, const struct nn_param *param, size_t step, size_t part,
                      float scale, float *out)
{
    size_t outs = param->shape[param->rank - 1], ins = param->count / outs;
    for (size_t i = 0; i < ins; i++)
        for (size_t o = 0; o < outs; o++)
            out[i * outs + o] = scale * there[(step * o + part) * ins + i];
}

static int bias_fold(const struct import_source *source, const struct nn_param *param,
                     const struct import_song_item *item, float *out, struct err *e)
{
    size_t length = (size_t)source->table->tensors[item->folded_bias].count;
    float *weight = values_get(source, item->folded_weight, e);
    float *bias = weight ? values_get(source, item->folded_bias, e) : NULL;
    int result = bias ? source->read(source->owner, item->index, out, e) : -1;
    for (size_t i = 0; !result && i < param->count; i++) {
        double sum = (double)out[i];
        for (size_t k = 0; k < length; k++)
            sum += (double)weight[i * length + k] * (double)bias[k];
        out[i] = (float)sum;
    }
    free(weight);
    free(bias);
    return result;
}

int import_song_read(const struct import_source *source, const struct nn_param *param,
                     const struct import_song_item *item, float *out, struct err *e)
{
    bool qkv = item->layout == IMPORT_LAYOUT_QKV;
    float scale = 1;
    if (item->layout == IMPORT_LAYOUT_SAME)
        return source->read(source->owner, item->index, out, e);
    if (item->layout == IMPORT_LAYOUT_FOLDED)
        return bias_fold(source, param, item, out, e);
    /* the reference multiplies the one-hot vector by √classes in float32 */
    if (item->layout == IMPORT_LAYOUT_LABELS)
        scale = (float)sqrt((double)param->shape[0]);
    float *there = values_get(source, item->index, e);
    if (!there)
        return -1;
    transpose(there, param, qkv ? 3 : 1, qkv ? (size_t)item->part : 0, scale, out);
    free(there);
    return 0;
}
