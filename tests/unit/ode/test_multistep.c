/* The methods of one evaluation a step, and the grids. What is held against what: the orders
 * against an analytic field; each step against the method written out anew, with its weights by
 * quadrature; the nodes against their closed forms; the break against a field that jumps there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "ode_drive.h"
#include "ode_grid.h"
#include <stdlib.h>

enum { D = 3, NEW_METHODS = 4, FORMULAS = ODE_SCHEDULE_TUNED, STEPS_ROOM = 64 };
static const enum ode_method METHODS[NEW_METHODS] = {ODE_MULTISTEP2, ODE_MULTISTEP3, ODE_UNIPC3,
                                                     ODE_IPNDM4};
static const double T0 = 10.0, T1 = 0.1;
static const double POINTS[4 * D] = {0.9, -0.3, 0.2,  -0.7, 0.6,  0.1,
                                     0.1, 0.8,  -0.9, -0.4, -0.8, 0.5};
static const double START[D] = {7.0, -4.0, 5.0};

static struct drive_sources four_sources(void)
{
    return (struct drive_sources){.sources = {.count = 4, .d = D, .points = POINTS}};
}

static void solve(struct ode_options options, double t0, double t1, const double *x0,
                  slope_function *slope, void *context, double *end)
{
    double scratch[D];
    struct ode_solver *s = drive_new(options, D);
    if (drive(s, x0, t0, t1, slope, context, scratch) != ODE_DONE)
        fail_msg("%s", ode_solver_error(s)->text);
    if (ode_method_is_fixed_step(options.method)) {
        assert_int_equal(ode_solver_counts(s).nfe, options.steps);
        assert_int_equal(ode_solver_counts(s).accepted, options.steps);
    }
    assert_true(ode_solver_state_time(s) == t1);
    memcpy(end, ode_solver_state(s), D * sizeof(double));
    ode_solver_free(s);
}

/* Order by least squares of ln error over ln steps. */
static double fitted_order(enum ode_method method, enum ode_schedule schedule)
{
    enum { FIRST = 128, COUNT = 5 };
    struct drive_sources field = four_sources();
    double reference[D], end[D], sx = 0.0, sy = 0.0, sxx = 0.0, sxy = 0.0;
    struct ode_options tight = {.method = ODE_RK45, .rtol = 1e-12, .atol = 1e-15};
    solve(tight, T0, T1, START, drive_sources_slope, &field, reference);
    for (int k = 0; k < COUNT; k++) {
        struct ode_options o = {.method = method, .schedule = schedule, .steps = FIRST << k};
        solve(o, T0, T1, START, drive_sources_slope, &field, end);
        double error = worst_difference(end, reference, D);
        double x = log(o.steps), y = log(error);
        print_message("  %-10s %-5s %5d steps: error %.3e\n", ode_method_name(method),
                      ode_schedule_name(schedule), o.steps, error);
        sx += x;
        sy += y;
        sxx += x * x;
        sxy += x * y;
    }
    double order = -(COUNT * sxy - sx * sy) / (COUNT * sxx - sx * sx);
    print_message("%s, %s: order %.3f\n", ode_method_name(method), ode_schedule_name(schedule),
                  order);
    return order;
}

/* unipc3 corrects with order 4, from predictions at points of order 3: it lies between. ipndm4's
 * coefficients are those of even steps in t, and neighbouring steps differ on every grid
 * here: order 2, as its file says. */
static void test_orders(void **state)
{
    (void)state;
    static const double orders[NEW_METHODS] = {2.0, 3.0, 3.7, 2.0};
    static const double around[NEW_METHODS] = {0.3, 0.3, 0.8, 0.3};
    for (size_t m = 0; m < NEW_METHODS; m++) {
        for (int k = 0; k < FORMULAS; k++)
            assert_true(fabs(fitted_order(METHODS[m], (enum ode_schedule)k) - orders[m]) <
                        around[m]);
    }
}

/* −h ∫₀¹ e^{h(1−u)} ℓ_j(u) du over the nodes u[n], by Simpson's rule. */
static double weight_by_quadrature(double h, int n, const double *u, int j)
{
    enum { PIECES = 400 };
    double sum = 0.0;
    for (int k = 0; k <= PIECES; k++) {
        double at = (double)k / PIECES, value = exp(h * (1.0 - at));
        for (int i = 0; i < n; i++)
            value *= i == j ? 1.0 : (at - u[i]) / (u[j] - u[i]);
        sum += value * (k == 0 || k == PIECES ? 1.0 : k % 2 == 1 ? 4.0 : 2.0);
    }
    return -h * sum / (3.0 * PIECES);
}

