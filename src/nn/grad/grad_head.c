/* The last layer of an image's network in training (net_head.c). Kept: the bordered input of the
 * convolution. */
#include "grad_layer.h"
#include "grad_products.h"

static void lay(struct grad_layout *l, const struct nn_step *s, struct nn_grad_layer *y)
{
    size_t channels = (size_t)s->channels_in;
    grad_lay_norm(l, y, 0, s->channels_in, 0);
    grad_lay_dense(l, &y->dense[0], 9, (size_t)s->side_out, nn_lanes(channels),
                   (size_t)s->channels_out, true);
    grad_add_conv(l, &y->dense[0], channels, channels);
}

static void keep(const struct nn_grad *g, int step, struct nn_grad_saved *kept, struct arena *a)
{
    const struct nn_step *s = &g->net.plan.steps[step];
    const struct nn_grad_layer *y = &g->layers[step];
    grad_keep_norm(y, 0, kept, a);
    kept->input =
        grad_keep(a, nn_bordered_pixels(NN_GRAD_MICRO, (size_t)s->side_out) * y->norm[0].lanes);
}

static void needs(const struct nn_grad *g, const struct nn_step *s, struct grad_needs *k)
{
    size_t in = nn_lanes((size_t)s->channels_in), out = nn_lanes((size_t)s->channels_out);
    size_t side = (size_t)s->side_out;
    grad_need_images(k, side, in > out ? in : out);
    grad_need(&k->outer, g->grad->conv_outer_scratch(in, out, NN_GRAD_MICRO, side));
}

static void forward(const struct nn_grad_pass *p, int step, const float *in, const float *other,
                    float *out)
{
    (void)other;
    const struct nn_grad *g = p->g;
    const struct nn_grad_dense *d = &g->layers[step].dense[0];
    float *normed = p->w->saved[step].input;
    size_t side = (size_t)g->net.arch.image_size, lanes = g->layers[step].norm[0].lanes;
    grad_norm(p, step, 0, in, NULL, side, true, nn_bordered_target(normed, side, lanes));
    struct nn_product c = grad_conv(p, &d->shape, d->packed, normed, side, lanes, out);
    c.bias = g->canonical + d->bias;
    g->kernels->product(&c);
}

static void backward(const struct nn_grad_pass *p, int step, float *slope)
{
    const struct nn_grad *g = p->g;
    const struct nn_step *s = &g->net.plan.steps[step];
    const struct nn_grad_layer *y = &g->layers[step];
    size_t side = (size_t)s->side_in, lanes = y->norm[0].lanes;
    struct nn_target bordered = grad_border(p, side, y->dense[0].shape.outputs);
    g->grad->place(slope, 1.0f, p->n, side, &bordered);
    grad_sum_bias(p, &bordered, side, y->dense[0].bias);
    grad_conv_weights_back(p, &y->dense[0], p->w->saved[step].input, side, lanes, &bordered);
    grad_conv_back(p, &y->dense[0], side, p->w->plain[0]);
    struct nn_norm_back n = grad_norm_back(p, step, 0, side, p->w->plain[0]);
    grad_norm_part(p, &n, 0, s->in, lanes);
    g->grad->norm_back(&n);
}

const struct grad_layer_ops grad_head = {lay, keep, needs, forward, backward};
