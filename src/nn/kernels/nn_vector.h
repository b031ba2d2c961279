/* The vector width as a thin layer of names, so that nn_vector_*.c are one source for eight lanes
 * (AVX2, NEON) and sixteen (AVX-512). Each file is compiled once for each width that the
 * processor's maker has, with NN_VECTOR_BITS 256 or 512; a body says what the names are there.
 *
 * Only operations that IEEE 754 rounds exactly are named: no approximate reciprocals, whose bits
 * differ between makers. A multiply-add is fused where, and only where, vec_fma says so. So bodies
 * of the same width compute the same bits, and share a kernel's id. test_vector.c holds each body
 * to plain C; only the bits of a NaN are the maker's, and a NaN is an error.
 *
 * A body defines, with NN_VEC, VEC_WIDTH and the types vec, vec8 and vec_bits:
 *   vec_load, vec_store           VEC_WIDTH numbers, aligned or not
 *   vec_load_half, _store_half    eight lanes, the others zero; and only eight are written
 *   vec_load_two, _store_two      eight lanes from (to) one place and eight from (to) another
 *   vec_set, vec_zero, vec_add, vec_sub, vec_mul, vec_div
 *   vec_fma, vec_fms, vec_fnma    a * b + c, a * b - c, c - a * b, rounded once
 *   vec_min, vec_max              b when either is NaN, or when both are zeros
 *   vec_clamp(a, limit)           between -limit and limit; NaN becomes a number between
 *   vec_round                     to the nearest whole number, ties to even
 *   vec_times_power2(a, n)        a * 2^n, n whole and from -126 to 127, or NaN where a is
 *   vec_add_to, vec_add_to_half   adds the lanes to doubles
 *   vec_bf16, vec_bf16_value      nn_bf16_round in the low halves of 32 bits; the number it is
 *                               again
 *   vec_bits_store, _half, _two   these low halves, to memory
 *   vec8_load, _store, _set, _zero, _add, _mul, _fma   eight lanes in a register of their own, for
 *                               what is left of a row; with eight lanes vec8 is vec
 *   vec8_of(v)                    the first eight lanes of v
 * Where VEC_WIDTH is eight the halves are never reached; they keep the source one. */
#ifndef NN_VECTOR_H
#define NN_VECTOR_H

#include "nn_bf16.h"
#include "nn_kernels.h"
#include "nn_math.h"

#define NN_INLINE static inline __attribute__((always_inline))

#if NN_VECTOR_BITS == 512
#include "nn_vector_avx512.h"
#elif NN_VECTOR_BITS == 256 && defined(__AVX2__)
#include "nn_vector_avx2.h"
#elif NN_VECTOR_BITS == 256 && defined(__aarch64__)
#include "nn_vector_neon.h"
#else
#error "NN_VECTOR_BITS is 256 or 512, and the compiler's flags are a body's"
#endif

/* A vector of which `half` says that only NN_LANES lanes count. */
NN_INLINE vec vec_load_part(const float *p, bool half)
{
    return half ? vec_load_half(p) : vec_load(p);
}

NN_INLINE void vec_store_part(float *p, vec v, bool half)
{
    if (half)
        vec_store_half(p, v);
    else
        vec_store(p, v);
}

/* nn_exp of nn_math.h with fused multiply-adds. */
NN_INLINE vec vec_exp(vec x)
{
    x = vec_min(vec_set(NN_EXP_MAX), vec_max(vec_set(NN_EXP_MIN), x));
    vec n = vec_round(vec_mul(x, vec_set(NN_LOG2_E)));
    vec r = vec_fnma(n, vec_set(NN_LN2_HIGH), x);
    r = vec_fnma(n, vec_set(NN_LN2_LOW), r);
    vec p = vec_set(NN_EXP_C5);
    p = vec_fma(p, r, vec_set(NN_EXP_C4));
    p = vec_fma(p, r, vec_set(NN_EXP_C3));
    p = vec_fma(p, r, vec_set(NN_EXP_C2));
    p = vec_fma(p, r, vec_set(NN_EXP_C1));
    p = vec_fma(p, r, vec_set(NN_EXP_C0));
    p = vec_add(vec_fma(p, vec_mul(r, r), r), vec_set(1.0f));
    return vec_times_power2(p, n);
}

/* 2^r for |r| ≤ 1/2 is 1 + r · (C1 + … + C5 r⁴), relative error 9.2e-8: a minimax fit. */
#define POWER_C1 0.69314700f
#define POWER_C2 0.24022242f
#define POWER_C3 5.5507336e-2f
#define POWER_C4 9.6715130e-3f
#define POWER_C5 1.3264727e-3f
#define LOG2_E_LOW 1.92596299e-8f /* what NN_LOG2_E in single precision leaves */

