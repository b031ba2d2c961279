/* The perceptron's residual block in training (net_vector_block.c). Kept: SiLU of its input;
 * Linear_0's output with the time row; its SiLU, after dropout; and what dropout kept. A step's
 * input goes to that step alone, so its gradient has one part and is written, not added to. */
#include "grad_layer.h"
#include "grad_products.h"
#include <string.h>

static void lay(struct grad_layout *l, const struct nn_step *s, struct nn_grad_layer *y)
{
    size_t width = (size_t)s->channels_out;
    grad_lay_dense(l, &y->dense[0], 1, 0, nn_lanes(width), width, true);
    grad_add_conv(l, &y->dense[0], width, width);
    grad_add_time(l, s);
    grad_lay_dense(l, &y->dense[1], 1, 0, nn_lanes(width), width, true);
    grad_add_conv(l, &y->dense[1], width, width);
}

static void keep(const struct nn_grad *g, int step, struct nn_grad_saved *kept, struct arena *a)
{
    size_t count = NN_GRAD_MICRO * g->layers[step].dense[0].shape.outputs;
    kept->input = grad_keep(a, count);
    kept->middle = grad_keep(a, count);
    kept->second = grad_keep(a, count);
    if (g->options.dropout > 0)
        kept->keep = arena_take(a, count, 1);
}

static void needs(const struct nn_grad *g, const struct nn_step *s, struct grad_needs *k)
{
    size_t in = nn_lanes((size_t)s->channels_in), out = nn_lanes((size_t)s->channels_out);
    (void)g;
    grad_need_images(k, 1, in > out ? in : out);
}

static void forward(const struct nn_grad_pass *p, int step, const float *in, const float *other,
                    float *out)
{
    (void)other;
    const struct nn_grad *g = p->g;
    const struct nn_grad_layer *y = &g->layers[step];
    const struct nn_step *s = &g->net.plan.steps[step];
    const struct nn_grad_saved *kept = &p->w->saved[step];
    size_t width = y->dense[0].shape.outputs;
    g->kernels->silu(p->n * width, in, kept->input);
    grad_rows(p, &y->dense[0], kept->input, kept->middle);
    for (size_t b = 0; b < p->n; b++)
        g->grad->add(p->w->time + b * g->time.shape.outputs + s->time_first, 1.0f, width,
                     kept->middle + b * width);
    g->kernels->silu(p->n * width, kept->middle, kept->second);
    if (kept->keep && p->batch->training) {
        const struct nn_target rows = nn_plain_target(kept->second, 1, width);
        grad_dropout_draw(p, step, width, kept->keep);
        grad_dropout_apply(p, kept->keep, 1, &rows);
    }
    grad_rows(p, &y->dense[1], kept->second, out);
    g->grad->add(in, 1.0f, p->n * width, out);
}

static void backward(const struct nn_grad_pass *p, int step, float *slope)
{
    const struct nn_grad *g = p->g;
    const struct nn_grad_layer *y = &g->layers[step];
    const struct nn_step *s = &g->net.plan.steps[step];
    const float *in = nn_grad_value(p, s->in);
    float *in_slope = nn_grad_slope(p, s->in);
    const struct nn_grad_saved *kept = &p->w->saved[step];
    size_t width = y->dense[0].shape.outputs, times = g->time.shape.outputs;
    float *inner = p->w->plain[0];
    grad_rows_weights_back(p, &y->dense[1], kept->second, slope);
    grad_rows_back(p, &y->dense[1], slope, inner);
    if (kept->keep && p->batch->training) {
        const struct nn_target rows = nn_plain_target(inner, 1, width);
        grad_dropout_apply(p, kept->keep, 1, &rows);
    }
    g->grad->silu_back(p->n * width, kept->middle, inner);
    for (size_t b = 0; b < p->n && p->sum; b++) {
        memcpy(p->w->time_slope + b * times + s->time_first, inner + b * width,
               width * sizeof *inner);
        g->grad->add(inner + b * width, 1.0f, width, p->sum + g->time.bias + s->time_first);
    }
    grad_rows_weights_back(p, &y->dense[0], kept->input, inner);
    grad_rows_back(p, &y->dense[0], inner, in_slope);
    g->grad->silu_back(p->n * width, in, in_slope);
    g->grad->add(slope, 1.0f, p->n * width, in_slope);
}

const struct grad_layer_ops grad_vector_block = {lay, keep, needs, forward, backward};
