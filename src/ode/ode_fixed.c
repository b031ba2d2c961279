/* Fixed-step methods on a grid that is geometric in t: Euler and Heun in t as the reference
 * samplers have them, and Heun in ln t.
 *
 * All three ask for f = dx/d ln t, which stays regular as t → 0; dx/dt = f/t is put into the steps'
 * factors. Grid point i is exp(ln t0 + i/steps · (ln t1 − ln t0)), with t0 and t1 themselves at the
 * ends, so the last step ends exactly where it was told to.
 *
 * One state machine: a slope at the grid point gives the predictor; a method with a corrector then
 * asks for the slope there. Memory: the state alone for Euler, which is updated in place; state,
 * predictor and first slope for the others. */
#include "base_math.h"
#include "ode_internal.h"
#include <string.h>

struct fixed {
    int step;        /* the step under way, from 0 */
    double t, t_new; /* its ends */
    double h;        /* ln t_new − ln t */
    double s0, s1;   /* ln t0, ln t1 */
    bool correcting; /* the slope asked for is the predictor's */
};

static double log_grid(const struct ode_solver *s, int i)
{
    const struct fixed *own = s->own;
    return own->s0 + (double)i / (double)s->options.steps * (own->s1 - own->s0);
}

static double grid(const struct ode_solver *s, int i)
{
    if (i == 0)
        return s->t0;
    return i == s->options.steps ? s->t1 : math_exp(log_grid(s, i));
}

/* Sets out on the step own->step: asks for the slope at its beginning, or is done. */
static void begin_step(struct ode_solver *s)
{
    struct fixed *own = s->own;
    if (own->step == s->options.steps) {
        ode_finish(s);
        return;
    }
    own->t = grid(s, own->step);
    own->t_new = grid(s, own->step + 1);
    own->h = log_grid(s, own->step + 1) - log_grid(s, own->step);
    own->correcting = false;
    ode_want(s, s->state, own->t);
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
    *own = (struct fixed){.s0 = math_log(s->t0), .s1 = math_log(s->t1)};
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

/* The mean of the slopes dx/dt at both ends, times t_new − t; the reference's last step is Euler's.
 */
static void improved_euler_feed(struct ode_solver *s, const double *slope)
{
    const struct fixed *own = s->own;
    double before = own->t_new / own->t - 1.0; /* (t_new − t) / t */
    double after = 1.0 - own->t / own->t_new;  /* (t_new − t) / t_new */
    if (own->correcting)
        correct(s, slope, 0.5 * before, 0.5 * after);
    else if (own->step == s->options.steps - 1)
        euler_feed(s, slope);
    else
        predict(s, slope, before);
}

static void heun_feed(struct ode_solver *s, const double *slope)
{
    const struct fixed *own = s->own;
    if (own->correcting)
        correct(s, slope, 0.5 * own->h, 0.5 * own->h);
    else
        predict(s, slope, own->h);
}

static double fixed_progress(const struct ode_solver *s)
{
    const struct fixed *own = s->own;
    return ((double)own->step + (own->correcting ? 0.5 : 0.0)) / (double)s->options.steps;
}

static enum ode_form fixed_form(const struct ode_options *options)
{
    (void)options;
    return ODE_SLOPE_DLNT;
}

static int64_t evaluations_once(int steps)
{
    return steps;
}

static int64_t evaluations_twice(int steps)
{
    return 2 * (int64_t)steps;
}

static int64_t evaluations_twice_but_last(int steps)
{
    return 2 * (int64_t)steps - 1;
}

const struct ode_ops ode_euler_ops = {
    .name = "euler",
    .fixed_step = true,
    .vectors = 1,
    .private_size = sizeof(struct fixed),
    .evaluations = evaluations_once,
    .form = fixed_form,
    .start = fixed_start,
    .feed = euler_feed,
    .progress = fixed_progress,
};

const struct ode_ops ode_improved_euler_ops = {
    .name = "improved-euler",
    .fixed_step = true,
    .vectors = 3,
    .private_size = sizeof(struct fixed),
    .evaluations = evaluations_twice_but_last,
    .form = fixed_form,
    .start = fixed_start,
    .feed = improved_euler_feed,
    .progress = fixed_progress,
};

const struct ode_ops ode_heun_ops = {
    .name = "heun",
    .fixed_step = true,
    .vectors = 3,
    .private_size = sizeof(struct fixed),
    .evaluations = evaluations_twice,
    .form = fixed_form,
    .start = fixed_start,
    .feed = heun_feed,
    .progress = fixed_progress,
};