/* From x at node `at` to the next, through the predictions at nodes from … to. */
static void step_by_hand(const double *t, int at, int from, int to, double x[D],
                         double predictions[][D], double out[D])
{
    double u[8], h = log(t[at + 1] / t[at]), next[D];
    int n = to - from + 1;
    for (int i = 0; i < n; i++)
        u[i] = log(t[from + i] / t[at]) / h;
    for (int k = 0; k < D; k++)
        next[k] = exp(h) * x[k];
    for (int j = 0; j < n; j++) {
        double w = weight_by_quadrature(h, n, u, j);
        for (int k = 0; k < D; k++)
            next[k] += w * predictions[from + j][k];
    }
    memcpy(out, next, sizeof next);
}

/* The method written out: predictor of the last `order` predictions, the free corrector with the
 * new one in place of the oldest or (`kept`) beside it, anew at node `fresh` (0: nowhere), order 1
 * at the end of few steps. */
static void multistep_by_hand(int order, int kept, int steps, const double *t, int fresh,
                              double end[D])
{
    struct drive_sources field = four_sources();
    double predictions[STEPS_ROOM][D], x[D], state[D], slope[D];
    memcpy(state, START, sizeof state);
    for (int i = 0; i < steps; i++) {
        int oldest = i < fresh || fresh == 0 ? 0 : fresh;
        drive_sources_slope(&field, state, t[i], slope);
        for (int k = 0; k < D; k++)
            predictions[i][k] = state[k] - slope[k];
        if (i == oldest) {
            memcpy(x, state, sizeof x);
        } else {
            int from = i - order + 1 - kept > oldest ? i - order + 1 - kept : oldest;
            step_by_hand(t, i - 1, from, i, x, predictions, x);
        }
        int from = i - order + 1 > oldest ? i - order + 1 : oldest;
        if (i == steps - 1 && steps < 10)
            from = i;
        step_by_hand(t, i, from, i, x, predictions, state);
    }
    memcpy(end, state, D * sizeof(double));
}

static void test_steps_written_out_by_hand(void **state)
{
    (void)state;
    static const int steps[] = {1, 2, 3, 5, 9, 10, 23};
    struct drive_sources field = four_sources();
    double t[STEPS_ROOM], want[D], got[D], worst = 0.0;
    for (int c = 0; c < 3 * 2 * 2 * FORMULAS * 7; c++) {
        int m = c % 3, up = c / 3 % 2, with_break = c / 6 % 2, rest = c / 12;
        double t0 = up ? T1 : T0, t1 = up ? T0 : T1;
        struct ode_options o = {.method = METHODS[m],
                                .schedule = (enum ode_schedule)(rest % FORMULAS),
                                .steps = steps[rest / FORMULAS],
                                .t_break = with_break ? 1.3 : 0.0};
        struct ode_grid grid;
        ode_grid_init(&grid, &o, t0, t1, o.t_break);
        for (int i = 0; i <= o.steps; i++)
            t[i] = ode_grid_time(&grid, i);
        multistep_by_hand(m == 0 ? 2 : 3, m == 2, o.steps, t, grid.break_step, want);
        solve(o, t0, t1, START, drive_sources_slope, &field, got);
        double size = fmax(1.0, fmax(fabs(want[0]), fmax(fabs(want[1]), fabs(want[2]))));
        double off = worst_difference(got, want, D) / size;
        worst = fmax(worst, off);
        if (!(off < 1e-8))
            fail_msg("%s, %s, %d steps, up %d, break %d: off by %.2e", ode_method_name(o.method),
                     ode_schedule_name(o.schedule), o.steps, up, with_break, off);
    }
    print_message("worst difference to the method by hand: %.2e\n", worst);
}

