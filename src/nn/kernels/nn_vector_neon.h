/* Eight lanes by NEON, two registers of four; nn_vector.h says what the names mean. AVX2's body
 * computes the same bits (nn_vector_avx2.h), so minimum and maximum are made by comparison: NEON's
 * own give NaN for NaN. */
#ifndef NN_VECTOR_NEON_H
#define NN_VECTOR_NEON_H

#include <arm_neon.h>

#define NN_VEC(name) nn_lanes8_##name
#define VEC_WIDTH 8
typedef struct {
    float32x4_t low, high;
} vec;

NN_INLINE vec vec_load(const float *p)
{
    return (vec){vld1q_f32(p), vld1q_f32(p + 4)};
}

NN_INLINE void vec_store(float *p, vec v)
{
    vst1q_f32(p, v.low);
    vst1q_f32(p + 4, v.high);
}

NN_INLINE vec vec_set(float x)
{
    return (vec){vdupq_n_f32(x), vdupq_n_f32(x)};
}

/* An operation on lanes is one on each register. */
#define VEC_UNARY(name, operation)                                                                 \
    NN_INLINE vec name(vec a)                                                                      \
    {                                                                                              \
        return (vec){operation(a.low), operation(a.high)};                                         \
    }
#define VEC_BINARY(name, operation)                                                                \
    NN_INLINE vec name(vec a, vec b)                                                               \
    {                                                                                              \
        return (vec){operation(a.low, b.low), operation(a.high, b.high)};                          \
    }
#define VEC_TERNARY(name, operation)                                                               \
    NN_INLINE vec name(vec a, vec b, vec c)                                                        \
    {                                                                                              \
        return (vec){operation(a.low, b.low, c.low), operation(a.high, b.high, c.high)};           \
    }
#define NEON_FMA(a, b, c) vfmaq_f32(c, a, b)
#define NEON_FMS(a, b, c) vfmaq_f32(vnegq_f32(c), a, b)
#define NEON_FNMA(a, b, c) vfmsq_f32(c, a, b)
#define NEON_MIN(a, b) vbslq_f32(vcltq_f32(a, b), a, b)
#define NEON_MAX(a, b) vbslq_f32(vcgtq_f32(a, b), a, b)
VEC_BINARY(vec_add, vaddq_f32)
VEC_BINARY(vec_sub, vsubq_f32)
VEC_BINARY(vec_mul, vmulq_f32)
VEC_BINARY(vec_div, vdivq_f32)
VEC_TERNARY(vec_fma, NEON_FMA)
VEC_TERNARY(vec_fms, NEON_FMS)
VEC_TERNARY(vec_fnma, NEON_FNMA)
VEC_BINARY(vec_min, NEON_MIN)
VEC_BINARY(vec_max, NEON_MAX)
VEC_UNARY(vec_round, vrndnq_f32)

#define vec_zero() vec_set(0.0f)
#define vec_clamp(a, limit) vec_max(vec_sub(vec_zero(), limit), vec_min(a, limit))
#define vec_load_half(p) vec_load(p)
#define vec_store_half(p, v) vec_store(p, v)
#define vec_load_two(p, q) ((void)(q), vec_load(p))
#define vec_store_two(p, q, v) ((void)(q), vec_store(p, v))

/* 2^n is a number whose exponent is n and whose other bits are zero. */
NN_INLINE float32x4_t neon_power2(float32x4_t n)
{
    int32x4_t exponent = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
    return vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23));
}

NN_INLINE vec vec_times_power2(vec a, vec n)
{
    return vec_mul(a, (vec){neon_power2(n.low), neon_power2(n.high)});
}

NN_INLINE void neon_add_to(double *out, float32x4_t v)
{
    vst1q_f64(out, vaddq_f64(vld1q_f64(out), vcvt_f64_f32(vget_low_f32(v))));
    vst1q_f64(out + 2, vaddq_f64(vld1q_f64(out + 2), vcvt_high_f64_f32(v)));
}

NN_INLINE void vec_add_to(double *out, vec v)
{
    neon_add_to(out, v.low);
    neon_add_to(out + 4, v.high);
}

#define vec_add_to_half vec_add_to

typedef struct {
    uint32x4_t low, high;
} vec_bits;

NN_INLINE uint32x4_t neon_bf16(float32x4_t v)
{
    uint32x4_t bits = vreinterpretq_u32_f32(v);
    uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    uint32x4_t sum = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
    return vbslq_u32(vceqq_f32(v, v), vshrq_n_u32(sum, 16), vdupq_n_u32(NN_BF16_NAN));
}

NN_INLINE vec_bits vec_bf16(vec v)
{
    return (vec_bits){neon_bf16(v.low), neon_bf16(v.high)};
}

NN_INLINE vec vec_bf16_value(vec_bits b)
{
    return (vec){vreinterpretq_f32_u32(vshlq_n_u32(b.low, 16)),
                 vreinterpretq_f32_u32(vshlq_n_u32(b.high, 16))};
}

NN_INLINE void vec_bits_store(uint16_t *p, vec_bits b)
{
    vst1q_u16(p, vcombine_u16(vmovn_u32(b.low), vmovn_u32(b.high)));
}

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
