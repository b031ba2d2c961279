/* Making and using a network: the net, and the forward pass, a loop over the plan. It runs in the
 * caller's thread on the caller's workspace and allocates nothing.
 *
 * Images go through a step in groups: together, so that its weights are read from memory once, but
 * not more of them than the cache holds. Neither that nor a team changes a bit. */
#include "nn_net.h"
#include "net_layer.h"
#include "net_time.h"
#include "nn_profile_work.h"
#include "nn_self_test.h"
#include "nn_team_work.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

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
    if (nn_arch_check(arch, e) != 0 || nn_precision_resolve(&kernel, &precision, e) != 0 ||
        nn_self_test_once(kernel, precision, e) != 0)
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
    if (nn_plan_build(arch, &net->plan, e) != 0 || nn_layers_load(net, weights, threads, e) != 0) {
        nn_net_free(net);
        return NULL;
    }
    return net;
}

void nn_net_free(struct nn_net *net)
{
    if (!net)
        return;
    nn_plan_clear(&net->plan);
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

/* ---- the forward pass ---- */

/* The rows of the images' classes, added to their rows in `out`. */
static void add_labels(const struct nn_net *net, size_t n, const int32_t label[], float *out)
{
    size_t wide = nn_lanes((size_t)nn_label_length(&net->arch));
    for (size_t b = 0; b < n; b++) {
        if (label[b] == NN_CLASS_NONE)
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
        net_time_embed(net, t[b], ws->embedding + b * inputs);
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

#define GROUP_FLOATS                                                                               \
    800000 /* 3.2 MB, of the third-level cache; weights are three times as large                   \
            */

/* Images that go through a step together: few enough that what one operation writes is still near
 * when the next reads it, and so many that a layer's weights, which are often larger than an image,
 * are read for several. */
static size_t group_images(const struct nn_net *net, const struct nn_step *s)
{
    size_t image = net->plan.values[s->in].size + 2 * net->plan.values[s->out].size;
    size_t count = GROUP_FLOATS / image;
    return count == 0 ? 1 : count;
}

static float *value_of(const struct net_run *r, int value)
{
    if (value < 0)
        return NULL;
    return nn_value_at(r->net, r->ws, value) + r->first * r->net->plan.values[value].size;
}

/* One step for n images; the workspace's time outputs are ready. */
static void run_step(const struct nn_net *net, struct nn_workspace *ws, int step, size_t n,
                     const float *const x[], const float t[])
{
    const struct nn_step *s = &net->plan.steps[step];
    size_t group = group_images(net, s);
    for (size_t first = 0; first < n; first += group) {
        const struct net_run r = {.net = net,
                                  .ws = ws,
                                  .step = s,
                                  .layer = &net->layers[step],
                                  .first = first,
                                  .n = n - first < group ? n - first : group,
                                  .x = x + first,
                                  .t = t + first};
        net_layer_of(s)->run(&r, value_of(&r, s->in), value_of(&r, s->other), value_of(&r, s->out));
    }
}

void nn_net_forward(const struct nn_net *net, struct nn_workspace *ws, int n,
                    const float *const x[], const float t[], const int32_t label[],
                    float *const v_x[], float v_t[])
{
    size_t images = (size_t)n;
    int64_t begin = nn_profile_begin(ws);
    if (ws->team)
        nn_team_begin(ws->team, net, n);
    run_time(net, ws, images, t, label);
    if (net->arch.pyramid == NN_PYRAMID_RESIDUAL)
        load_pyramid(net, ws, images, x);
    for (int i = 0; i < net->plan.step_count; i++)
        run_step(net, ws, i, images, x, t);
    const struct nn_step *head = &net->plan.steps[net->plan.step_count - 1];
    store_field(net, nn_value_at(net, ws, head->out), images, v_x, v_t);
    if (ws->team)
        nn_team_end(ws->team);
    nn_profile_evaluation(ws, begin);
}
