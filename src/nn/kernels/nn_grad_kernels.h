/* The operations that only training needs, as one table an instruction set: nn_grad_c.c is the
 * oracle, nn_grad_vector*.c the vector version. They share the layouts of nn_kernels.h. Functions
 * keep no state and may run in any thread; the order of every sum is fixed by the shapes alone. */
#ifndef NN_GRAD_KERNELS_H
#define NN_GRAD_KERNELS_H

#include "nn_kernels.h"

/* The gradient of a product's weights: sum[k][o] += Σ over pixels of in[position][k] · slope[o],
 * where k and position are those of nn_product. */
struct nn_outer {
    int segments;
    struct nn_segment segment[NN_SEGMENTS_MAX];
    size_t in_image, in_row, in_step; /* in pixels */
    size_t images, height, width;     /* of the output */
    struct nn_target slope;           /* gradient at the output; its lanes are the outputs */
    float *sum;                       /* [inputs][outputs] */
};

/* The same for a 3×3 convolution of stride 1 over a bordered image set of padded channels: sum is
 * [9][lanes][slope.lanes]. */
struct nn_conv_outer {
    const float *in; /* bordered */
    size_t lanes;
    struct nn_target slope;
    size_t images, side;
    float *sum;
    float *scratch; /* conv_outer_scratch floats, aligned */
};

/* Group norm, as nn_norm, which keeps what the backward pass needs. */
struct nn_norm_train {
    const struct nn_norm_weights *weights;
    int parts;
    struct nn_norm_part part[2];
    size_t images, side;
    bool silu;
    struct nn_target target;
    float *mean, *inverse; /* [images][lanes], kept: the group's mean and 1 / deviation */
    double *scratch;       /* nn_norm_train_scratch doubles */
};

/* Its backward pass. `slope` [images][pixels][lanes] is the gradient at the output and is
 * overwritten. The gradient at part k goes to in[k], or is added to it where add[k] is set; `plus`
 * ([images][pixels][lanes], or NULL) times plus_scale is added to it too. */
struct nn_norm_back {
    const struct nn_norm_weights *weights;
    int parts;
    struct nn_norm_part part[2];
    size_t images, side;
    bool silu;
    const float *mean, *inverse;
    float *slope;
    struct nn_target in[2];
    bool add[2];
    const float *plus;
    float plus_scale;
    float *gamma, *beta; /* [lanes], added to; or both NULL */
    double *scratch;     /* nn_norm_train_scratch doubles */
};

static inline size_t nn_norm_train_scratch(size_t lanes)
{
    return 4 * lanes;
}

/* A convolution's gradient as the outer product of three segments a pixel. */
static inline struct nn_outer nn_conv_outer_direct(const struct nn_conv_outer *p)
{
    size_t pitch = p->side + 1;
    struct nn_outer o = {.segments = 3,
                         .in_image = pitch * pitch,
                         .in_row = pitch,
                         .in_step = 1,
                         .images = p->images,
                         .height = p->side,
                         .width = p->side,
                         .slope = p->slope,
                         .sum = p->sum};
    for (size_t i = 0; i < 3; i++)
        o.segment[i] = (struct nn_segment){p->in + i * pitch * p->lanes, p->lanes, 3 * p->lanes};
    return o;
}

struct nn_grad_kernels {
    void (*outer)(const struct nn_outer *p);
    size_t (*conv_outer_scratch)(size_t lanes, size_t outputs, size_t images, size_t side);
    void (*conv_outer)(const struct nn_conv_outer *p);
    void (*norm)(const struct nn_norm_train *p);
    void (*norm_back)(const struct nn_norm_back *p);
    /* out[b][c] = Σ over the side² pixels of image b. */
    void (*columns)(const struct nn_target *src, size_t images, size_t side, float *out);
    /* dst = scale · src for images of side² pixels; lanes of dst. */
    void (*place)(const float *src, float scale, size_t images, size_t side,
                  const struct nn_target *dst);
    /* dst += scale · src, count numbers. */
    void (*add)(const float *src, float scale, size_t count, float *dst);
    /* dst = keep ? scale · dst : 0; keep [images][side²][lanes], 0 or 1. */
    void (*dropout)(const uint8_t *keep, float scale, size_t images, size_t side,
                    const struct nn_target *dst);
    /* slope ∘ SiLU'(x), in place; count numbers. */
    void (*silu_back)(size_t count, const float *x, float *slope);
    /* A row of `count` scores to weights, exp(scale · score) / Σ, zeros up to `length`. */
    void (*softmax)(float *row, size_t count, size_t length, float scale);
    /* The gradient at the weights to that at the scores, in place: scale · w ∘ (slope − Σ w slope).
     */
    void (*softmax_back)(const float *weights, float *slope, size_t count, float scale);
};

/* The table that goes with a kernel; AUTO is resolved first. */
const struct nn_grad_kernels *nn_grad_kernels_get(enum nn_kernel kernel);

extern const struct nn_grad_kernels nn_grad_kernels_c;
extern const struct nn_grad_kernels nn_grad_kernels_lanes8;
extern const struct nn_grad_kernels nn_grad_kernels_avx512;

#endif
