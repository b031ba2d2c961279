/* The part that all solvers share: options, memory, finite checks, the evaluation budget, and the
 * dispatch to the method's table.
 *
 * One allocation a solver, made in ode_solver_new: the struct, the method's private struct and its
 * vectors; so a slot of a worker has its memory for good and nothing is allocated while it runs.
 * A solver belongs to one thread at a time; there are no locks and no global state. */
#include "ode_internal.h"
#include "base_math.h"
#include "base_size.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct ode_ops *const METHODS[] = {
    [ODE_RK45] = &ode_rk45_ops,
    [ODE_EULER] = &ode_euler_ops,
    [ODE_IMPROVED_EULER] = &ode_improved_euler_ops,
    [ODE_HEUN] = &ode_heun_ops,
    [ODE_MULTISTEP2] = &ode_multistep2_ops,
    [ODE_MULTISTEP3] = &ode_multistep3_ops,
    [ODE_IPNDM4] = &ode_ipndm4_ops,
    [ODE_UNIPC3] = &ode_unipc3_ops,
};
#define METHOD_COUNT (sizeof METHODS / sizeof METHODS[0])
_Static_assert(METHOD_COUNT == ODE_METHODS, "a method is missing in the table");

static const char *const SCHEDULES[ODE_SCHEDULES] = {
    [ODE_SCHEDULE_LOG] = "log",
    [ODE_SCHEDULE_POWER] = "power",
    [ODE_SCHEDULE_RHO] = "rho",
    [ODE_SCHEDULE_TUNED] = "tuned",
};

int ode_method_parse(const char *word, enum ode_method *out)
{
    for (size_t k = 0; k < METHOD_COUNT; k++) {
        if (strcmp(word, METHODS[k]->name) == 0) {
            *out = (enum ode_method)k;
            return 0;
        }
    }
    return -1;
}

const char *ode_method_name(enum ode_method method)
{
    return METHODS[method]->name;
}

bool ode_method_is_fixed_step(enum ode_method method)
{
    return METHODS[method]->fixed_step;
}

bool ode_method_churns(enum ode_method method)
{
    return METHODS[method]->churned != NULL;
}

int ode_method_order(enum ode_method method)
{
    return METHODS[method]->order;
}

bool ode_method_evaluates_once(enum ode_method method)
{
    return METHODS[method]->evaluations == ode_evaluations_once;
}

bool ode_method_remembers(enum ode_method method)
{
    return METHODS[method]->order > 0;
}

int ode_order(const struct ode_solver *s)
{
    return s->options.order_cap != 0 ? s->options.order_cap : s->ops->order;
}

int ode_schedule_parse(const char *word, enum ode_schedule *out)
{
    for (size_t k = 0; k < ODE_SCHEDULES; k++) {
        if (strcmp(word, SCHEDULES[k]) == 0) {
            *out = (enum ode_schedule)k;
            return 0;
        }
    }
    return -1;
}

const char *ode_schedule_name(enum ode_schedule schedule)
{
    return SCHEDULES[schedule];
}

int ode_options_grid_steps(const struct ode_options *options)
{
    return options->steps - (options->to_zero ? 1 : 0);
}

int64_t ode_evaluations_once(const struct ode_options *options)
{
    return options->steps;
}

enum ode_form ode_form_log(const struct ode_options *options)
{
    (void)options;
    return ODE_SLOPE_DLNT;
}

static int64_t budget(const struct ode_options *options)
{
    return options->max_nfe == 0 ? ODE_NFE_MAX : options->max_nfe;
}

static int check_nodes(const struct ode_options *o, struct err *e)
{
    if (o->nodes == NULL)
        return err_fail(e, ERR_INPUT, "schedule", "there are no tuned nodes for %d steps",
                        o->steps);
    for (int i = 0; i <= ode_options_grid_steps(o); i++) {
        if (!(o->nodes[i] > 0.0) || !isfinite(o->nodes[i]) ||
            (i > 0 && !(o->nodes[i] < o->nodes[i - 1])))
            return err_fail(
                e, ERR_INPUT, "schedule",
                "node %d of the tuned ones, %g, is not below the one before and above 0", i,
                o->nodes[i]);
    }
    return 0;
}

