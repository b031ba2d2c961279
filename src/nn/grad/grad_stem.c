/* The first layer of an image's network in training (net_stem.c). Kept: the bordered image. */
#include "grad_layer.h"
#include "grad_products.h"

/* The image's pixels are not padded, and training wants no gradient there. */
static void lay(struct grad_layout *l, const struct nn_step *s, struct nn_grad_layer *y)
{
    size_t channels = (size_t)s->channels_in;
    grad_lay_dense(l, &y->dense[0], 9, 0, channels, (size_t)s->channels_out, l->g->options.inputs);
    grad_add_conv(l, &y->dense[0], channels, channels);
}

static void keep(const struct nn_grad *g, int step, struct nn_grad_saved *kept, struct arena *a)
{
    const struct nn_step *s = &g->net.plan.steps[step];
    kept->input = grad_keep(a, nn_bordered_pixels(NN_GRAD_MICRO, (size_t)s->side_out) *
                                   (size_t)s->channels_in);
}

static void needs(const struct nn_grad *g, const struct nn_step *s, struct grad_needs *k)
{
    size_t in = nn_lanes((size_t)s->channels_in), out = nn_lanes((size_t)s->channels_out);
    (void)g;
    grad_need_images(k, (size_t)s->side_out, in > out ? in : out);
}

static void forward(const struct nn_grad_pass *p, int step, const float *in, const float *other,
                    float *out)
{
    (void)in;
    (void)other;
    const struct nn_grad *g = p->g;
    const struct nn_grad_dense *d = &g->layers[step].dense[0];
    float *image = p->w->saved[step].input;
    size_t channels = (size_t)g->net.arch.channels, side = (size_t)g->net.arch.image_size;
    struct nn_target target = nn_bordered_target(image, side, channels);
    grad_load_images(p, &target);
    struct nn_product c = grad_conv(p, &d->shape, d->packed, image, side, channels, out);
    c.bias = g->canonical + d->bias;
    g->kernels->product(&c);
}

/* From the stem's output to the images, where a pyramid's part may lie already. */
static void image_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d,
                       const struct nn_target *slope)
{
    const struct nn_grad *g = p->g;
    size_t side = (size_t)g->net.arch.image_size, channels = (size_t)g->net.arch.channels;
    size_t pixels = side * side, lanes = d->back.outputs;
    struct nn_target bordered = grad_border(p, side, d->shape.outputs);
    float *sum = p->w->plain[0];
    g->grad->place(slope->out, 1.0f, p->n, side, &bordered);
    grad_conv_back(p, d, side, sum);
    if (p->w->reached[0])
        g->grad->add(nn_grad_slope(p, 0), 1.0f, p->n * pixels * lanes, sum);
    for (size_t b = 0; b < p->n; b++)
        for (size_t i = 0; i < pixels; i++)
            for (size_t c = 0; c < channels; c++)
                p->x_slope[p->first + b][c * pixels + i] = sum[(b * pixels + i) * lanes + c];
}

static void backward(const struct nn_grad_pass *p, int step, float *slope)
{
    const struct nn_grad *g = p->g;
    const struct nn_grad_dense *d = &g->layers[step].dense[0];
    size_t side = (size_t)g->net.arch.image_size;
    struct nn_target target = nn_plain_target(slope, side, d->shape.outputs);
    grad_sum_bias(p, &target, side, d->bias);
    grad_conv_weights_back(p, d, p->w->saved[step].input, side, (size_t)g->net.arch.channels,
                           &target);
    if (!p->sum)
        image_back(p, d, &target);
}

const struct grad_layer_ops grad_stem = {lay, keep, needs, forward, backward};
