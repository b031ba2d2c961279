/* rk45 against SciPy's own traces: counts exactly, each step and the end to 1e-6. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "../golden_file.h"
#include "base_math.h"
#include "ode_drive.h"

#define STEPS_ROOM 2000

struct trace {
    size_t count;
    double h[STEPS_ROOM]; /* in the solver's clock */
    double t[STEPS_ROOM];
};

/* Runs the solver to its end and notes each step taken. */
static void run(struct ode_solver *s, const double *x0, double t0, double t1, bool log_clock,
                slope_function *slope, void *context, double *scratch, struct trace *trace)
{
    struct err e = {0};
    double before = log_clock ? math_log(t0) : t0;
    trace->count = 0;
    assert_int_equal(ode_solver_start(s, x0, t0, t1, &e), 0);
    while (ode_solver_status(s) == ODE_WANTS_SLOPE) {
        int64_t accepted = ode_solver_counts(s).accepted;
        drive_once(s, slope, context, scratch);
        if (ode_solver_counts(s).accepted > accepted) {
            assert_true(trace->count < STEPS_ROOM);
            double t = ode_solver_state_time(s);
            double after = log_clock ? math_log(t) : t;
            trace->t[trace->count] = t;
            trace->h[trace->count++] = after - before;
            before = after;
        }
    }
    if (ode_solver_status(s) == ODE_FAILED)
        fail_msg("%s", ode_solver_error(s)->text);
}

static double worst_relative(const double *got, const double *want, size_t n)
{
    double worst = 0.0;
    for (size_t i = 0; i < n; i++)
        worst = fmax(worst, fabs(got[i] - want[i]) / fabs(want[i]));
    return worst;
}

static void assert_counts(const struct golden_file *g, const char *entry,
                          const struct ode_solver *s)
{
    struct ode_counts c = ode_solver_counts(s);
    print_message("%-18s nfe %lld, accepted %lld, attempted %lld\n", entry, (long long)c.nfe,
                  (long long)c.accepted, (long long)(c.accepted + c.rejected));
    assert_int_equal(c.nfe, golden_info_int(g, entry, "nfe"));
    assert_int_equal(c.accepted, golden_info_int(g, entry, "accepted"));
    assert_int_equal(c.accepted + c.rejected, golden_info_int(g, entry, "attempted"));
    assert_int_equal(c.nfe, 2 + 6 * (c.accepted + c.rejected));
}

/* One source trace: entry is "tolX.startI". */
static void check_source_trace(const struct golden_file *g, const char *entry, double tol,
                               struct drive_sources *context, const double *start)
{
    static struct trace trace;
    char name[96];
    size_t steps, count, d = context->sources.d;
    double scratch[8];
    struct ode_options options = {
        .method = ODE_RK45, .clock = ODE_CLOCK_LOG, .rtol = tol, .atol = tol};
    struct ode_solver *s = drive_new(options, d);
    snprintf(name, sizeof name, "%s.h_ln_t", entry);
    double *h = golden_doubles(g, name, &steps);
    snprintf(name, sizeof name, "%s.x", entry);
    double *x = golden_doubles(g, name, &count);
    assert_int_equal(count, d);
    run(s, start, 40.0, 1e-3, true, drive_sources_slope, context, scratch, &trace);
    assert_counts(g, entry, s);
    assert_int_equal(trace.count, steps);
    double worst_h = worst_relative(trace.h, h, steps);
    double worst_x = worst_difference(ode_solver_state(s), x, d);
    print_message("%-18s worst step %.2e (relative), worst end %.2e\n", "", worst_h, worst_x);
    assert_true(worst_h < 1e-6);
    assert_true(worst_x < 1e-6);
    assert_true(ode_solver_state_time(s) == 1e-3);
    free(h);
    free(x);
    ode_solver_free(s);
}

static void test_sources(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double tol;
    } tolerances[] = {{"tol0.001", 1e-3}, {"tol0.0001", 1e-4}, {"tol1e-06", 1e-6}};
    struct golden_file g = golden_open("rk45_trace.golden.safetensors");
    struct drive_sources context = {0};
    size_t count, values;
    double *points = golden_doubles(&g, "sources", &values);
    double *weights = golden_doubles(&g, "weights", &count);
    double *starts = golden_doubles(&g, "starts", &values);
    context.sources =
        (struct field_sources){.count = count, .d = 8, .points = points, .weights = weights};
    assert_int_equal(count, 5);
    assert_int_equal(values, 3 * 8);
    for (size_t k = 0; k < 3; k++) {
        for (size_t i = 0; i < 3; i++) {
            char entry[64];
            snprintf(entry, sizeof entry, "%s.start%zu", tolerances[k].name, i);
            check_source_trace(&g, entry, tolerances[k].tol, &context, starts + 8 * i);
        }
    }
    free(points);
    free(weights);
    free(starts);
    golden_close(&g);
}