static int check_churn(const struct ode_options *o, struct err *e)
{
    const struct ode_churn *c = &o->churn;
    if (!(c->amount >= 0.0) || c->amount > ODE_CHURN_MAX)
        return err_fail(e, ERR_INPUT, "churn", "%g is not in 0 to %g", c->amount, ODE_CHURN_MAX);
    if (c->amount == 0.0)
        return 0;
    if (!ode_method_churns(o->method))
        return err_fail(e, ERR_INPUT, "churn",
                        "is for euler, improved-euler and heun; %s remembers steps without noise",
                        METHODS[o->method]->name);
    if (!(c->t_min >= 0.0))
        return err_fail(e, ERR_INPUT, "churn_t_min", "%g is not at least 0", c->t_min);
    if (!(c->t_max >= c->t_min))
        return err_fail(e, ERR_INPUT, "churn_t_max", "%g does not lie above churn_t_min = %g",
                        c->t_max, c->t_min);
    if (!(c->noise >= 0.0) || c->noise > 10.0)
        return err_fail(e, ERR_INPUT, "churn_noise", "%g is not in 0 to 10", c->noise);
    return 0;
}

bool ode_options_guided(const struct ode_options *o)
{
    return o->guidance.scale != 1.0 && o->guidance.t_max > 0.0;
}

static int check_guidance(const struct ode_options *o, struct err *e)
{
    const struct ode_guidance *g = &o->guidance;
    if (!ode_options_guided(o))
        return 0;
    if (!(g->scale >= 0.0) || g->scale > ODE_GUIDANCE_MAX)
        return err_fail(e, ERR_INPUT, "guidance", "%g is not in 0 to %g", g->scale,
                        ODE_GUIDANCE_MAX);
    if (!(g->t_min >= 0.0))
        return err_fail(e, ERR_INPUT, "guidance_t_min", "%g is not at least 0", g->t_min);
    if (!(g->t_max >= g->t_min))
        return err_fail(e, ERR_INPUT, "guidance_t_max", "%g does not lie above guidance_t_min = %g",
                        g->t_max, g->t_min);
    return 0;
}

static int check_order_cap(const struct ode_options *o, struct err *e)
{
    const struct ode_ops *ops = METHODS[o->method];
    if (o->order_cap == 0)
        return 0;
    if (ops->order == 0)
        return err_fail(e, ERR_INPUT, "order_cap",
                        "is for the multistep methods, ipndm4 and unipc3; %s goes by one step",
                        ops->name);
    if (o->order_cap < 1 || o->order_cap > ops->order)
        return err_fail(e, ERR_INPUT, "order_cap", "%d is not in 1 to %d, the order of %s",
                        o->order_cap, ops->order, ops->name);
    return 0;
}

