/* The way there in training: as nn_steps.c, but every activation that the way back reads is kept,
 * and dropout is applied. Runs in one thread on its workspace and allocates nothing.
 *
 * What a step keeps: stem, head: the bordered input of the convolution. Residual block: the
 * bordered input of Conv_0, Conv_0's output, the bordered input of Conv_1 (after dropout), which
 * elements dropout kept, the resampled shortcut. Attention: the normed input, query, key and value,
 * the result. Pyramid: the blurred input. Borders are zero from the start and only insides are
 * written.
 */
#include "nn_grad_net.h"
#include "nn_mlp_grad.h"
#include <string.h>

#define HALF_ROOT 0.70710678118654752440f

/* The rows of the images' classes, added to their rows in `out`. */
static void add_labels(const struct nn_grad_pass *p, float *out)
{
    size_t row = nn_lanes((size_t)nn_label_length(&p->g->net.arch));
    for (size_t b = 0; b < p->n && p->batch->label; b++) {
        int32_t label = p->batch->label[p->first + b];
        if (label >= 0)
            p->g->grad->add(p->g->canonical + p->g->label + (size_t)label * row, 1.0f, row,
                            out + b * row);
    }
}

/* hidden: 0 Linear_0, 1 its SiLU, 2 temb with the label's row, 3 its SiLU. A denoiser's embedding
 * has the label's row. */
void nn_grad_time_forward(const struct nn_grad_pass *p)
{
    const struct nn_grad *g = p->g;
    struct nn_grad_work *w = p->w;
    size_t inputs = g->linear[0].shape.inputs, wide = g->linear[1].shape.outputs;
    memset(w->embedding, 0, p->n * inputs * sizeof *w->embedding);
    for (size_t b = 0; b < p->n; b++)
        nn_time_embed(&g->net, p->batch->t[p->first + b], w->embedding + b * inputs);
    if (g->net.arch.denoiser)
        add_labels(p, w->embedding);
    nn_grad_linear(g, &g->linear[0].shape, g->linear[0].packed, g->canonical + g->linear[0].bias,
                   p->n, w->embedding, w->hidden[0]);
    g->kernels->silu(p->n * wide, w->hidden[0], w->hidden[1]);
    nn_grad_linear(g, &g->linear[1].shape, g->linear[1].packed, g->canonical + g->linear[1].bias,
                   p->n, w->hidden[1], w->hidden[2]);
    if (!g->net.arch.denoiser)
        add_labels(p, w->hidden[2]);
    g->kernels->silu(p->n * wide, w->hidden[2], w->hidden[3]);
    nn_grad_linear(g, &g->time.shape, g->time.packed, g->time_bias, p->n, w->hidden[3], w->time);
}

static void run_norm(const struct nn_grad_pass *p, int step, int which, const float *a,
                     const float *b, size_t side, bool silu, struct nn_target target)
{
    const struct nn_step *s = &p->g->net.plan.steps[step];
    const struct nn_norm_weights *w = &p->g->layers[step].norm[which];
    const struct nn_grad_saved *kept = &p->w->saved[step];
    size_t lanes_b = b ? nn_lanes((size_t)s->channels_skip) : 0;
    const struct nn_norm_train norm = {.weights = w,
                                       .parts = b ? 2 : 1,
                                       .part = {{a, w->lanes - lanes_b}, {b, lanes_b}},
                                       .images = p->n,
                                       .side = side,
                                       .silu = silu,
                                       .target = target,
                                       .mean = kept->mean[which],
                                       .inverse = kept->inverse[which],
                                       .scratch = p->w->norm};
    p->g->grad->norm(&norm);
}

