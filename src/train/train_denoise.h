/* The objective of PFGM++: regress on the clean datum.
 *
 * A datum y is moved to x = y + σ √D g / ‖h‖, g ~ N(0, I_N), h ~ N(0, I_D), by a noise level
 * ln σ ~ N(mean, deviation²); for D → ∞ that is y + σ g. The loss is
 * (σ² + s²)/(σ s)² · ½‖D(x, σ) − y‖², s = sigma_data, whose minimum is the mean of the data that
 * could have come to x: no large batch, no bias. With the preconditioning of field_denoise.h it is
 * ½‖F − (y − skip·x)/out‖², so that a picture's target is that of F; a vector's is y. */
#ifndef TRAIN_DENOISE_H
#define TRAIN_DENOISE_H

#include "train_config.h"

/* σ √D / ‖h‖ of the stream `index`: how far a component of g moves a datum. */
double train_denoise_reach(const struct train_config *c, uint64_t index, double sigma);

/* By the draws of (seed, step, image): what the network takes, x [N] and *t, and its target [N +
 * 1], whose last, v_t's, is 0. y [N]; `scratch` [N + 1]. */
void train_denoise_perturb(const struct train_config *c, int64_t step, int image, size_t n,
                           const float *y, double *scratch, float *x, float *t, float *target);

/* The loss of a vector's field (v_x [N], v_t) at (x, t) that train_denoise_perturb gave with
 * `target`, and unless v_x_slope is NULL its gradient times `share`. */
double train_denoise_loss(double sigma_data, size_t n, const float *x, float t, const float *target,
                          const float *v_x, float v_t, float share, float *v_x_slope,
                          float *v_t_slope);

/* σ of what the network took as t, and the loss of a denoised D [N] at the point x itself. */
double train_denoise_sigma(const struct train_config *c, float t);
double train_denoise_judge(const struct train_config *c, size_t n, const float *x, float t,
                           const float *target, const float *denoised);

#endif
