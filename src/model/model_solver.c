/* Which solver leads from t_max to t_min: the model's default, what a request makes of it, and the
 * schedules that a search has found for the checkpoint.
 *
 * The default is what the checkpoint says, or the cheapest that gives rk45's picture: with a tuned
 * schedule of DEFAULT_STEPS_TUNED evaluations that, else multistep3 on the power grid, which with
 * 35 is nearer to the exact path than rk45 at 1e-4 with about a hundred. A family with a sampler of
 * its own has that. A student goes by its own nodes, and by nothing else.
 *
 * No t_break at the t substitution's threshold, though the slope jumps there (by 5 to 10 % of its
 * length): the substitution changes the divisor alone, so the jump lies along the path, and what a
 * multistep method errs in crossing it shrinks with t. A history begun anew costs more: on digits8
 * multistep3 with 20 steps is off the exact path by 0.013 with the break, 0.004 without. */
#include "model_family.h"

#include "base_rng.h"

#include <float.h>
#include <math.h>

#define MAX_NFE_DEFAULT 10000
#define DEFAULT_STEPS 35
#define DEFAULT_STEPS_TUNED 20
#define OTHER_STEPS 100 /* of a method that is named without them, as in the reference */

bool model_is_student(const struct model *m)
{
    return *m->description.teacher_sha256 != '\0';
}

static bool goes_to_zero(const struct model *m)
{
    return m->family->to_zero && !model_is_student(m);
}

/* A last one to zero counts. */
int model_tuned_steps(const struct model *m, int i)
{
    return m->description.tuned[i].steps + (goes_to_zero(m) ? 1 : 0);
}

/* The tuned schedule that is the default, if the model has it: the one that says so, else that of
 * DEFAULT_STEPS_TUNED. */
static int default_tuned_steps(const struct model *m)
{
    for (int i = 0; i < m->description.tuned_count; i++)
        if (m->description.tuned[i].is_default)
            return model_tuned_steps(m, i);
    return model_is_student(m) ? model_tuned_steps(m, 0) : DEFAULT_STEPS_TUNED;
}

static const struct ckpt_tuned *tuned_find(const struct model *m, int steps)
{
    for (int i = 0; i < m->description.tuned_count; i++)
        if (model_tuned_steps(m, i) == steps)
            return &m->description.tuned[i];
    return NULL;
}

struct model_solver model_solver_default(const struct model *m)
{
    struct model_solver s = {
        .ode = {.method = ODE_MULTISTEP3,
                .clock = ODE_CLOCK_LOG,
                .steps = DEFAULT_STEPS,
                .schedule = ODE_SCHEDULE_POWER,
                .rtol = 1e-4,
                .atol = 1e-4,
                .max_nfe = MAX_NFE_DEFAULT,
                .guidance = ODE_GUIDANCE_NONE,
                .time_components = m->family->time_components(m),
                .to_zero = goes_to_zero(m)},
        .t_max = m->description.t_max,
        .t_min = m->description.t_min,
    };
    const struct ckpt_tuned *tuned = tuned_find(m, default_tuned_steps(m));
    if (tuned) {
        s.ode.method = tuned->method;
        s.ode.steps = default_tuned_steps(m);
        s.ode.schedule = ODE_SCHEDULE_TUNED;
    }
    if (m->family->solver_default)
        m->family->solver_default(m, &s);
    return s;
}

static bool given(const struct model_choice *c, uint32_t rows)
{
    return (c->given & rows) != 0;
}

/* The method, where the request leaves it to us: tolerances ask for rk45, a tuned schedule for what
 * it was tuned with. */
