/* Training the network for vectors: as nn_mlp.c, but what the way back reads is kept. A step's
 * input goes to that step alone, so a gradient has one part and is written, not added to.
 *
 * What a step keeps: stem: its features. Block: SiLU of its input; Linear_0's output with the time
 * row; its SiLU, after dropout, and what dropout kept. Head: SiLU of its input; F. Runs in one
 * thread on its workspace. */
#include "nn_mlp_grad.h"
#include "nn_mlp.h"
#include <string.h>

void nn_mlp_grad_keep(const struct nn_grad *g, int step, struct nn_grad_saved *kept,
                      struct arena *a)
{
    const struct nn_grad_dense *d = g->layers[step].dense;
    kept->input = arena_take(a, NN_GRAD_MICRO * d[0].shape.inputs, sizeof(float));
    kept->middle = arena_take(a, NN_GRAD_MICRO * d[0].shape.outputs, sizeof(float));
    kept->second = arena_take(a, NN_GRAD_MICRO * d[0].shape.outputs, sizeof(float));
    if (g->options.dropout > 0 && g->net.plan.steps[step].kind == NN_STEP_RES)
        kept->keep = arena_take(a, NN_GRAD_MICRO * d[0].shape.outputs, 1);
}

/* ---- there ---- */

static void linear(const struct nn_grad_pass *p, const struct nn_grad_dense *d, const float *in,
                   float *out)
{
    nn_grad_linear(p->g, &d->shape, d->packed, p->g->canonical + d->bias, p->n, in, out);
}

static void stem(const struct nn_grad_pass *p, int step, float *out)
{
    const struct nn_grad_dense *d = &p->g->layers[step].dense[0];
    float *features = p->w->saved[step].input; /* the padding stays zero */
    for (size_t b = 0; b < p->n; b++)
        nn_mlp_features(&p->g->net, p->batch->x[p->first + b], p->batch->t[p->first + b],
                        features + b * d->shape.inputs);
    linear(p, d, features, out);
}

static void block(const struct nn_grad_pass *p, int step, const float *in, float *out)
{
    const struct nn_grad *g = p->g;
    const struct nn_grad_layer *y = &g->layers[step];
    const struct nn_grad_saved *kept = &p->w->saved[step];
    size_t width = y->dense[0].shape.outputs;
    g->kernels->silu(p->n * width, in, kept->input);
    linear(p, &y->dense[0], kept->input, kept->middle);
    for (size_t b = 0; b < p->n; b++)
        g->grad->add(p->w->time + b * g->time.shape.outputs + y->time_first, 1.0f, width,
                     kept->middle + b * width);
    g->kernels->silu(p->n * width, kept->middle, kept->second);
    if (kept->keep && p->batch->training) {
        const struct nn_target rows = nn_plain_target(kept->second, 1, width);
        nn_grad_dropout_draw(p, step, width, kept->keep);
        nn_grad_dropout_apply(p, kept->keep, 1, &rows);
    }
    linear(p, &y->dense[1], kept->second, out);
    g->grad->add(in, 1.0f, p->n * width, out);
}

static void head(const struct nn_grad_pass *p, int step, const float *in, float *out)
{
    const struct nn_grad_dense *d = &p->g->layers[step].dense[0];
    const struct nn_grad_saved *kept = &p->w->saved[step];
    size_t lanes = d->shape.outputs;
    p->g->kernels->silu(p->n * d->shape.inputs, in, kept->input);
    linear(p, d, kept->input, kept->middle);
    for (size_t b = 0; b < p->n; b++)
        nn_mlp_field(&p->g->net, p->batch->x[p->first + b], p->batch->t[p->first + b],
                     kept->middle + b * lanes, out + b * lanes);
}

void nn_mlp_grad_forward(const struct nn_grad_pass *p)
{
    const struct nn_plan *plan = &p->g->net.plan;
    for (int i = 0; i < plan->step_count; i++) {
        const struct nn_step *s = &plan->steps[i];
        const float *in = nn_grad_value(p, s->in);
        float *out = nn_grad_value(p, s->out);
        if (s->kind == NN_STEP_STEM)
            stem(p, i, out);
        else if (s->kind == NN_STEP_HEAD)
            head(p, i, in, out);
        else
            block(p, i, in, out);
    }
}

