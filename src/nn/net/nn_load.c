/* From the reference's tensors to packed weights: where each array lies, and how a tensor of the
 * checkpoint becomes a canonical matrix [input][output] that a kernel then packs as it likes.
 *
 * Loading walks the parameter list once, in its order; both it and the layers follow from the plan.
 * Where the source allows it, threads share the walk by steps: each step knows where its parameters
 * begin and writes arrays, or columns of the time layer, that no other one does. Temporary memory
 * is one tensor and one matrix a thread, and the time layer's matrix. */
#include "base_size.h"
#include "nn_layers.h"
#include "nn_mlp.h"
#include "base_pool.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Zeroed floats in a block that is not; NULL while counting. */
static float *take_zeros(struct arena *a, size_t count)
{
    float *out = arena_take(a, count, sizeof *out);
    if (out)
        memset(out, 0, count * sizeof *out);
    return out;
}

/* ---- layout ---- */

struct layout {
    struct nn_net *net;
    struct arena arena;
    size_t matrix; /* floats of the largest canonical matrix */
};

static void lay_product(struct layout *l, struct nn_dense *d, enum nn_product_kind kind,
                        size_t inputs, size_t outputs, bool bias, int terms)
{
    d->shape = (struct nn_product_shape){kind, inputs, nn_lanes(outputs)};
    d->terms = terms;
    d->packed = terms ? arena_take(&l->arena, nn_tile_pack_size(&d->shape, terms), sizeof(uint16_t))
                      : arena_take(&l->arena, l->net->kernels->pack_size(&d->shape), sizeof(float));
    d->bias = bias ? take_zeros(&l->arena, d->shape.outputs) : NULL;
    if (inputs * d->shape.outputs > l->matrix)
        l->matrix = inputs * d->shape.outputs;
}

/* A layer that is in f32 whatever the network's precision is: what reads the input image or the
 * time, whose rounding would be the whole network's. */
static void lay_dense(struct layout *l, struct nn_dense *d, enum nn_product_kind kind,
                      size_t inputs, size_t outputs, bool bias)
{
    lay_product(l, d, kind, inputs, outputs, bias, 0);
}

/* A layer in the network's precision. */
static void lay_inner(struct layout *l, struct nn_dense *d, enum nn_product_kind kind,
                      size_t inputs, size_t outputs, bool bias)
{
    lay_product(l, d, kind, inputs, outputs, bias, l->net->terms);
}

/* A 3×3 convolution of stride 1, `in` padded channels on images of `side`. */
static void lay_conv(struct layout *l, struct nn_dense *d, size_t side, size_t in, size_t outputs,
                     bool bias)
{
    bool winograd = l->net->terms == 0 && l->net->kernels->winograd(in, nn_lanes(outputs), side);
    lay_inner(l, d, winograd ? NN_PRODUCT_WINOGRAD : NN_PRODUCT_3X3, 9 * in, outputs, bias);
}

/* Group norm over `first` channels and, concatenated, `second` (or 0) more. */
static void lay_norm(struct layout *l, struct nn_norm_weights *w, int first, int second)
{
    size_t lanes = nn_lanes((size_t)first) + nn_lanes((size_t)second);
    float *gamma = take_zeros(&l->arena, lanes), *beta = take_zeros(&l->arena, lanes);
    int32_t *group = arena_take(&l->arena, lanes, sizeof *group);
    int groups = nn_groups(first + second), size = (first + second) / groups;
    *w = (struct nn_norm_weights){lanes, groups, size, gamma, beta, group};
    if (!group)
        return;
    memset(group, -1, lanes * sizeof *group);
    for (int c = 0; c < first + second; c++)
        group[c < first ? (size_t)c : nn_lanes((size_t)first) + (size_t)(c - first)] = c / size;
}

static void lay_mlp_step(struct layout *l, const struct nn_step *s, struct nn_layer *y,
                         size_t *time)
{
    size_t width = nn_lanes(4 * (size_t)l->net->arch.nf), d = (size_t)l->net->arch.channels;
    if (s->kind == NN_STEP_STEM) {
        lay_dense(l, &y->dense[0], NN_PRODUCT_POINT, nn_lanes(d + NN_MLP_EXTRA), width, true);
    } else if (s->kind == NN_STEP_HEAD) {
        lay_inner(l, &y->dense[0], NN_PRODUCT_POINT, width, d + 1, true);
    } else {
        lay_inner(l, &y->dense[0], NN_PRODUCT_POINT, width, width, true);
        lay_inner(l, &y->dense[1], NN_PRODUCT_POINT, width, width, true);
        y->time_first = *time;
        *time += width;
    }
}