/* Adams and Bashforth's formulas written out for four steps. */
static void test_ipndm_written_out_by_hand(void **state)
{
    (void)state;
    struct drive_sources field = four_sources();
    struct ode_options o = {.method = ODE_IPNDM4, .steps = 4};
    double x[D], e[4][D], slope[D], got[D], t[5];
    static const double c[4][4] = {{1.0, 0.0, 0.0, 0.0},
                                   {-1.0 / 2, 3.0 / 2, 0.0, 0.0},
                                   {5.0 / 12, -16.0 / 12, 23.0 / 12, 0.0},
                                   {-9.0 / 24, 37.0 / 24, -59.0 / 24, 55.0 / 24}};
    memcpy(x, START, sizeof x);
    for (int i = 0; i <= 4; i++)
        t[i] = T0 * pow(T1 / T0, i / 4.0);
    for (int i = 0; i < 4; i++) {
        drive_sources_slope(&field, x, t[i], slope);
        for (int k = 0; k < D; k++) {
            e[i][k] = slope[k] / t[i];
            for (int j = 0; j <= i; j++)
                x[k] += (t[i + 1] - t[i]) * c[i][j] * e[j][k];
        }
    }
    solve(o, T0, T1, START, drive_sources_slope, &field, got);
    assert_true(worst_difference(got, x, D) < 1e-12);
}

/* A prediction that is the same everywhere: lines are straight and every step is exact. */
static void check_straight_line(size_t d, struct ode_options options)
{
    double *memory = calloc(3 * d, sizeof(double)), worst = 0.0;
    assert_non_null(memory);
    double *y = memory, *start = memory + d, *scratch = memory + 2 * d;
    for (size_t j = 0; j < d; j++) {
        y[j] = sin(1.0 + (double)j);
        start[j] = 60.0 * cos(2.0 * (double)j);
    }
    struct drive_sources field = {.sources = {.count = 1, .d = d, .points = y}};
    struct ode_solver *s = drive_new(options, d);
    assert_int_equal(drive(s, start, 40.0, 1e-3, drive_sources_slope, &field, scratch), ODE_DONE);
    for (size_t j = 0; j < d; j++) {
        double line = y[j] + (start[j] - y[j]) * (1e-3 / 40.0);
        worst = fmax(worst, fabs(ode_solver_state(s)[j] - line));
    }
    print_message("one source, d = %4zu, %-10s %2d steps off the line by %.2e\n", d,
                  ode_method_name(options.method), options.steps, worst);
    assert_true(worst < 2e-12);
    ode_solver_free(s);
    free(memory);
}

static void test_one_source_is_a_straight_line(void **state)
{
    (void)state;
    static const size_t dimensions[] = {1, 2, 3072};
    static const int steps[] = {1, 2, 11};
    for (size_t k = 0; k < 3 * 3 * NEW_METHODS; k++) {
        struct ode_options o = {.method = METHODS[k / 9], .steps = steps[k / 3 % 3]};
        check_straight_line(dimensions[k % 3], o);
        o.t_break = 1.0;
        check_straight_line(dimensions[k % 3], o);
    }
}

/* The prediction is one point at t ≥ 1.7 and another below. */
static const double UPPER[D] = {0.3, -1.0, 0.5}, LOWER[D] = {-0.8, 0.4, 0.9};
static const double JUMP = 1.7;

static void jumping_slope(void *context, const double *x, double t, double *slope)
{
    (void)context;
    for (int k = 0; k < D; k++)
        slope[k] = x[k] - (t < JUMP ? LOWER[k] : UPPER[k]);
}

static void test_a_break_is_crossed(void **state)
{
    (void)state;
    double end[D], line[D];
    for (size_t m = 0; m < NEW_METHODS; m++) {
        for (int up = 0; up < 2; up++) {
            double t0 = up ? T1 : T0, t1 = up ? T0 : T1;
            const double *first = up ? LOWER : UPPER, *second = up ? UPPER : LOWER;
            for (int k = 0; k < D; k++) {
                double at_jump = first[k] + (START[k] - first[k]) * (JUMP / t0);
                line[k] = second[k] + (at_jump - second[k]) * (t1 / JUMP);
            }
            for (int steps = 2; steps <= 20; steps += 3) {
                struct ode_options o = {.method = METHODS[m], .steps = steps, .t_break = JUMP};
                solve(o, t0, t1, START, jumping_slope, NULL, end);
                double exact = worst_difference(end, line, D) * (up ? T1 / T0 : 1.0);
                o.t_break = 0.0;
                solve(o, t0, t1, START, jumping_slope, NULL, end);
                double without = worst_difference(end, line, D) * (up ? T1 / T0 : 1.0);
                if (steps == 20)
                    print_message("%-10s %s: off by %.1e with the break, %.1e without\n",
                                  ode_method_name(METHODS[m]), up ? "up" : "down", exact, without);
                assert_true(exact < 2e-7); /* how near the node lies */
                assert_true(without > 1e-5);
            }
        }
    }
}

