/* The perceptron's last layer in training (net_vector_head.c). Kept: SiLU of its input; F. A step's
 * input goes to that step alone, so its gradient has one part and is written, not added to. */
#include "grad_layer.h"
#include "grad_products.h"
#include "nn_mlp.h"

static void lay(struct grad_layout *l, const struct nn_step *s, struct nn_grad_layer *y)
{
    size_t width = (size_t)s->channels_in;
    grad_lay_dense(l, &y->dense[0], 1, 0, nn_lanes(width), (size_t)s->channels_out, true);
    grad_add_conv(l, &y->dense[0], width, width);
}

static void keep(const struct nn_grad *g, int step, struct nn_grad_saved *kept, struct arena *a)
{
    const struct nn_grad_dense *d = &g->layers[step].dense[0];
    kept->input = grad_keep(a, NN_GRAD_MICRO * d->shape.inputs);
    kept->middle = grad_keep(a, NN_GRAD_MICRO * d->shape.outputs);
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
    const struct nn_grad_dense *d = &p->g->layers[step].dense[0];
    const struct nn_grad_saved *kept = &p->w->saved[step];
    size_t lanes = d->shape.outputs;
    p->g->kernels->silu(p->n * d->shape.inputs, in, kept->input);
    grad_rows(p, d, kept->input, kept->middle);
    for (size_t b = 0; b < p->n; b++)
        nn_mlp_field(&p->g->net, p->batch->x[p->first + b], p->batch->t[p->first + b],
                     kept->middle + b * lanes, out + b * lanes);
}

static void backward(const struct nn_grad_pass *p, int step, float *slope)
{
    const float *in = nn_grad_value(p, p->g->net.plan.steps[step].in);
    float *in_slope = nn_grad_slope(p, p->g->net.plan.steps[step].in);
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
    grad_rows_weights_back(p, d, kept->input, slope);
    grad_rows_back(p, d, slope, in_slope);
    g->grad->silu_back(p->n * d->shape.inputs, in, in_slope);
}

const struct grad_layer_ops grad_vector_head = {lay, keep, needs, forward, backward};
