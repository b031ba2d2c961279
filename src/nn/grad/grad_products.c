/* The operations that both passes of every layer are made of: products, norms and their gradients,
 * and dropout. */
#include "grad_products.h"
#include "base_rng.h"
#include <math.h>

struct nn_product grad_conv(const struct nn_grad_pass *p, const struct nn_product_shape *shape,
                            const float *packed, const float *in, size_t side, size_t lanes,
                            float *out)
{
    size_t pitch = side + 1;
    struct nn_product c = {.shape = *shape,
                           .packed = packed,
                           .bias = p->g->zeros,
                           .segments = 3,
                           .in_image = pitch * pitch,
                           .in_row = pitch,
                           .in_step = 1,
                           .images = p->n,
                           .height = side,
                           .width = side,
                           .scale = 1.0f,
                           .out = out,
                           .scratch = p->w->product};
    for (size_t i = 0; i < 3; i++)
        c.segment[i] = (struct nn_segment){in + i * pitch * lanes, lanes, 3 * lanes};
    return c;
}

struct nn_product grad_point(const struct nn_grad_pass *p, const struct nn_product_shape *shape,
                             const float *packed, const float *in, size_t pixels, size_t lanes,
                             float *out)
{
    return (struct nn_product){.shape = *shape,
                               .packed = packed,
                               .bias = p->g->zeros,
                               .segments = 1,
                               .segment = {{in, lanes, lanes}},
                               .in_image = pixels,
                               .in_row = pixels,
                               .in_step = 1,
                               .images = p->n,
                               .height = 1,
                               .width = pixels,
                               .scale = 1.0f,
                               .out = out};
}

void grad_linear(const struct nn_grad *g, const struct nn_product_shape *shape, const float *packed,
                 const float *bias, size_t n, const float *in, float *out)
{
    const struct nn_product p = {.shape = *shape,
                                 .packed = packed,
                                 .bias = bias,
                                 .segments = 1,
                                 .segment = {{in, shape->inputs, shape->inputs}},
                                 .in_image = n,
                                 .in_row = n,
                                 .in_step = 1,
                                 .images = 1,
                                 .height = 1,
                                 .width = n,
                                 .scale = 1.0f,
                                 .out = out};
    g->kernels->product(&p);
}

void grad_linear_weights_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d,
                              const float *in, const float *slope)
{
    const struct nn_outer o = {.segments = 1,
                               .segment = {{in, d->shape.inputs, d->shape.inputs}},
                               .in_image = p->n,
                               .in_row = p->n,
                               .in_step = 1,
                               .images = 1,
                               .height = 1,
                               .width = p->n,
                               .slope = {(float *)slope, 0, p->n, p->n, d->shape.outputs},
                               .sum = p->sum + d->at};
    p->g->grad->outer(&o);
}

void grad_rows(const struct nn_grad_pass *p, const struct nn_grad_dense *d, const float *in,
               float *out)
{
    grad_linear(p->g, &d->shape, d->packed, p->g->canonical + d->bias, p->n, in, out);
}

void grad_rows_weights_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d,
                            const float *in, const float *slope)
{
    if (!p->sum)
        return;
    grad_linear_weights_back(p, d, in, slope);
    for (size_t b = 0; b < p->n; b++)
        p->g->grad->add(slope + b * d->shape.outputs, 1.0f, d->shape.outputs, p->sum + d->bias);
}

void grad_rows_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d, const float *slope,
                    float *out)
{
    grad_linear(p->g, &d->back, d->packed_back, p->g->zeros, p->n, slope, out);
}

/* 16 bits of the stream decide about one element; the counter is (step, image, layer, place). */
void grad_dropout_draw(const struct nn_grad_pass *p, int step, size_t count, uint8_t *keep)
{
    uint64_t seed = p->g->options.seed;
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t least = (uint32_t)lrint(p->g->options.dropout * 65536.0);
    for (size_t b = 0; b < p->n; b++)
        for (size_t i = 0; i < count; i += 8) {
            const uint32_t counter[4] = {(uint32_t)p->batch->step,
                                         (uint32_t)((p->first + b) << 12 | (size_t)step),
                                         (uint32_t)RNG_TRAIN_DROPOUT, (uint32_t)(i / 8)};
            uint32_t word[4];
            rng_philox(counter, key, word);
            for (size_t j = 0; j < 4; j++) {
                *keep++ = (word[j] & 0xffff) >= least;
                *keep++ = word[j] >> 16 >= least;
            }
        }
}

void grad_dropout_apply(const struct nn_grad_pass *p, const uint8_t *keep, size_t side,
                        const struct nn_target *target)
{
    p->g->grad->dropout(keep, (float)(1 / (1 - p->g->options.dropout)), p->n, side, target);
}

/* ---- the forward pass ---- */

void grad_load_images(const struct nn_grad_pass *p, const struct nn_target *target)
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

void grad_norm(const struct nn_grad_pass *p, int step, int which, const float *a, const float *b,
               size_t side, bool silu, struct nn_target target)
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

/* ---- the backward pass ---- */

bool grad_reach(const struct nn_grad_pass *p, int value)
{
    bool before = p->w->reached[value];
    p->w->reached[value] = true;
    return before;
}

struct nn_target grad_border(const struct nn_grad_pass *p, size_t side, size_t lanes)
{
    nn_bordered_zero(p->w->bordered, p->n, side, lanes);
    return nn_bordered_target(p->w->bordered, side, lanes);
}

void grad_sum_bias(const struct nn_grad_pass *p, const struct nn_target *slope, size_t side,
                   size_t bias)
{
    if (!p->sum)
        return;
    p->g->grad->columns(slope, p->n, side, p->w->sums);
    for (size_t b = 0; b < p->n; b++)
        p->g->grad->add(p->w->sums + b * slope->lanes, 1.0f, slope->lanes, p->sum + bias);
}

void grad_conv_weights_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d,
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

void grad_point_weights_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d,
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

void grad_conv_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d, size_t side,
                    float *out)
{
    const struct nn_product c =
        grad_conv(p, &d->back, d->packed_back, p->w->bordered, side, d->shape.outputs, out);
    p->g->kernels->product(&c);
}

void grad_point_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d, size_t side,
                     const struct nn_target *slope, float *out)
{
    struct nn_product c =
        grad_point(p, &d->back, d->packed_back, slope->out + slope->first * slope->lanes, side,
                   slope->lanes, out);
    c.in_image = slope->image;
    c.in_row = slope->row;
    c.height = side;
    p->g->kernels->product(&c);
}

struct nn_norm_back grad_norm_back(const struct nn_grad_pass *p, int step, int which, size_t side,
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

void grad_norm_part(const struct nn_grad_pass *p, struct nn_norm_back *n, int part, int value,
                    size_t lanes)
{
    n->part[part] = (struct nn_norm_part){nn_grad_value(p, value), lanes};
    n->in[part] = nn_plain_target(nn_grad_slope(p, value), n->side, lanes);
    n->add[part] = grad_reach(p, value);
}