static void lay_step(struct layout *l, const struct nn_step *s, struct nn_layer *y, size_t *time)
{
    if (l->net->arch.kind == NN_ARCH_MLP) {
        lay_mlp_step(l, s, y, time);
        return;
    }
    size_t in = nn_lanes((size_t)s->channels_in) + nn_lanes((size_t)s->channels_skip);
    size_t out = nn_lanes((size_t)s->channels_out), side = (size_t)s->side_out;
    switch (s->kind) {
    case NN_STEP_STEM: /* its input's pixels are not padded */
        lay_dense(l, &y->dense[0], NN_PRODUCT_3X3, 9 * (size_t)s->channels_in, out, true);
        break;
    case NN_STEP_HEAD:
        lay_norm(l, &y->norm[0], s->channels_in, 0);
        lay_conv(l, &y->dense[0], side, in, out, true);
        break;
    case NN_STEP_PYRAMID:
        lay_inner(l, &y->dense[0], NN_PRODUCT_3X3, 9 * in, out, true);
        break;
    case NN_STEP_ATTENTION:
        lay_norm(l, &y->norm[0], s->channels_in, 0);
        lay_inner(l, &y->dense[0], NN_PRODUCT_POINT, in, 3 * in, true);
        lay_inner(l, &y->dense[1], NN_PRODUCT_POINT, in, in, true);
        break;
    case NN_STEP_RES:
        lay_norm(l, &y->norm[0], s->channels_in, s->channels_skip);
        lay_conv(l, &y->dense[0], side, in, out, false);
        lay_norm(l, &y->norm[1], s->channels_out, 0);
        lay_conv(l, &y->dense[1], side, out, out, true);
        if (s->shortcut)
            lay_inner(l, &y->dense[2], NN_PRODUCT_POINT, in, out, true);
        y->time_first = *time;
        *time += out;
        break;
    }
}

static void lay_net(struct layout *l)
{
    struct nn_net *net = l->net;
    size_t wide = nn_lanes(4 * (size_t)net->arch.nf), time = 0;
    net->frequencies = take_zeros(&l->arena, (size_t)net->arch.nf);
    if (net->arch.kind == NN_ARCH_MLP) {
        net->offset = take_zeros(&l->arena, (size_t)net->arch.channels);
        net->scale = take_zeros(&l->arena, 1);
    }
    lay_dense(l, &net->linear[0], NN_PRODUCT_POINT,
              nn_lanes((size_t)nn_embedding_length(&net->arch)), wide, true);
    lay_dense(l, &net->linear[1], NN_PRODUCT_POINT, wide, wide, true);
    for (int i = 0; i < net->plan.step_count; i++)
        lay_step(l, &net->plan.steps[i], &net->layers[i], &time);
    lay_dense(l, &net->time, NN_PRODUCT_POINT, wide, time, true);
    net->label = take_zeros(&l->arena, (size_t)net->arch.classes *
                                           nn_lanes((size_t)nn_label_length(&net->arch)));
}

/* ---- loading ---- */

/* A thread's view; what it shares with the others is constant, except `time`, of which each step
 * has columns of its own. */
struct loader {
    struct nn_net *net;
    const struct nn_weights *weights;
    struct nn_param *params;
    size_t count, next;
    float *tensor; /* the parameter last read */
    float *matrix; /* canonical */
    float *time;   /* canonical, of the time layer */
    struct err *e;
    struct err own; /* of a thread */
    size_t failed;  /* the task that failed; SIZE_MAX: none */
};

/* How a tensor's inputs map to the matrix: `first` channels, then after padding the rest. */
struct inputs {
    size_t channels, first, lanes;
};

/* Reads the next parameter, whose name must end in `suffix`; NULL on failure. */
static const float *take(struct loader *l, const char *suffix)
{
    const struct nn_param *p = &l->params[l->next];
    if (l->next >= l->count || strlen(p->name) < strlen(suffix) ||
        strcmp(p->name + strlen(p->name) - strlen(suffix), suffix) != 0) {
        err_fail(l->e, ERR_INTERNAL, suffix, "is not the next parameter of the list");
        return NULL;
    }
    l->next++;
    if (l->weights->read(l->weights->context, p, l->tensor, l->e))
        return NULL;
    for (size_t i = 0; i < p->count; i++)
        if (!isfinite(l->tensor[i])) {
            err_fail(l->e, ERR_INPUT, p->name,
                     "value %zu of %zu is not finite: the weights are damaged", i, p->count);
            return NULL;
        }
    return l->tensor;
}

