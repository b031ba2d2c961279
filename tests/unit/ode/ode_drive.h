/* Drives a solver over the exact field of a few sources, or over any slope function: what the
 * solver's tests share. Include after <cmocka.h>. */
#ifndef ODE_DRIVE_H
#define ODE_DRIVE_H

#include "field_exact.h"
#include "ode_solver.h"
#include <math.h>
#include <string.h>

/* Writes the slope at (x, t) in the form that the solver asks for. */
typedef void slope_function(void *context, const double *x, double t, double *slope);

struct drive_sources {
    struct field_sources sources;
    double log_weights[64];
};

/* dx/d ln t = x − data prediction. Context: struct drive_sources. */
static inline void drive_sources_slope(void *context, const double *x, double t, double *slope)
{
    struct drive_sources *c = context;
    field_exact_prediction(&c->sources, x, t, c->log_weights, slope);
    for (size_t j = 0; j < c->sources.d; j++)
        slope[j] = x[j] - slope[j];
}

/* Evaluates and feeds once. */
static inline void drive_once(struct ode_solver *s, slope_function *slope, void *context,
                              double *scratch)
{
    slope(context, ode_solver_point(s), ode_solver_time(s), scratch);
    ode_solver_feed(s, scratch);
}

/* From (x0, t0) to t1, to whatever end. */
static inline enum ode_status drive(struct ode_solver *s, const double *x0, double t0, double t1,
                                    slope_function *slope, void *context, double *scratch)
{
    struct err e = {0};
    if (ode_solver_start(s, x0, t0, t1, &e) != 0)
        return ode_solver_status(s);
    while (ode_solver_status(s) == ODE_WANTS_SLOPE)
        drive_once(s, slope, context, scratch);
    return ode_solver_status(s);
}

static inline struct ode_solver *drive_new(struct ode_options options, size_t n)
{
    struct err e = {0};
    struct ode_solver *s = ode_solver_new(&options, n, &e);
    if (s == NULL)
        fail_msg("ode_solver_new: %s: %s", e.at, e.text);
    return s;
}

static inline double worst_difference(const double *a, const double *b, size_t n)
{
    double worst = 0.0;
    for (size_t i = 0; i < n; i++) {
        double difference = fabs(a[i] - b[i]);
        if (!(difference <= worst)) /* a NaN too */
            worst = difference;
    }
    return worst;
}

#endif