static void run_res(const struct nn_grad_pass *p, int step, const float *in, const float *skip,
                    float *out)
{
    const struct nn_grad *g = p->g;
    const struct nn_step *s = &g->net.plan.steps[step];
    const struct nn_grad_layer *y = &g->layers[step];
    struct nn_grad_saved *kept = &p->w->saved[step];
    size_t side = (size_t)s->side_out, lanes = y->norm[1].lanes, lanes_in = y->norm[0].lanes;
    struct nn_target target = nn_bordered_target(kept->input, side, lanes_in);
    bool resampled = s->resampling != NN_RESAMPLE_NONE;
    if (resampled) {
        struct nn_target plain = nn_plain_target(p->w->plain[0], (size_t)s->side_in, lanes_in);
        struct nn_resample r = {nn_grad_resample_kind(g, s), plain.out, p->n, (size_t)s->side_in,
                                target};
        run_norm(p, step, 0, in, NULL, (size_t)s->side_in, true, plain);
        g->kernels->resample(&r);
        r.src = in;
        r.target = nn_plain_target(kept->shortcut, side, lanes_in);
        g->kernels->resample(&r);
        in = kept->shortcut;
    } else {
        run_norm(p, step, 0, in, skip, side, true, target);
    }
    struct nn_product c = nn_grad_conv(p, &y->dense[0].shape, y->dense[0].packed, kept->input, side,
                                       lanes_in, kept->middle);
    c.bias = p->w->time + y->time_first;
    c.bias_step = g->time.shape.outputs;
    g->kernels->product(&c);
    target = nn_bordered_target(kept->second, side, lanes);
    run_norm(p, step, 1, kept->middle, NULL, side, true, target);
    if (kept->keep && p->batch->training) {
        nn_grad_dropout_draw(p, step, side * side * lanes, kept->keep);
        nn_grad_dropout_apply(p, kept->keep, side, &target);
    }
    if (s->shortcut) {
        size_t more = skip ? nn_lanes((size_t)s->channels_skip) : 0;
        c = nn_grad_point(p, &y->dense[2].shape, y->dense[2].packed, in, side * side,
                          lanes_in - more, out);
        c.bias = g->canonical + y->dense[2].bias;
        if (skip)
            c.segment[c.segments++] = (struct nn_segment){skip, more, more};
        g->kernels->product(&c);
    }
    c = nn_grad_conv(p, &y->dense[1].shape, y->dense[1].packed, kept->second, side, lanes, out);
    c.bias = g->canonical + y->dense[1].bias;
    c.residual = s->shortcut ? out : in;
    c.scale = HALF_ROOT;
    g->kernels->product(&c);
}

static void run_attention(const struct nn_grad_pass *p, int step, const float *in, float *out)
{
    const struct nn_grad *g = p->g;
    const struct nn_step *s = &g->net.plan.steps[step];
    const struct nn_grad_layer *y = &g->layers[step];
    struct nn_grad_saved *kept = &p->w->saved[step];
    size_t side = (size_t)s->side_in, pixels = side * side, lanes = y->norm[0].lanes;
    run_norm(p, step, 0, in, NULL, side, false, nn_plain_target(kept->input, side, lanes));
    struct nn_product c = nn_grad_point(p, &y->dense[0].shape, y->dense[0].packed, kept->input,
                                        pixels, lanes, kept->middle);
    c.bias = g->canonical + y->dense[0].bias;
    g->kernels->product(&c);
    const struct nn_attention a = {
        kept->middle, p->n, pixels, (size_t)s->channels_in, lanes, kept->second, p->w->attention};
    g->kernels->attention(&a);
    c = nn_grad_point(p, &y->dense[1].shape, y->dense[1].packed, kept->second, pixels, lanes, out);
    c.bias = g->canonical + y->dense[1].bias;
    c.residual = in;
    c.scale = HALF_ROOT;
    g->kernels->product(&c);
}