static void test_nodes_of_the_grids(void **state)
{
    (void)state;
    static const double exponents[] = {0.0, 0.0, 2.5, 0.0};
    static const enum ode_schedule schedules[] = {ODE_SCHEDULE_LOG, ODE_SCHEDULE_POWER,
                                                  ODE_SCHEDULE_POWER, ODE_SCHEDULE_RHO};
    static const double powers[] = {0.0, 10.0, 2.5, 7.0};
    for (size_t k = 0; k < 4; k++) {
        struct ode_options o = {.method = ODE_MULTISTEP2,
                                .schedule = schedules[k],
                                .exponent = exponents[k],
                                .steps = 18};
        struct ode_grid g;
        ode_grid_init(&g, &o, 80.0, 0.002, 0.0);
        assert_true(ode_grid_time(&g, 0) == 80.0 && ode_grid_time(&g, 18) == 0.002);
        for (int i = 0; i <= 18; i++) {
            double f = i / 18.0, p = powers[k];
            double t = k == 0 ? exp((1.0 - f) * log(80.0) + f * log(0.002))
                              : pow((1.0 - f) * pow(80.0, 1.0 / p) + f * pow(0.002, 1.0 / p), p);
            assert_true(fabs(ode_grid_time(&g, i) / t - 1.0) < 1e-13);
            assert_true(fabs(ode_grid_log_time(&g, i) - log(t)) < 1e-13);
        }
    }
}

/* Next to the break, on the side of the steps to come, and there in single precision too. */
static void check_break_node(double node, double t_break, bool down)
{
    assert_true((double)(float)node == node);
    assert_true(down ? node < t_break : node >= t_break);
    assert_true(fabs(node / t_break - 1.0) < 1.2e-7);
}

/* With a break: its node, the ends, strictly one way, the steps shared by the ways in u. */
static void check_break(double t0, double t1, double t_break, int steps, int want)
{
    for (int k = 0; k < FORMULAS; k++) {
        struct ode_options o = {
            .method = ODE_MULTISTEP2, .schedule = (enum ode_schedule)k, .steps = steps};
        struct ode_grid g;
        ode_grid_init(&g, &o, t0, t1, t_break);
        if (k == 0 || want <= 0)
            assert_int_equal(g.break_step, want);
        assert_true(ode_grid_time(&g, 0) == t0 && ode_grid_time(&g, steps) == t1);
        for (int i = 1; i <= steps; i++)
            assert_true((ode_grid_time(&g, i) < ode_grid_time(&g, i - 1)) == (t1 < t0));
        if (g.break_step > 0)
            check_break_node(ode_grid_time(&g, g.break_step), t_break, t1 < t0);
    }
}

static void test_nodes_at_a_break(void **state)
{
    (void)state;
    check_break(100.0, 0.01, 1.0, 10, 5);
    check_break(0.01, 100.0, 1.0, 10, 5);
    check_break(100.0, 0.01, 10.0, 8, 2);
    check_break(100.0, 0.01, 99.0, 10, 1);  /* one step at least above … */
    check_break(100.0, 0.01, 0.011, 10, 9); /* … and below */
    check_break(0.011, 100.0, 0.0110001, 10, 1);
    check_break(100.0, 0.01, 1.0, 2, 1);
    check_break(100.0, 0.01, 1.0, 1, 0); /* no room for a node */
    check_break(100.0, 0.01, 0.0, 10, 0);
    check_break(100.0, 0.01, 200.0, 10, 0);
    check_break(100.0, 0.01, 0.001, 10, 0);
    check_break(100.0, 0.01, 0.01, 10, 0);
    check_break(0.01, 100.0, 100.0, 10, 0);
}

/* The old methods take the schedules too: their nodes are asked for, and Euler on one is what its
 * formula says. */
static void test_schedules_of_the_one_step_methods(void **state)
{
    (void)state;
    struct drive_sources field = four_sources();
    for (int k = 0; k < FORMULAS; k++) {
        struct ode_options o = {
            .method = ODE_EULER, .schedule = (enum ode_schedule)k, .steps = 6, .t_break = 1.3};
        struct ode_grid g;
        double x[D], slope[D], got[D];
        ode_grid_init(&g, &o, T0, T1, 0.0); /* a break is nothing to them */
        memcpy(x, START, sizeof x);
        for (int i = 0; i < 6; i++) {
            double t = ode_grid_time(&g, i), t_new = ode_grid_time(&g, i + 1);
            drive_sources_slope(&field, x, t, slope);
            for (int j = 0; j < D; j++)
                x[j] += (t_new - t) * slope[j] / t;
        }
        solve(o, T0, T1, START, drive_sources_slope, &field, got);
        assert_true(worst_difference(got, x, D) < 1e-12);
    }
}

