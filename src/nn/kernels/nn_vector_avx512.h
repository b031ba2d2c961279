/* Sixteen lanes by AVX-512; nn_vector.h says what the names mean. */
#ifndef NN_VECTOR_AVX512_H
#define NN_VECTOR_AVX512_H

#include <immintrin.h>

#define NN_VEC(name) nn_avx512_##name
#define VEC_WIDTH 16
typedef __m512 vec;
#define vec_load(p) _mm512_loadu_ps(p)
#define vec_store(p, v) _mm512_storeu_ps(p, v)
#define vec_load_half(p) _mm512_zextps256_ps512(_mm256_loadu_ps(p))
#define vec_store_half(p, v) _mm256_storeu_ps(p, _mm512_castps512_ps256(v))
#define vec_load_two(p, q) _mm512_insertf32x8(vec_load_half(p), _mm256_loadu_ps(q), 1)
#define vec_store_two(p, q, v)                                                                     \
    (vec_store_half(p, v), _mm256_storeu_ps(q, _mm512_extractf32x8_ps(v, 1)))
#define vec_set(x) _mm512_set1_ps(x)
#define vec_zero() _mm512_setzero_ps()
#define vec_add(a, b) _mm512_add_ps(a, b)
#define vec_sub(a, b) _mm512_sub_ps(a, b)
#define vec_mul(a, b) _mm512_mul_ps(a, b)
#define vec_div(a, b) _mm512_div_ps(a, b)
#define vec_fma(a, b, c) _mm512_fmadd_ps(a, b, c)
#define vec_fms(a, b, c) _mm512_fmsub_ps(a, b, c)
#define vec_fnma(a, b, c) _mm512_fnmadd_ps(a, b, c)
#define vec_min(a, b) _mm512_min_ps(a, b)
#define vec_max(a, b) _mm512_max_ps(a, b)
#define vec_clamp(a, limit) _mm512_range_ps(a, limit, 2)
#define vec_round(a) _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define vec_times_power2(a, n) _mm512_scalef_ps(a, n)

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

typedef __m256 vec8;
#define vec8_load(p) _mm256_loadu_ps(p)
#define vec8_store(p, v) _mm256_storeu_ps(p, v)
#define vec8_set(x) _mm256_set1_ps(x)
#define vec8_of(v) _mm512_castps512_ps256(v)
#define vec8_zero() _mm256_setzero_ps()
#define vec8_add(a, b) _mm256_add_ps(a, b)
#define vec8_mul(a, b) _mm256_mul_ps(a, b)
#define vec8_fma(a, b, c) _mm256_fmadd_ps(a, b, c)

#endif