static int check_fixed(const struct ode_options *o, struct err *e)
{
    const struct ode_ops *ops = METHODS[o->method];
    int least = o->to_zero ? 2 : 1;
    if (o->steps < least || o->steps > ODE_STEPS_MAX)
        return err_fail(e, ERR_INPUT, "steps", "%d is not in %d to %d", o->steps, least,
                        ODE_STEPS_MAX);
    if ((unsigned)o->schedule >= ODE_SCHEDULES)
        return err_fail(e, ERR_INPUT, "schedule", "there is no schedule number %d",
                        (int)o->schedule);
    if (o->schedule == ODE_SCHEDULE_TUNED && check_nodes(o, e) != 0)
        return -1;
    if (o->exponent != 0.0 && o->schedule != ODE_SCHEDULE_POWER && o->schedule != ODE_SCHEDULE_RHO)
        return err_fail(e, ERR_INPUT, "exponent", "is for the schedules power and rho only");
    if (o->exponent != 0.0 && !(o->exponent >= 1.0 && o->exponent <= 100.0))
        return err_fail(e, ERR_INPUT, "exponent", "%g is not in 1 to 100", o->exponent);
    if (!(o->t_break >= 0.0) || !isfinite(o->t_break))
        return err_fail(e, ERR_INPUT, "t_break", "%g is not a finite number of at least 0",
                        o->t_break);
    if (check_churn(o, e) != 0)
        return -1;
    int64_t needed = ops->evaluations(o);
    if (ode_options_guided(o) && o->guidance.t_min == 0.0 && isinf(o->guidance.t_max))
        needed *= 2; /* else who knows how many */
    if (needed > budget(o))
        return err_fail(e, ERR_LIMIT, "max_nfe",
                        "%s with %d steps takes %lld evaluations, more than max_nfe = %lld: raise "
                        "max_nfe or take fewer steps",
                        ops->name, o->steps, (long long)needed, (long long)budget(o));
    return 0;
}

static int check_adaptive(const struct ode_options *o, struct err *e)
{
    if (o->churn.amount != 0.0)
        return err_fail(e, ERR_INPUT, "churn", "does not apply to rk45, which picks its own steps");
    if (!(o->rtol >= ODE_RTOL_MIN) || !(o->rtol < 1.0))
        return err_fail(e, ERR_INPUT, "rtol", "%g is not in [%g, 1)", o->rtol, ODE_RTOL_MIN);
    if (!(o->atol >= 0.0) || !isfinite(o->atol))
        return err_fail(e, ERR_INPUT, "atol", "%g is not a finite number of at least 0", o->atol);
    if (!(o->unit >= 0.0) || !isfinite(o->unit))
        return err_fail(e, ERR_INPUT, "unit", "%g is not a finite number of at least 0", o->unit);
    if (o->clock != ODE_CLOCK_LOG && o->time_components != 0)
        return err_fail(e, ERR_INPUT, "time_components",
                        "time components need the logarithmic clock");
    return 0;
}

int ode_options_check(const struct ode_options *options, struct err *e)
{
    if ((size_t)options->method >= METHOD_COUNT)
        return err_fail(e, ERR_INPUT, "method", "there is no method number %d",
                        (int)options->method);
    if (options->max_nfe < 0 || options->max_nfe > ODE_NFE_MAX)
        return err_fail(e, ERR_INPUT, "max_nfe", "%lld is not in 0 to %d",
                        (long long)options->max_nfe, ODE_NFE_MAX);
    if (check_order_cap(options, e) != 0 || check_guidance(options, e) != 0)
        return -1;
    if (ode_method_is_fixed_step(options->method))
        return check_fixed(options, e);
    return check_adaptive(options, e);
}

int64_t ode_options_evaluations(const struct ode_options *options)
{
    if (!ode_method_is_fixed_step(options->method))
        return budget(options);
    const int64_t steps = METHODS[options->method]->evaluations(options),
                  all = ode_options_guided(options) ? 2 * steps : steps;
    return all < budget(options) ? all : budget(options);
}

size_t ode_solver_scratch(enum ode_method method, size_t n)
{
    size_t doubles;
    return size_mul(METHODS[method]->vectors, n, &doubles) ? doubles : SIZE_MAX;
}

