/* Eight lanes by AVX2 and FMA; nn_vector.h says what the names mean. NEON's body computes the same
 * bits (nn_vector_neon.h). */
#ifndef NN_VECTOR_AVX2_H
#define NN_VECTOR_AVX2_H

#include <immintrin.h>

#define NN_VEC(name) nn_lanes8_##name
#define VEC_WIDTH 8
typedef __m256 vec;
#define vec_load(p) _mm256_loadu_ps(p)
#define vec_store(p, v) _mm256_storeu_ps(p, v)
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

typedef vec vec8;
#define vec8_load(p) vec_load(p)
#define vec8_store(p, v) vec_store(p, v)
#define vec8_set(x) vec_set(x)
#define vec8_of(v) (v)
#define vec8_zero() vec_zero()
#define vec8_add(a, b) vec_add(a, b)
#define vec8_mul(a, b) vec_mul(a, b)
#define vec8_fma(a, b, c) vec_fma(a, b, c)

#endif