static void choose_method(const struct model *m, const struct model_choice *c,
                          struct model_solver *out)
{
    const struct model_solver fallback = *out;
    const struct ckpt_tuned *asked =
        given(c, MODEL_GIVEN(STEPS)) ? tuned_find(m, c->value.ode.steps) : NULL;
    bool tuned_default = fallback.ode.schedule == ODE_SCHEDULE_TUNED;
    bool tolerant = given(c, MODEL_GIVEN(RTOL) | MODEL_GIVEN(ATOL));
    if (given(c, MODEL_GIVEN(SCHEDULE)) && c->value.ode.schedule == ODE_SCHEDULE_TUNED &&
        !given(c, MODEL_GIVEN(METHOD))) {
        const struct ckpt_tuned *tuned = tuned_find(
            m, given(c, MODEL_GIVEN(STEPS)) ? c->value.ode.steps : default_tuned_steps(m));
        if (tuned)
            out->ode.method = tuned->method;
        if (!given(c, MODEL_GIVEN(STEPS)))
            out->ode.steps = default_tuned_steps(m);
        return;
    }
    if (given(c, MODEL_GIVEN(METHOD)))
        out->ode.method = c->value.ode.method;
    else if (tolerant && !given(c, MODEL_GIVEN(STEPS)) && !given(c, MODEL_GIVEN(SCHEDULE)))
        out->ode.method = ODE_RK45;
    else if (tuned_default && asked && !given(c, MODEL_GIVEN(SCHEDULE))) {
        out->ode.method = asked->method;
        return;
    }
    /* what belongs to the default solver does not belong to another */
    if (out->ode.method != fallback.ode.method || (tuned_default && given(c, MODEL_GIVEN(STEPS)) &&
                                                   !(asked && asked->method == out->ode.method))) {
        bool multistep = out->ode.method == fallback.ode.method ||
                         out->ode.method == ODE_MULTISTEP3 || out->ode.method == ODE_MULTISTEP2 ||
                         out->ode.method == ODE_UNIPC3;
        bool rho = fallback.ode.schedule == ODE_SCHEDULE_RHO; /* and so is the family */
        out->ode.schedule = rho         ? ODE_SCHEDULE_RHO
                            : multistep ? ODE_SCHEDULE_POWER
                                        : ODE_SCHEDULE_LOG;
        out->ode.steps = multistep ? DEFAULT_STEPS : rho ? fallback.ode.steps : OTHER_STEPS;
    }
}

/* A field of the other kind of method: ERR_INPUT that names it. Those of which 0 is as good as
 * absent are ode_options_check's to judge, by their value. */
static int check_kind(const struct model_choice *c, enum ode_method method, struct err *e)
{
    const bool fixed = ode_method_is_fixed_step(method);
    const struct model_choice_field *f;
    for (size_t i = 0; (f = model_choice_field(i)) != NULL; i++)
        if (model_choice_given(c, f) && !f->quiet && !f->needs && !model_choice_takes(f, method))
            return err_fail(e, ERR_INPUT, f->name,
                            fixed ? "does not apply to %s, which has fixed steps"
                                  : "does not apply to %s, which picks its own steps",
                            ode_method_name(method));
    return 0;
}

/* Nodes that the model has by default, and that nobody asked for, become those of the power grid.
 */
static void leave_tuned(const struct model_choice *c, struct model_solver *s)
{
    if (s->ode.schedule != ODE_SCHEDULE_TUNED || given(c, MODEL_GIVEN(SCHEDULE)))
        return;
    s->ode.schedule = ODE_SCHEDULE_POWER;
    s->ode.steps = given(c, MODEL_GIVEN(STEPS)) ? c->value.ode.steps : DEFAULT_STEPS;
}

int model_solver_choose(const struct model *m, const struct model_choice *c,
                        struct model_solver *out, struct err *e)
{
    *out = model_solver_default(m);
    choose_method(m, c, out);
    if (check_kind(c, out->ode.method, e) != 0 || model_choice_apply(c, out, e) != 0)
        return -1;
    if (out->t_max != m->description.t_max || out->t_min != m->description.t_min)
        leave_tuned(c, out); /* its nodes are for its own ends */
    return 0;
}

