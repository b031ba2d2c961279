/* Making and using a network: the net, the workspace, and the forward pass around the steps. */
#include "base_size.h"
#include "net_run.h"
#include "nn_team_work.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 4096

/* ---- the net ---- */

struct nn_net *nn_net_new(const struct nn_arch *arch, const struct nn_weights *weights,
                          enum nn_kernel kernel, struct err *e)
{
    return nn_net_new_threads(arch, weights, kernel, NN_PRECISION_F32, 1, e);
}

struct nn_net *nn_net_new_threads(const struct nn_arch *arch, const struct nn_weights *weights,
                                  enum nn_kernel kernel, enum nn_precision precision, int threads,
                                  struct err *e)
{
    if (nn_arch_check(arch, e) || nn_precision_resolve(&kernel, &precision, e))
        return NULL;
    struct nn_net *net = calloc(1, sizeof *net);
    if (!net) {
        err_fail_memory(e, sizeof *net);
        return NULL;
    }
    net->arch = *arch;
    net->kernel = kernel;
    net->precision = precision;
    net->kernels = nn_kernels_get(kernel);
    if (precision != NN_PRECISION_F32) {
        net->terms = precision == NN_PRECISION_BF16 ? 1 : 3;
        net->tiles = nn_tiles_get(kernel);
    }
    if (nn_plan_build(arch, &net->plan, e) || nn_layers_load(net, weights, threads, e)) {
        nn_net_free(net);
        return NULL;
    }
    return net;
}

void nn_net_free(struct nn_net *net)
{
    if (!net)
        return;
    nn_plan_free(&net->plan);
    free(net->layers);
    free(net->block);
    free(net);
}

const struct nn_arch *nn_net_arch(const struct nn_net *net)
{
    return &net->arch;
}

enum nn_kernel nn_net_kernel(const struct nn_net *net)
{
    return net->kernel;
}

enum nn_precision nn_net_precision(const struct nn_net *net)
{
    return net->precision;
}

const char *nn_net_kernel_id(const struct nn_net *net)
{
    return nn_kernel_id_in(net->kernel, net->precision);
}

size_t nn_net_bytes(const struct nn_net *net)
{
    return net->block_bytes;
}

/* ---- the workspace ---- */

/* Floats that the steps need in each shared array. */
struct needs {
    size_t conv_in, conv_out, dense, scratch; /* floats */
};

static void grow(size_t *need, size_t count)
{
    if (count > *need)
        *need = count;
}

/* What tiles need beyond that. */
static void tile_needs(const struct nn_net *net, const struct nn_step *s, size_t batch,
                       struct needs *k)
{
    size_t in = nn_lanes((size_t)s->channels_in) + nn_lanes((size_t)s->channels_skip);
    size_t out = nn_lanes((size_t)s->channels_out), side_out = (size_t)s->side_out;
    size_t side_in = (size_t)s->side_in, side = side_in > side_out ? side_in : side_out;
    size_t bordered = nn_bordered_pixels(batch, side), blurred = (side_in + 1) * (side_in + 1);
    int terms = net->terms;
    if (terms == 0)
        return;
    grow(&k->conv_in, nn_tile_room(bordered, in > out ? in : out, terms));
    if (net->arch.kind == NN_ARCH_MLP)
        grow(&k->dense, nn_tile_room(batch, in > out ? in : out, terms));
    if (s->resampling != NN_RESAMPLE_NONE)
        grow(&k->conv_out, batch * side_out * side_out * in);
    if (s->kind == NN_STEP_PYRAMID)
        grow(&k->dense, batch * blurred * in);
    if (s->kind != NN_STEP_ATTENTION)
        return;
    grow(&k->dense, nn_tile_room(batch * side * side, in, terms));
    grow(&k->scratch, nn_tile_attention_scratch(side * side, in, terms));
}

