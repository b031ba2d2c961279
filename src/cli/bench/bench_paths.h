/* How near a solver's ends are to those of the exact path: what `pfgm tune` makes small and
 * `pfgm bench solvers` shows.
 *
 * The exact path is rk45's at a tolerance of 1e-6, from the starts (seed, first_index …) of the
 * model; distances are root mean squares over all values of all images, in data scale. Everything
 * goes through an engine of its own, on all workers; the caller's thread waits. */
#ifndef BENCH_PATHS_H
#define BENCH_PATHS_H

#include "engine.h"

struct bench_paths {
    struct engine *engine;
    struct engine_model *em;
    size_t n, d;
    uint64_t seed, first_index;
    float *exact;     /* [n,d] */
    double exact_nfe; /* mean */
};

/* Takes `m` over, also on failure, and solves the exact paths of n starts. Free with
 * bench_paths_clear, after a failure too. */
int bench_paths_open(struct bench_paths *p, struct model *m, size_t n, uint64_t seed,
                     const char *title, struct err *e);
/* The same model's paths from other starts: borrows the engine of `from`, which closes last. */
int bench_paths_open_beside(struct bench_paths *p, const struct bench_paths *from,
                            uint64_t first_index, const char *title, struct err *e);
void bench_paths_clear(struct bench_paths *p);

/* How far a solver's ends are from the exact ones, in data scale. */
struct bench_distance {
    double rms; /* root mean square over all values of all images */
    /* Mean over the images of each one's: the few starts near a watershed, that end on another
     * image, count for no more than they are. */
    double mean;
    /* The ends' root mean square distance from their own mean, less that of the exact ends: below 0
     * the pictures have lost contrast and detail, however near they are. */
    double spread;
    double nfe; /* mean */
};
/* ERR_NUMERIC when an image fails, ERR_MEMORY. */
int bench_paths_distance(const struct bench_paths *p, const struct model_solver *solver,
                         struct bench_distance *out, struct err *e);

/* Mean over n starts of the model's data prediction at t_max, [d]: the mean of the data as far as
 * the model knows it. */
int bench_paths_mean(const struct model *m, size_t n, uint64_t seed, float *mean, struct err *e);

#endif
