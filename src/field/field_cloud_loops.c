/* The loops over sources. FIELD_CLOUD_KERNELS names the table; flags say for which instruction set.
 *
 * Written with the compiler's vectors of FIELD_CLOUD_LANES floats, which it cuts to what the
 * machine has; no product is fused and every sum has its order, so all builds of this file agree.
 * Sums over many blocks are kept short: partial sums of RUN terms in single precision, their total
 * in a wider one. */
#include "field_cloud_kernels.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define LANES FIELD_CLOUD_LANES
#define RUN 32      /* terms of a partial sum over d */
#define MEAN_RUN 64 /* blocks of a partial sum of the mean */
#define SUM_RUN 64  /* and of the weights' sum */

typedef float lanes_f __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t lanes_i __attribute__((vector_size(4 * LANES), aligned(4)));

/* mask ? a : b, lane by lane */
#define SELECT(mask, a, b) ((lanes_f)(((mask) & (lanes_i)(a)) | (~(mask) & (lanes_i)(b))))

static void load(lanes_f *out, const float *from)
{
    memcpy(out, from, sizeof *out);
}

static float distances(const float *points, size_t d, size_t blocks, const float *x, float t_square,
                       float *out)
{
    const lanes_f largest = (lanes_f){0} + FLT_MAX, smallest = (lanes_f){0} + FLT_MIN;
    lanes_f least = largest;
    for (size_t b = 0; b < blocks; b++) {
        const float *y = points + b * d * LANES;
        lanes_f sum = (lanes_f){0} + t_square;
        for (size_t begin = 0; begin < d; begin += RUN) {
            size_t end = begin + RUN < d ? begin + RUN : d;
            lanes_f part = {0};
            for (size_t j = begin; j < end; j++) {
                lanes_f difference;
                load(&difference, y + j * LANES);
                difference = x[j] - difference;
                part += difference * difference;
            }
            sum += part;
        }
        /* infinity and what has no logarithm are held at the ends; NaN is for the caller */
        sum = SELECT(sum > largest, largest, sum);
        sum = SELECT(sum < smallest, smallest, sum);
        least = SELECT(sum < least, sum, least);
        memcpy(out + b * LANES, &sum, sizeof sum);
    }
    float result = FLT_MAX;
    for (int l = 0; l < LANES; l++)
        result = least[l] < result ? least[l] : result;
    return result;
}

/* ln r for r ≥ 1: the exponent apart, the rest in [√½, √2), Cephes' polynomial; the error is below
 * 2 units in the last place, and for r near 1 below 1e-7 of ln r + 1e-9. */
static void log_of(lanes_f *value)
{
    lanes_i bits = (lanes_i)*value;
    lanes_i exponent = (bits >> 23) - 126;
    lanes_f m = (lanes_f)((bits & 0x007fffff) | 0x3f000000); /* [½, 1) */
    lanes_i low = m < 0.707106781186547524f;
    m = SELECT(low, m + m, m) - 1.0f;
    lanes_f e = __builtin_convertvector(exponent + low, lanes_f); /* low is −1 where it holds */
    lanes_f z = m * m;
    lanes_f p = (lanes_f){0} + 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    p = p * m * z + e * -2.12194440e-4f;
    p = p - 0.5f * z;
    *value = m + p + e * 0.693359375f;
}

static float log_weights(float *squares, const float *own, size_t blocks, float power, float least)
{
    lanes_f largest = (lanes_f){0} - FLT_MAX;
    const float inverse = 1.0f / least;
    for (size_t b = 0; b < blocks; b++) {
        lanes_f value, self;
        load(&value, squares + b * LANES);
        load(&self, own + b * LANES);
        value = value * inverse;
        log_of(&value);
        value = self - power * value;
        largest = SELECT(value > largest, value, largest);
        memcpy(squares + b * LANES, &value, sizeof value);
    }
    float result = -FLT_MAX;
    for (int l = 0; l < LANES; l++)
        result = largest[l] > result ? largest[l] : result;
    return result;
}

/* e^x for x ≤ 0, relative error below 2e-7; 0 below −87. */
static void exp_of(lanes_f *value)
{
    const float round = 12582912.0f; /* 1.5 · 2^23: adding it rounds to an integer */
    lanes_i gone = *value < -87.0f;
    lanes_f x = SELECT(gone, (lanes_f){0} - 87.0f, *value);
    lanes_f n = (x * 1.44269504088896341f + round) - round;
    lanes_f r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    lanes_f p = (lanes_f){0} + 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = (p * (r * r) + r) + 1.0f;
    lanes_i scale = (__builtin_convertvector(n, lanes_i) + 127) << 23;
    *value = SELECT(gone, (lanes_f){0}, p * (lanes_f)scale);
}