static int take_vector(struct loader *l, const char *suffix, float *out, size_t first)
{
    const float *v = take(l, suffix);
    if (!v)
        return -1;
    size_t count = l->params[l->next - 1].count;
    for (size_t c = 0; c < count; c++) /* added: two biases may share a place */
        out[c < first ? c : nn_lanes(first) + (c - first)] += v[c];
    return 0;
}

/* A conv [out][in][tap] or linear [out][in] into columns `column`… of `matrix`, `outputs` wide. */
static int take_matrix(struct loader *l, const char *suffix, const struct inputs *in, float *matrix,
                       size_t outputs, size_t column)
{
    const float *v = take(l, suffix);
    if (!v)
        return -1;
    const struct nn_param *p = &l->params[l->next - 1];
    size_t taps = p->count / (p->shape[0] * p->shape[1]);
    for (size_t o = 0; o < p->shape[0]; o++)
        for (size_t i = 0; i < in->channels; i++)
            for (size_t tap = 0; tap < taps; tap++) {
                size_t lane = i < in->first ? i : nn_lanes(in->first) + (i - in->first);
                matrix[(tap * in->lanes + lane) * outputs + column + o] = *v++;
            }
    return 0;
}

/* A NIN's W [in][out]: the other way round than a 1×1 convolution. */
static int take_nin(struct loader *l, const char *suffix, size_t channels, size_t outputs,
                    size_t column)
{
    const float *v = take(l, suffix);
    if (!v)
        return -1;
    for (size_t i = 0; i < channels; i++)
        memcpy(l->matrix + i * outputs + column, v + i * channels, channels * sizeof *v);
    return 0;
}

static void clear_matrix(struct loader *l, const struct nn_dense *d)
{
    memset(l->matrix, 0, d->shape.inputs * d->shape.outputs * sizeof *l->matrix);
}

static void pack(struct loader *l, const struct nn_dense *d, const float *matrix)
{
    if (d->terms)
        nn_tile_pack(&d->shape, d->terms, matrix, (uint16_t *)(void *)d->packed);
    else
        l->net->kernels->pack(&d->shape, matrix, d->packed);
}

static int load_conv(struct loader *l, const struct nn_dense *d, const struct inputs *in)
{
    clear_matrix(l, d);
    if (take_matrix(l, "weight", in, l->matrix, d->shape.outputs, 0))
        return -1;
    pack(l, d, l->matrix);
    return d->bias ? take_vector(l, "bias", d->bias, SIZE_MAX) : 0;
}

static int load_norm(struct loader *l, const struct nn_norm_weights *w, int first)
{
    if (take_vector(l, "weight", w->gamma, (size_t)first))
        return -1;
    return take_vector(l, "bias", w->beta, (size_t)first);
}

static int load_res(struct loader *l, const struct nn_step *s, const struct nn_layer *y)
{
    struct nn_net *net = l->net;
    size_t width = (size_t)net->arch.nf * 4, all = net->time.shape.outputs;
    struct inputs in = {(size_t)(s->channels_in + s->channels_skip), (size_t)s->channels_in,
                        y->norm[0].lanes};
    struct inputs out = {(size_t)s->channels_out, (size_t)s->channels_out, y->norm[1].lanes};
    struct inputs embedding = {width, width, nn_lanes(width)};
    float *bias = net->time.bias + y->time_first;
    if (load_norm(l, &y->norm[0], s->channels_in) || load_conv(l, &y->dense[0], &in) ||
        take_vector(l, "Conv_0.bias", bias, SIZE_MAX) ||
        take_matrix(l, "Dense_0.weight", &embedding, l->time, all, y->time_first) ||
        take_vector(l, "Dense_0.bias", bias, SIZE_MAX) ||
        load_norm(l, &y->norm[1], s->channels_out) || load_conv(l, &y->dense[1], &out))
        return -1;
    return s->shortcut ? load_conv(l, &y->dense[2], &in) : 0;
}

static int load_attention(struct loader *l, const struct nn_step *s, const struct nn_layer *y)
{
    static const char *const names[4][2] = {{"NIN_0.W", "NIN_0.b"},
                                            {"NIN_1.W", "NIN_1.b"},
                                            {"NIN_2.W", "NIN_2.b"},
                                            {"NIN_3.W", "NIN_3.b"}};
    size_t channels = (size_t)s->channels_in, lanes = y->norm[0].lanes;
    if (load_norm(l, &y->norm[0], s->channels_in))
        return -1;
    for (size_t i = 0; i < 4; i++) {
        const struct nn_dense *d = &y->dense[i / 3];
        size_t column = i < 3 ? i * lanes : 0;
        if (column == 0)
            clear_matrix(l, d);
        if (take_nin(l, names[i][0], channels, d->shape.outputs, column) ||
            take_vector(l, names[i][1], d->bias + column, SIZE_MAX))
            return -1;
        if (i >= 2)
            pack(l, d, l->matrix);
    }
    return 0;
}