/* ---- and back ---- */

/* Weights and bias of a layer from the gradient at its output, in rows of its outputs. */
static void weights_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d,
                         const float *in, const float *slope)
{
    if (!p->sum)
        return;
    nn_grad_linear_weights_back(p, d, in, slope);
    for (size_t b = 0; b < p->n; b++)
        p->g->grad->add(slope + b * d->shape.outputs, 1.0f, d->shape.outputs, p->sum + d->bias);
}

static void input_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d,
                       const float *slope, float *out)
{
    nn_grad_linear(p->g, &d->back, d->packed_back, p->g->zeros, p->n, slope, out);
}

static void block_back(const struct nn_grad_pass *p, int step, const float *slope, const float *in,
                       float *in_slope)
{
    const struct nn_grad *g = p->g;
    const struct nn_grad_layer *y = &g->layers[step];
    const struct nn_grad_saved *kept = &p->w->saved[step];
    size_t width = y->dense[0].shape.outputs, times = g->time.shape.outputs;
    float *inner = p->w->plain[0];
    weights_back(p, &y->dense[1], kept->second, slope);
    input_back(p, &y->dense[1], slope, inner);
    if (kept->keep && p->batch->training) {
        const struct nn_target rows = nn_plain_target(inner, 1, width);
        nn_grad_dropout_apply(p, kept->keep, 1, &rows);
    }
    g->grad->silu_back(p->n * width, kept->middle, inner);
    for (size_t b = 0; b < p->n && p->sum; b++) {
        memcpy(p->w->time_slope + b * times + y->time_first, inner + b * width,
               width * sizeof *inner);
        g->grad->add(inner + b * width, 1.0f, width, p->sum + g->time.bias + y->time_first);
    }
    weights_back(p, &y->dense[0], kept->input, inner);
    input_back(p, &y->dense[0], inner, in_slope);
    g->grad->silu_back(p->n * width, in, in_slope);
    g->grad->add(slope, 1.0f, p->n * width, in_slope);
}

static void head_back(const struct nn_grad_pass *p, int step, float *slope, const float *in,
                      float *in_slope)
{
    const struct nn_grad *g = p->g;
    const struct nn_grad_dense *d = &g->layers[step].dense[0];
    const struct nn_grad_saved *kept = &p->w->saved[step];
    size_t lanes = d->shape.outputs;
    for (size_t b = 0; b < p->n; b++) {
        size_t image = p->first + b;
        const float *x = p->batch->x[image], *f = kept->middle + b * lanes;
        if (!p->sum)
            nn_mlp_field_input_back(&g->net, x, p->batch->t[image], f, slope + b * lanes,
                                    p->x_slope[image]);
        nn_mlp_field_back(&g->net, x, p->batch->t[image], f, slope + b * lanes);
    }
    weights_back(p, d, kept->input, slope);
    input_back(p, d, slope, in_slope);
    g->grad->silu_back(p->n * d->shape.inputs, in, in_slope);
}

static void stem_back(const struct nn_grad_pass *p, int step, const float *slope)
{
    const struct nn_grad_dense *d = &p->g->layers[step].dense[0];
    float *features = p->w->plain[0];
    weights_back(p, d, p->w->saved[step].input, slope);
    if (p->sum)
        return;
    input_back(p, d, slope, features);
    for (size_t b = 0; b < p->n; b++)
        nn_mlp_features_back(&p->g->net, p->batch->x[p->first + b], p->batch->t[p->first + b],
                             features + b * d->shape.inputs, p->x_slope[p->first + b]);
}

void nn_mlp_grad_backward(const struct nn_grad_pass *p)
{
    const struct nn_plan *plan = &p->g->net.plan;
    for (int i = plan->step_count - 1; i >= 0; i--) {
        const struct nn_step *s = &plan->steps[i];
        const float *in = nn_grad_value(p, s->in);
        float *slope = nn_grad_slope(p, s->out), *in_slope = nn_grad_slope(p, s->in);
        if (s->kind == NN_STEP_HEAD)
            head_back(p, i, slope, in, in_slope);
        else if (s->kind == NN_STEP_RES)
            block_back(p, i, slope, in, in_slope);
        else
            stem_back(p, i, slope);
    }
}
