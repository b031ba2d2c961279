/* iPNDM of order 4: Adams and Bashforth's formulas with their constant coefficients on the slope
 * ε = dx/dt, whatever the steps (Liu et al. 2022, PNDM; Zhang and Chen 2022).
 *
 * On even steps in t it has order 4; on the other grids, whose neighbouring steps differ, 2. That
 * it does well there all the same at few steps is an observation. One evaluation a step, the first
 * steps with the formulas of order 1 to 3, beyond which a cap on the order lets none go; begun anew
 * at a break, where the slope jumps.
 *
 * Memory: the state, updated in place, and four slopes. */
#include "ode_grid.h"
#include "ode_internal.h"

enum { ORDER = 4, STATE = 0, HISTORY = 1 };

/* Row n − 1: the weights of the n newest slopes, newest first. */
static const double WEIGHTS[ORDER][ORDER] = {
    {1.0},
    {3.0 / 2, -1.0 / 2},
    {23.0 / 12, -16.0 / 12, 5.0 / 12},
    {55.0 / 24, -59.0 / 24, 37.0 / 24, -9.0 / 24},
};

struct ipndm {
    struct ode_grid grid;
    int step;   /* the step under way, from 0 */
    int count;  /* slopes known on this side of the break, at most ORDER */
    int newest; /* the newest one's place */
    double t;   /* where the step under way begins */
};

static void ipndm_start(struct ode_solver *s)
{
    struct ipndm *own = s->own;
    *own = (struct ipndm){.t = s->t0};
    ode_grid_init(&own->grid, &s->options, s->t0, s->t1, s->options.t_break);
    ode_want(s, s->state, s->t0);
}

static void ipndm_feed(struct ode_solver *s, const double *slope)
{
    struct ipndm *own = s->own;
    if (own->step == own->grid.break_step)
        own->count = 0;
    own->newest = (own->newest + 1) % ORDER;
    own->count += own->count < ode_order(s);
    double *newest = ode_vector(s, (size_t)(HISTORY + own->newest));
    for (size_t i = 0; i < s->n; i++)
        newest[i] = slope[i] / own->t;
    double t_new = ode_grid_time(&own->grid, own->step + 1), length = t_new - own->t;
    for (int j = 0; j < own->count; j++) {
        int place = (own->newest - j + ORDER) % ORDER;
        const double *past = ode_vector(s, (size_t)(HISTORY + place));
        double w = length * WEIGHTS[own->count - 1][j];
        for (size_t i = 0; i < s->n; i++)
            s->state[i] += w * past[i];
    }
    if (!ode_advance(s, s->state, t_new))
        return;
    own->t = t_new;
    if (++own->step == own->grid.steps)
        ode_finish(s);
    else
        ode_want(s, s->state, t_new);
}

static double ipndm_progress(const struct ode_solver *s)
{
    const struct ipndm *own = s->own;
    return (double)own->step / (double)own->grid.steps;
}

const struct ode_ops ode_ipndm4_ops = {
    .name = "ipndm4",
    .fixed_step = true,
    .order = ORDER,
    .vectors = HISTORY + ORDER,
    .private_size = sizeof(struct ipndm),
    .evaluations = ode_evaluations_once,
    .form = ode_form_log,
    .start = ipndm_start,
    .feed = ipndm_feed,
    .progress = ipndm_progress,
};