/* Given nodes that lie as a formula's do give the bits of the formula in single steps, and others
 * are stepped through as they are. */
static void test_tuned_nodes(void **state)
{
    (void)state;
    struct drive_sources field = four_sources();
    static const double nodes[6] = {T0, 5.0, 3.0, 0.9, 0.5, T1};
    double want[D], got[D];
    for (size_t m = 0; m < 3; m++) {
        struct ode_options o = {
            .method = METHODS[m], .schedule = ODE_SCHEDULE_TUNED, .steps = 5, .nodes = nodes};
        multistep_by_hand(m == 0 ? 2 : 3, m == 2, 5, nodes, 0, want);
        solve(o, T0, T1, START, drive_sources_slope, &field, got);
        assert_true(worst_difference(got, want, D) < 1e-9);
    }
}

static void test_nodes_that_meet_end_in_error(void **state)
{
    (void)state;
    struct drive_sources field = four_sources();
    double scratch[D];
    for (size_t m = 0; m < 2; m++) {
        struct ode_options o = {.method = METHODS[m], .steps = 1000};
        struct ode_solver *s = drive_new(o, D);
        assert_int_equal(
            drive(s, START, 40.0, 40.0 * (1.0 + 1e-14), drive_sources_slope, &field, scratch),
            ODE_FAILED);
        assert_int_equal(ode_solver_error(s)->code, ERR_NUMERIC);
        assert_non_null(strstr(ode_solver_error(s)->text, "1000 steps are too many"));
        ode_solver_free(s);
    }
}

static void test_options_of_schedules_are_checked(void **state)
{
    (void)state;
    static const double bad_exponents[] = {-1.0, 0.5, 101.0, NAN, INFINITY};
    static const double bad_breaks[] = {-1.0, NAN, INFINITY};
    struct err e = {0};
    struct ode_options good = {
        .method = ODE_MULTISTEP3, .schedule = ODE_SCHEDULE_POWER, .steps = 5, .exponent = 3.0};
    assert_int_equal(ode_options_check(&good, &e), 0);
    for (size_t k = 0; k < 5; k++) {
        struct ode_options o = good;
        o.exponent = bad_exponents[k];
        assert_int_equal(ode_options_check(&o, &e), -1);
        assert_string_equal(e.at, "exponent");
    }
    for (size_t k = 0; k < 3; k++) {
        struct ode_options o = good;
        o.t_break = bad_breaks[k];
        assert_int_equal(ode_options_check(&o, &e), -1);
        assert_string_equal(e.at, "t_break");
    }
    good.schedule = ODE_SCHEDULE_RHO;
    assert_int_equal(ode_options_check(&good, &e), 0);
    good.schedule = ODE_SCHEDULE_LOG; /* has none */
    assert_int_equal(ode_options_check(&good, &e), -1);
    assert_string_equal(e.at, "exponent");
    good.exponent = 0.0;
    static const double flat[4] = {3.0, 2.0, 2.0, 1.0}, to_zero[4] = {3.0, 2.0, 1.0, 0.0};
    const double *const bad_nodes[] = {NULL, flat, to_zero};
    good.schedule = ODE_SCHEDULE_TUNED;
    good.steps = 3;
    for (size_t k = 0; k < 3; k++) {
        good.nodes = bad_nodes[k];
        assert_int_equal(ode_options_check(&good, &e), -1);
        assert_string_equal(e.at, "schedule");
    }
    good.schedule = (enum ode_schedule)99;
    assert_int_equal(ode_options_check(&good, &e), -1);
    assert_string_equal(e.at, "schedule");
}

/* A cap on the order is the method of that order where there is one, the method itself at its own,
 * and of order 1 it errs by as much. */
