/* Products and dropout, which both passes of every layer share. */
#include "nn_grad_net.h"
#include "base_rng.h"
#include <math.h>

struct nn_product nn_grad_conv(const struct nn_grad_pass *p, const struct nn_product_shape *shape,
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

struct nn_product nn_grad_point(const struct nn_grad_pass *p, const struct nn_product_shape *shape,
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

enum nn_resample_kind nn_grad_resample_kind(const struct nn_grad *g, const struct nn_step *s)
{
    if (s->resampling == NN_RESAMPLE_UP)
        return g->net.arch.fir ? NN_FIR_UP : NN_BOX_UP;
    return g->net.arch.fir ? NN_FIR_DOWN : NN_BOX_DOWN;
}

void nn_grad_linear(const struct nn_grad *g, const struct nn_product_shape *shape,
                    const float *packed, const float *bias, size_t n, const float *in, float *out)
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

void nn_grad_linear_weights_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d,
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

/* 16 bits of the stream decide about one element; the counter is (step, image, layer, place). */
void nn_grad_dropout_draw(const struct nn_grad_pass *p, int step, size_t count, uint8_t *keep)
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

void nn_grad_dropout_apply(const struct nn_grad_pass *p, const uint8_t *keep, size_t side,
                           const struct nn_target *target)
{
    p->g->grad->dropout(keep, (float)(1 / (1 - p->g->options.dropout)), p->n, side, target);
}
