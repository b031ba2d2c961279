/* What the vector files of training offer each other, once an instruction set. */
#ifndef NN_GRAD_VECTOR_H
#define NN_GRAD_VECTOR_H

#include "nn_grad_kernels.h"
#include "nn_vector.h"

/* A run of rows × width pixels: the inputs and slopes of its first one, distances in floats. */
struct nn_outer_run {
    const float *in, *slope;
    size_t in_step, in_row, slope_step, slope_row;
    size_t rows, width;
    float *sum; /* [length][outputs] */
    size_t sum_row;
};
/* Adds the run's outer products of `length` inputs and `outputs` slopes. */
void NN_VEC(outer_run)(const struct nn_outer_run *run, size_t length, size_t outputs);

void NN_VEC(outer)(const struct nn_outer *p);
size_t NN_VEC(conv_outer_scratch)(size_t lanes, size_t outputs, size_t images, size_t side);
void NN_VEC(conv_outer)(const struct nn_conv_outer *p);
void NN_VEC(norm_train)(const struct nn_norm_train *p);
void NN_VEC(norm_back)(const struct nn_norm_back *p);

/* 1 / (1 + e^-x) */
NN_INLINE vec vec_logistic(vec x)
{
    return vec_div(vec_set(1.0f), vec_add(vec_set(1.0f), vec_exp(vec_sub(vec_zero(), x))));
}

/* SiLU'(y) = s (1 + y (1 - s)) with s the logistic function. */
NN_INLINE vec vec_silu_slope(vec y)
{
    vec s = vec_logistic(y);
    return vec_mul(s, vec_fma(y, vec_sub(vec_set(1.0f), s), vec_set(1.0f)));
}

#endif