/* In range without checks: at most 4096 images of 1025² pixels of 3 · 8192 lanes. */
static void step_needs(const struct nn_step *s, size_t batch, struct needs *k)
{
    size_t in = nn_lanes((size_t)s->channels_in) + nn_lanes((size_t)s->channels_skip);
    size_t out = nn_lanes((size_t)s->channels_out), wide = in > out ? in : out;
    size_t side_in = (size_t)s->side_in, side_out = (size_t)s->side_out;
    size_t side = side_in > side_out ? side_in : side_out;
    grow(&k->scratch, 4 * wide); /* nn_norm's */
    if (s->kind == NN_STEP_PYRAMID)
        grow(&k->conv_in, nn_bordered_pixels(batch, side_in) * in);
    else
        grow(&k->conv_in, nn_bordered_pixels(batch, side_out) * wide);
    if (s->kind == NN_STEP_RES)
        grow(&k->conv_out, batch * side_out * side_out * out);
    if (s->kind == NN_STEP_RES && s->resampling != NN_RESAMPLE_NONE)
        grow(&k->dense, batch * side * side * in);
    if (s->kind == NN_STEP_ATTENTION) {
        grow(&k->conv_out, batch * side * side * 3 * in);
        grow(&k->dense, batch * side * side * in);
        grow(&k->scratch, nn_attention_scratch(side * side, in));
    }
}

static void layer_needs(const struct nn_net *net, const struct nn_layer *y, struct needs *k)
{
    for (size_t i = 0; i < sizeof y->dense / sizeof y->dense[0]; i++)
        if (y->dense[i].packed && !y->dense[i].terms)
            grow(&k->scratch, net->kernels->product_scratch(&y->dense[i].shape));
}

static void lay_workspace(const struct nn_net *net, struct nn_workspace *ws, const struct needs *k,
                          struct arena *a)
{
    size_t batch = (size_t)ws->batch, wide = net->linear[1].shape.outputs, values = 0;
    if (!size_mul(net->plan.value_floats, batch, &values))
        a->overflow = true;
    ws->values = arena_take(a, values, sizeof(float));
    ws->conv_in = arena_take(a, k->conv_in, sizeof(float));
    ws->conv_out = arena_take(a, k->conv_out, sizeof(float));
    ws->dense = arena_take(a, k->dense, sizeof(float));
    ws->embedding = arena_take(a, batch * net->linear[0].shape.inputs, sizeof(float));
    ws->hidden[0] = arena_take(a, batch * wide, sizeof(float));
    ws->hidden[1] = arena_take(a, batch * wide, sizeof(float));
    ws->time = arena_take(a, batch * net->time.shape.outputs, sizeof(float));
    ws->scratch = arena_take(a, k->scratch, sizeof(float));
}

struct nn_workspace *nn_workspace_new(const struct nn_net *net, int batch, struct err *e)
{
    if (batch < 1 || batch > BATCH_MAX) {
        err_fail(e, ERR_LIMIT, "batch", "must be 1 to %d, is %d", BATCH_MAX, batch);
        return NULL;
    }
    struct needs needs = {0};
    for (int i = 0; i < net->plan.step_count; i++) {
        step_needs(&net->plan.steps[i], (size_t)batch, &needs);
        tile_needs(net, &net->plan.steps[i], (size_t)batch, &needs);
        layer_needs(net, &net->layers[i], &needs);
    }
    struct nn_workspace *ws = calloc(1, sizeof *ws);
    if (!ws) {
        err_fail_memory(e, sizeof *ws);
        return NULL;
    }
    ws->batch = batch;
    ws->net = net;
    struct arena arena = {0};
    lay_workspace(net, ws, &needs, &arena); /* once to count, once to place */
    ws->block_bytes = arena.used;
    if (arena.overflow)
        err_fail(e, ERR_LIMIT, "batch", "%d images of this network do not fit in memory", batch);
    else
        ws->block = arena_memory(arena.used, e);
    if (!ws->block) {
        free(ws);
        return NULL;
    }
    arena = (struct arena){.base = ws->block};
    lay_workspace(net, ws, &needs, &arena);
    return ws;
}

void nn_workspace_free(struct nn_workspace *ws)
{
    if (!ws)
        return;
    free(ws->block);
    free(ws);
}

size_t nn_workspace_bytes(const struct nn_workspace *ws)
{
    return ws->block_bytes;
}

int nn_workspace_batch(const struct nn_workspace *ws)
{
    return ws->batch;
}

/* ---- the forward pass ---- */

