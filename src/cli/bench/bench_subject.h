/* The network that a benchmark evaluates: a model from a file, or a preset's network with random
 * weights; and lanes, the share of a batch that one worker evaluates on its own.
 *
 * Random weights: every layer uniform with a variance of one over the mean of its inputs and
 * outputs
 * ("fan-avg, scale 1"), biases 0, norms 1 and 0. A freshly initialised network has layers that are
 * nearly zero; here none is, so no branch is cheaper than in a trained one. The numbers are a pure
 * function of the parameter's place, the same on every machine.
 *
 * A subject is read-only once open and shared; a lane belongs to one thread at a time. */
#ifndef BENCH_SUBJECT_H
#define BENCH_SUBJECT_H

#include "model.h"

/* `count` numbers between -bound and bound, the same for the same seed and stream. The purpose is
 * that of tests: a benchmark is one, and its numbers never reach an image. */
void bench_uniforms(uint64_t seed, uint64_t stream, size_t count, double bound, float *out);

struct bench_subject {
    const char *name;    /* the preset's, or the file's path; not owned */
    struct model *model; /* NULL for a preset */
    struct nn_net *net;  /* NULL for a model */
    const struct nn_arch *arch;
    enum nn_kernel kernel; /* what was asked for, resolved */
    enum nn_precision precision;
    const char *kernel_id;
    size_t parameters;
    size_t weights_bytes; /* as packed */
    double load_s; /* a file: check, digest and packing; a preset: packing, without the drawing */
};

/* Opens one of `path` and `preset` (the other is NULL). -1: the error names the file or preset. */
int bench_subject_open(struct bench_subject *s, const char *path, const char *preset,
                       const struct model_options *options, struct err *e);
void bench_subject_clear(struct bench_subject *s);

struct bench_lane {
    int n; /* images */
    struct nn_workspace *net_workspace;
    struct model_workspace *model_workspace;
    float *block; /* points, their fields, times and divisors, and the rows below */
    const float **x;
    float **v_x;
    float *t, *v_t;
};
/* `n` images at points of the size that sampling visits, t from 0.01 to 40. */
int bench_lane_init(struct bench_lane *lane, const struct bench_subject *s, int n, struct err *e);
void bench_lane_clear(struct bench_lane *lane);
/* One evaluation of the network for the lane's images; allocates nothing. */
void bench_lane_run(const struct bench_lane *lane, const struct bench_subject *s);
/* Shares the lane's evaluations with a team; helps a team until it has been dismissed since `call`.
 */
void bench_lane_team(const struct bench_lane *lane, struct nn_team *team);
void bench_lane_help(const struct bench_lane *lane, struct nn_team *team, unsigned call);
/* Adds the lane's evaluations to a profile from now on; NULL: to none. */
void bench_lane_profile(const struct bench_lane *lane, struct nn_profile *profile);
/* ERR_NUMERIC when a value of the last evaluation is not finite. */
int bench_lane_check(const struct bench_lane *lane, const struct bench_subject *s, struct err *e);

#endif