/* The lanes' sum, and 0 in their place. */
static double take_sum(lanes_f *lanes)
{
    float part = 0.0f;
    for (int l = 0; l < LANES; l++)
        part += (*lanes)[l];
    *lanes = (lanes_f){0};
    return (double)part;
}

static double weights(float *log_weights, size_t blocks, float largest)
{
    double total = 0.0;
    lanes_f sum = {0};
    for (size_t b = 0; b < blocks; b++) {
        lanes_f value;
        load(&value, log_weights + b * LANES);
        value = value - largest;
        exp_of(&value);
        memcpy(log_weights + b * LANES, &value, sizeof value);
        sum += value;
        if (b % SUM_RUN == SUM_RUN - 1)
            total += take_sum(&sum);
    }
    return total + take_sum(&sum);
}

static double powers(float *squares, const float *own, size_t blocks, int halves, float least)
{
    double total = 0.0;
    lanes_f sum = {0};
    for (size_t b = 0; b < blocks; b++) {
        lanes_f ratio, self, value = (lanes_f){0} + 1.0f;
        load(&ratio, squares + b * LANES);
        load(&self, own + b * LANES);
        ratio = least / ratio;
        if (halves % 2)
            for (int l = 0; l < LANES; l++)
                value[l] = sqrtf(ratio[l]);
        for (int k = 1; k < halves; k += 2)
            value = value * ratio;
        /* what the sum would not notice goes before it is too small to be normal */
        value = SELECT((self < 0.0f) | (value < 1e-30f), (lanes_f){0}, value);
        memcpy(squares + b * LANES, &value, sizeof value);
        sum += value;
        if (b % SUM_RUN == SUM_RUN - 1)
            total += take_sum(&sum);
    }
    return total + take_sum(&sum);
}

static void flush(size_t d, float *lanes, double *sum)
{
    for (size_t j = 0; j < d; j++) {
        float part = 0.0f;
        for (int l = 0; l < LANES; l++)
            part += lanes[j * LANES + (size_t)l];
        sum[j] += (double)part;
    }
    memset(lanes, 0, d * LANES * sizeof *lanes);
}

/* near the data most blocks weigh nothing */
static bool weighs(const float *weights)
{
    bool any = false;
    for (int l = 0; l < LANES; l++)
        any = any || weights[l] != 0.0f;
    return any;
}

/* sum += Σ weight · y, or · (y − origin). */
static inline __attribute__((always_inline)) void add_weighted(const float *points, size_t d,
                                                               size_t blocks, const float *weights,
                                                               const float *origin, float *lanes,
                                                               double *sum)
{
    size_t pending = 0;
    memset(lanes, 0, d * LANES * sizeof *lanes);
    for (size_t b = 0; b < blocks; b++) {
        if (!weighs(weights + b * LANES))
            continue;
        const float *y = points + b * d * LANES;
        lanes_f w;
        load(&w, weights + b * LANES);
        for (size_t j = 0; j < d; j++) {
            lanes_f sum_j, y_j;
            load(&sum_j, lanes + j * LANES);
            load(&y_j, y + j * LANES);
            sum_j += w * (origin ? y_j - origin[j] : y_j);
            memcpy(lanes + j * LANES, &sum_j, sizeof sum_j);
        }
        if (++pending == MEAN_RUN) {
            flush(d, lanes, sum);
            pending = 0;
        }
    }
    if (pending > 0)
        flush(d, lanes, sum);
}

static void mean(const float *points, size_t d, size_t blocks, const float *weights, float *lanes,
                 double *sum)
{
    add_weighted(points, d, blocks, weights, NULL, lanes, sum);
}

static void offset(const float *points, size_t d, size_t blocks, const float *weights,
                   const float *origin, float *lanes, double *sum)
{
    memset(sum, 0, d * sizeof *sum);
    add_weighted(points, d, blocks, weights, origin, lanes, sum);
}

static void along(const float *points, size_t d, size_t blocks, const float *weights,
                  const float *origin, const float *direction, float *out)
{
    for (size_t b = 0; b < blocks; b++) {
        const float *y = points + b * d * LANES;
        lanes_f sum = {0};
        size_t end = weighs(weights + b * LANES) ? d : 0;
        for (size_t begin = 0; begin < end; begin += RUN) {
            lanes_f part = {0};
            for (size_t j = begin; j < end && j < begin + RUN; j++) {
                lanes_f y_j;
                load(&y_j, y + j * LANES);
                part += (y_j - origin[j]) * direction[j];
            }
            sum += part;
        }
        memcpy(out + b * LANES, &sum, sizeof sum);
    }
}

const struct field_cloud_kernels FIELD_CLOUD_KERNELS = {
    .distances = distances,
    .log_weights = log_weights,
    .weights = weights,
    .powers = powers,
    .mean = mean,
    .along = along,
    .offset = offset,
};
