/* Exponential multistep methods on the data prediction: one evaluation a step.
 *
 * With s = ln t and the data prediction x̂ = x − dx/ds the flow is dx/ds = x − x̂, whose linear part
 * is known: from s0 over h
 *
 *     x(s0 + h) = e^h x(s0) − h ∫₀¹ e^{h(1−u)} x̂(s0 + u h) du.
 *
 * The prediction varies slowly along a path (far from the data it is their mean, near them it is
 * the one image), so it, and not the slope, is what gets interpolated: by the Lagrange polynomial
 * in s through the last `order` predictions, integrated against the exponential weight exactly for
 * any steps (Lu et al. 2022, DPM-Solver++, for α = 1, σ = t). Order 1 would be Euler in t.
 *
 * The corrector costs no evaluation (Zhao et al. 2023, UniPC): when the prediction at the new node
 * is known, the step that led there is done again with it in place of the oldest. The prediction is
 * not evaluated again at the corrected point, so NFE = steps. On the bundled models this halves the
 * error at 20 steps and divides it by four at 50; keeping the oldest too, which makes the corrector
 * one order higher than the predictor as UniPC has it (unipc3), rarely gains more.
 *
 * A cap on the order leaves the oldest predictions out: under 2 multistep3 is multistep2, and under
 * 1 the predictor is Euler's and the corrector has the new prediction alone, unipc3's the last too.
 *
 * The first step has one prediction to go by, the second two. The last node is reached by the
 * predictor, as nothing is evaluated there; with fewer than ten steps by that of order 1, since
 * steps so long extrapolate too far (at six steps up to half the error goes, from ten on none).
 *
 * At a break the prediction jumps and the history says nothing about what follows: the node at the
 * break begins anew, and the step that ends there is not corrected.
 *
 * Memory: the predicted state (which is also the point wanted), the corrected state it was
 * predicted from, and `order` predictions, the newest in the oldest's place. */
#include "base_math.h"
#include "ode_grid.h"
#include "ode_internal.h"
#include <math.h>
#include <string.h>

enum { ORDER_MAX = 3, POINTS_MAX = ORDER_MAX + 1, LOWERED_BELOW = 10 };
enum { STATE, BASE, HISTORY };

struct multistep {
    struct ode_grid grid;
    int order;
    bool keeps_oldest;    /* in the corrector */
    int step;             /* the step under way, from 0 */
    int count;            /* predictions known on this side of the break, at most order */
    int newest;           /* the newest one's place */
    double s[ORDER_MAX];  /* ln t of the predictions, by place */
    double s_base, s_new; /* ln t of BASE and of STATE */
    double t_base, t_new;
};

/* φ₁ … φ_n of h in phi[1 …]: φ_{k+1}(h) = (φ_k(h) − 1/k!)/h, φ₀ = e^h. Near 0, where that cancels,
 * by the series φ_k(h) = Σ h^j/(j + k)!. */
static void phi_functions(double h, int n, double *phi)
{
    double factorial = 1.0; /* of k − 1, then of k */
    if (fabs(h) > 1.0) {
        phi[0] = math_exp(h);
        for (int k = 1; k <= n; k++) {
            phi[k] = (phi[k - 1] - 1.0 / factorial) / h;
            factorial *= k;
        }
        return;
    }
    for (int k = 1; k <= n; k++) {
        factorial *= k;
        double term = 1.0 / factorial, sum = 0.0;
        for (int j = 1; j <= 20; j++) {
            sum += term;
            term *= h / (double)(j + k);
        }
        phi[k] = sum;
    }
}

/* The weights of the predictions at u[0 … n − 1] (places relative to the step: 0 its beginning, 1
 * its end) in −h ∫₀¹ e^{h(1−u)} ℓ(u) du: the integral of u^k is k! φ_{k+1}(h). They sum to 1 − e^h,
 * and the first is made to, so that a constant prediction is followed exactly. */
static void weights(double ratio, double h, int n, const double *u, double *w)
{
    double phi[POINTS_MAX + 1], sum = 0.0;
    phi_functions(h, n, phi);
    for (int j = 1; j < n; j++) {
        double c[POINTS_MAX] = {1.0}; /* coefficients of ℓ_j by powers of u */
        for (int i = 0, degree = 0; i < n; i++) {
            if (i == j)
                continue;
            double scale = 1.0 / (u[j] - u[i]);
            c[degree + 1] = 0.0;
            for (int k = ++degree; k >= 0; k--)
                c[k] = ((k > 0 ? c[k - 1] : 0.0) - u[i] * c[k]) * scale;
        }
        double integral = 0.0, factorial = 1.0;
        for (int k = 0; k < n; k++) {
            factorial *= k > 0 ? k : 1;
            integral += factorial * c[k] * phi[k + 1];
        }
        w[j] = -h * integral;
        sum += w[j];
    }
    w[0] = (1.0 - ratio) - sum;
}

/* The prediction `age` nodes before the newest. */
static int place(const struct multistep *own, int age)
{
    return (own->newest - age + own->order) % own->order;
}

