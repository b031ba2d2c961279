/* The vector width as a thin layer of names, so that nn_vector_*.c are one source for AVX2 (8
 * lanes) and AVX-512 (16 lanes). Each file is compiled twice, with NN_VECTOR_BITS 256 and 512.
 *
 * Only operations that IEEE 754 rounds exactly are named here: no approximate reciprocals, whose
 * bits differ between makers. A multiply-add is fused where, and only where, vec_fma says so. */
#ifndef NN_VECTOR_H
#define NN_VECTOR_H

#include "nn_bf16.h"
#include "nn_kernels.h"
#include "nn_math.h"
#include <immintrin.h>

#define NN_INLINE static inline __attribute__((always_inline))

#if NN_VECTOR_BITS == 512

#define NN_VEC(name) nn_avx512_##name
#define VEC_WIDTH 16
typedef __m512 vec;
#define vec_load(p) _mm512_loadu_ps(p)
#define vec_store(p, v) _mm512_storeu_ps(p, v)
/* Eight lanes, the others zero; and only eight are written. */
#define vec_load_half(p) _mm512_zextps256_ps512(_mm256_loadu_ps(p))
#define vec_store_half(p, v) _mm256_storeu_ps(p, _mm512_castps512_ps256(v))
/* Eight lanes from (to) one place and eight from (to) another. */
#define vec_load_two(p, q) _mm512_insertf32x8(vec_load_half(p), _mm256_loadu_ps(q), 1)
#define vec_store_two(p, q, v)                                                                     \
    (vec_store_half(p, v), _mm256_storeu_ps(q, _mm512_extractf32x8_ps(v, 1)))
#define vec_set(x) _mm512_set1_ps(x)
#define vec_zero() _mm512_setzero_ps()
#define vec_add(a, b) _mm512_add_ps(a, b)
#define vec_sub(a, b) _mm512_sub_ps(a, b)
#define vec_mul(a, b) _mm512_mul_ps(a, b)
#define vec_div(a, b) _mm512_div_ps(a, b)
#define vec_fma(a, b, c) _mm512_fmadd_ps(a, b, c)   /* a · b + c */
#define vec_fms(a, b, c) _mm512_fmsub_ps(a, b, c)   /* a · b - c */
#define vec_fnma(a, b, c) _mm512_fnmadd_ps(a, b, c) /* c - a · b */
#define vec_min(a, b) _mm512_min_ps(a, b)           /* b when either is NaN */
#define vec_max(a, b) _mm512_max_ps(a, b)           /* b when either is NaN */
/* a held between -limit and limit; NaN becomes a number between. */
#define vec_clamp(a, limit) _mm512_range_ps(a, limit, 2)
#define vec_round(a) _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define vec_times_power2(a, n)                                                                     \
    _mm512_scalef_ps(a, n) /* a · 2^n, n whole, or about 0 below the normal range */

/* Adds the lanes to `out`, in double. */
NN_INLINE void vec_add_to(double *out, vec v)
{
    __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
    __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
    _mm512_storeu_pd(out, _mm512_add_pd(_mm512_loadu_pd(out), low));
    _mm512_storeu_pd(out + 8, _mm512_add_pd(_mm512_loadu_pd(out + 8), high));
}

NN_INLINE void vec_add_to_half(double *out, vec v)
{
    __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
    _mm512_storeu_pd(out, _mm512_add_pd(_mm512_loadu_pd(out), low));
}

/* nn_bf16_round in the low halves of 32 bits, and the number that it is again. */
typedef __m512i vec_bits;
NN_INLINE vec_bits vec_bf16(vec v)
{
    __m512i bits = _mm512_castps_si512(v);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    return _mm512_mask_mov_epi32(_mm512_srli_epi32(sum, 16), _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q),
                                 _mm512_set1_epi32(NN_BF16_NAN));
}
#define vec_bf16_value(b) _mm512_castsi512_ps(_mm512_slli_epi32(b, 16))
#define vec_bits_store(p, b) _mm256_storeu_si256((__m256i *)(p), _mm512_cvtepi32_epi16(b))
#define vec_bits_store_half(p, b)                                                                  \
    _mm_storeu_si128((__m128i *)(p), _mm256_castsi256_si128(_mm512_cvtepi32_epi16(b)))
#define vec_bits_store_two(p, q, b)                                                                \
    (vec_bits_store_half(p, b),                                                                    \
     _mm_storeu_si128((__m128i *)(q), _mm256_extracti128_si256(_mm512_cvtepi32_epi16(b), 1)))

#elif NN_VECTOR_BITS == 256

#define NN_VEC(name) nn_avx2_##name
#define VEC_WIDTH 8
typedef __m256 vec;
#define vec_load(p) _mm256_loadu_ps(p)
#define vec_store(p, v) _mm256_storeu_ps(p, v)
/* Channels come in eights, so these are never reached; they keep the source one. */
#define vec_load_half(p) _mm256_loadu_ps(p)
#define vec_store_half(p, v) _mm256_storeu_ps(p, v)
#define vec_load_two(p, q) ((void)(q), _mm256_loadu_ps(p))
#define vec_store_two(p, q, v) ((void)(q), _mm256_storeu_ps(p, v))
#define vec_set(x) _mm256_set1_ps(x)
#define vec_zero() _mm256_setzero_ps()
#define vec_add(a, b) _mm256_add_ps(a, b)
#define vec_sub(a, b) _mm256_sub_ps(a, b)
#define vec_mul(a, b) _mm256_mul_ps(a, b)
#define vec_div(a, b) _mm256_div_ps(a, b)
#define vec_fma(a, b, c) _mm256_fmadd_ps(a, b, c)
#define vec_fms(a, b, c) _mm256_fmsub_ps(a, b, c)
#define vec_fnma(a, b, c) _mm256_fnmadd_ps(a, b, c)
#define vec_min(a, b) _mm256_min_ps(a, b)
#define vec_max(a, b) _mm256_max_ps(a, b)
#define vec_clamp(a, limit) vec_max(vec_sub(vec_zero(), limit), vec_min(a, limit))
#define vec_round(a) _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define vec_times_power2(a, n)                                                                     \
    _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(                                        \
                         _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23)))

NN_INLINE void vec_add_to(double *out, vec v)
{
    __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
    __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
    _mm256_storeu_pd(out, _mm256_add_pd(_mm256_loadu_pd(out), low));
    _mm256_storeu_pd(out + 4, _mm256_add_pd(_mm256_loadu_pd(out + 4), high));
}

#define vec_add_to_half vec_add_to

typedef __m256i vec_bits;
NN_INLINE vec_bits vec_bf16(vec v)
{
    __m256i bits = _mm256_castps_si256(v);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i sum = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    return _mm256_blendv_epi8(_mm256_srli_epi32(sum, 16), _mm256_set1_epi32(NN_BF16_NAN),
                              _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)));
}
#define vec_bf16_value(b) _mm256_castsi256_ps(_mm256_slli_epi32(b, 16))
#define vec_bits_store(p, b)                                                                       \
    _mm_storeu_si128((__m128i *)(p), _mm256_castsi256_si128(                                       \
                                         _mm256_permute4x64_epi64(_mm256_packus_epi32(b, b), 8)))
#define vec_bits_store_half(p, b) vec_bits_store(p, b)
#define vec_bits_store_two(p, q, b) ((void)(q), vec_bits_store(p, b))

#else
#error "NN_VECTOR_BITS is 256 or 512"
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