int model_solver_choose_once(const struct model *m, const struct model_choice *choice,
                             struct model_solver *out, struct err *e)
{
    struct model_choice c = *choice;
    struct model_solver own;
    if (model_solver_choose(m, &c, &own, e) != 0)
        return -1;
    if (!given(&c, MODEL_GIVEN(METHOD) | MODEL_GIVEN(RTOL) | MODEL_GIVEN(ATOL)) &&
        !model_is_student(m) && !ode_method_evaluates_once(own.ode.method)) {
        c.value.ode.method = ODE_MULTISTEP3;
        c.given |= MODEL_GIVEN(METHOD);
    }
    return model_solver_choose(m, &c, out, e);
}

int model_solver_choose_forward(const struct model *m, const struct model_solver *base,
                                const struct model_choice *choice, struct model_solver *out,
                                struct err *e)
{
    struct model_choice c = *choice;
    if (!given(&c, MODEL_GIVEN(METHOD) | MODEL_GIVEN(STEPS) | MODEL_GIVEN(SCHEDULE))) {
        c.value.ode.method = base->ode.method;
        c.given |= MODEL_GIVEN(METHOD);
    }
    if (model_solver_choose(m, &c, out, e) != 0)
        return -1;
    out->ode.to_zero = false;
    if (out->ode.method != base->ode.method) {
        leave_tuned(&c, out); /* its nodes lead down */
        return 0;
    }
    *out = *base;
    return model_choice_apply(&c, out, e);
}

/* A student knows the points of its own nodes: anywhere else its answers mean nothing. */
static int check_student(const struct model *m, const struct model_solver *s, struct err *e)
{
    const struct ckpt_tuned *own = m->description.tuned;
    const char *at = s->t_max != m->description.t_max        ? "t_max"
                     : s->t_min != m->description.t_min      ? "t_min"
                     : s->ode.method != own->method          ? "method"
                     : s->ode.steps != own->steps            ? "steps"
                     : s->ode.schedule != ODE_SCHEDULE_TUNED ? "schedule"
                     : s->ode.churn.amount != 0              ? "churn"
                     : ode_options_guided(&s->ode)           ? "guidance"
                                                             : NULL;
    return !at ? 0
               : err_fail(e, ERR_INPUT, at,
                          "is not what this model has learned: it was distilled to sample in %d "
                          "step%s of %s at nodes of its own; leave the solver out, or take its "
                          "teacher",
                          own->steps, own->steps == 1 ? "" : "s", ode_method_name(own->method));
}

/* Tolerances count from the data's mean, in their deviation. Fields read a point as float32, so far
 * from 0 a slope is off by about a step of its numbers; an error of 1/32 of that, which such slopes
 * lead to in the longest of rk45's steps, is always allowed, or it would count the noise in ever
 * shorter ones. */
static void place_tolerances(const struct model *m, struct model_solver *s)
{
    const double *centre = model_prior_centre(m);
    double far = 0.0;
    for (size_t j = 0; centre && j < m->dimension; j++)
        far = fmax(far, fabs(centre[j]));
    const double noise = far * (double)FLT_EPSILON / 32.0;
    s->ode.centre = centre;
    s->ode.centred = m->dimension;
    s->ode.unit = m->deviation;
    if (s->ode.atol > 0.0 && s->ode.atol * m->deviation < noise)
        s->ode.unit = noise / s->ode.atol;
}

int model_solver_resolve(const struct model *m, struct model_solver *s, struct err *e)
{
    const struct ckpt_tuned *tuned;
    if (model_is_student(m) && check_student(m, s, e) != 0)
        return -1;
    if (m->family->solver_resolve)
        m->family->solver_resolve(m, s);
    if (m->vectors) /* pictures have the scale that tolerances are made for */
        place_tolerances(m, s);
    if (!ode_method_is_fixed_step(s->ode.method) || s->ode.schedule != ODE_SCHEDULE_TUNED ||
        s->ode.nodes)
        return 0;
    tuned = tuned_find(m, s->ode.steps);
    if (!tuned)
        return err_fail(
            e, ERR_INPUT, "schedule",
            m->description.tuned_count > 0
                ? "this model is not tuned for %d steps: \"pfgm inspect\" lists its tuned schedules"
                : "this model has no tuned schedules, for %d steps or others: \"pfgm tune\" "
                  "finds them",
            s->ode.steps);
    if (s->ode.method != tuned->method)
        return err_fail(e, ERR_INPUT, "method", "%d steps are tuned for %s, not for %s",
                        s->ode.steps, ode_method_name(tuned->method),
                        ode_method_name(s->ode.method));
    if (s->t_max != m->description.t_max || s->t_min != m->description.t_min)
        return err_fail(e, ERR_INPUT, "t_max",
                        "tuned steps go from t = %g to %g; leave t_max and t_min out",
                        m->description.t_max, m->description.t_min);
    s->ode.nodes = tuned->nodes;
    return 0;
}

