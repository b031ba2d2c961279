/* The prior: where field lines cross the plane t = T.
 *
 * Seen from far away the sources are one mass at the origin, its lines are isotropic in d+1
 * dimensions, and those through the plane t = T have the density p(x) ∝ (‖x‖² + T²)^(-(d+1)/2): a
 * multivariate Cauchy of scale T. In general x = T·g/|h| with g ~ N(0, I_d), h ~ N(0, 1). */
#ifndef FIELD_PRIOR_H
#define FIELD_PRIOR_H

#include "base_err.h"
#include <stdint.h>

/* The largest T that is taken. The published models have 40 to 100; a network reads the points as
 * float32, whose squares overflow beyond 1.8e19, and from here there is room for the tail's 1/|h|.
 */
#define FIELD_T_MAX 1e12

struct field_prior {
    size_t d;        /* data dimension C·H·W */
    double t_max;    /* 0 < T ≤ FIELD_T_MAX */
    double norm_min; /* the drawn norm is clipped to [norm_min, norm_max], as the reference does; */
    double norm_max; /* 0 and INFINITY: unclipped */
};

/* Checks ranges, all ERR_INPUT; the error's `at` is "d", "t_max", "norm_min" or "norm_max". */
int field_prior_check(const struct field_prior *prior, struct err *e);
/* The point of (seed, index) in x [d]: normal j of RNG_PRIOR_DIRECTION is element j of g, normal 0
 * of RNG_PRIOR_RADIUS is h. Finite for every seed: h = 0 is read as the smallest h that the
 * generator could otherwise give. */
void field_prior_draw(const struct field_prior *prior, uint64_t seed, uint64_t index, double *x);
/* The norm for a given ‖g‖ and h, clipped. The one place where the radius is decided. */
double field_prior_radius(const struct field_prior *prior, double g_norm, double h);

/* Of the unclipped prior. log p(x) for a point of norm r (field.md: log T − log S_{d+1}(1) + log 2
 * − (d+1)/2·log(r² + T²)), S_{d+1}(1) = area of the unit sphere in d+1 dimensions. */
double field_prior_log_density(size_t d, double t_max, double r);
/* The same with the constant that the reference's likelihood has: S_d(1) in the place of
 * S_{d+1}(1), for comparing with its figures; it does not integrate to 1. */
double field_prior_log_density_reference(size_t d, double t_max, double r);
/* P(‖x‖ ≤ r): r²/(r² + T²) is Beta(d/2, 1/2). Relative error about 1e-12. Uses the C library's
 * log1p: it judges samples and never feeds one. */
double field_prior_radius_cdf(size_t d, double t_max, double r);

#endif
