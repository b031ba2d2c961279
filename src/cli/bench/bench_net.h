/* Timing a network: the whole batch, evaluated again and again by workers that each have their own
 * images and workspace and meet only between rounds; and how many evaluations an image takes. */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include "bench_profile.h"

#define BENCH_BATCH_MAX 4096

struct bench_net_options {
    const char *model, *preset; /* one of them NULL */
    struct model_options load;
    int batch, workers;            /* workers beyond the batch have nothing to do */
    double seconds;                /* of measuring */
    bool profile;                  /* take one, too */
    const enum ode_method *method; /* NULL: the model's own, and of a preset rk45 */
    int steps;                     /* of a fixed-step method; 0: the model's own, or 100 */
    int64_t nfe;                   /* evaluations per image, or 0: found out */
};

/* What was measured of bench_net_options; times are for one evaluation of the whole batch. */
struct bench_net_result {
    struct bench_subject subject; /* open; close it */
    int workers;                  /* that had images */
    size_t rounds;
    int repeats; /* evaluations per round */
    double median_s, best_s;
    double cpu_s;               /* processor time of all workers together, a mean */
    double peak_one, peak_all;  /* GFLOP/s, of one worker and of `workers` */
    double flop;                /* of one image: two for each multiply-add of direct convolution */
    uint64_t peak_rss;          /* bytes, right after the timing */
    struct model_solver solver; /* by which an image takes so many evaluations */
    double nfe;                 /* evaluations per image, a mean when measured */
    const char *nfe_from;       /* "given", "exact", "measured", "published", or "assumed" */
    struct bench_profile profile; /* where asked for */
};

/* Opens the subject and measures. -1: nothing to close. */
int bench_net_run(const struct bench_net_options *o, struct bench_net_result *out, struct err *e);

#endif
