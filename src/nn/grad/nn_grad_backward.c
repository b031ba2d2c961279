/* The way back: the gradient at each step's output becomes that at its inputs and is added to the
 * sums of its parameters, or without sums goes on to the images (nn_vjp.h). Runs in one thread on
 * the workspace that went the way there.
 *
 * A convolution's transpose is a convolution with transposed weights, its taps in the opposite
 * order, over the bordered gradient. Transposed resampling is resampling the other way, times 4 or
 * 1/4: BOX_UP repeats what BOX_DOWN averages, and the filters are the same up to their gain. */
#include "nn_grad_net.h"
#include "nn_mlp_grad.h"
#include <string.h>

#define HALF_ROOT 0.70710678118654752440f

/* Whether the gradient at a value has a part already; from now on it has. */
static bool reach(const struct nn_grad_pass *p, int value)
{
    bool before = p->w->reached[value];
    p->w->reached[value] = true;
    return before;
}

/* A bordered image set in the workspace with a zero border. */
static struct nn_target border(const struct nn_grad_pass *p, size_t side, size_t lanes)
{
    nn_bordered_clear(p->w->bordered, p->n, side, lanes);
    return nn_bordered_target(p->w->bordered, side, lanes);
}

/* Bias += column sums of the slopes; they stay in the workspace, [n][lanes]. */
static void sum_bias(const struct nn_grad_pass *p, const struct nn_target *slope, size_t side,
                     size_t bias)
{
    if (!p->sum)
        return;
    p->g->grad->columns(slope, p->n, side, p->w->sums);
    for (size_t b = 0; b < p->n; b++)
        p->g->grad->add(p->w->sums + b * slope->lanes, 1.0f, slope->lanes, p->sum + bias);
}

static void conv_weights_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d,
                              const float *in, size_t side, size_t lanes,
                              const struct nn_target *slope)
{
    const struct nn_conv_outer o = {.in = in,
                                    .lanes = lanes,
                                    .slope = *slope,
                                    .images = p->n,
                                    .side = side,
                                    .sum = p->sum ? p->sum + d->at : NULL,
                                    .scratch = p->w->outer};
    if (!p->sum)
        return;
    if (lanes % NN_LANES == 0) {
        p->g->grad->conv_outer(&o);
        return;
    }
    const struct nn_outer direct = nn_conv_outer_direct(&o); /* the stem */
    p->g->grad->outer(&direct);
}

/* Weights of a 1×1 product over side² pixels; `more` is the second part of its input or NULL. */
static void point_weights_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d,
                               const float *in, size_t lanes, const float *more, size_t lanes_more,
                               size_t side, const struct nn_target *slope)
{
    const struct nn_outer o = {.segments = more ? 2 : 1,
                               .segment = {{in, lanes, lanes}, {more, lanes_more, lanes_more}},
                               .in_image = side * side,
                               .in_row = side,
                               .in_step = 1,
                               .images = p->n,
                               .height = side,
                               .width = side,
                               .slope = *slope,
                               .sum = p->sum ? p->sum + d->at : NULL};
    if (p->sum)
        p->g->grad->outer(&o);
}

/* From the bordered slope to the gradient at the convolution's input, without a border. */
static void conv_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d, size_t side,
                      float *out)
{
    const struct nn_product c =
        nn_grad_conv(p, &d->back, d->packed_back, p->w->bordered, side, d->shape.outputs, out);
    p->g->kernels->product(&c);
}

/* The same for a 1×1 product. */
static void point_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d, size_t side,
                       const struct nn_target *slope, float *out)
{
    struct nn_product c =
        nn_grad_point(p, &d->back, d->packed_back, slope->out + slope->first * slope->lanes, side,
                      slope->lanes, out);
    c.in_image = slope->image;
    c.in_row = slope->row;
    c.height = side;
    p->g->kernels->product(&c);
}

