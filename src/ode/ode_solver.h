/* Solvers as per-image state machines.
 *
 * A solver never calls the field. It says where it wants the slope (a point x and a time t), is fed
 * the answer, and either asks again or is done; so a worker can evaluate the points of many images
 * in one call and any image may stand at any step. Everything is double; all sums run over the
 * state in order, so the result depends on the image alone.
 *
 *     ode_solver_start(s, …, x, …);
 *     while (ode_solver_status(s) == ODE_WANTS_SLOPE)
 *         → slope of the field at (ode_solver_point(s), ode_solver_time(s)), in the form
 *           ode_solver_form(s) → ode_solver_feed(s, slope);
 *
 * A stochastic solver (ode_churn) also asks for noise now and then: ODE_WANTS_NOISE, to be answered
 * with ode_solver_feed_noise.
 *
 * Independent variable: the added dimension t itself or ln t (`clock`). In ln t the slope asked for
 * is dx/d ln t = t·dx/dt, which for the Poisson flow is x minus the data prediction and stays
 * regular as t → 0; in t it is dx/dt. Threads: one solver, one thread at a time; no locks, no
 * global state. */
#ifndef ODE_SOLVER_H
#define ODE_SOLVER_H

#include "base_err.h"
#include <stdint.h>

enum ode_method {
    ODE_RK45,
    ODE_EULER,
    ODE_IMPROVED_EULER,
    ODE_HEUN,
    ODE_MULTISTEP2,
    ODE_MULTISTEP3,
    ODE_IPNDM4,
    ODE_UNIPC3,
    ODE_METHODS /* how many */
};
/* The words of the interface, in that order, for messages. */
#define ODE_METHOD_WORDS                                                                           \
    "rk45, euler, improved-euler, heun, multistep2, multistep3, ipndm4 or unipc3"
int ode_method_parse(const char *word, enum ode_method *out); /* -1 for another word */
const char *ode_method_name(enum ode_method method);
/* Whether it takes a number of steps (else tolerances). */
bool ode_method_is_fixed_step(enum ode_method method);
bool ode_method_churns(enum ode_method method); /* whether it takes an ode_churn */
/* The evaluations of a multistep method that a step goes by at most; 0 of the others, which look at
 * none that are past. */
int ode_method_order(enum ode_method method);
/* Whether each step takes one evaluation, at the state itself. */
bool ode_method_evaluates_once(enum ode_method method);
bool ode_method_remembers(enum ode_method method); /* whether its order is above 0 */

/* How the nodes of a fixed-step method lie: evenly in ln t, in t^(1/exponent), in t^(1/7), or where
 * a search has put them. */
enum ode_schedule {
    ODE_SCHEDULE_LOG,
    ODE_SCHEDULE_POWER,
    ODE_SCHEDULE_RHO,
    ODE_SCHEDULE_TUNED,
    ODE_SCHEDULES
};
#define ODE_SCHEDULE_WORDS "log, power, rho or tuned"
int ode_schedule_parse(const char *word, enum ode_schedule *out); /* -1 for another word */
const char *ode_schedule_name(enum ode_schedule schedule);

enum ode_clock { ODE_CLOCK_LOG, ODE_CLOCK_LINEAR };
enum ode_form { ODE_SLOPE_DLNT, ODE_SLOPE_DT };

#define ODE_STEPS_MAX 100000
#define ODE_ORDER_MAX 4 /* the greatest ode_method_order */
#define ODE_NFE_MAX 10000000
#define ODE_RTOL_MIN 1e-12

/* Noise that euler, improved-euler and heun add before each of their steps, the one to zero too, at
 * t_min ≤ t ≤ t_max (Karras et al. 2022, algorithm 2): with γ = min(amount / steps, √2 − 1) the
 * step sets out from t̂ = t (1 + γ) and x + √(t̂² − t²) · noise · N(0, I). amount 0: none. */