struct ode_solver *ode_solver_new(const struct ode_options *options, size_t n, struct err *e)
{
    if (ode_options_check(options, e) != 0)
        return NULL;
    if (n == 0) {
        err_fail(e, ERR_INPUT, "n", "a state needs at least one component");
        return NULL;
    }
    const struct ode_ops *ops = METHODS[options->method];
    size_t head, own, vectors, total;
    if (!size_round_up(sizeof(struct ode_solver), 64, &head) ||
        !size_round_up(ops->private_size, 64, &own) || !size_mul(ops->vectors, n, &vectors) ||
        !size_mul(vectors, sizeof(double), &vectors) || !size_add(head, own, &total) ||
        !size_add(total, vectors, &total)) {
        err_fail_memory(e, SIZE_MAX);
        return NULL;
    }
    unsigned char *memory = calloc(1, total);
    if (memory == NULL) {
        err_fail_memory(e, total);
        return NULL;
    }
    struct ode_solver *s = (void *)memory;
    s->options = *options;
    s->ops = ops;
    s->n = n;
    s->own = memory + head;
    s->vectors = (void *)(memory + head + own);
    s->form = ops->form(options);
    s->state = s->vectors;
    s->point = s->state;
    ode_fail(s, ERR_INTERNAL, "the solver was not started");
    return s;
}

void ode_solver_free(struct ode_solver *s)
{
    free(s);
}

static bool all_finite(const double *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i]))
            return false;
    }
    return true;
}

/* Puts the failure into the solver and into the caller's struct. */
static int refuse(struct ode_solver *s, struct err *e)
{
    s->status = ODE_FAILED;
    return err_pass(e, &s->error);
}

int ode_solver_start(struct ode_solver *s, const double *x0, double t0, double t1, struct err *e)
{
    bool positive = s->form == ODE_SLOPE_DLNT;
    s->counts = (struct ode_counts){0};
    s->error = (struct err){0};
    s->t0 = t0;
    s->t1 = t1;
    s->state = ode_vector(s, 0);
    s->point = s->state;
    s->time = s->state_time = t0;
    s->ending = false;
    if (!isfinite(t0) || !isfinite(t1) || (positive && (t0 <= 0.0 || t1 <= 0.0))) {
        err_fail(&s->error, ERR_INPUT, "t",
                 "cannot go from t = %g to t = %g: both must be finite%s", t0, t1,
                 positive ? " and above 0" : "");
        return refuse(s, e);
    }
    if (positive ? math_log(t0) == math_log(t1) : t0 == t1) {
        err_fail(&s->error, ERR_INPUT, "t", "t = %.17g and t = %.17g are no way apart", t0, t1);
        return refuse(s, e);
    }
    if (s->options.to_zero && t1 > t0) {
        err_fail(&s->error, ERR_INPUT, "t", "t = 0 does not lie beyond the way from %g to %g", t0,
                 t1);
        return refuse(s, e);
    }
    if (!all_finite(x0, s->n)) {
        err_fail(&s->error, ERR_NUMERIC, "", "non-finite start at t = %g", t0);
        return refuse(s, e);
    }
    memmove(s->state, x0, s->n * sizeof(double));
    s->ops->start(s);
    return s->status == ODE_FAILED ? refuse(s, e) : 0;
}

enum ode_status ode_solver_status(const struct ode_solver *s)
{
    return s->status;
}

const double *ode_solver_point(const struct ode_solver *s)
{
    return s->point;
}

double ode_solver_time(const struct ode_solver *s)
{
    return s->time;
}

enum ode_form ode_solver_form(const struct ode_solver *s)
{
    return s->form;
}

bool ode_solver_guided(const struct ode_solver *s)
{
    const struct ode_guidance *g = &s->options.guidance;
    return ode_options_guided(&s->options) && s->time >= g->t_min && s->time <= g->t_max;
}

double ode_solver_guidance(const struct ode_solver *s)
{
    return s->options.guidance.scale;
}

/* Of the network, for the slope that is wanted. */
static int evaluations(const struct ode_solver *s)
{
    return ode_solver_guided(s) ? 2 : 1;
}

/* x − t · dx/dt at t1, or where churn has taken it. */
static void step_to_zero(struct ode_solver *s, const double *slope)
{
    double factor = s->form == ODE_SLOPE_DLNT ? 1.0 : s->time;
    for (size_t i = 0; i < s->n; i++)
        s->state[i] -= factor * slope[i];
    if (ode_advance(s, s->state, 0.0))
        s->status = ODE_DONE;
}