/* From the gradient at a block's resampled pixels to that at its input's, times *gain. */
static void resample_back(const struct nn_grad_pass *p, const struct nn_step *s, const float *slope,
                          size_t lanes, float *out, float *gain)
{
    static const enum nn_resample_kind opposite[] = {[NN_BOX_UP] = NN_BOX_DOWN,
                                                     [NN_BOX_DOWN] = NN_BOX_UP,
                                                     [NN_FIR_UP] = NN_FIR_DOWN,
                                                     [NN_FIR_DOWN] = NN_FIR_UP};
    const struct nn_resample r = {opposite[nn_grad_resample_kind(p->g, s)], slope, p->n,
                                  (size_t)s->side_out,
                                  nn_plain_target(out, (size_t)s->side_in, lanes)};
    p->g->kernels->resample(&r);
    *gain = s->resampling == NN_RESAMPLE_UP ? 4.0f : 0.25f;
}

/* Fills what all norms on the way back share. */
static struct nn_norm_back norm_back(const struct nn_grad_pass *p, int step, int which, size_t side,
                                     float *slope)
{
    const struct nn_grad_layer *y = &p->g->layers[step];
    const struct nn_grad_saved *kept = &p->w->saved[step];
    return (struct nn_norm_back){.weights = &y->norm[which],
                                 .parts = 1,
                                 .images = p->n,
                                 .side = side,
                                 .silu = true,
                                 .mean = kept->mean[which],
                                 .inverse = kept->inverse[which],
                                 .slope = slope,
                                 .gamma = p->sum ? p->sum + y->gamma[which] : NULL,
                                 .beta = p->sum ? p->sum + y->beta[which] : NULL,
                                 .scratch = p->w->norm};
}

/* The norm's input is value `value`; its gradient gets a new part. */
static void norm_part(const struct nn_grad_pass *p, struct nn_norm_back *n, int part, int value,
                      size_t lanes)
{
    n->part[part] = (struct nn_norm_part){nn_grad_value(p, value), lanes};
    n->in[part] = nn_plain_target(nn_grad_slope(p, value), n->side, lanes);
    n->add[part] = reach(p, value);
}

/* ---- the steps ---- */

/* From the block's output to the bordered gradient at Conv_0's output, in the workspace; on the
 * way plain[1] gets the shortcut's gradient if there is a Conv_2. */
static struct nn_target res_upper_back(const struct nn_grad_pass *p, int step, const float *slope)
{
    const struct nn_grad *g = p->g;
    const struct nn_step *s = &g->net.plan.steps[step];
    const struct nn_grad_layer *y = &g->layers[step];
    const struct nn_grad_saved *kept = &p->w->saved[step];
    size_t side = (size_t)s->side_out, lanes = y->norm[1].lanes;
    size_t more = nn_lanes((size_t)s->channels_skip);
    struct nn_target bordered = border(p, side, lanes);
    g->grad->place(slope, HALF_ROOT, p->n, side, &bordered);
    sum_bias(p, &bordered, side, y->dense[1].bias);
    conv_weights_back(p, &y->dense[1], kept->second, side, lanes, &bordered);
    if (s->shortcut) {
        const float *in = kept->shortcut ? kept->shortcut : nn_grad_value(p, s->in);
        for (size_t b = 0; b < p->n && p->sum; b++)
            g->grad->add(p->w->sums + b * lanes, 1.0f, lanes, p->sum + y->dense[2].bias);
        point_weights_back(p, &y->dense[2], in, y->norm[0].lanes - more,
                           more ? nn_grad_value(p, s->other) : NULL, more, side, &bordered);
        point_back(p, &y->dense[2], side, &bordered, p->w->plain[1]);
    }
    conv_back(p, &y->dense[1], side, p->w->plain[0]);
    if (kept->keep && p->batch->training) {
        struct nn_target plain = nn_plain_target(p->w->plain[0], side, lanes);
        nn_grad_dropout_apply(p, kept->keep, side, &plain);
    }
    struct nn_norm_back n = norm_back(p, step, 1, side, p->w->plain[0]);
    n.part[0] = (struct nn_norm_part){kept->middle, lanes};
    n.in[0] = bordered;
    g->grad->norm_back(&n);
    return bordered;
}