struct ode_churn {
    double amount, t_min, t_max, noise;
};
#define ODE_CHURN_MAX 1e4

/* Slopes that are wanted guided (Ho and Salimans 2022) while t_min ≤ t ≤ t_max: that of no class,
 * and `scale` times from there to that of the class. 1, and an interval without a t above 0, such
 * as zeros: none. */
struct ode_guidance {
    double scale, t_min, t_max;
};
#define ODE_GUIDANCE_MAX 100.0
#define ODE_GUIDANCE_NONE                                                                          \
    {                                                                                              \
        1.0, 0.0, 0.0                                                                              \
    }

struct ode_options {
    enum ode_method method;
    enum ode_clock clock;       /* of rk45 and heun */
    int steps;                  /* fixed-step methods: 1 to ODE_STEPS_MAX */
    enum ode_schedule schedule; /* fixed-step methods */
    double exponent;            /* of power, 0 = 10, and rho, 0 = 7: 1 to 100 */
    /* Of the schedule tuned: steps + 1 times, or `steps` with to_zero, that fall strictly, t0 the
     * first and t1 the last; not owned, to last as long as the solver. */
    const double *nodes;
    double rtol, atol; /* rk45 */
    /* Where the data of rk45 lie, and how large they are, so that its steps do not depend on it: an
     * error is held against atol · unit + rtol · |x − centre|. `centre` [centred] is of the state's
     * first components, not owned, to last as long as the solver; NULL: 0. `unit` is of those and
     * of t; 0: 1. What the state has behind them counts from 0 in units of 1. */
    const double *centre;
    size_t centred;
    double unit;
    int64_t max_nfe; /* evaluations after which it gives up; 0 = ODE_NFE_MAX */
    /* Where the field jumps in t, with t_break itself on the upper side; 0 = nowhere. The multistep
     * methods, which extrapolate from the past, then have a node there (going down: at the next
     * single-precision number below) and begin their history anew; the number of steps stays as
     * asked. Without effect on other methods, outside (t0, t1), and on a single step. */
    double t_break;
    /* The reference integrates the added dimension along with the image, as one more channel that
     * holds t everywhere; its error is next to nothing but it counts in the norm of the step
     * control. This many components of that kind (H·W for the reference's norm, 0 for the plain
     * one). Only with ODE_CLOCK_LOG. */
    size_t time_components;
    /* The path ends at t = 0 instead: from t1, which then lies below t0, by a step of Euler's,
     * since x − t·dx/dt there is the data prediction, on which exact fields and PFGM++ end. Of a
     * fixed-step method it is the last of `steps`, two at least, as PFGM++'s reference counts;
     * rk45 takes it besides. */
    bool to_zero;
    struct ode_churn churn;
    struct ode_guidance guidance;
    /* Of a multistep method: at most so many evaluations to go by, 1 to its order; 0: its order. */
    int order_cap;
};

/* Checks ranges (finite, steps, rtol in [ODE_RTOL_MIN, 1), atol and unit ≥ 0
 * …): ERR_INPUT. A max_nfe that a
 * fixed-step method's number of steps is bound to exceed is ERR_LIMIT here, before any work. The
 * error's `at` is the name of the option: "method", "steps", "schedule", "exponent",
 * "t_break", "rtol", "atol", "unit", "max_nfe", "time_components", "churn", "churn_t_min",
 * "churn_t_max", "churn_noise", "order_cap", "guidance", "guidance_t_min", "guidance_t_max". */
int ode_options_check(const struct ode_options *options, struct err *e);
/* Whether any slope on the path may be wanted guided. */
bool ode_options_guided(const struct ode_options *options);
/* The most evaluations that a state may take, guided ones counted twice: those of a fixed-step
 * method's steps, and max_nfe of rk45. The options have been checked. */
