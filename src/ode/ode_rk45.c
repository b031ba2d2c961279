/* Dormand and Prince's pair of orders 5 and 4 with the step control of SciPy's RK45 (solve_ivp),
 * which the reference sampler uses: the same initial step, safety and limits, so that the counts of
 * steps and evaluations can be held against it. One control an image.
 *
 * As a state machine: phase START (slope at the start), PROBE (the extra slope of the initial
 * step), then stages 1 to 5 and LAST, the slope at the new state, which also serves as the next
 * step's first (so an accepted step costs 6 evaluations: NFE = 2 + 6 · attempts).
 *
 * The variable of integration s is ln t or t. Slopes are asked for at exactly t0 and t1 at the ends
 * and at exp(s) between.
 *
 * Memory: 8 vectors of n, that is 64 n bytes (12.6 MB for n = 196608): the state, the trial point
 * and six slopes. The seventh slope (LAST) takes the place of the second, whose weights in the
 * result and in the error are 0 and which no stage needs by then.
 *
 * The reference carries t along as one more channel of the state. Its components are all alike, so
 * one scalar z with dz/ds = exp(s) is integrated beside the state and counted `time_components`
 * times. */
#include "base_math.h"
#include "ode_internal.h"
#include <math.h>
#include <string.h>

enum { STAGES = 6, LAST = STAGES };
enum { STATE_A, STATE_B, SLOPES, VECTORS = SLOPES + STAGES };
enum phase { PHASE_START, PHASE_PROBE, PHASE_STAGE };

static const double SAFETY = 0.9;
static const double FACTOR_MIN = 0.2;
static const double FACTOR_MAX = 10.0;
static const double EXPONENT = -1.0 / 5.0;

static const double C[STAGES] = {0.0, 1.0 / 5, 3.0 / 10, 4.0 / 5, 8.0 / 9, 1.0};
static const double A[STAGES][STAGES] = {
    {0.0},
    {1.0 / 5},
    {3.0 / 40, 9.0 / 40},
    {44.0 / 45, -56.0 / 15, 32.0 / 9},
    {19372.0 / 6561, -25360.0 / 2187, 64448.0 / 6561, -212.0 / 729},
    {9017.0 / 3168, -355.0 / 33, 46732.0 / 5247, 49.0 / 176, -5103.0 / 18656},
};
static const double B[STAGES] = {35.0 / 384,     0.0,      500.0 / 1113, 125.0 / 192,
                                 -2187.0 / 6784, 11.0 / 84};
/* Of the slopes 0, 2, 3, 4, 5 and LAST; number 1 counts nothing and LAST stands in its place. */
static const double E[STAGES] = {-71.0 / 57600, 1.0 / 40,         71.0 / 16695,
                                 -71.0 / 1920,  17253.0 / 339200, -22.0 / 525};

struct rk45 {
    enum phase phase;
    int stage;        /* of PHASE_STAGE: 1 to 5, or LAST */
    double s0, s1;    /* the ends in the solver's clock */
    double direction; /* +1 or −1 */
    double s, s_new;  /* where the state is, where the step under way leads */
    double h;         /* s_new − s */
    double h_abs;     /* size of the step to try next */
    double h_min;     /* smallest at this s */
    double h_probe;   /* of the initial step's probe */
    double d0, d1;    /* norms of the initial step */
    bool rejected;    /* the step under way was tried before */
    double fixed;     /* > 0: every step is this long and counts as good */
    double *y, *trial;
    double *k[STAGES];
    double z, z_trial, zk[STAGES]; /* the added dimension, integrated as a scalar */
};

/* t at s, without the rounding of exp(ln t) at the ends. */
static double clock_time(const struct ode_solver *s, double at)
{
    const struct rk45 *own = s->own;
    if (at == own->s0)
        return s->t0;
    if (at == own->s1)
        return s->t1;
    return s->options.clock == ODE_CLOCK_LOG ? math_exp(at) : at;
}