static void res_back(const struct nn_grad_pass *p, int step, const float *slope)
{
    const struct nn_grad *g = p->g;
    const struct nn_step *s = &g->net.plan.steps[step];
    const struct nn_grad_layer *y = &g->layers[step];
    const struct nn_grad_saved *kept = &p->w->saved[step];
    size_t side = (size_t)s->side_out, lanes = y->norm[1].lanes, lanes_in = y->norm[0].lanes;
    size_t more = nn_lanes((size_t)s->channels_skip);
    struct nn_target bordered = res_upper_back(p, step, slope);
    float *inner = p->w->plain[0], *plus = p->w->plain[1], gain;
    sum_bias(p, &bordered, side, g->time.bias + y->time_first);
    for (size_t b = 0; b < p->n && p->sum; b++)
        memcpy(p->w->time_slope + b * g->time.shape.outputs + y->time_first, p->w->sums + b * lanes,
               lanes * sizeof(float));
    conv_weights_back(p, &y->dense[0], kept->input, side, lanes_in, &bordered);
    conv_back(p, &y->dense[0], side, inner);
    struct nn_norm_back n = norm_back(p, step, 0, (size_t)s->side_in, inner);
    n.plus = s->shortcut ? plus : slope;
    n.plus_scale = s->shortcut ? 1.0f : HALF_ROOT;
    if (s->resampling != NN_RESAMPLE_NONE) {
        struct nn_target wide = nn_plain_target(p->w->plain[2], (size_t)s->side_in, lanes_in);
        resample_back(p, s, inner, lanes_in, wide.out, &gain);
        g->grad->place(wide.out, gain, p->n, (size_t)s->side_in, &wide);
        n.slope = wide.out;
        resample_back(p, s, plus, lanes_in, inner, &n.plus_scale);
        n.plus = inner;
    }
    norm_part(p, &n, 0, s->in, lanes_in - more);
    if (more) {
        n.parts = 2;
        norm_part(p, &n, 1, s->other, more);
    }
    g->grad->norm_back(&n);
}

static void attention_back(const struct nn_grad_pass *p, int step, const float *slope)
{
    const struct nn_grad *g = p->g;
    const struct nn_step *s = &g->net.plan.steps[step];
    const struct nn_grad_layer *y = &g->layers[step];
    const struct nn_grad_saved *kept = &p->w->saved[step];
    size_t side = (size_t)s->side_in, lanes = y->norm[0].lanes;
    struct nn_target scaled = nn_plain_target(p->w->plain[0], side, lanes);
    struct nn_target qkv = nn_plain_target(p->w->bordered, side, 3 * lanes);
    g->grad->place(slope, HALF_ROOT, p->n, side, &scaled);
    sum_bias(p, &scaled, side, y->dense[1].bias);
    point_weights_back(p, &y->dense[1], kept->second, lanes, NULL, 0, side, &scaled);
    point_back(p, &y->dense[1], side, &scaled, p->w->plain[1]);
    const struct nn_attention a = {.qkv = kept->middle,
                                   .images = p->n,
                                   .pixels = side * side,
                                   .channels = (size_t)s->channels_in,
                                   .lanes = lanes,
                                   .scratch = p->w->attention};
    nn_grad_attention_back(p, &a, p->w->plain[1], qkv.out);
    sum_bias(p, &qkv, side, y->dense[0].bias);
    point_weights_back(p, &y->dense[0], kept->input, lanes, NULL, 0, side, &qkv);
    point_back(p, &y->dense[0], side, &qkv, p->w->plain[1]);
    struct nn_norm_back n = norm_back(p, step, 0, side, p->w->plain[1]);
    n.silu = false;
    n.plus = slope;
    n.plus_scale = HALF_ROOT;
    norm_part(p, &n, 0, s->in, lanes);
    g->grad->norm_back(&n);
}

/* Transposed NN_FIR_BLUR: in[i] = Σ_j w[j] slope[i - 1 + j] along each axis, of side + 1 pixels. */
static void blur_back(const struct nn_grad_pass *p, const float *slope, size_t side, size_t lanes,
                      float *out, bool add)
{
    static const float w[4] = {0.125f, 0.375f, 0.375f, 0.125f};
    for (size_t b = 0; b < p->n; b++)
        for (size_t at = 0; at < side * side; at++, out += lanes)
            for (size_t c = 0; c < lanes; c++) {
                float sum = add ? out[c] : 0.0f;
                for (size_t i = 0; i < 4; i++)
                    for (size_t j = 0; j < 4; j++) {
                        size_t y = at / side + i, x = at % side + j; /* one more than the place */
                        if (y > 0 && x > 0 && y <= side + 1 && x <= side + 1)
                            sum +=
                                w[i] * w[j] *
                                slope[((b * (side + 1) + y - 1) * (side + 1) + x - 1) * lanes + c];
                    }
                out[c] = sum;
            }
}

