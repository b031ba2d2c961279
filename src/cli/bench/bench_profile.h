/* `pfgm bench --profile`: where an evaluation's processor time goes, by kind of operation, and how
 * near each is to what the machine can do. For src/cli/bench and its command only.
 *
 * One worker evaluates the whole batch, whatever the workers of the benchmark, since a profile is
 * one thread's. The bound is the time that the multiply-adds of its products and attention would
 * take at the measured peak: direct ones as they are, those of Winograd's as few as they are. */
#ifndef BENCH_PROFILE_H
#define BENCH_PROFILE_H

#include "bench_subject.h"

struct bench_profile {
    struct nn_profile sums;
    int batch;
    double peak_gflops;   /* of one worker */
    double memory_gbytes; /* bench_memory_gbytes */
};

/* Evaluates `batch` images for `seconds` of processor time, twice at least, of which the first does
 * not count. */
int bench_profile_take(const struct bench_subject *s, int batch, double seconds,
                       struct bench_profile *out, struct err *e);

/* {"evaluations", "ms_per_image", "bound_ms_per_image", "times_bound", "memory_gbytes_per_s",
 * "operations": [{"operation", "ms_per_image", "share", "gflops", "share_of_peak",
 * "gbytes_per_s", "share_of_memory"}]}; of the last four an operation has the first two or the
 * last two, and the rest has none. NULL when memory is short. */
json_t *bench_profile_json(const struct bench_profile *p);
void bench_profile_print(const struct bench_profile *p);

#endif
