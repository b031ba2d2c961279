/* Measuring time: a team of threads that start together, and series of timings.
 *
 * A round begins when the team is told to run and ends when its slowest worker is done; its time
 * runs from the first worker's start to the last one's end, by each worker's own clock, so that
 * waking threads up is in it but the caller's own sleep is not. Between its start and its end a
 * worker meets no lock. One caller drives a team; a lock and two conditions order the rounds. */
#ifndef BENCH_TIME_H
#define BENCH_TIME_H

#include "base_err.h"
#include <stdint.h>

#define BENCH_WORKERS_MAX 256
#define BENCH_SERIES_MAX 4096

/* Seconds of up to BENCH_SERIES_MAX rounds. */
struct bench_series {
    size_t count;
    double value[BENCH_SERIES_MAX];
};
/* The middle value (the mean of both when there are two) and the smallest; count ≥ 1. Sorts. */
double bench_series_median(struct bench_series *s);
double bench_series_best(const struct bench_series *s);

struct bench_team;
/* `workers` threads that wait for rounds of work(context, worker), 0 ≤ worker < workers. NULL when
 * a thread cannot be made. */
struct bench_team *bench_team_new(int workers, void (*work)(void *context, int worker),
                                  void *context, struct err *e);
void bench_team_free(struct bench_team *t);
/* One round; its time in seconds. */
double bench_team_run(struct bench_team *t);
/* Processor seconds that worker `i` spent in the last round: no neighbour adds to them. */
double bench_team_cpu(const struct bench_team *t, int i);
/* The same of all workers and rounds since the team was made. */
double bench_team_cpu_total(const struct bench_team *t);
/* Rounds until `seconds` have passed, but at least `rounds_min` and at most BENCH_SERIES_MAX. */
void bench_team_measure(struct bench_team *t, double seconds, size_t rounds_min,
                        struct bench_series *out);

#endif