static void pyramid_back(const struct nn_grad_pass *p, int step, const float *slope)
{
    const struct nn_grad *g = p->g;
    const struct nn_step *s = &g->net.plan.steps[step];
    const struct nn_grad_dense *d = &g->layers[step].dense[0];
    size_t side = (size_t)s->side_out, blurred = (size_t)s->side_in + 1;
    size_t lanes = nn_lanes((size_t)s->channels_in), out = d->shape.outputs;
    struct nn_target scaled = nn_plain_target(p->w->plain[0], side, out);
    size_t pitch = blurred;
    g->grad->place(slope, HALF_ROOT, p->n, side, &scaled);
    sum_bias(p, &scaled, side, d->bias);
    struct nn_outer o = {.segments = 3,
                         .in_image = pitch * pitch,
                         .in_row = 2 * pitch,
                         .in_step = 2,
                         .images = p->n,
                         .height = side,
                         .width = side,
                         .slope = scaled,
                         .sum = p->sum ? p->sum + d->at : NULL};
    for (size_t i = 0; i < 3; i++)
        o.segment[i] =
            (struct nn_segment){p->w->saved[step].input + i * pitch * lanes, lanes, 3 * lanes};
    if (p->sum)
        g->grad->outer(&o);
    if (!reach(p, s->other))
        memset(nn_grad_slope(p, s->other), 0, p->n * side * side * out * sizeof(float));
    g->grad->add(scaled.out, 1.0f, p->n * side * side * out, nn_grad_slope(p, s->other));
    if (s->in == 0 && p->sum) /* the image itself */
        return;
    /* The slope at (2y + 1, 2x + 1) of a bordered image as large as the blurred one, zeros between.
     */
    struct nn_target spread = border(p, blurred, out);
    for (size_t b = 0; b < p->n; b++)
        for (size_t y = 0; y < blurred; y++) {
            float *row = nn_target_row(&spread, b, y);
            memset(row, 0, blurred * out * sizeof *row);
            for (size_t x = 0; y % 2 && y / 2 < side && x < side; x++)
                memcpy(row + (2 * x + 1) * out, scaled.out + ((b * side + y / 2) * side + x) * out,
                       out * sizeof *row);
        }
    conv_back(p, d, blurred, p->w->plain[1]);
    blur_back(p, p->w->plain[1], (size_t)s->side_in, lanes, nn_grad_slope(p, s->in),
              reach(p, s->in));
}

/* From the stem's output to the images, where a pyramid's part may lie already. */
static void image_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d,
                       const struct nn_target *slope)
{
    const struct nn_grad *g = p->g;
    size_t side = (size_t)g->net.arch.image_size, channels = (size_t)g->net.arch.channels;
    size_t pixels = side * side, lanes = d->back.outputs;
    struct nn_target bordered = border(p, side, d->shape.outputs);
    float *sum = p->w->plain[0];
    g->grad->place(slope->out, 1.0f, p->n, side, &bordered);
    conv_back(p, d, side, sum);
    if (p->w->reached[0])
        g->grad->add(nn_grad_slope(p, 0), 1.0f, p->n * pixels * lanes, sum);
    for (size_t b = 0; b < p->n; b++)
        for (size_t i = 0; i < pixels; i++)
            for (size_t c = 0; c < channels; c++)
                p->x_slope[p->first + b][c * pixels + i] = sum[(b * pixels + i) * lanes + c];
}

static void stem_back(const struct nn_grad_pass *p, int step, const float *slope)
{
    const struct nn_grad *g = p->g;
    const struct nn_grad_dense *d = &g->layers[step].dense[0];
    size_t side = (size_t)g->net.arch.image_size;
    struct nn_target target = nn_plain_target((float *)slope, side, d->shape.outputs);
    sum_bias(p, &target, side, d->bias);
    conv_weights_back(p, d, p->w->saved[step].input, side, (size_t)g->net.arch.channels, &target);
    if (!p->sum)
        image_back(p, d, &target);
}

