/* The objective of a distillation: a student that does in few evaluations what its teacher does in
 * many. Poisson flow consistency models (Hein et al. 2024, arXiv 2402.08159) for any number of
 * added dimensions, with the path cut into as many segments as the student takes steps (multistep
 * consistency models, Heek et al. 2024, arXiv 2403.06807).
 *
 * The nodes t_0 = t_max > t_1 > … lie evenly in t^(1/7). From (x, t) with t_j ≥ t > s = t_{j+1},
 * the student's answer f(x, t) leads by a step of Euler's to z = f + (s/t)(x − f) on the plane s,
 * where the teacher's path through (x, t) is to be met; the last segment leads to 0, and z = f. A
 * segment is cut into intervals. The teacher goes from (x, t) to the next of their ends (x', t') by
 * Heun's method, and with f̄ the answer of the student's average, w = 1 − s/t,
 *
 *     z* = f̄(x', t') + (s/t')(x' − f̄(x', t')),  at t' = s: z* = x', and at t' = t_min z* = D(x',
 * t'), loss = √(w² ‖f − f*‖² + c²) − c,  f* = (z* − (s/t) x) / w,  c = 0.00108 s_data √N,
 *
 * which is the pseudo-Huber distance of z and z* (Song and Dhariwal 2023, whose c is for data of
 * the deviation 0.5). f is the denoiser of field_denoise.h, so that f(x, 0) = x without being
 * taught. x is a datum moved as in train_denoise.h; the number of intervals doubles during the run.
 */
#ifndef TRAIN_DISTILL_H
#define TRAIN_DISTILL_H

#include "train_config.h"

/* Where an example is, and where it leads. */
struct train_distill_span {
    double from, to; /* the interval: t > t' */
    double end;      /* s */
    bool arrives;    /* t' is where the segment ends */
};

/* Intervals of a segment at a step: in all `intervals` at first, then twice as many after equal
 * shares of the run, `intervals_last` in the last of them. */
int64_t train_distill_intervals(const struct train_config *c, int64_t step);

/* The student's nodes [student_steps + 1], as a tuned schedule has them: the last, MODEL_T_MIN,
 * stands for 0. */
void train_distill_nodes(const struct train_config *c, double *nodes);

/* By the draws of (seed, step, image): the interval, the point x [N] in the data's own scale, and
 * what the network takes of it, `in` [N] and *t. y [N]; `scratch` [N]. */
void train_distill_perturb(const struct train_config *c, int64_t step, int image, size_t n,
                           const float *y, double *scratch, struct train_distill_span *span,
                           double *x, float *in, float *t);

/* f [N] of what the network gave, (v_x [N], v_t), at x [N] on the plane σ. Returns the factor of
 * v_x in it. */
double train_distill_answer(const struct train_config *c, size_t n, double sigma, const double *x,
                            const float *v_x, float v_t, double *out);

/* f* [N] and w in the last place of `target` [N + 1], from z* [N] and the point x [N]. */
void train_distill_target(const struct train_distill_span *span, size_t n, const double *x,
                          const double *z, float *target);

/* The loss of the network's output at what it took (`in` [N], t), and unless v_x_slope is NULL its
 * gradient times `share`. */
double train_distill_loss(const struct train_config *c, size_t n, const float *in, float t,
                          const float *target, const float *v_x, float v_t, float share,
                          float *v_x_slope, float *v_t_slope);

#endif
