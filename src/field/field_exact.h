/* The exact Poisson field of weighted points on the plane t = 0, by log-weighted sums (the powers
 * ‖·‖^(d+1) overflow any float for real d). */
#ifndef FIELD_EXACT_H
#define FIELD_EXACT_H

#include "base_err.h"

struct field_sources {
    size_t count, d;
    const double *points;  /* [count, d], not owned */
    const double *weights; /* [count] > 0, or NULL for equal ones; not owned */
};

/* The data prediction x̂(x, t) = Σ w_i y_i / Σ w_i, log w_i = log weight_i − (d+1)/2 · log(‖x −
 * y_i‖² + t²), shifted by the largest: a convex mean of the sources. x [d], t > 0, out [d]. Then
 * dx/dt = (x − x̂)/t and dx/d ln t = x − x̂. `log_weights` is scratch of [count]. */
void field_exact_prediction(const struct field_sources *sources, const double *x, double t,
                            double *log_weights, double *out);

/* The field itself over its constant and total weight: with the added dimension (`t` not NULL) the
 * vector F [d+1] = −Σ w_i (x − y_i, t)/(‖x − y_i‖² + t²)^((d+1)/2) / Σ w_i, without it, for study,
 * F [d] = −Σ w_i (x − y_i)/‖x − y_i‖^d / Σ w_i. Given as F · e^(−*log_scale), as the powers leave
 * any float; at a source the length is that of DBL_MIN's distance. `log_weights` is scratch of
 * [count]. */
void field_exact_force(const struct field_sources *sources, const double *x, const double *t,
                       double *log_weights, double *out, double *log_scale);

#endif
