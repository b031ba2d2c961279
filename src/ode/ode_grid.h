/* The nodes between which the fixed-step methods step: `steps` + 1 times from t0 to t1 (a step to
 * zero is none of these), evenly spaced in a function u of t.
 *
 *     log     u = ln t        every step shrinks t by the same factor
 *     power   u = t^(1/p)     p = 10 unless told; large p comes near log, p = 1 is even in t
 *     rho     u = t^(1/7)     Karras et al. 2022, eq. 5 with ρ = 7
 *     tuned   a table         the options' nodes
 *
 * A node is computed from its number alone, so nothing is stored and the first and last are t0 and
 * t1 themselves. With a break the path is two such grids that share the node next to it. Inside the
 * room only; plain data, owned by the solver that holds it. */
#ifndef ODE_GRID_H
#define ODE_GRID_H

#include "ode_solver.h"

struct ode_grid {
    enum ode_schedule schedule;
    double exponent;     /* of power and rho */
    const double *nodes; /* of tuned */
    int steps;           /* of the whole path */
    int break_step;      /* number of the node at the break; 0: none */
    double t0, t1, tb;   /* the ends, and the node at the break */
    double u0, u1, ub;   /* the same in u */
};

/* The grid of the options' schedule, exponent and steps from t0 to t1, both > 0 (checked before).
 * `t_break` > 0 and strictly between them, with two steps at least, becomes a node (see
 * ode_options); 0 or elsewhere: no break. The steps are shared between both sides in proportion to
 * their lengths in u, at least one each. */
void ode_grid_init(struct ode_grid *g, const struct ode_options *options, double t0, double t1,
                   double t_break);

/* t and ln t of node i, 0 ≤ i ≤ steps. */
double ode_grid_time(const struct ode_grid *g, int i);
double ode_grid_log_time(const struct ode_grid *g, int i);

#endif