/* value/scale, and 0 for 0/0: with atol = 0 a component that stays 0 has no error. */
static double scaled(double value, double scale)
{
    return value == 0.0 ? 0.0 : value / scale;
}

/* In units of the data (ode_options.unit), which are those of t. */
static double tolerance(const struct ode_solver *s, double a, double b)
{
    double size = fabs(a) > fabs(b) ? fabs(a) : fabs(b);
    double unit = s->options.unit > 0.0 ? s->options.unit : 1.0;
    return s->options.atol * unit + size * s->options.rtol;
}

/* Where component i of the state counts from. */
static double centre(const struct ode_solver *s, size_t i)
{
    return s->options.centre && i < s->options.centred ? s->options.centre[i] : 0.0;
}

/* Of component i that is a, or goes from a to b. */
static double tolerance_at(const struct ode_solver *s, size_t i, double a, double b)
{
    double middle = centre(s, i), size = fmax(fabs(a - middle), fabs(b - middle));
    if (i < s->options.centred)
        return tolerance(s, size, 0.0);
    return s->options.atol + size * s->options.rtol;
}

/* Root mean square from the sum of squares of the state's components and the time component's
 * value. */
static double norm(const struct ode_solver *s, double sum, double time_value)
{
    if (s->options.time_components == 0)
        return sqrt(sum / (double)s->n);
    double copies = (double)s->options.time_components;
    return sqrt((sum + copies * (time_value * time_value)) / ((double)s->n + copies));
}

static void rk45_start(struct ode_solver *s)
{
    struct rk45 *own = s->own;
    bool log = s->options.clock == ODE_CLOCK_LOG;
    *own = (struct rk45){.fixed = own->fixed};
    own->s0 = log ? math_log(s->t0) : s->t0;
    own->s1 = log ? math_log(s->t1) : s->t1;
    own->direction = own->s1 > own->s0 ? 1.0 : -1.0;
    own->s = own->s0;
    own->y = ode_vector(s, STATE_A);
    own->trial = ode_vector(s, STATE_B);
    for (size_t j = 0; j < STAGES; j++)
        own->k[j] = ode_vector(s, SLOPES + j);
    own->z = s->t0;
    ode_want(s, own->y, s->t0);
}

/* trial = y + h · Σ weights_j k_j over the first `count` slopes. */
static void combine(struct ode_solver *s, const double *weights, int count)
{
    struct rk45 *own = s->own;
    double *out = own->trial;
    double z_sum = 0.0;
    memset(out, 0, s->n * sizeof(double));
    for (int j = 0; j < count; j++) {
        const double *k = own->k[j];
        double w = weights[j];
        if (w == 0.0)
            continue;
        for (size_t i = 0; i < s->n; i++)
            out[i] += w * k[i];
        z_sum += w * own->zk[j];
    }
    for (size_t i = 0; i < s->n; i++)
        out[i] = own->y[i] + own->h * out[i];
    own->z_trial = own->z + own->h * z_sum;
}

/* Asks for the next slope of the step under way. */
static void ask_stage(struct ode_solver *s, int stage)
{
    struct rk45 *own = s->own;
    own->stage = stage;
    combine(s, stage == LAST ? B : A[stage], stage);
    double at = stage >= STAGES - 1 ? own->s_new : own->s + C[stage] * own->h;
    ode_want(s, own->trial, clock_time(s, at));
}

/* Tries a step of own->h_abs, shortened to end exactly at s1. */
static void try_step(struct ode_solver *s)
{
    struct rk45 *own = s->own;
    if (own->h_abs < own->h_min) {
        ode_fail(s, ERR_NUMERIC,
                 "step size underflow at t = %g: rtol = %g, atol = %g ask for a step below %g%s; "
                 "raise the tolerance",
                 clock_time(s, own->s), s->options.rtol, s->options.atol, own->h_min,
                 s->options.clock == ODE_CLOCK_LOG ? " in ln t" : "");
        return;
    }
    own->s_new = own->s + own->h_abs * own->direction;
    if (own->direction * (own->s_new - own->s1) > 0.0)
        own->s_new = own->s1;
    own->h = own->s_new - own->s;
    own->h_abs = fabs(own->h);
    ask_stage(s, 1);
}