static void head_back(const struct nn_grad_pass *p, int step, const float *slope)
{
    const struct nn_grad *g = p->g;
    const struct nn_step *s = &g->net.plan.steps[step];
    const struct nn_grad_layer *y = &g->layers[step];
    size_t side = (size_t)s->side_in, lanes = y->norm[0].lanes;
    struct nn_target bordered = border(p, side, y->dense[0].shape.outputs);
    g->grad->place(slope, 1.0f, p->n, side, &bordered);
    sum_bias(p, &bordered, side, y->dense[0].bias);
    conv_weights_back(p, &y->dense[0], p->w->saved[step].input, side, lanes, &bordered);
    conv_back(p, &y->dense[0], side, p->w->plain[0]);
    struct nn_norm_back n = norm_back(p, step, 0, side, p->w->plain[0]);
    norm_part(p, &n, 0, s->in, lanes);
    g->grad->norm_back(&n);
}

void nn_grad_backward(const struct nn_grad_pass *p)
{
    const struct nn_plan *plan = &p->g->net.plan;
    if (p->g->net.arch.kind == NN_ARCH_MLP) {
        nn_mlp_grad_backward(p);
        return;
    }
    for (int i = plan->step_count - 1; i >= 0; i--) {
        const float *slope = nn_grad_slope(p, plan->steps[i].out);
        switch (plan->steps[i].kind) {
        case NN_STEP_STEM:
            stem_back(p, i, slope);
            break;
        case NN_STEP_RES:
            res_back(p, i, slope);
            break;
        case NN_STEP_ATTENTION:
            attention_back(p, i, slope);
            break;
        case NN_STEP_PYRAMID:
            pyramid_back(p, i, slope);
            break;
        case NN_STEP_HEAD:
            head_back(p, i, slope);
            break;
        }
    }
}

/* ---- the time embedding ---- */

/* Of the rows that nn_grad_time_forward added. */
static void labels_back(const struct nn_grad_pass *p, const float *slope)
{
    size_t row = nn_lanes((size_t)nn_label_length(&p->g->net.arch));
    for (size_t b = 0; b < p->n && p->batch->label; b++) {
        int32_t label = p->batch->label[p->first + b];
        if (label >= 0)
            p->g->grad->add(slope + b * row, 1.0f, row, p->sum + p->g->label + (size_t)label * row);
    }
}

/* The time layer's bias has been summed by the blocks already. */
void nn_grad_time_backward(const struct nn_grad_pass *p)
{
    const struct nn_grad *g = p->g;
    struct nn_grad_work *w = p->w;
    size_t wide = g->linear[1].shape.outputs;
    float *above = w->hidden_slope[0], *below = w->hidden_slope[1];
    nn_grad_linear_weights_back(p, &g->time, w->hidden[3], w->time_slope);
    nn_grad_linear(g, &g->time.back, g->time.packed_back, g->zeros, p->n, w->time_slope, above);
    g->grad->silu_back(p->n * wide, w->hidden[2], above);
    if (!g->net.arch.denoiser)
        labels_back(p, above);
    for (size_t b = 0; b < p->n; b++)
        g->grad->add(above + b * wide, 1.0f, wide, p->sum + g->linear[1].bias);
    nn_grad_linear_weights_back(p, &g->linear[1], w->hidden[1], above);
    nn_grad_linear(g, &g->linear[1].back, g->linear[1].packed_back, g->zeros, p->n, above, below);
    g->grad->silu_back(p->n * wide, w->hidden[0], below);
    for (size_t b = 0; b < p->n; b++)
        g->grad->add(below + b * wide, 1.0f, wide, p->sum + g->linear[0].bias);
    nn_grad_linear_weights_back(p, &g->linear[0], w->embedding, below);
    if (g->net.arch.denoiser && g->net.arch.classes > 0) {
        nn_grad_linear(g, &g->linear[0].back, g->linear[0].packed_back, g->zeros, p->n, below,
                       above); /* shorter than `above` */
        labels_back(p, above);
    }
}
