/* Grids of nodes. All by the elementary functions of base, so that the same grid comes out on every
 * machine: an image's bytes hang on it. */
#include "ode_grid.h"
#include "base_math.h"
#include <float.h>
#include <math.h>

static const double POWER_EXPONENT = 10.0;
static const double RHO_EXPONENT = 7.0;

static double to_u(const struct ode_grid *g, double t)
{
    return g->schedule == ODE_SCHEDULE_LOG ? math_log(t) : math_pow(t, 1.0 / g->exponent);
}

static double from_u(const struct ode_grid *g, double u)
{
    return g->schedule == ODE_SCHEDULE_LOG ? math_exp(u) : math_pow(u, g->exponent);
}

static double exponent_of(const struct ode_options *options)
{
    if (options->exponent > 0.0)
        return options->exponent;
    return options->schedule == ODE_SCHEDULE_RHO ? RHO_EXPONENT : POWER_EXPONENT;
}

/* The field at t_break itself is that of the upper side, so the path down sets out below it: on the
 * side where the steps after the break lie. Below and above by single precision, because a network
 * is asked in it and 1 − 2^-53 would be rounded to the other side. */
static double break_node(double t0, double t1, double t_break)
{
    if (!(t_break > 0.0) || t_break > (double)FLT_MAX)
        return 0.0;
    float node = (float)t_break;
    if (t1 < t0)
        node = nextafterf(node, 0.0F);
    else if ((double)node < t_break)
        node = nextafterf(node, INFINITY);
    double low = t1 < t0 ? t1 : t0, high = t1 < t0 ? t0 : t1;
    return low < (double)node && (double)node < high ? (double)node : 0.0;
}

void ode_grid_init(struct ode_grid *g, const struct ode_options *options, double t0, double t1,
                   double t_break)
{
    *g = (struct ode_grid){.schedule = options->schedule,
                           .exponent = exponent_of(options),
                           .nodes = options->nodes,
                           .steps = ode_options_grid_steps(options),
                           .t0 = t0,
                           .t1 = t1};
    if (g->schedule == ODE_SCHEDULE_TUNED)
        return;
    g->u0 = to_u(g, t0);
    g->u1 = to_u(g, t1);
    g->tb = g->steps > 1 ? break_node(t0, t1, t_break) : 0.0;
    if (g->tb == 0.0)
        return;
    g->ub = to_u(g, g->tb);
    double share = floor((g->ub - g->u0) / (g->u1 - g->u0) * (double)g->steps + 0.5);
    share = share < 1.0 ? 1.0 : share;
    g->break_step = share > (double)(g->steps - 1) ? g->steps - 1 : (int)share;
}

void ode_options_nodes(const struct ode_options *options, double t0, double t1, double *out)
{
    struct ode_grid g;
    ode_grid_init(&g, options, t0, t1, options->t_break);
    for (int i = 0; i <= g.steps; i++)
        out[i] = ode_grid_time(&g, i);
}

/* u of node i. */
static double node_u(const struct ode_grid *g, int i)
{
    if (g->break_step == 0)
        return g->u0 + (double)i / (double)g->steps * (g->u1 - g->u0);
    if (i <= g->break_step)
        return g->u0 + (double)i / (double)g->break_step * (g->ub - g->u0);
    int done = i - g->break_step, left = g->steps - g->break_step;
    return g->ub + (double)done / (double)left * (g->u1 - g->ub);
}

double ode_grid_time(const struct ode_grid *g, int i)
{
    if (i == 0)
        return g->t0;
    if (i == g->steps)
        return g->t1;
    if (g->schedule == ODE_SCHEDULE_TUNED)
        return g->nodes[i];
    return g->break_step > 0 && i == g->break_step ? g->tb : from_u(g, node_u(g, i));
}

double ode_grid_log_time(const struct ode_grid *g, int i)
{
    return g->schedule == ODE_SCHEDULE_LOG ? node_u(g, i) : math_log(ode_grid_time(g, i));
}