/* Sets out from the state just reached (its slope is k[0]), or is done. */
static void begin_step(struct ode_solver *s)
{
    struct rk45 *own = s->own;
    if (own->direction * (own->s - own->s1) >= 0.0) {
        ode_finish(s);
        return;
    }
    own->h_min = 10.0 * fabs(nextafter(own->s, own->direction * INFINITY) - own->s);
    if (own->h_abs < own->h_min)
        own->h_abs = own->h_min;
    own->rejected = false;
    own->phase = PHASE_STAGE;
    try_step(s);
}

/* The first half of the initial step's choice (Hairer, Nørsett, Wanner I, II.4): a small Euler step
 * to see how the slope changes. */
static void begin_probe(struct ode_solver *s)
{
    struct rk45 *own = s->own;
    double state_sum = 0.0, slope_sum = 0.0;
    for (size_t i = 0; i < s->n; i++) {
        double scale = tolerance_at(s, i, own->y[i], own->y[i]);
        double a = scaled(own->y[i] - centre(s, i), scale), b = scaled(own->k[0][i], scale);
        state_sum += a * a;
        slope_sum += b * b;
    }
    double z_scale = tolerance(s, own->z, 0.0);
    double interval = fabs(own->s1 - own->s0);
    own->d0 = norm(s, state_sum, scaled(own->z, z_scale));
    own->d1 = norm(s, slope_sum, scaled(own->zk[0], z_scale));
    own->h_probe = own->d0 < 1e-5 || own->d1 < 1e-5 ? 1e-6 : 0.01 * own->d0 / own->d1;
    if (own->h_probe > interval)
        own->h_probe = interval;
    /* Only when a component is 0 and atol too (d1 is infinite) can it be 0; a step must be left. */
    double smallest = 10.0 * fabs(nextafter(own->s, own->direction * INFINITY) - own->s);
    if (own->h_probe < smallest)
        own->h_probe = smallest;
    for (size_t i = 0; i < s->n; i++)
        own->trial[i] = own->y[i] + own->h_probe * own->direction * own->k[0][i];
    own->phase = PHASE_PROBE;
    ode_want(s, own->trial, clock_time(s, own->s + own->h_probe * own->direction));
}

/* The second half: the size at which the step's error is about 0.01. */
static void end_probe(struct ode_solver *s, const double *slope, double z_slope)
{
    struct rk45 *own = s->own;
    double sum = 0.0;
    for (size_t i = 0; i < s->n; i++) {
        double v = scaled(slope[i] - own->k[0][i], tolerance_at(s, i, own->y[i], own->y[i]));
        sum += v * v;
    }
    double z_change = scaled(z_slope - own->zk[0], tolerance(s, own->z, 0.0));
    double d2 = norm(s, sum, z_change) / own->h_probe;
    double largest = own->d1 > d2 ? own->d1 : d2;
    double h1 = 0.0; /* stays so for an infinite slope over tolerance: the smallest step */
    if (own->d1 <= 1e-15 && d2 <= 1e-15)
        h1 = 1e-6 > own->h_probe * 1e-3 ? 1e-6 : own->h_probe * 1e-3;
    else if (isfinite(largest))
        h1 = math_pow(0.01 / largest, -EXPONENT);
    double interval = fabs(own->s1 - own->s0);
    own->h_abs = 100.0 * own->h_probe;
    if (h1 < own->h_abs)
        own->h_abs = h1;
    if (interval < own->h_abs)
        own->h_abs = interval;
    begin_step(s);
}