int64_t ode_options_evaluations(const struct ode_options *options);
/* Steps between nodes from t0 to t1 of a fixed-step method: all but the one to zero. */
int ode_options_grid_steps(const struct ode_options *options);
/* Those nodes, from t0 to t1, both > 0, into out [grid steps + 1]; the options have been checked.
 */
void ode_options_nodes(const struct ode_options *options, double t0, double t1, double *out);

enum ode_status {
    ODE_WANTS_SLOPE, /* evaluate and feed */
    ODE_WANTS_NOISE, /* ode_solver_feed_noise */
    ODE_DONE,        /* ode_solver_state is the result */
    ODE_FAILED       /* ode_solver_error tells why */
};

struct ode_counts {
    int64_t nfe;      /* slopes fed, those that are guided twice */
    int64_t accepted; /* steps taken */
    int64_t rejected; /* steps tried again with a smaller size */
};

struct ode_solver;

/* Doubles of memory that a solver of this method needs for a state of n (rk45 8 n, ipndm4,
 * unipc3 and multistep3 5 n, multistep2 4 n, heun and improved-euler 3 n, euler 1 n); SIZE_MAX when
 * that overflows. */
size_t ode_solver_scratch(enum ode_method method, size_t n);

/* A solver for states of n doubles; all memory it will ever need is taken here. NULL: ERR_MEMORY or
 * the options' error. Free with ode_solver_free. */
struct ode_solver *ode_solver_new(const struct ode_options *options, size_t n, struct err *e);
void ode_solver_free(struct ode_solver *s);

/* Begins at (x0 [n], t0), to end at t1. t0 ≠ t1, either direction; both > 0 unless the clock is
 * linear. x0 is copied. May be called again to reuse the solver. Bad times (ERR_INPUT, at "t") and
 * a non-finite x0 (ERR_NUMERIC) return -1 at once and leave the status ODE_FAILED. */
int ode_solver_start(struct ode_solver *s, const double *x0, double t0, double t1, struct err *e);

enum ode_status ode_solver_status(const struct ode_solver *s);
const double *ode_solver_point(const struct ode_solver *s); /* [n], where the slope is wanted */
double ode_solver_time(const struct ode_solver *s);         /* t there */
enum ode_form ode_solver_form(const struct ode_solver *s);
bool ode_solver_guided(const struct ode_solver *s);     /* whether it is wanted guided, */
double ode_solver_guidance(const struct ode_solver *s); /* and how far */

/* Takes the slope [n] and moves on; call it only while the status is ODE_WANTS_SLOPE (else it does
 * nothing). A non-finite slope or state, step underflow or the end of max_nfe make the status
 * ODE_FAILED. The slope may not lie in the solver's own vectors. Allocates nothing. */
void ode_solver_feed(struct ode_solver *s, const double *slope);

/* While the status is ODE_WANTS_NOISE: the number of the step that it is for, and the n independent
 * standard normals, which belong to that step alone. */
int64_t ode_solver_noise_step(const struct ode_solver *s);
void ode_solver_feed_noise(struct ode_solver *s, const double *normals);

/* While the status is ODE_WANTS_SLOPE, of a method that evaluates once: puts values [n] in the
 * place of the components of the state, which is the point, whose `held` [n] is not 0. A step mixes
 * no components, so the others go on as before. */
void ode_solver_hold(struct ode_solver *s, const uint8_t *held, const double *values);

/* The state [n] and t after the last taken step; the pointer is good until the next feed. */
const double *ode_solver_state(const struct ode_solver *s);
double ode_solver_state_time(const struct ode_solver *s);
struct ode_counts ode_solver_counts(const struct ode_solver *s);
/* 0 to 1: how far in the solver's own clock (ln t or steps). */
double ode_solver_progress(const struct ode_solver *s);
/* Filled after ODE_FAILED: ERR_NUMERIC, or ERR_LIMIT for max_nfe. */
const struct err *ode_solver_error(const struct ode_solver *s);

#endif
