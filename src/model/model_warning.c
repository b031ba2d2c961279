/* Which solvers are too coarse to give pictures, found out without the network.
 *
 * Two things turn a path of few steps into noise, and both are the solver's own doing. Far from the
 * data they look like one mass, the flow is x − x̂ with x̂ at rest, and the distance from x̂ must
 * shrink as t does: Heun's method in ln t multiplies it by 1 + h + h²/2 in a step of h = ln t,
 * which grows again below h = −2. So the solver is run on that flow, in one dimension. And a
 * corrector in t weighs the change of x̂ within a step by half of (t / t_new − 1); x̂ changes by
 * about t, and by half of the data's size at most. */
#include "model.h"

#include <math.h>
#include <stdio.h>

#define STEPS_FINE 200   /* more are not looked at */
#define FAR_MAX 0.3      /* of what may be left of the distance from afar, data being within 1 */
#define BLOWN_UP_MAX 2.0 /* of what a corrector may make of a change of x̂ */
#define VECTORS_FAR 40.0 /* t_max of vectors over their size, by the rule of training */

struct trial {
    double left;     /* of the distance from x̂ at the end, beyond what t_min makes of it */
    double blown_up; /* at most by a corrector */
};

static int run_trial(const struct model_solver *s, double size, struct trial *out)
{
    struct ode_options options = s->ode;
    const double start = s->t_max;
    double before = 0.0;
    options.churn = (struct ode_churn){0};
    options.t_break = 0.0;
    struct ode_solver *o = ode_solver_new(&options, 1, NULL);
    *out = (struct trial){0};
    if (!o || ode_solver_start(o, &start, s->t_max, s->t_min, NULL) != 0) {
        ode_solver_free(o);
        return -1;
    }
    while (ode_solver_status(o) == ODE_WANTS_SLOPE) {
        const double t = ode_solver_time(o), x = *ode_solver_point(o);
        const double slope = ode_solver_form(o) == ODE_SLOPE_DLNT ? x : x / t;
        if (t < before)
            out->blown_up =
                fmax(out->blown_up, 0.5 * (before / t - 1.0) * fmin(before, 0.5 * size));
        before = t;
        ode_solver_feed(o, &slope);
    }
    const double end = s->ode.to_zero ? 0.0 : s->t_min;
    out->left = ode_solver_status(o) == ODE_DONE ? fabs(*ode_solver_state(o) - end) : INFINITY;
    ode_solver_free(o);
    return 0;
}

/* Whether its corrector works in t. */
static bool corrects_in_t(const struct ode_options *o)
{
    return o->method == ODE_IMPROVED_EULER ||
           (o->method == ODE_HEUN && o->clock == ODE_CLOCK_LINEAR);
}

bool model_solver_warning(const struct model *m, const struct model_solver *solver, char *out,
                          size_t size)
{
    struct model_solver s = *solver;
    struct trial trial;
    out[0] = '\0';
    if (!ode_method_is_fixed_step(s.ode.method) || s.ode.steps > STEPS_FINE ||
        s.ode.schedule == ODE_SCHEDULE_TUNED || model_solver_resolve(m, &s, NULL) != 0 ||
        model_solver_check(m, &s, NULL) != 0)
        return false;
    const double one = model_vectors(m) ? model_description(m)->t_max / VECTORS_FAR : 1.0;
    if (run_trial(&s, one, &trial) != 0)
        return false;
    const bool far = trial.left > FAR_MAX * one;
    const bool blown = corrects_in_t(&s.ode) && trial.blown_up > BLOWN_UP_MAX * one;
    if (!far && !blown)
        return false;
    const struct model_solver usual = model_solver_default(m);
    snprintf(
        out, size,
        "%s with %d steps is too coarse for this model, and what it gives is likely noise: take "
        "more steps, or the model's own way, %s with %d",
        ode_method_name(s.ode.method), s.ode.steps, ode_method_name(usual.ode.method),
        usual.ode.steps);
    return true;
}
