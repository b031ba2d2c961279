/* Orders of the methods on an analytic field, by fixed steps: the slope of ln error over ln steps.
 * And what the methods do exactly: straight lines of one source, the reference's formulas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base_math.h"
#include "ode_drive.h"
#include "ode_internal.h"
#include <stdlib.h>

enum { D = 3 };
static const double T0 = 10.0, T1 = 0.1;
static const double POINTS[4 * D] = {0.9, -0.3, 0.2,  -0.7, 0.6,  0.1,
                                     0.1, 0.8,  -0.9, -0.4, -0.8, 0.5};
static const double START[D] = {7.0, -4.0, 5.0};

static struct drive_sources four_sources(void)
{
    return (struct drive_sources){.sources = {.count = 4, .d = D, .points = POINTS}};
}

static double error_of(enum ode_method method, int steps, const double *reference, double *end)
{
    struct drive_sources field = four_sources();
    double scratch[D];
    struct ode_options options = {
        .method = method, .clock = ODE_CLOCK_LOG, .steps = steps, .rtol = 1e-12, .atol = 1e-15};
    struct ode_solver *s = drive_new(options, D);
    if (method == ODE_RK45 && steps > 0)
        ode_rk45_fix_step(s, (math_log(T0) - math_log(T1)) / steps * (1.0 + 1e-12));
    assert_int_equal(drive(s, START, T0, T1, drive_sources_slope, &field, scratch), ODE_DONE);
    if (steps > 0)
        assert_int_equal(ode_solver_counts(s).accepted, steps);
    double error = worst_difference(ode_solver_state(s), reference, D);
    if (end != NULL)
        memcpy(end, ode_solver_state(s), D * sizeof(double));
    ode_solver_free(s);
    return error;
}

/* The end by rk45 in 1,500 steps, where only rounding is left; the adaptive run agrees. */
static void reference_end(double out[D])
{
    error_of(ODE_RK45, 1500, START, out);
    double adaptive = error_of(ODE_RK45, 0, out, NULL);
    print_message("adaptive rk45 at 1e-12 is off the reference by %.1e\n", adaptive);
    assert_true(adaptive < 1e-11);
}

/* Order by least squares of ln error over ln steps, steps = first · 2^k. */
static double fitted_order(enum ode_method method, int first, int count)
{
    double reference[D], sx = 0.0, sy = 0.0, sxx = 0.0, sxy = 0.0;
    reference_end(reference);
    for (int k = 0; k < count; k++) {
        int steps = first << k;
        double error = error_of(method, steps, reference, NULL);
        double x = log(steps), y = log(error);
        print_message("  %-14s %5d steps: error %.3e\n", ode_method_name(method), steps, error);
        sx += x;
        sy += y;
        sxx += x * x;
        sxy += x * y;
    }
    double order = -(count * sxy - sx * sy) / (count * sxx - sx * sx);
    print_message("%s: order %.3f\n", ode_method_name(method), order);
    return order;
}

static void test_orders(void **state)
{
    (void)state;
    assert_true(fabs(fitted_order(ODE_EULER, 256, 5) - 1.0) < 0.15);
    assert_true(fabs(fitted_order(ODE_IMPROVED_EULER, 128, 5) - 2.0) < 0.15);
    assert_true(fabs(fitted_order(ODE_HEUN, 128, 5) - 2.0) < 0.15);
    assert_true(fabs(fitted_order(ODE_RK45, 80, 3) - 5.0) < 0.3);
}

/* One source: lines are straight, x(t) = y + (x_T − y) t/T, so every method that steps in t is
 * exact and rk45 lands on the line to its tolerance, from any start, in any dimension. */
