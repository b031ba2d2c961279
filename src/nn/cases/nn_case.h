/* Single operations with operands: what a test compares, a gradient check differentiates and
 * `pfgm bench ops` times is one and the same case.
 *
 * A case is a shape; its operands are random numbers in [-1, 1) that follow from the shape alone.
 * Arrays end where the operation may read no further, so that a sanitizer sees who does. A case
 * belongs to one thread at a time. */
#ifndef NN_CASE_H
#define NN_CASE_H

#include "nn_tile.h"

enum nn_case_op {
    NN_CASE_CONV,          /* 3×3 from a bordered image, directly */
    NN_CASE_WINOGRAD,      /* the same by transformed weights, where a kernel knows them */
    NN_CASE_CONV_STRIDE_2, /* 3×3 of every second pixel, without a border */
    NN_CASE_POINT,         /* 1×1 */
    NN_CASE_LINEAR,        /* the same of images of one pixel, which are the pixels of one row */
    NN_CASE_NORM,
    NN_CASE_RESAMPLE,
    NN_CASE_ATTENTION
};

/* Options of products, of norms and of resampling, which has its kind in their place. */
enum {
    NN_CASE_RESIDUAL = 1, /* a residual, which lies where the result goes */
    NN_CASE_BIASES = 2,   /* a bias per image */
    NN_CASE_UNPADDED =
        4,           /* of NN_CASE_CONV: pixels of `in` numbers, as the first layer reads them */
    NN_CASE_ROW = 8, /* of NN_CASE_POINT: an image's pixels are one row, as in the network */
    NN_CASE_SILU = 1,
    NN_CASE_BORDER = 2, /* into a bordered image */
    NN_CASE_FAR = 4     /* the mean of the first input is far from 0 */
};

struct nn_case_shape {
    enum nn_case_op op;
    size_t side, in, skip, out, images; /* channels without padding; skip: of a second input or 0 */
    int option;
};

struct nn_case {
    struct nn_case_shape shape;
    size_t lanes_in, lanes_skip, lanes_out;
    size_t step_skip;     /* floats from pixel to pixel of the second input, more than its lanes */
    size_t side_out;      /* pixels a side */
    size_t count;         /* floats of the output, with its border */
    const float *in;      /* of a convolution with a border: bordered; attention's qkv */
    const float *skip;    /* [pixels][step_skip] */
    const float *weights; /* of a product: canonical */
    const float *bias;
    const float *residual;
    struct nn_norm_weights norm_weights;
    /* The operation, without its output, for the kernel and the terms of the last preparation. */
    struct nn_product product;
    struct nn_norm norm;
    struct nn_resample resample;
    struct nn_attention attention;
    float *packed, *scratch, *tiles;
    void *memory[12];
    int memory_count;
};

/* The operands. On failure nothing is left to close. */
int nn_case_open(struct nn_case *c, const struct nn_case_shape *shape, struct err *e);
void nn_case_clear(struct nn_case *c);
/* Packs a product's weights for a kernel, with terms as in nn_product, and makes its scratch, and
 * its inputs in bf16; before running it so. */
int nn_case_prepare(struct nn_case *c, const struct nn_kernels *kernels, int terms, struct err *e);
/* Runs it to out [count], whose border and padding it leaves alone; `tiles` only for terms. */
void nn_case_run(struct nn_case *c, const struct nn_kernels *kernels, const struct nn_tiles *tiles,
                 float *out);

/* Whether it is a product. */
static inline bool nn_case_is_product(const struct nn_case *c)
{
    return c->shape.op <= NN_CASE_LINEAR;
}

/* `n` numbers in [-1, 1), the same for the same stream. */
void nn_case_uniforms(uint64_t stream, size_t n, float *out);

#endif
