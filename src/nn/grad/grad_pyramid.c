/* A step of the input pyramid in training (net_pyramid.c). Kept: the filtered input. */
#include "grad_layer.h"
#include "grad_products.h"
#include <string.h>

/* Where its input is the image itself, training wants no gradient there. */
static void lay(struct grad_layout *l, const struct nn_step *s, struct nn_grad_layer *y)
{
    size_t channels = (size_t)s->channels_in;
    grad_lay_dense(l, &y->dense[0], 9, 0, nn_lanes(channels), (size_t)s->channels_out,
                   s->in != 0 || l->g->options.inputs);
    grad_add_conv(l, &y->dense[0], channels, channels);
}

static void keep(const struct nn_grad *g, int step, struct nn_grad_saved *kept, struct arena *a)
{
    const struct nn_step *s = &g->net.plan.steps[step];
    size_t blurred = (size_t)s->side_in + 1;
    kept->input =
        grad_keep(a, NN_GRAD_MICRO * blurred * blurred * nn_lanes((size_t)s->channels_in));
}

/* The filtered image is one pixel larger. */
static void needs(const struct nn_grad *g, const struct nn_step *s, struct grad_needs *k)
{
    size_t in = nn_lanes((size_t)s->channels_in), out = nn_lanes((size_t)s->channels_out);
    (void)g;
    grad_need_images(k, (size_t)s->side_in + 1, in > out ? in : out);
}

static void forward(const struct nn_grad_pass *p, int step, const float *in, const float *other,
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
    struct nn_product c = grad_conv(p, &d->shape, d->packed, blurred, side - 1, lanes, out);
    c.in_row = 2 * side;
    c.in_step = 2;
    c.height = c.width = (size_t)s->side_out;
    c.bias = g->canonical + d->bias;
    c.residual = other;
    c.scale = NN_HALF_ROOT;
    g->kernels->product(&c);
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

static void backward(const struct nn_grad_pass *p, int step, float *slope)
{
    const struct nn_grad *g = p->g;
    const struct nn_step *s = &g->net.plan.steps[step];
    const struct nn_grad_dense *d = &g->layers[step].dense[0];
    size_t side = (size_t)s->side_out, blurred = (size_t)s->side_in + 1;
    size_t lanes = nn_lanes((size_t)s->channels_in), out = d->shape.outputs;
    struct nn_target scaled = nn_plain_target(p->w->plain[0], side, out);
    size_t pitch = blurred;
    g->grad->place(slope, NN_HALF_ROOT, p->n, side, &scaled);
    grad_sum_bias(p, &scaled, side, d->bias);
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
    if (!grad_reach(p, s->other))
        memset(nn_grad_slope(p, s->other), 0, p->n * side * side * out * sizeof(float));
    g->grad->add(scaled.out, 1.0f, p->n * side * side * out, nn_grad_slope(p, s->other));
    if (s->in == 0 && p->sum) /* the image itself */
        return;
    /* The slope at (2y + 1, 2x + 1) of a bordered image as large as the blurred one, zeros between.
     */
    struct nn_target spread = grad_border(p, blurred, out);
    for (size_t b = 0; b < p->n; b++)
        for (size_t y = 0; y < blurred; y++) {
            float *row = nn_target_row(&spread, b, y);
            memset(row, 0, blurred * out * sizeof *row);
            for (size_t x = 0; y % 2 && y / 2 < side && x < side; x++)
                memcpy(row + (2 * x + 1) * out, scaled.out + ((b * side + y / 2) * side + x) * out,
                       out * sizeof *row);
        }
    grad_conv_back(p, d, blurred, p->w->plain[1]);
    blur_back(p, p->w->plain[1], (size_t)s->side_in, lanes, nn_grad_slope(p, s->in),
              grad_reach(p, s->in));
}

const struct grad_layer_ops grad_pyramid = {lay, keep, needs, forward, backward};
