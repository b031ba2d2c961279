/* Heun's steps in t with noise, as PFGM++'s sampler takes them: against the formulas written out,
 * and who may ask for noise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base_rng.h"
#include "ode_drive.h"
#include <math.h>

#define STEPS 9
#define D 2

static const double POINTS[3 * D] = {0.5, -1.0, -0.7, 0.2, 0.1, 0.9};

/* dx/dt of the same sources. */
static void slope_at(struct drive_sources *field, const double *x, double t, double *out)
{
    drive_sources_slope(field, x, t, out);
    for (int j = 0; j < D; j++)
        out[j] /= t;
}

/* The sampler of Karras et al. 2022, algorithm 2, on its grid. */
static void by_hand(struct drive_sources *field, const struct ode_churn *c, double t0, double t1,
                    double *x)
{
    double t[STEPS + 1], f[D], g[D], to[D], normals[D];
    for (int i = 0; i < STEPS; i++)
        t[i] = pow(pow(t0, 1 / 7.0) + i / (STEPS - 1.0) * (pow(t1, 1 / 7.0) - pow(t0, 1 / 7.0)), 7);
    t[STEPS] = 0;
    for (int i = 0; i < STEPS; i++) {
        double gamma =
            t[i] >= c->t_min && t[i] <= c->t_max ? fmin(c->amount / STEPS, sqrt(2.0) - 1) : 0;
        double from = t[i] * (1 + gamma);
        rng_step_normals(4, 2, RNG_CHURN, (uint32_t)i, D, normals);
        for (int j = 0; j < D; j++)
            x[j] += sqrt(from * from - t[i] * t[i]) * c->noise * normals[j];
        slope_at(field, x, from, f);
        for (int j = 0; j < D; j++)
            to[j] = x[j] + (t[i + 1] - from) * f[j];
        if (i < STEPS - 1) {
            slope_at(field, to, t[i + 1], g);
            for (int j = 0; j < D; j++)
                to[j] = x[j] + (t[i + 1] - from) * (f[j] + g[j]) / 2;
        }
        memcpy(x, to, sizeof to);
    }
}

static void solve(struct drive_sources *field, const struct ode_churn *churn,
                  enum ode_method method, double t0, double t1, double *x, int64_t *nfe)
{
    const struct ode_options options = {.method = method,
                                        .clock = ODE_CLOCK_LINEAR,
                                        .schedule = ODE_SCHEDULE_RHO,
                                        .steps = STEPS,
                                        .to_zero = true,
                                        .churn = *churn};
    struct ode_solver *s = drive_new(options, D);
    struct err e = {0};
    double scratch[D], normals[D];
    assert_int_equal(ode_solver_start(s, x, t0, t1, &e), 0);
    while (ode_solver_status(s) < ODE_DONE) {
        if (ode_solver_status(s) == ODE_WANTS_NOISE) {
            rng_step_normals(4, 2, RNG_CHURN, (uint32_t)ode_solver_noise_step(s), D, normals);
            ode_solver_feed_noise(s, normals);
            continue;
        }
        drive_once(s, drive_sources_slope, field, scratch);
    }
    assert_int_equal(ode_solver_status(s), ODE_DONE);
    assert_true(ode_solver_state_time(s) == 0.0);
    memcpy(x, ode_solver_state(s), D * sizeof *x);
    *nfe = ode_solver_counts(s).nfe;
    ode_solver_free(s);
}

static void test_noise_is_added_as_the_formulas_say(void **state)
{
    (void)state;
    static const struct ode_churn rows[] = {{0, 0, 0, 0},
                                            {1, 0, INFINITY, 1},
                                            {40, 0, INFINITY, 1.003},
                                            {3, 0.05, 5, 1},
                                            {3, 0, 0.01, 0.9}};
    double last[D] = {0};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        struct drive_sources field = {.sources = {.count = 3, .d = D, .points = POINTS}};
        double right[D] = {50, -70}, x[D] = {50, -70}, other[D] = {50, -70};
        int64_t nfe;
        by_hand(&field, &rows[k], 80, 0.002, right);
        solve(&field, &rows[k], ODE_HEUN, 80, 0.002, x, &nfe);
        assert_int_equal(nfe, 2 * STEPS - 1);
        if (!(worst_difference(x, right, D) < 1e-11))
            fail_msg("row %zu: (%g, %g), by hand (%g, %g)", k, x[0], x[1], right[0], right[1]);
        /* with its last step the one to zero, improved-euler is the same sampler */
        solve(&field, &rows[k], ODE_IMPROVED_EULER, 80, 0.002, other, &nfe);
        assert_true(worst_difference(x, other, D) == 0.0);
        assert_true(k == 0 || worst_difference(x, last, D) > 1e-6);
        memcpy(last, x, sizeof x);
    }
}

static void test_who_may_ask_for_noise(void **state)
{
    (void)state;
    static const struct {
        enum ode_method method;
        struct ode_churn churn;
        const char *at;
    } rows[] = {{ODE_RK45, {1, 0, 1, 1}, "churn"},       {ODE_MULTISTEP3, {1, 0, 1, 1}, "churn"},
                {ODE_UNIPC3, {1, 0, 1, 1}, "churn"},     {ODE_EULER, {-1, 0, 1, 1}, "churn"},
                {ODE_HEUN, {NAN, 0, 1, 1}, "churn"},     {ODE_HEUN, {1, -1, 1, 1}, "churn_t_min"},
                {ODE_HEUN, {1, 2, 1, 1}, "churn_t_max"}, {ODE_HEUN, {1, 0, NAN, 1}, "churn_t_max"},
                {ODE_HEUN, {1, 0, 1, -1}, "churn_noise"}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        struct err e = {0};
        const struct ode_options o = {
            .method = rows[k].method, .steps = 5, .rtol = 1e-3, .churn = rows[k].churn};
        assert_int_equal(ode_options_check(&o, &e), -1);
        assert_string_equal(e.at, rows[k].at);
    }
    struct ode_options good = {.method = ODE_EULER, .steps = 5, .churn = {1, 0, INFINITY, 1}};
    assert_int_equal(ode_options_check(&good, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise_is_added_as_the_formulas_say),
        cmocka_unit_test(test_who_may_ask_for_noise),
    };
    return cmocka_run_group_tests_name("churn", tests, NULL, NULL);
}