static void run_pyramid(const struct nn_grad_pass *p, int step, const float *in, const float *trunk,
                        float *out)
{
    const struct nn_grad *g = p->g;
    const struct nn_step *s = &g->net.plan.steps[step];
    const struct nn_grad_dense *d = &g->layers[step].dense[0];
    float *blurred = p->w->saved[step].input;
    size_t lanes = nn_lanes((size_t)s->channels_in), side = (size_t)s->side_in + 1;
    const struct nn_resample blur = {NN_FIR_BLUR, in, p->n, (size_t)s->side_in,
                                     nn_plain_target(blurred, side, lanes)};
    g->kernels->resample(&blur);
    struct nn_product c = nn_grad_conv(p, &d->shape, d->packed, blurred, side - 1, lanes, out);
    c.in_row = 2 * side;
    c.in_step = 2;
    c.height = c.width = (size_t)s->side_out;
    c.bias = g->canonical + d->bias;
    c.residual = trunk;
    c.scale = HALF_ROOT;
    g->kernels->product(&c);
}

/* Planes to pixels of `channels` numbers in rows of `lanes`. */
static void load_images(const struct nn_grad_pass *p, const struct nn_target *target)
{
    const struct nn_arch *arch = &p->g->net.arch;
    size_t channels = (size_t)arch->channels, side = (size_t)arch->image_size;
    for (size_t b = 0; b < p->n; b++)
        for (size_t y = 0; y < side; y++) {
            float *row = nn_target_row(target, b, y);
            for (size_t c = 0; c < channels; c++) {
                const float *from = p->batch->x[p->first + b] + (c * side + y) * side;
                for (size_t i = 0; i < side; i++)
                    row[i * target->lanes + c] = from[i];
            }
        }
}

static void run_stem(const struct nn_grad_pass *p, int step, float *out)
{
    const struct nn_grad *g = p->g;
    const struct nn_grad_dense *d = &g->layers[step].dense[0];
    float *in = p->w->saved[step].input;
    size_t channels = (size_t)g->net.arch.channels, side = (size_t)g->net.arch.image_size;
    struct nn_target target = nn_bordered_target(in, side, channels);
    load_images(p, &target);
    struct nn_product c = nn_grad_conv(p, &d->shape, d->packed, in, side, channels, out);
    c.bias = g->canonical + d->bias;
    g->kernels->product(&c);
}

static void run_head(const struct nn_grad_pass *p, int step, const float *in, float *out)
{
    const struct nn_grad *g = p->g;
    const struct nn_grad_dense *d = &g->layers[step].dense[0];
    float *normed = p->w->saved[step].input;
    size_t side = (size_t)g->net.arch.image_size, lanes = g->layers[step].norm[0].lanes;
    run_norm(p, step, 0, in, NULL, side, true, nn_bordered_target(normed, side, lanes));
    struct nn_product c = nn_grad_conv(p, &d->shape, d->packed, normed, side, lanes, out);
    c.bias = g->canonical + d->bias;
    g->kernels->product(&c);
}

void nn_grad_forward(const struct nn_grad_pass *p)
{
    const struct nn_plan *plan = &p->g->net.plan;
    if (p->g->net.arch.kind == NN_ARCH_MLP) {
        nn_mlp_grad_forward(p);
        return;
    }
    if (p->g->net.arch.pyramid == NN_PYRAMID_RESIDUAL) {
        struct nn_target image =
            nn_plain_target(nn_grad_value(p, 0), (size_t)p->g->net.arch.image_size,
                            nn_lanes((size_t)p->g->net.arch.channels));
        load_images(p, &image);
    }
    for (int i = 0; i < plan->step_count; i++) {
        const struct nn_step *s = &plan->steps[i];
        const float *in = nn_grad_value(p, s->in);
        const float *other = s->other >= 0 ? nn_grad_value(p, s->other) : NULL;
        float *out = nn_grad_value(p, s->out);
        switch (s->kind) {
        case NN_STEP_STEM:
            run_stem(p, i, out);
            break;
        case NN_STEP_RES:
            run_res(p, i, in, other, out);
            break;
        case NN_STEP_ATTENTION:
            run_attention(p, i, in, out);
            break;
        case NN_STEP_PYRAMID:
            run_pyramid(p, i, in, other, out);
            break;
        case NN_STEP_HEAD:
            run_head(p, i, in, out);
            break;
        }
    }
}