/* Van der Pol's oscillator, μ = 20: stiff enough that steps are rejected. */
static void van_der_pol_slope(void *context, const double *y, double t, double *slope)
{
    (void)context;
    (void)t;
    slope[0] = y[1];
    slope[1] = 20.0 * (1.0 - y[0] * y[0]) * y[1] - y[0];
}

static void test_van_der_pol(void **state)
{
    (void)state;
    static struct trace trace;
    static const double start[2] = {2.0, 0.0};
    struct golden_file g = golden_open("rk45_trace.golden.safetensors");
    size_t steps, count;
    double scratch[2];
    double *t = golden_doubles(&g, "vdp20.t", &steps);
    double *y = golden_doubles(&g, "vdp20.y", &count);
    struct ode_options options = {
        .method = ODE_RK45, .clock = ODE_CLOCK_LINEAR, .rtol = 1e-4, .atol = 1e-4};
    struct ode_solver *s = drive_new(options, 2);
    assert_int_equal(ode_solver_form(s), ODE_SLOPE_DT);
    run(s, start, 0.0, 60.0, false, van_der_pol_slope, NULL, scratch, &trace);
    assert_counts(&g, "vdp20", s);
    assert_int_equal(trace.count, steps);
    double worst_t = worst_relative(trace.t, t, steps);
    double worst_y = worst_difference(ode_solver_state(s), y, 2);
    print_message("%-18s worst t %.2e (relative), worst end %.2e\n", "", worst_t, worst_y);
    assert_true(worst_t < 1e-6);
    assert_true(worst_y < 1e-6);
    free(t);
    free(y);
    ode_solver_free(s);
    golden_close(&g);
}

#define CHANNEL 16 /* a time channel of 4×4 beside 8 components */

/* The field in the first 8 components, and the reference's time channel written out in the rest. */
static void with_channel_slope(void *context, const double *x, double t, double *slope)
{
    drive_sources_slope(context, x, t, slope);
    for (size_t j = 8; j < 8 + CHANNEL; j++)
        slope[j] = t;
}

/* time_components must steer the steps exactly as a channel in the state does, and differently from
 * no channel at all. */
static void test_time_components(void **state)
{
    (void)state;
    static struct trace plain, counted, written;
    struct golden_file g = golden_open("rk45_trace.golden.safetensors");
    struct drive_sources context = {0};
    size_t values;
    double *points = golden_doubles(&g, "sources", &values);
    double *starts = golden_doubles(&g, "starts", &values);
    double scratch[8 + CHANNEL], x0[8 + CHANNEL];
    struct ode_options options = {
        .method = ODE_RK45, .clock = ODE_CLOCK_LOG, .rtol = 1e-4, .atol = 1e-4};
    context.sources = (struct field_sources){.count = 5, .d = 8, .points = points};
    memcpy(x0, starts, 8 * sizeof(double));
    for (size_t j = 8; j < 8 + CHANNEL; j++)
        x0[j] = 40.0;
    struct ode_solver *s = drive_new(options, 8);
    run(s, x0, 40.0, 1e-3, true, drive_sources_slope, &context, scratch, &plain);
    ode_solver_free(s);
    s = drive_new(options, 8 + CHANNEL);
    run(s, x0, 40.0, 1e-3, true, with_channel_slope, &context, scratch, &written);
    double end[8];
    memcpy(end, ode_solver_state(s), sizeof end);
    int64_t nfe = ode_solver_counts(s).nfe;
    ode_solver_free(s);
    options.time_components = CHANNEL;
    s = drive_new(options, 8);
    run(s, x0, 40.0, 1e-3, true, drive_sources_slope, &context, scratch, &counted);
    print_message("time channel: nfe %lld, plain steps %zu, with it %zu\n", (long long)nfe,
                  plain.count, written.count);
    assert_int_equal(ode_solver_counts(s).nfe, nfe);
    assert_int_equal(counted.count, written.count);
    assert_true(worst_relative(counted.h, written.h, written.count) < 1e-9);
    assert_true(worst_difference(ode_solver_state(s), end, 8) < 1e-9);
    assert_true(fabs(plain.h[0] - counted.h[0]) > 1e-3 * fabs(plain.h[0]));
    ode_solver_free(s);
    free(points);
    free(starts);
    golden_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_time_components),
        cmocka_unit_test(test_van_der_pol),
    };
    return cmocka_run_group_tests_name("rk45 against SciPy", tests, NULL, NULL);
}