static void check_straight_line(size_t d, struct ode_options options, double bound)
{
    double *memory = calloc(3 * d, sizeof(double));
    assert_non_null(memory);
    double *y = memory, *start = memory + d, *scratch = memory + 2 * d;
    for (size_t j = 0; j < d; j++) {
        y[j] = sin(1.0 + (double)j);
        start[j] = 60.0 * cos(2.0 * (double)j);
    }
    struct drive_sources field = {.sources = {.count = 1, .d = d, .points = y}};
    struct ode_solver *s = drive_new(options, d);
    assert_int_equal(drive(s, start, 40.0, 1e-3, drive_sources_slope, &field, scratch), ODE_DONE);
    double worst = 0.0;
    for (size_t j = 0; j < d; j++) {
        double line = y[j] + (start[j] - y[j]) * (1e-3 / 40.0);
        worst = fmax(worst, fabs(ode_solver_state(s)[j] - line));
    }
    print_message("one source, d = %4zu, %-14s off the line by %.2e, nfe %lld\n", d,
                  ode_method_name(options.method), worst, (long long)ode_solver_counts(s).nfe);
    assert_true(worst < bound);
    assert_true(ode_solver_state_time(s) == 1e-3);
    ode_solver_free(s);
    free(memory);
}

static void test_one_source_is_a_straight_line(void **state)
{
    (void)state;
    static const size_t dimensions[] = {1, 2, 3072};
    for (size_t k = 0; k < 3; k++) {
        size_t d = dimensions[k];
        struct ode_options rk45 = {
            .method = ODE_RK45, .clock = ODE_CLOCK_LOG, .rtol = 1e-6, .atol = 1e-6};
        struct ode_options fixed = {.method = ODE_EULER, .steps = 7};
        check_straight_line(d, rk45, 1e-5);
        check_straight_line(d, fixed, 1e-12);
        fixed.method = ODE_IMPROVED_EULER;
        check_straight_line(d, fixed, 1e-12);
    }
}

/* A last step of Euler's, from t_min to 0, ends on the data prediction: every method on a single
 * source; it is one of the steps of a fixed-step method and one evaluation, and none goes to zero
 * upwards. */
static void test_the_step_to_zero(void **state)
{
    (void)state;
    static const double y[2] = {0.5, -3.0}, start[2] = {60.0, -20.0};
    struct drive_sources field = {.sources = {.count = 1, .d = 2, .points = y}};
    for (int method = 0; method < ODE_METHODS; method++) {
        struct ode_options options = {.method = (enum ode_method)method,
                                      .clock = ODE_CLOCK_LOG,
                                      .rtol = 1e-4,
                                      .atol = 1e-4,
                                      .steps = ode_method_is_fixed_step(method) ? 6 : 0};
        double scratch[2];
        struct ode_solver *plain = drive_new(options, 2);
        options.to_zero = true;
        options.steps += ode_method_is_fixed_step(method) ? 1 : 0;
        struct ode_solver *s = drive_new(options, 2);
        assert_int_equal(drive(plain, start, 40.0, 0.1, drive_sources_slope, &field, scratch),
                         ODE_DONE);
        assert_int_equal(drive(s, start, 40.0, 0.1, drive_sources_slope, &field, scratch),
                         ODE_DONE);
        assert_true(worst_difference(ode_solver_state(s), y, 2) < 1e-12);
        assert_true(ode_solver_state_time(s) == 0.0 && ode_solver_progress(s) == 1.0);
        /* the step to zero takes the place of improved-euler's own last step of Euler's */
        assert_int_equal(ode_solver_counts(s).nfe,
                         ode_solver_counts(plain).nfe + (method == ODE_IMPROVED_EULER ? 2 : 1));
        assert_int_equal(drive(s, start, 0.1, 40.0, drive_sources_slope, &field, scratch),
                         ODE_FAILED);
        assert_int_equal(ode_solver_error(s)->code, ERR_INPUT);
        ode_solver_free(plain);
        ode_solver_free(s);
    }
}