int model_solver_unguided(const struct model_solver *s, struct err *e)
{
    return !ode_options_guided(&s->ode)
               ? 0
               : err_fail(e, ERR_INPUT, "guidance",
                          "is for sampling: the path up from an image follows the field as it was "
                          "learned, and a guided path down would not lead back to the image");
}

static int check_guidance(const struct model *m, const struct model_solver *s, struct err *e)
{
    if (!ode_options_guided(&s->ode) || model_null_class(m))
        return 0;
    return err_fail(e, ERR_INPUT, "guidance",
                    model_class_count(m) == 0
                        ? "goes from the slope of no class to that of a class, and this model "
                          "knows no classes: leave it out"
                        : "needs the field of no class, which this model has not learned: it was "
                          "trained without leaving labels out (\"label_dropout\")");
}

int model_solver_check(const struct model *m, const struct model_solver *solver, struct err *e)
{
    const struct ode_options *ode = &solver->ode;
    if (!isfinite(solver->t_min) || solver->t_min < MODEL_T_MIN)
        return err_fail(e, ERR_INPUT, "t_min",
                        "%g is too small: the flow ends at t > 0, at least 1e-6", solver->t_min);
    if (!isfinite(solver->t_max) || solver->t_max > FIELD_T_MAX)
        return err_fail(e, ERR_INPUT, "t_max", "%g is above the limit of %g", solver->t_max,
                        FIELD_T_MAX);
    if (solver->t_max <= solver->t_min)
        return err_fail(e, ERR_INPUT, "t_max", "%g does not lie above t_min = %g", solver->t_max,
                        solver->t_min);
    if (ode_options_check(ode, e) != 0 || check_guidance(m, solver, e) != 0)
        return -1;
    if (ode->schedule != ODE_SCHEDULE_TUNED || !ode_method_is_fixed_step(ode->method))
        return 0;
    if (ode->nodes[0] > solver->t_max || ode->nodes[ode_options_grid_steps(ode)] != solver->t_min)
        return err_fail(e, ERR_INTERNAL, "schedule", "nodes do not lead from t_max to t_min");
    if (ode->nodes[0] < solver->t_max && !model_mean(m))
        return err_fail(
            e, ERR_INPUT, "schedule",
            "the tuned schedule begins below t_max, for which the checkpoint needs the tensor "
            "\"" CKPT_DATA_MEAN "\"");
    return 0;
}

void model_solver_noise(const struct model *m, struct ode_solver *s, uint64_t seed, uint64_t index,
                        double *scratch)
{
    while (ode_solver_status(s) == ODE_WANTS_NOISE) {
        rng_step_normals(seed, index, RNG_CHURN, (uint32_t)ode_solver_noise_step(s), m->dimension,
                         scratch);
        ode_solver_feed_noise(s, scratch);
    }
}

double model_solver_begin(const struct model *m, const struct model_solver *solver, double *x)
{
    bool tuned =
        ode_method_is_fixed_step(solver->ode.method) && solver->ode.schedule == ODE_SCHEDULE_TUNED;
    double t = tuned ? solver->ode.nodes[0] : solver->t_max;
    if (t < solver->t_max) {
        const double *mean = model_mean(m);
        double factor = t / solver->t_max;
        for (size_t j = 0; j < m->dimension; j++)
            x[j] = mean[j] + factor * (x[j] - mean[j]);
    }
    return t;
}