void ode_solver_feed(struct ode_solver *s, const double *slope)
{
    if (s->status != ODE_WANTS_SLOPE)
        return;
    s->counts.nfe += evaluations(s);
    if (!all_finite(slope, s->n)) {
        ode_fail(s, ERR_NUMERIC, "non-finite slope at t = %g", s->time);
        return;
    }
    if (s->ending)
        step_to_zero(s, slope);
    else
        s->ops->feed(s, slope);
}

int64_t ode_solver_noise_step(const struct ode_solver *s)
{
    return s->counts.accepted;
}

void ode_solver_feed_noise(struct ode_solver *s, const double *normals)
{
    if (s->status != ODE_WANTS_NOISE)
        return;
    double added =
        s->options.churn.noise * sqrt(s->churned * s->churned - s->state_time * s->state_time);
    for (size_t i = 0; i < s->n; i++)
        s->state[i] += added * normals[i];
    if (!s->ending)
        s->ops->churned(s, s->churned);
    ode_want(s, s->state, s->churned);
}

void ode_solver_hold(struct ode_solver *s, const uint8_t *held, const double *values)
{
    if (s->status != ODE_WANTS_SLOPE || s->point != s->state)
        return;
    for (size_t i = 0; i < s->n; i++)
        if (held[i])
            s->state[i] = values[i];
}

const double *ode_solver_state(const struct ode_solver *s)
{
    return s->state;
}

double ode_solver_state_time(const struct ode_solver *s)
{
    return s->state_time;
}

struct ode_counts ode_solver_counts(const struct ode_solver *s)
{
    return s->counts;
}

double ode_solver_progress(const struct ode_solver *s)
{
    return s->status == ODE_DONE ? 1.0 : s->ops->progress(s);
}

const struct err *ode_solver_error(const struct ode_solver *s)
{
    return &s->error;
}

void ode_want(struct ode_solver *s, const double *point, double time)
{
    if (!all_finite(point, s->n)) {
        ode_fail(s, ERR_NUMERIC, "non-finite state at t = %g", time);
        return;
    }
    s->time = time;
    if (s->counts.nfe + evaluations(s) > budget(&s->options)) {
        ode_fail(s, ERR_LIMIT,
                 "gave up at t = %g after %lld evaluations, max_nfe is %lld: raise max_nfe or the "
                 "tolerance",
                 s->state_time, (long long)s->counts.nfe, (long long)budget(&s->options));
        return;
    }
    s->point = point;
    s->status = ODE_WANTS_SLOPE;
}

void ode_begin_step(struct ode_solver *s, double t)
{
    const struct ode_churn *c = &s->options.churn;
    if (c->amount == 0.0 || t < c->t_min || t > c->t_max) {
        ode_want(s, s->state, t);
        return;
    }
    double gamma = c->amount / (double)s->options.steps, most = sqrt(2.0) - 1.0;
    s->churned = t * (1.0 + (gamma < most ? gamma : most));
    s->time = t;
    s->status = ODE_WANTS_NOISE;
}

bool ode_advance(struct ode_solver *s, double *state, double time)
{
    if (!all_finite(state, s->n)) {
        ode_fail(s, ERR_NUMERIC, "non-finite state at t = %g", time);
        return false;
    }
    s->state = state;
    s->state_time = time;
    s->counts.accepted++;
    return true;
}

void ode_finish(struct ode_solver *s)
{
    if (!s->options.to_zero) {
        s->status = ODE_DONE;
        return;
    }
    s->ending = true;
    ode_begin_step(s, s->t1);
}

void ode_fail(struct ode_solver *s, enum err_code code, const char *format, ...)
{
    char text[sizeof s->error.text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    err_fail(&s->error, code, code == ERR_LIMIT ? "max_nfe" : "", "%s", text);
    s->status = ODE_FAILED;
}
