/* What the files of this room share: the solver's struct and the table through which a method
 * joins.
 *
 * A method is one `struct ode_ops`, one file, and one line in ode_solver.c. The common part
 * (checks, memory, counts, finite slopes, the evaluation budget) is done in ode_solver.c; the
 * method decides where the next slope is wanted and when the end is reached. A method with a
 * history keeps it in vectors of its own, counted in `vectors`, and whatever else in its private
 * struct. */
#ifndef ODE_INTERNAL_H
#define ODE_INTERNAL_H

#include "ode_solver.h"

struct ode_ops {
    const char *name; /* the word of the interface */
    bool fixed_step;
    int order;           /* see ode_method_order */
    size_t vectors;      /* vectors of n doubles, the state among them */
    size_t private_size; /* bytes of the method's own struct */
    /* Evaluations that the options' steps take; 0 when nobody can say beforehand. */
    int64_t (*evaluations)(const struct ode_options *options);
    enum ode_form (*form)(const struct ode_options *options);
    /* At vector 0 = x0, t0, t1, with everything checked. Ends in ode_want or ode_fail. */
    void (*start)(struct ode_solver *s);
    /* With the finite slope at the wanted place, already counted. Ends in ode_want, ode_finish or
     * ode_fail. */
    void (*feed)(struct ode_solver *s, const double *slope);
    double (*progress)(const struct ode_solver *s);
    /* The step under way sets out from t instead; NULL: a method without churn. */
    void (*churned)(struct ode_solver *s, double t);
};

struct ode_solver {
    struct ode_options options;
    const struct ode_ops *ops;
    size_t n;
    enum ode_status status;
    enum ode_form form;
    bool ending; /* t1 is reached, the step to zero is under way */
    double t0, t1;
    const double *point; /* what is wanted, while ODE_WANTS_SLOPE */
    double time;
    double *state; /* after the last taken step */
    double state_time;
    struct ode_counts counts;
    double churned; /* t̂, while noise is wanted */
    struct err error;
    double *vectors; /* [ops->vectors, n] */
    void *own;       /* the method's private struct, zeroed at ode_solver_new only */
};

/* Vector k of the solver's memory. */
static inline double *ode_vector(const struct ode_solver *s, size_t k)
{
    return s->vectors + k * s->n;
}

/* Asks for the slope at (point, time). Fails instead when the point is not finite or the budget of
 * evaluations is spent. */
void ode_want(struct ode_solver *s, const double *point, double time);
/* Begins a step from the state at t: asks for noise where the options churn, else for the slope. */
void ode_begin_step(struct ode_solver *s, double t);
/* One more step taken: the state is `state` (one of the solver's vectors), at time. False, and
 * failed, when it is not finite. */
bool ode_advance(struct ode_solver *s, double *state, double time);
/* t1 is reached. */
void ode_finish(struct ode_solver *s);
void ode_fail(struct ode_solver *s, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The order to go by: the method's, or the options' cap on it. */
int ode_order(const struct ode_solver *s);

/* Table entries that several methods share: one evaluation a step; slopes in ln t. */
int64_t ode_evaluations_once(const struct ode_options *options);
enum ode_form ode_form_log(const struct ode_options *options);

/* rk45 with steps of exactly `size` (in its clock, the last one shorter) and no error control: for
 * measuring the order of the formula. Between new and start; 0 turns it off. */
void ode_rk45_fix_step(struct ode_solver *s, double size);

extern const struct ode_ops ode_rk45_ops;
extern const struct ode_ops ode_euler_ops;
extern const struct ode_ops ode_improved_euler_ops;
extern const struct ode_ops ode_heun_ops;
extern const struct ode_ops ode_multistep2_ops;
extern const struct ode_ops ode_multistep3_ops;
extern const struct ode_ops ode_ipndm4_ops;
extern const struct ode_ops ode_unipc3_ops;

#endif
