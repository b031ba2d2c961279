/* A histogram of fixed size, for counters that are read as Prometheus buckets. Plain data: whoever
 * owns one guards it. Bounds are inclusive upper ends, as the text format wants them. */
#ifndef ENGINE_HISTOGRAM_H
#define ENGINE_HISTOGRAM_H

#include <stdint.h>

#define ENGINE_HISTOGRAM_BOUNDS 16

struct engine_histogram {
    uint64_t counts[ENGINE_HISTOGRAM_BOUNDS + 1]; /* the last one is beyond every bound */
    double sum;
};

/* Seconds, from a step of a small network to a long request. */
static const double engine_histogram_seconds[ENGINE_HISTOGRAM_BOUNDS] = {
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25,   0.5,   1.0,    2.5,   5.0,  10.0,  60.0, 300.0};
/* Images in one evaluation; the places beyond 64 (ENGINE_BATCH_MAX) stay empty. */
static const double engine_histogram_images[ENGINE_HISTOGRAM_BOUNDS] = {
    1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 40, 48, 64};

static inline void engine_histogram_add(struct engine_histogram *h, const double *bounds,
                                        double value)
{
    int i = 0;
    while (i < ENGINE_HISTOGRAM_BOUNDS && value > bounds[i])
        i++;
    h->counts[i]++;
    h->sum += value;
}

#endif
