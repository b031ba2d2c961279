/* What the vector files of training offer each other, once an instruction set. */
#ifndef NN_GRAD_VECTOR_H
#define NN_GRAD_VECTOR_H

#include "nn_grad_kernels.h"
#include "nn_vector.h"

void NN_VEC(outer)(const struct nn_outer *p);
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
