/* bf16, the upper half of a number in single precision, in plain C: what the vector kernels and the
 * processors' own instructions do, bit for bit, in numbers that matter.
 *
 * A number is rounded to the nearest, ties to even; a NaN stays one. In bf16x3 a number is the sum
 * of two of bf16, the high part and what it left over, rounded in turn: together 16 bits of the 24.
 * Infinity has NaN for its low part, so a product of it is a NaN; either is seen by the caller.
 * Numbers below the normal range keep their bits here and count as zero in a product, as the
 * instructions have it. */
#ifndef NN_BF16_H
#define NN_BF16_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define NN_BF16_NAN 0x7fc0u

/* How many numbers of bf16 stand for one of a product's operands, and how many products for one:
 * 1 and 1, or for bf16x3 a high and a low part, of which high · high, high · low and low · high are
 * taken. */
static inline size_t nn_bf16_planes(int terms)
{
    return terms == 3 ? 2 : 1;
}

static inline uint16_t nn_bf16_round(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x)
        return NN_BF16_NAN;
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float nn_bf16_value(uint16_t b)
{
    uint32_t bits = (uint32_t)b << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* What the high part of x leaves over. */
static inline uint16_t nn_bf16_low(float x)
{
    return nn_bf16_round(x - nn_bf16_value(nn_bf16_round(x)));
}

/* x, or zero where it is below the normal range. */
static inline float nn_bf16_flush(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x;
}

/* a · b + c as the instructions round it: once, to the nearest, and flushed; the operands are of
 * bf16 (a, b) and flushed already. In double the product is exact, and the sum rounded twice is the
 * sum rounded once unless the first rounding ends half-way between two numbers of single precision,
 * or below their normal range; then the C library's function, which is slow, decides. */
static inline float nn_bf16_fma(float a, float b, float c)
{
    double sum = (double)a * (double)b + (double)c;
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if ((bits & 0x1fffffff) == 0x10000000 || (fabs(sum) < 0x1p-125 && sum != 0))
        return nn_bf16_flush(fmaf(a, b, c));
    return (float)sum;
}

#endif