static int load_mlp_step(struct loader *l, const struct nn_step *s, const struct nn_layer *y)
{
    size_t width = 4 * (size_t)l->net->arch.nf, d = (size_t)l->net->arch.channels + NN_MLP_EXTRA;
    struct inputs hidden = {width, width, nn_lanes(width)}, features = {d, d, nn_lanes(d)};
    if (s->kind != NN_STEP_RES)
        return load_conv(l, &y->dense[0], s->kind == NN_STEP_STEM ? &features : &hidden);
    if (load_conv(l, &y->dense[0], &hidden) ||
        take_matrix(l, "Dense_0.weight", &hidden, l->time, l->net->time.shape.outputs,
                    y->time_first) ||
        take_vector(l, "Dense_0.bias", l->net->time.bias + y->time_first, SIZE_MAX))
        return -1;
    return load_conv(l, &y->dense[1], &hidden);
}

static int load_step(struct loader *l, const struct nn_step *s, const struct nn_layer *y)
{
    if (l->net->arch.kind == NN_ARCH_MLP)
        return load_mlp_step(l, s, y);
    size_t channels = (size_t)s->channels_in;
    struct inputs in = {channels, channels, nn_lanes(channels)};
    switch (s->kind) {
    case NN_STEP_RES:
        return load_res(l, s, y);
    case NN_STEP_ATTENTION:
        return load_attention(l, s, y);
    case NN_STEP_STEM:
        in.lanes = channels;
        break;
    case NN_STEP_HEAD:
        if (load_norm(l, &y->norm[0], s->channels_in))
            return -1;
        break;
    case NN_STEP_PYRAMID:
        break;
    }
    return load_conv(l, &y->dense[0], &in);
}

/* Parameters that load_step takes. */
static size_t step_params(const struct nn_arch *arch, const struct nn_step *s)
{
    if (arch->kind == NN_ARCH_MLP)
        return s->kind == NN_STEP_RES ? 6 : 2;
    switch (s->kind) {
    case NN_STEP_RES:
        return s->shortcut ? 12 : 10;
    case NN_STEP_ATTENTION:
        return 10;
    case NN_STEP_HEAD:
        return 4;
    case NN_STEP_STEM:
    case NN_STEP_PYRAMID:
        break;
    }
    return 2;
}

/* What precedes the steps: the frequencies or coordinates, and the two linear layers. */
static size_t embedding_params(const struct nn_arch *arch)
{
    if (arch->kind == NN_ARCH_MLP)
        return 6;
    return arch->embedding == NN_EMBEDDING_POSITIONAL ? 4 : 5;
}

static int load_coordinates(struct loader *l)
{
    struct nn_net *net = l->net;
    if (take_vector(l, "offset", net->offset, SIZE_MAX) ||
        take_vector(l, "scale", net->scale, SIZE_MAX))
        return -1;
    return net->scale[0] > 0
               ? 0
               : err_fail(l->e, ERR_INPUT, NN_MLP_SCALE,
                          "is %g, must be above 0: the weights are damaged", (double)net->scale[0]);
}

static int load_embedding(struct loader *l)
{
    struct nn_net *net = l->net;
    size_t length = (size_t)nn_embedding_length(&net->arch), wide = 4 * (size_t)net->arch.nf;
    struct inputs embedding = {length, length, nn_lanes(length)},
                  hidden = {wide, wide, nn_lanes(wide)};
    if (net->arch.kind == NN_ARCH_MLP && load_coordinates(l))
        return -1;
    if (net->arch.embedding == NN_EMBEDDING_POSITIONAL)
        nn_time_frequencies(&net->arch, net->frequencies);
    else if (take_vector(l, "W", net->frequencies, SIZE_MAX))
        return -1;
    if (load_conv(l, &net->linear[0], &embedding))
        return -1;
    return load_conv(l, &net->linear[1], &hidden);
}

static int load_label(struct loader *l)
{
    const struct nn_arch *arch = &l->net->arch;
    size_t width = (size_t)nn_label_length(arch);
    const float *v = take(l, NN_LABEL_EMBEDDING);
    if (!v)
        return -1;
    for (size_t i = 0; i < (size_t)arch->classes; i++)
        memcpy(l->net->label + i * nn_lanes(width), v + i * width, width * sizeof *v);
    return 0;
}