/* The rows of the images' classes, added to their rows in `out`. */
static void add_labels(const struct nn_net *net, size_t n, const int32_t label[], float *out)
{
    size_t wide = nn_lanes((size_t)nn_label_length(&net->arch));
    for (size_t b = 0; b < n; b++) {
        if (label[b] == NN_LABEL_NONE)
            continue;
        assert(label[b] >= 0 && label[b] < net->arch.classes);
        const float *row = net->label + (size_t)label[b] * wide;
        for (size_t i = 0; i < wide; i++)
            out[b * wide + i] += row[i];
    }
}

/* temb = Linear_1(SiLU(Linear_0(embedding))), then every block's Dense_0(SiLU(temb)); the label's
 * row is added to temb or, in a denoiser, to the embedding. */
static void run_time(const struct nn_net *net, struct nn_workspace *ws, size_t n, const float t[],
                     const int32_t label[])
{
    size_t inputs = net->linear[0].shape.inputs, wide = net->linear[1].shape.outputs;
    memset(ws->embedding, 0, n * inputs * sizeof *ws->embedding); /* its padding too */
    for (size_t b = 0; b < n; b++)
        nn_time_embed(net, t[b], ws->embedding + b * inputs);
    if (label && net->arch.denoiser)
        add_labels(net, n, label, ws->embedding);
    nn_linear_run(net, ws, &net->linear[0], n, ws->embedding, NULL, ws->hidden[0]);
    net->kernels->silu(n * wide, ws->hidden[0], ws->hidden[0]);
    nn_linear_run(net, ws, &net->linear[1], n, ws->hidden[0], NULL, ws->hidden[1]);
    if (label && !net->arch.denoiser)
        add_labels(net, n, label, ws->hidden[1]);
    net->kernels->silu(n * wide, ws->hidden[1], ws->hidden[1]);
    nn_linear_run(net, ws, &net->time, n, ws->hidden[1], NULL, ws->time);
}

/* The image as value 0, which the input pyramid reads. Padding is written too: the place may have
 * held another value. */
static void load_pyramid(const struct nn_net *net, struct nn_workspace *ws, size_t n,
                         const float *const x[])
{
    size_t channels = (size_t)net->arch.channels, lanes = nn_lanes(channels);
    size_t pixels = (size_t)net->arch.image_size * (size_t)net->arch.image_size;
    float *out = nn_value_at(net, ws, 0);
    memset(out, 0, n * pixels * lanes * sizeof *out);
    for (size_t b = 0; b < n; b++)
        for (size_t c = 0; c < channels; c++)
            for (size_t i = 0; i < pixels; i++)
                out[(b * pixels + i) * lanes + c] = x[b][c * pixels + i];
}

/* Splits the head's channels: the image's into planes, the mean of the last as v_t (summed in
 * double, pixel by pixel). Of a denoiser v_t is 0. */
static void store_field(const struct nn_net *net, const float *head, size_t n, float *const v_x[],
                        float v_t[])
{
    size_t channels = (size_t)net->arch.channels, outputs = (size_t)nn_outputs(&net->arch);
    size_t pixels = (size_t)net->arch.image_size * (size_t)net->arch.image_size;
    size_t lanes = nn_lanes(outputs);
    for (size_t b = 0; b < n; b++) {
        const float *image = head + b * pixels * lanes;
        double sum = 0;
        for (size_t i = 0; i < pixels; i++) {
            for (size_t c = 0; c < channels; c++)
                v_x[b][c * pixels + i] = image[i * lanes + c];
            if (outputs > channels)
                sum += image[i * lanes + channels];
        }
        v_t[b] = (float)(sum / (double)pixels);
    }
}

void nn_net_forward(const struct nn_net *net, struct nn_workspace *ws, int n,
                    const float *const x[], const float t[], const int32_t label[],
                    float *const v_x[], float v_t[])
{
    size_t images = (size_t)n;
    if (ws->team)
        nn_team_begin(ws->team, net, n);
    ws->t = t;
    run_time(net, ws, images, t, label);
    if (net->arch.pyramid == NN_PYRAMID_RESIDUAL)
        load_pyramid(net, ws, images, x);
    for (int i = 0; i < net->plan.step_count; i++)
        nn_step_run(net, ws, i, images, x);
    const struct nn_step *head = &net->plan.steps[net->plan.step_count - 1];
    store_field(net, nn_value_at(net, ws, head->out), images, v_x, v_t);
    if (ws->team)
        nn_team_end(ws->team);
}