/* RMS of the error estimate over the tolerance, with all slopes of the step in place. */
static double error_norm(const struct ode_solver *s)
{
    const struct rk45 *own = s->own;
    double sum = 0.0;
    for (size_t i = 0; i < s->n; i++) {
        double error = 0.0;
        for (int j = 0; j < STAGES; j++)
            error += E[j] * own->k[j][i];
        double v = scaled(error * own->h, tolerance_at(s, i, own->y[i], own->trial[i]));
        sum += v * v;
    }
    double z_error = 0.0;
    for (int j = 0; j < STAGES; j++)
        z_error += E[j] * own->zk[j];
    return norm(s, sum, scaled(z_error * own->h, tolerance(s, own->z, own->z_trial)));
}

/* The trial state becomes the state, and its slope the first of the next step. */
static void accept(struct ode_solver *s, double factor)
{
    struct rk45 *own = s->own;
    if (own->rejected && factor > 1.0)
        factor = 1.0;
    own->h_abs = own->fixed > 0.0 ? own->fixed : own->h_abs * factor;
    double *vector = own->y;
    own->y = own->trial;
    own->trial = vector;
    vector = own->k[0];
    own->k[0] = own->k[1];
    own->k[1] = vector;
    own->zk[0] = own->zk[1];
    own->z = own->z_trial;
    own->s = own->s_new;
    if (ode_advance(s, own->y, clock_time(s, own->s)))
        begin_step(s);
}

static void judge(struct ode_solver *s)
{
    struct rk45 *own = s->own;
    double error = own->fixed > 0.0 ? 0.0 : error_norm(s);
    if (error < 1.0) {
        double factor = error > 0.0 ? SAFETY * math_pow(error, EXPONENT) : FACTOR_MAX;
        accept(s, factor > FACTOR_MAX ? FACTOR_MAX : factor);
        return;
    }
    double factor = isfinite(error) ? SAFETY * math_pow(error, EXPONENT) : 0.0;
    own->h_abs *= factor < FACTOR_MIN ? FACTOR_MIN : factor;
    own->rejected = true;
    s->counts.rejected++;
    try_step(s);
}

static void rk45_feed(struct ode_solver *s, const double *slope)
{
    struct rk45 *own = s->own;
    if (own->phase == PHASE_PROBE) {
        end_probe(s, slope, s->time);
        return;
    }
    int place = own->phase == PHASE_START ? 0 : own->stage == LAST ? 1 : own->stage;
    memcpy(own->k[place], slope, s->n * sizeof(double));
    own->zk[place] = s->time; /* dz/d ln t = t */
    if (own->phase == PHASE_STAGE && own->stage == LAST) {
        judge(s);
    } else if (own->phase == PHASE_STAGE) {
        ask_stage(s, own->stage + 1);
    } else if (own->fixed > 0.0) {
        own->h_abs = own->fixed;
        begin_step(s);
    } else {
        begin_probe(s);
    }
}

static double rk45_progress(const struct ode_solver *s)
{
    const struct rk45 *own = s->own;
    double whole = own->s1 - own->s0;
    return whole > 0.0 || whole < 0.0 ? (own->s - own->s0) / whole : 0.0;
}

static enum ode_form rk45_form(const struct ode_options *options)
{
    return options->clock == ODE_CLOCK_LOG ? ODE_SLOPE_DLNT : ODE_SLOPE_DT;
}

static int64_t rk45_evaluations(const struct ode_options *options)
{
    (void)options;
    return 0;
}

void ode_rk45_fix_step(struct ode_solver *s, double size)
{
    struct rk45 *own = s->own;
    own->fixed = size;
}

const struct ode_ops ode_rk45_ops = {
    .name = "rk45",
    .fixed_step = false,
    .vectors = VECTORS,
    .private_size = sizeof(struct rk45),
    .evaluations = rk45_evaluations,
    .form = rk45_form,
    .start = rk45_start,
    .feed = rk45_feed,
    .progress = rk45_progress,
};