/* x / (1 + 2^(-x log2 e)). The power is made from the argument in two parts, so that it is as
 * accurate as vec_exp with fewer operations; activations are most of what is not a product. A NaN
 * comes through the numerator. */
NN_INLINE vec vec_silu(vec x)
{
    vec held = vec_clamp(x, vec_set(NN_EXP_MAX));
    vec n = vec_round(vec_mul(held, vec_set(-NN_LOG2_E)));
    vec r = vec_fms(held, vec_set(-NN_LOG2_E), n);
    r = vec_fnma(held, vec_set(LOG2_E_LOW), r);
    vec p = vec_set(POWER_C5);
    p = vec_fma(p, r, vec_set(POWER_C4));
    p = vec_fma(p, r, vec_set(POWER_C3));
    p = vec_fma(p, r, vec_set(POWER_C2));
    p = vec_fma(p, r, vec_set(POWER_C1));
    p = vec_fma(p, r, vec_set(1.0f));
    return vec_div(x, vec_add(vec_set(1.0f), vec_times_power2(p, n)));
}

/* Where an operation's results go: as they are, or in bf16, with 3 terms in two planes. */
struct vec_sink {
    float *out;
    uint16_t *high;
    size_t plane;
};

NN_INLINE vec_bits vec_bf16_low(vec v, vec_bits high)
{
    return vec_bf16(vec_sub(v, vec_bf16_value(high)));
}

/* A vector to place `at`, in floats or numbers of bf16; `half`: eight lanes of it. */
NN_INLINE void vec_sink_store(const struct vec_sink *s, size_t at, vec v, bool half, int terms)
{
    if (terms == 0) {
        vec_store_part(s->out + at, v, half);
        return;
    }
    vec_bits high = vec_bf16(v), low = terms == 3 ? vec_bf16_low(v, high) : high;
    if (half)
        vec_bits_store_half(s->high + at, high);
    else
        vec_bits_store(s->high + at, high);
    if (terms == 3 && half)
        vec_bits_store_half(s->high + s->plane + at, low);
    else if (terms == 3)
        vec_bits_store(s->high + s->plane + at, low);
}

/* Eight lanes to one place and eight to another. */
NN_INLINE void vec_sink_store_two(const struct vec_sink *s, size_t at, size_t to, vec v, int terms)
{
    if (terms == 0) {
        vec_store_two(s->out + at, s->out + to, v);
        return;
    }
    vec_bits high = vec_bf16(v), low = terms == 3 ? vec_bf16_low(v, high) : high;
    vec_bits_store_two(s->high + at, s->high + to, high);
    if (terms == 3)
        vec_bits_store_two(s->high + s->plane + at, s->high + s->plane + to, low);
}

/* ---- what the vector files offer each other ---- */

/* A product whose weights lie anywhere: row k of block `first` at weights + first · block_step +
 * k · row_step, so that packed and plain matrices are served alike (see nn_vector_product.c). */
struct nn_panels {
    const float *weights;
    size_t block_step; /* floats between columns' beginnings, per column */
    size_t row_step;   /* floats between rows; 0 when each block's rows are contiguous */
};
void NN_VEC(panels)(const struct nn_product *p, const struct nn_panels *w);

size_t NN_VEC(pack_size)(const struct nn_product_shape *shape);
void NN_VEC(pack)(const struct nn_product_shape *shape, const float *canonical, float *packed);
size_t NN_VEC(product_scratch)(const struct nn_product_shape *shape);
size_t NN_VEC(product_units)(const void *op);
void NN_VEC(product_share)(const void *op, struct nn_share *share);
void NN_VEC(product)(const struct nn_product *p);
bool NN_VEC(winograd)(size_t inputs, size_t outputs, size_t side);
size_t NN_VEC(winograd_pack_size)(const struct nn_product_shape *shape);
void NN_VEC(winograd_pack)(const struct nn_product_shape *shape, const float *canonical,
                           float *packed);
size_t NN_VEC(winograd_scratch)(const struct nn_product_shape *shape);
size_t NN_VEC(winograd_units)(const struct nn_product *p);
void NN_VEC(winograd_share)(const struct nn_product *p, struct nn_share *share);
size_t NN_VEC(norm_units)(const void *op);
void NN_VEC(norm_share)(const void *op, struct nn_share *share);
void NN_VEC(norm)(const struct nn_norm *p);
size_t NN_VEC(resample_units)(const void *op);
void NN_VEC(resample_share)(const void *op, struct nn_share *share);
void NN_VEC(resample)(const struct nn_resample *p);
void NN_VEC(attention)(const struct nn_attention *p);
void NN_VEC(silu)(size_t count, const float *in, float *out);
size_t NN_VEC(split_units)(const void *op);
void NN_VEC(split_share)(const void *op, struct nn_share *share);
void NN_VEC(split)(const struct nn_split *p);

#endif