static size_t task_count(const struct nn_net *net)
{
    return (size_t)net->plan.step_count + 1 + (net->arch.classes > 0);
}

/* Task 0 is the embedding, task i + 1 step i, and with classes their embedding is the last. */
static int load_part(struct loader *l, size_t task)
{
    const struct nn_plan *plan = &l->net->plan;
    if (task == 0)
        return load_embedding(l);
    if (task > (size_t)plan->step_count)
        return load_label(l);
    return load_step(l, &plan->steps[task - 1], &l->net->layers[task - 1]);
}

/* Threads take tasks in ascending order and one that has failed takes no more, so the first task to
 * fail is always found, as in a single walk. */
static void load_task(void *context, size_t task, int thread)
{
    struct loader *l = (struct loader *)context + thread;
    const struct nn_plan *plan = &l->net->plan;
    if (l->failed != SIZE_MAX)
        return;
    l->next = task == 0 ? 0 : embedding_params(&l->net->arch);
    for (size_t i = 0; i + 1 < task; i++)
        l->next += step_params(&l->net->arch, &plan->steps[i]);
    if (load_part(l, task))
        l->failed = task;
    else if (task + 1 == task_count(l->net) && l->next != l->count) {
        err_fail(l->e, ERR_INTERNAL, l->params[l->next].name, "belongs to no layer");
        l->failed = task;
    }
}

/* All tasks by `threads` loaders, which have their memory. */
static int load_all(struct loader *l, int threads, struct err *e)
{
    const struct nn_net *net = l->net;
    size_t tasks = task_count(net);
    const struct loader *first = NULL;
    /* Without a pool the caller does all: slower, with the same result. */
    struct pool *pool = threads > 1 ? pool_new(threads, NULL) : NULL;
    if (pool)
        pool_run(pool, tasks, load_task, l);
    else
        for (size_t i = 0; i < tasks; i++)
            load_task(l, i, 0);
    pool_free(pool);
    for (int i = 0; i < threads; i++)
        if (l[i].failed != SIZE_MAX && (!first || l[i].failed < first->failed))
            first = &l[i];
    if (first)
        return err_fail(e, first->own.code, first->own.at, "%s", first->own.text);
    net->kernels->pack(&net->time.shape, l->time, net->time.packed);
    return 0;
}

static int load_with_memory(const struct loader *shared, size_t matrix, int threads, struct err *e)
{
    const struct nn_product_shape *shape = &shared->net->time.shape;
    size_t tensor = 0, count = (size_t)threads;
    for (size_t i = 0; i < shared->count; i++)
        tensor = shared->params[i].count > tensor ? shared->params[i].count : tensor;
    struct loader *l = calloc(count, sizeof *l);
    float *time = calloc(shape->inputs * shape->outputs, sizeof *time);
    bool enough = l && time;
    for (size_t i = 0; l && i < count; i++) {
        l[i] = *shared;
        l[i].tensor = calloc(tensor, sizeof *l->tensor);
        l[i].matrix = calloc(matrix, sizeof *l->matrix);
        l[i].time = time;
        l[i].e = &l[i].own;
        l[i].failed = SIZE_MAX;
        enough = enough && l[i].tensor && l[i].matrix;
    }
    int result = enough ? load_all(l, threads, e)
                        : err_fail_memory(e, count * (tensor + matrix) * sizeof *l->tensor);
    for (size_t i = 0; l && i < count; i++) {
        free(l[i].tensor);
        free(l[i].matrix);
    }
    free(time);
    free(l);
    return result;
}

int nn_layers_load(struct nn_net *net, const struct nn_weights *weights, int threads, struct err *e)
{
    struct layout count = {.net = net};
    net->layers = calloc((size_t)net->plan.step_count, sizeof *net->layers);
    if (!net->layers)
        return err_fail_memory(e, (size_t)net->plan.step_count * sizeof *net->layers);
    lay_net(&count); /* once to count, once to place */
    if (count.arena.overflow)
        return err_fail(e, ERR_LIMIT, "nf", "the weights do not fit in memory");
    net->block_bytes = count.arena.used;
    /* Not zeroed: threads that pack also share the cost of fresh pages. All of a packed array is
     * written, and what is added to begins as zeros. */
    net->block = arena_memory_unset(net->block_bytes, e);
    if (!net->block)
        return -1;
    struct layout place = {.net = net, .arena.base = net->block};
    lay_net(&place);
    struct loader l = {.net = net, .weights = weights};
    l.params = nn_arch_params(&net->arch, &l.count, e);
    if (!l.params)
        return -1;
    int result = load_with_memory(&l, place.matrix, threads, e);
    free(l.params);
    return result;
}
