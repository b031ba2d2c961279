/* PFGM++'s prior: where field lines of d + D dimensions cross r = sigma_max·√D.
 *
 * Seen from far away the sources are one mass at the origin of d + D dimensions, D of them added.
 * What is left after the D directions are averaged out is x = sigma_max·√D·g/‖h‖ with g ~ N(0,
 * I_d), h ~ N(0, I_D): Student's t of D degrees of freedom and scale sigma_max in d dimensions. D =
 * 1 is PFGM's prior without its clip, D = ∞ the normal law of standard deviation sigma_max.
 *
 * The radius and the solver's grid have one sigma_max: the two cannot disagree. */
#ifndef FIELD_STUDENT_H
#define FIELD_STUDENT_H

#include "base_err.h"
#include <stdint.h>

/* The largest finite D. Beyond it the law cannot be told from that of D = ∞, and rng_chi_square's
 * test of acceptance would begin to lose digits. */
#define FIELD_ADDED_MAX 1e9

struct field_student {
    size_t d;         /* data dimension C·H·W */
    double added;     /* D: 1 ≤ D ≤ FIELD_ADDED_MAX, whole or not, or INFINITY */
    double sigma_max; /* 0 < sigma_max ≤ FIELD_T_MAX, in data scale */
};

/* Checks ranges, all ERR_INPUT; the error's `at` is "d", "D" or "sigma_max". */
int field_student_check(const struct field_student *prior, struct err *e);
/* The point of (seed, index) in x [d]: normal j of RNG_PRIOR_DIRECTION is element j of g, ‖h‖² is
 * the chi-square of D degrees of RNG_PRIOR_ADDED. Never clipped, finite for every seed. */
void field_student_draw(const struct field_student *prior, uint64_t seed, uint64_t index,
                        double *x);

/* log p(x) of a point of norm r: log Γ((D+d)/2) − log Γ(D/2) − d/2·log(πD sigma_max²)
 * − (D+d)/2·log(1 + r²/(D sigma_max²)), and for D = ∞ the normal law's. */
double field_student_log_density(const struct field_student *prior, double r);

#endif