/* out = ratio · BASE + Σ w_j · the j-th newest prediction. */
static void combine(const struct ode_solver *s, double *out, double ratio, int n, const double *w)
{
    const struct multistep *own = s->own;
    const double *base = ode_vector(s, BASE);
    for (size_t i = 0; i < s->n; i++)
        out[i] = ratio * base[i];
    for (int j = 0; j < n; j++) {
        const double *prediction = ode_vector(s, (size_t)(HISTORY + place(own, j)));
        for (size_t i = 0; i < s->n; i++)
            out[i] += w[j] * prediction[i];
    }
}

/* Does the step from BASE to the node just reached again, with the prediction there; BASE becomes
 * the result. */
static void correct(struct ode_solver *s, const double *slope)
{
    struct multistep *own = s->own;
    double *base = ode_vector(s, BASE);
    const double *state = ode_vector(s, STATE);
    double u[POINTS_MAX], w[POINTS_MAX], h = own->s_new - own->s_base;
    double ratio = own->t_new / own->t_base;
    int n = own->count < own->order || own->keeps_oldest ? own->count : own->order - 1;
    for (int j = 0; j < n; j++)
        u[j] = (own->s[place(own, j)] - own->s_base) / h;
    u[n] = 1.0;
    weights(ratio, h, n + 1, u, w);
    combine(s, base, ratio, n, w);
    for (size_t i = 0; i < s->n; i++)
        base[i] += w[n] * (state[i] - slope[i]);
}

/* The prediction at the node just reached joins the history. */
static void remember(struct ode_solver *s, const double *slope)
{
    struct multistep *own = s->own;
    const double *state = ode_vector(s, STATE);
    own->newest = (own->newest + 1) % own->order;
    own->count += own->count < own->order;
    own->s[own->newest] = own->s_new;
    double *prediction = ode_vector(s, (size_t)(HISTORY + own->newest));
    for (size_t i = 0; i < s->n; i++)
        prediction[i] = state[i] - slope[i];
}

/* Steps from BASE to the next node; STATE is the result. */
static void predict(struct ode_solver *s)
{
    struct multistep *own = s->own;
    double u[ORDER_MAX], w[ORDER_MAX];
    own->t_base = own->t_new;
    own->s_base = own->s_new;
    own->t_new = ode_grid_time(&own->grid, own->step + 1);
    own->s_new = ode_grid_log_time(&own->grid, own->step + 1);
    double h = own->s_new - own->s_base, ratio = own->t_new / own->t_base;
    if (h == 0.0) {
        ode_fail(s, ERR_NUMERIC, "%d steps are too many: two of them meet at t = %g",
                 own->grid.steps, own->t_base);
        return;
    }
    int n = own->count;
    if (own->step == own->grid.steps - 1 && own->grid.steps < LOWERED_BELOW)
        n = 1;
    for (int j = 0; j < n; j++)
        u[j] = (own->s[place(own, j)] - own->s_base) / h;
    weights(ratio, h, n, u, w);
    combine(s, ode_vector(s, STATE), ratio, n, w);
    if (!ode_advance(s, ode_vector(s, STATE), own->t_new))
        return;
    if (++own->step == own->grid.steps)
        ode_finish(s);
    else
        ode_want(s, s->state, own->t_new);
}

static void multistep_start(struct ode_solver *s)
{
    struct multistep *own = s->own;
    *own = (struct multistep){
        .order = ode_order(s), .keeps_oldest = s->ops == &ode_unipc3_ops, .t_new = s->t0};
    ode_grid_init(&own->grid, &s->options, s->t0, s->t1, s->options.t_break);
    own->s_new = ode_grid_log_time(&own->grid, 0);
    ode_want(s, s->state, s->t0);
}

static void multistep_feed(struct ode_solver *s, const double *slope)
{
    struct multistep *own = s->own;
    if (own->step == 0 || own->step == own->grid.break_step) {
        own->count = 0;
        memcpy(ode_vector(s, BASE), ode_vector(s, STATE), s->n * sizeof(double));
    } else {
        correct(s, slope);
    }
    remember(s, slope);
    predict(s);
}

static double multistep_progress(const struct ode_solver *s)
{
    const struct multistep *own = s->own;
    return (double)own->step / (double)own->grid.steps;
}

#define MULTISTEP_OPS(word, most)                                                                  \
    {                                                                                              \
        .name = word, .fixed_step = true, .order = (most), .vectors = HISTORY + (most),            \
        .private_size = sizeof(struct multistep), .evaluations = ode_evaluations_once,             \
        .form = ode_form_log, .start = multistep_start, .feed = multistep_feed,                    \
        .progress = multistep_progress,                                                            \
    }
const struct ode_ops ode_multistep2_ops = MULTISTEP_OPS("multistep2", 2);
const struct ode_ops ode_multistep3_ops = MULTISTEP_OPS("multistep3", 3);
const struct ode_ops ode_unipc3_ops = MULTISTEP_OPS("unipc3", 3);
