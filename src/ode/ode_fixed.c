/* Fixed-step methods of one step: Euler and Heun in t as the reference samplers have them, and Heun
 * in ln t or, on the linear clock, in t, which is the sampler of PFGM++. The reference's grid is
 * geometric in t (`log`, see ode_grid.h), the others may be taken.
 *
 * All three ask for f = dx/d ln t, which stays regular as t → 0; dx/dt = f/t is put into the steps'
 * factors. They carry nothing from step to step, so a break of the field is nothing to them.
 *
 * One state machine: a slope at the grid point gives the predictor; a method with a corrector then
 * asks for the slope there. Memory: the state alone for Euler, which is updated in place; state,
 * predictor and first slope for the others. */
#include "base_math.h"
#include "ode_grid.h"
#include "ode_internal.h"
#include <string.h>

struct fixed {
    int step;        /* the step under way, from 0 */
    double t, t_new; /* its ends */
    double h;        /* ln t_new − ln t */
    struct ode_grid grid;
    bool correcting; /* the slope asked for is the predictor's */
};

/* Sets out on the step own->step: asks for the slope at its beginning, or is done. */
static void begin_step(struct ode_solver *s)
{
    struct fixed *own = s->own;
    if (own->step == own->grid.steps) {
        ode_finish(s);
        return;
    }
    own->t = ode_grid_time(&own->grid, own->step);
    own->t_new = ode_grid_time(&own->grid, own->step + 1);
    own->h =
        ode_grid_log_time(&own->grid, own->step + 1) - ode_grid_log_time(&own->grid, own->step);
    own->correcting = false;
    ode_begin_step(s, own->t);
}

static void fixed_churned(struct ode_solver *s, double t)
{
    struct fixed *own = s->own;
    own->t = t;
    own->h = ode_grid_log_time(&own->grid, own->step + 1) - math_log(t);
}

static void end_step(struct ode_solver *s)
{
    struct fixed *own = s->own;
    if (!ode_advance(s, s->state, own->t_new))
        return;
    own->step++;
    begin_step(s);
}

static void fixed_start(struct ode_solver *s)
{
    struct fixed *own = s->own;
    *own = (struct fixed){.step = 0};
    ode_grid_init(&own->grid, &s->options, s->t0, s->t1, 0.0);
    begin_step(s);
}

static void euler_feed(struct ode_solver *s, const double *slope)
{
    const struct fixed *own = s->own;
    double factor = own->t_new / own->t - 1.0; /* (t_new − t) · 1/t */
    for (size_t i = 0; i < s->n; i++)
        s->state[i] += factor * slope[i];
    end_step(s);
}

/* Keeps the first slope and asks for the one at x + factor · slope. */
static void predict(struct ode_solver *s, const double *slope, double factor)
{
    struct fixed *own = s->own;
    double *predicted = ode_vector(s, 1);
    memcpy(ode_vector(s, 2), slope, s->n * sizeof(double));
    for (size_t i = 0; i < s->n; i++)
        predicted[i] = s->state[i] + factor * slope[i];
    own->correcting = true;
    ode_want(s, predicted, own->t_new);
}

/* x += a · first slope + b · slope. */
static void correct(struct ode_solver *s, const double *slope, double a, double b)
{
    const double *first = ode_vector(s, 2);
    for (size_t i = 0; i < s->n; i++)
        s->state[i] += a * first[i] + b * slope[i];
    end_step(s);
}

/* The mean of the slopes dx/dt at both ends, times t_new − t. */
static void linear_feed(struct ode_solver *s, const double *slope)
{
    const struct fixed *own = s->own;
    double before = own->t_new / own->t - 1.0; /* (t_new − t) / t */
    double after = 1.0 - own->t / own->t_new;  /* (t_new − t) / t_new */
    if (own->correcting)
        correct(s, slope, 0.5 * before, 0.5 * after);
    else
        predict(s, slope, before);
}

/* The reference's last step is Euler's. */
static void improved_euler_feed(struct ode_solver *s, const double *slope)
{
    const struct fixed *own = s->own;
    if (!own->correcting && own->step == s->options.steps - 1)
        euler_feed(s, slope);
    else
        linear_feed(s, slope);
}

static void heun_feed(struct ode_solver *s, const double *slope)
{
    const struct fixed *own = s->own;
    if (s->options.clock == ODE_CLOCK_LINEAR)
        linear_feed(s, slope);
    else if (own->correcting)
        correct(s, slope, 0.5 * own->h, 0.5 * own->h);
    else
        predict(s, slope, own->h);
}

static double fixed_progress(const struct ode_solver *s)
{
    const struct fixed *own = s->own;
    return ((double)own->step + (own->correcting ? 0.5 : 0.0)) / (double)own->grid.steps;
}

/* The step to zero is Euler's. */
static int64_t evaluations_twice(const struct ode_options *options)
{
    return 2 * (int64_t)options->steps - (options->to_zero ? 1 : 0);
}

static int64_t evaluations_twice_but_last(const struct ode_options *options)
{
    return 2 * (int64_t)options->steps - 1;
}

const struct ode_ops ode_euler_ops = {
    .name = "euler",
    .fixed_step = true,
    .vectors = 1,
    .private_size = sizeof(struct fixed),
    .evaluations = ode_evaluations_once,
    .form = ode_form_log,
    .start = fixed_start,
    .feed = euler_feed,
    .progress = fixed_progress,
    .churned = fixed_churned,
};

const struct ode_ops ode_improved_euler_ops = {
    .name = "improved-euler",
    .fixed_step = true,
    .vectors = 3,
    .private_size = sizeof(struct fixed),
    .evaluations = evaluations_twice_but_last,
    .form = ode_form_log,
    .start = fixed_start,
    .feed = improved_euler_feed,
    .progress = fixed_progress,
    .churned = fixed_churned,
};

const struct ode_ops ode_heun_ops = {
    .name = "heun",
    .fixed_step = true,
    .vectors = 3,
    .private_size = sizeof(struct fixed),
    .evaluations = evaluations_twice,
    .form = ode_form_log,
    .start = fixed_start,
    .feed = heun_feed,
    .progress = fixed_progress,
    .churned = fixed_churned,
};