/* Evaluations by the formulas, and the reference's steps written out by hand on a grid of three. */
static void test_formulas_of_fixed_steps(void **state)
{
    (void)state;
    struct drive_sources field = four_sources();
    double f[D], g[D], euler[D], improved[D], heun[D], predicted[D], scratch[D];
    double t[3] = {T0, sqrt(T0 * T1), T1}, h = log(T1 / T0) / 2.0;
    memcpy(euler, START, sizeof euler);
    memcpy(improved, START, sizeof improved);
    memcpy(heun, START, sizeof heun);
    for (int i = 0; i < 2; i++) {
        double dt = t[i + 1] - t[i];
        drive_sources_slope(&field, euler, t[i], f);
        for (int j = 0; j < D; j++)
            euler[j] += dt * f[j] / t[i];
        drive_sources_slope(&field, improved, t[i], f);
        for (int j = 0; j < D; j++)
            predicted[j] = improved[j] + dt * f[j] / t[i];
        drive_sources_slope(&field, predicted, t[i + 1], g);
        for (int j = 0; j < D; j++)
            improved[j] =
                i == 1 ? predicted[j] : improved[j] + 0.5 * dt * (f[j] / t[i] + g[j] / t[i + 1]);
        drive_sources_slope(&field, heun, t[i], f);
        for (int j = 0; j < D; j++)
            predicted[j] = heun[j] + h * f[j];
        drive_sources_slope(&field, predicted, t[i + 1], g);
        for (int j = 0; j < D; j++)
            heun[j] += 0.5 * h * (f[j] + g[j]);
    }
    const struct {
        enum ode_method method;
        const double *end;
        int64_t nfe;
    } cases[] = {{ODE_EULER, euler, 2}, {ODE_IMPROVED_EULER, improved, 3}, {ODE_HEUN, heun, 4}};
    for (size_t k = 0; k < 3; k++) {
        struct ode_options options = {.method = cases[k].method, .steps = 2};
        struct ode_solver *s = drive_new(options, D);
        assert_int_equal(drive(s, START, T0, T1, drive_sources_slope, &field, scratch), ODE_DONE);
        assert_int_equal(ode_solver_counts(s).nfe, cases[k].nfe);
        assert_true(worst_difference(ode_solver_state(s), cases[k].end, D) < 1e-12);
        ode_solver_free(s);
    }
}

/* Down and up again returns to the start, with each method within its own error. */
static void test_there_and_back(void **state)
{
    (void)state;
    static const struct {
        enum ode_method method;
        int steps;
        double bound;
    } cases[] = {
        {ODE_RK45, 0, 1e-7},     {ODE_EULER, 20000, 0.01},     {ODE_IMPROVED_EULER, 2000, 1e-5},
        {ODE_HEUN, 2000, 1e-5},  {ODE_MULTISTEP2, 2000, 1e-5}, {ODE_MULTISTEP3, 2000, 1e-7},
        {ODE_IPNDM4, 2000, 1e-4}};
    struct drive_sources field = four_sources();
    double scratch[D], low[D];
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        struct ode_options options = {.method = cases[k].method,
                                      .clock = ODE_CLOCK_LOG,
                                      .steps = cases[k].steps,
                                      .rtol = 1e-10,
                                      .atol = 1e-10};
        struct ode_solver *s = drive_new(options, D);
        assert_int_equal(drive(s, START, T0, T1, drive_sources_slope, &field, scratch), ODE_DONE);
        memcpy(low, ode_solver_state(s), sizeof low);
        assert_int_equal(drive(s, low, T1, T0, drive_sources_slope, &field, scratch), ODE_DONE);
        double worst = worst_difference(ode_solver_state(s), START, D);
        print_message("there and back, %-14s off by %.2e\n", ode_method_name(options.method),
                      worst);
        assert_true(worst < cases[k].bound);
        assert_true(ode_solver_state_time(s) == T0);
        ode_solver_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_one_source_is_a_straight_line),
        cmocka_unit_test(test_the_step_to_zero),
        cmocka_unit_test(test_formulas_of_fixed_steps),
        cmocka_unit_test(test_there_and_back),
    };
    return cmocka_run_group_tests_name("orders of the solvers", tests, NULL, NULL);
}
