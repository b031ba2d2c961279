/* e^x and SiLU in single precision for the portable kernels: plain arithmetic in a fixed order, so
 * that no choice of C library shows in the bits. The vector kernels hold the same polynomial. */
#ifndef NN_MATH_H
#define NN_MATH_H

#include <stdint.h>
#include <string.h>

/* Beyond these the result would leave the normal range; e^x is held at the value there. */
#define NN_EXP_MIN -87.0f
#define NN_EXP_MAX 88.0f
#define NN_LOG2_E 1.44269504088896341f
/* ln 2 in two parts (Cody and Waite); the first has so few bits that n · NN_LN2_HIGH is exact. */
#define NN_LN2_HIGH 0.693359375f
#define NN_LN2_LOW -2.12194440e-4f
/* (e^r - 1 - r) / r² for |r| ≤ ln 2 / 2: the minimax polynomial of Cephes' expf. */
#define NN_EXP_C0 5.0000001201e-1f
#define NN_EXP_C1 1.6666665459e-1f
#define NN_EXP_C2 4.1665795894e-2f
#define NN_EXP_C3 8.3334519073e-3f
#define NN_EXP_C4 1.3981999507e-3f
#define NN_EXP_C5 1.9875691500e-4f

/* e^x, relative error below 2e-7 for x in [NN_EXP_MIN, NN_EXP_MAX], constant outside; NaN stays.
 * Without a branch, so that a compiler may take several numbers of a loop at once. */
static inline float nn_exp(float exponent)
{
    float x = exponent != exponent ? 0.0f : exponent;
    x = x < NN_EXP_MIN ? NN_EXP_MIN : x;
    x = x > NN_EXP_MAX ? NN_EXP_MAX : x;
    const float round = 12582912.0f; /* 1.5 · 2^23: adding it rounds to an integer */
    float n = (x * NN_LOG2_E + round) - round;
    float r = (x - n * NN_LN2_HIGH) - n * NN_LN2_LOW;
    float p = NN_EXP_C5;
    p = p * r + NN_EXP_C4;
    p = p * r + NN_EXP_C3;
    p = p * r + NN_EXP_C2;
    p = p * r + NN_EXP_C1;
    p = p * r + NN_EXP_C0;
    p = (p * (r * r) + r) + 1.0f;
    int32_t bits = ((int32_t)n + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return exponent != exponent ? exponent : p * scale;
}

/* x · sigmoid(x) */
static inline float nn_silu(float x)
{
    return x / (1.0f + nn_exp(-x));
}

#endif