static void test_order_cap(void **state)
{
    (void)state;
    static const int own[NEW_METHODS] = {2, 3, 3, 4};
    struct drive_sources field = four_sources();
    double end[D], want[D], coarse[D], tight[D];
    struct ode_options exact = {.method = ODE_RK45, .rtol = 1e-12, .atol = 1e-15};
    solve(exact, T0, T1, START, drive_sources_slope, &field, tight);
    for (size_t m = 0; m < NEW_METHODS; m++) {
        struct ode_options o = {.method = METHODS[m], .steps = 40};
        assert_int_equal(ode_method_order(o.method), own[m]);
        assert_true(own[m] <= ODE_ORDER_MAX);
        solve(o, T0, T1, START, drive_sources_slope, &field, want);
        o.order_cap = own[m];
        solve(o, T0, T1, START, drive_sources_slope, &field, end);
        assert_memory_equal(end, want, sizeof end);
        o.order_cap = 1; /* half the step, half the error; unipc3's corrector is one order higher */
        solve(o, T0, T1, START, drive_sources_slope, &field, coarse);
        o.steps = 80;
        solve(o, T0, T1, START, drive_sources_slope, &field, end);
        double ratio = worst_difference(coarse, tight, D) / worst_difference(end, tight, D);
        print_message("%s of order 1: %.3f\n", ode_method_name(o.method), ratio);
        const double order = o.method == ODE_UNIPC3 ? 2.0 : 1.0;
        assert_true(fabs(log2(ratio) - order) < 0.2);
    }
    struct ode_options three = {.method = ODE_MULTISTEP3, .steps = 40, .order_cap = 2},
                       two = {.method = ODE_MULTISTEP2, .steps = 40};
    solve(three, T0, T1, START, drive_sources_slope, &field, end);
    solve(two, T0, T1, START, drive_sources_slope, &field, want);
    assert_memory_equal(end, want, sizeof end);
}

static void test_order_cap_is_checked(void **state)
{
    (void)state;
    static const struct {
        enum ode_method method;
        int cap;
    } bad[] = {{ODE_MULTISTEP2, 3}, {ODE_MULTISTEP3, -1}, {ODE_UNIPC3, 4},
               {ODE_IPNDM4, 5},     {ODE_HEUN, 1},        {ODE_RK45, 1}};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        struct ode_options o = {
            .method = bad[k].method, .steps = 5, .rtol = 0.1, .order_cap = bad[k].cap};
        struct err e = {0};
        assert_int_equal(ode_options_check(&o, &e), -1);
        assert_string_equal(e.at, "order_cap");
    }
}

static void test_words_of_the_interface(void **state)
{
    (void)state;
    static const char *const names[ODE_SCHEDULES] = {"log", "power", "rho", "tuned"};
    enum ode_schedule schedule;
    for (int k = 0; k < ODE_SCHEDULES; k++) {
        assert_int_equal(ode_schedule_parse(names[k], &schedule), 0);
        assert_int_equal(schedule, k);
        assert_string_equal(ode_schedule_name(schedule), names[k]);
        assert_non_null(strstr(ODE_SCHEDULE_WORDS, names[k]));
    }
    assert_int_equal(ode_schedule_parse("Log", &schedule), -1);
    assert_int_equal(ode_schedule_parse("", &schedule), -1);
    for (int k = 0; k < ODE_METHODS; k++)
        assert_non_null(strstr(ODE_METHOD_WORDS, ode_method_name((enum ode_method)k)));
    assert_true(ode_solver_scratch(ODE_MULTISTEP2, 784) == 4 * (size_t)784);
    assert_true(ode_solver_scratch(ODE_MULTISTEP3, 784) == 5 * (size_t)784);
    assert_true(ode_solver_scratch(ODE_IPNDM4, 784) == 5 * (size_t)784);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_order_cap),
        cmocka_unit_test(test_order_cap_is_checked),
        cmocka_unit_test(test_steps_written_out_by_hand),
        cmocka_unit_test(test_ipndm_written_out_by_hand),
        cmocka_unit_test(test_one_source_is_a_straight_line),
        cmocka_unit_test(test_a_break_is_crossed),
        cmocka_unit_test(test_nodes_of_the_grids),
        cmocka_unit_test(test_nodes_at_a_break),
        cmocka_unit_test(test_schedules_of_the_one_step_methods),
        cmocka_unit_test(test_tuned_nodes),
        cmocka_unit_test(test_nodes_that_meet_end_in_error),
        cmocka_unit_test(test_options_of_schedules_are_checked),
        cmocka_unit_test(test_words_of_the_interface),
    };
    return cmocka_run_group_tests_name("multistep methods and grids", tests, NULL, NULL);
}
