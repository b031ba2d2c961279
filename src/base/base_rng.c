/* Philox4x32-10 and what is drawn from it. Pure functions; any thread. */
#include "base_rng.h"

#include "base_math.h"

#include <math.h>

#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u
#define PHILOX_ROUNDS 10

void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        uint64_t p0 = (uint64_t)PHILOX_M0 * c0;
        uint64_t p1 = (uint64_t)PHILOX_M1 * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        uint32_t n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c0 = n0;
        c1 = (uint32_t)p1;
        c2 = n2;
        c3 = (uint32_t)p0;
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

double rng_unit(uint64_t bits)
{
    /* The half keeps both ends out: log(0) and an angle of exactly a quarter turn cannot occur. */
    return ((double)(bits >> 12) + 0.5) * 0x1p-52;
}

void rng_normal_pair(uint64_t a, uint64_t b, double out[2])
{
    double radius = sqrt(-2.0 * math_log(rng_unit(a)));
    double sine, cosine;
    math_sincos_turn(rng_unit(b), &sine, &cosine);
    out[0] = radius * cosine;
    out[1] = radius * sine;
}

/* The two 64-bit words of a block. */
static void stream_block(uint64_t seed, uint64_t index, uint32_t purpose, uint32_t block,
                         uint64_t words[2])
{
    const uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), purpose, block};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t out[4];
    rng_philox(counter, key, out);
    words[0] = (uint64_t)out[1] << 32 | out[0];
    words[1] = (uint64_t)out[3] << 32 | out[2];
}

static void normals(uint64_t seed, uint64_t index, uint32_t purpose, size_t n, double *out)
{
    for (size_t i = 0; i < n; i += 2) {
        uint64_t words[2];
        double pair[2];
        stream_block(seed, index, purpose, (uint32_t)(i / 2), words);
        rng_normal_pair(words[0], words[1], pair);
        out[i] = pair[0];
        if (i + 1 < n)
            out[i + 1] = pair[1];
    }
}

void rng_signs(uint64_t seed, uint64_t index, enum rng_purpose purpose, uint64_t first, size_t n,
               double *out)
{
    uint64_t words[2] = {0, 0};
    for (size_t i = 0; i < n; i++) {
        uint64_t bit = first + i;
        if (i == 0 || bit % 128 == 0)
            stream_block(seed, index, purpose, (uint32_t)(bit / 128), words);
        out[i] = words[bit % 128 / 64] >> bit % 64 & 1 ? 1.0 : -1.0;
    }
}

void rng_normals(uint64_t seed, uint64_t index, enum rng_purpose purpose, size_t n, double *out)
{
    normals(seed, index, (uint32_t)purpose, n, out);
}

void rng_step_normals(uint64_t seed, uint64_t index, enum rng_purpose purpose, uint32_t step,
                      size_t n, double *out)
{
    normals(seed, index, (uint32_t)purpose + 4096 * step, n, out);
}

uint64_t rng_below(uint64_t seed, uint64_t index, enum rng_purpose purpose, uint64_t n)
{
    const uint64_t over = (UINT64_MAX - n + 1) % n; /* 2^64 mod n */
    for (uint32_t block = 0;; block++) {
        uint64_t words[2];
        stream_block(seed, index, purpose, block, words);
        for (int i = 0; i < 2; i++)
            if (words[i] <= UINT64_MAX - over)
                return words[i] % n;
    }
}

/* A gamma variate of shape a is m·v, m = a − 1/3, v = (1 + x/√(9m))³ with x normal, kept with the
 * probability exp(x²/2 + m(1 − v + ln v)): above 95 % for any a ≥ 1. Below 1, Gamma(a) is
 * Gamma(a + 1)·u^(1/a) with u uniform. */
double rng_chi_square(uint64_t seed, uint64_t index, enum rng_purpose purpose, double degrees)
{
    double shape = 0.5 * degrees;
    double m = (shape < 1.0 ? shape + 1.0 : shape) - 1.0 / 3.0, slope = 1.0 / sqrt(9.0 * m);
    for (uint32_t block = 0;; block += 2) {
        uint64_t words[2], units[2];
        double pair[2];
        stream_block(seed, index, purpose, block, words);
        stream_block(seed, index, purpose, block + 1, units);
        rng_normal_pair(words[0], words[1], pair);
        double x = pair[0], root = 1.0 + slope * x, v = root * root * root;
        if (!(root > 0.0))
            continue;
        if (math_log(rng_unit(units[0])) >= 0.5 * x * x + m * (1.0 - v + math_log(v)))
            continue;
        double raise = shape < 1.0 ? math_pow(rng_unit(units[1]), 1.0 / shape) : 1.0;
        return 2.0 * m * v * raise;
    }
}

void rng_uniforms(uint64_t seed, uint64_t index, enum rng_purpose purpose, size_t n, double *out)
{
    for (size_t i = 0; i < n; i += 2) {
        uint64_t words[2];
        stream_block(seed, index, purpose, (uint32_t)(i / 2), words);
        out[i] = rng_unit(words[0]);
        if (i + 1 < n)
            out[i + 1] = rng_unit(words[1]);
    }
}
