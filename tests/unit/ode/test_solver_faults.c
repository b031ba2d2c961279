/* Faults that other solvers had, and the promises about memory, budget and reuse. Names end in the
 * public report that the case stands for. Linked with --wrap for malloc, calloc and realloc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "ode_drive.h"
#include <float.h>
#include <stdlib.h>

static long allocations;
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    allocations++;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    allocations++;
    return __real_realloc(old, size);
}

enum { D = 2 };
static const double POINTS[3 * D] = {0.9, -0.3, -0.7, 0.6, 0.1, 0.8};
static const double START[D] = {25.0, -13.0};
static const enum ode_method METHODS[] = {ODE_RK45,   ODE_EULER,      ODE_IMPROVED_EULER,
                                          ODE_HEUN,   ODE_MULTISTEP2, ODE_MULTISTEP3,
                                          ODE_IPNDM4, ODE_UNIPC3};
enum { METHOD_COUNT = ODE_METHODS };

static struct drive_sources three_sources(void)
{
    return (struct drive_sources){.sources = {.count = 3, .d = D, .points = POINTS}};
}

static struct ode_options options_of(enum ode_method method)
{
    return (struct ode_options){
        .method = method, .clock = ODE_CLOCK_LOG, .steps = 10, .rtol = 1e-4, .atol = 1e-4};
}

/* Data that lie far from 0, or are large, take the steps that they take about 0: the tolerance was
 * relative to the place, so that a thousand deviations away the steps were too long. */
static void ode_rk45_is_the_same_wherever_the_data_lie(void **state)
{
    (void)state;
    static const double middle[D] = {1000.0, -3000.0};
    double scratch[D], first[D] = {0};
    int64_t nfe = 0;
    for (int way = 0; way < 3; way++) {
        const double scale = way == 2 ? 500.0 : 1.0;
        double points[3 * D], start[D];
        struct drive_sources c = three_sources();
        struct ode_options o = options_of(ODE_RK45);
        if (way > 0) {
            o.centre = middle;
            o.centred = D;
            o.unit = scale;
        }
        for (size_t j = 0; j < 3 * D; j++)
            points[j] = scale * POINTS[j] + (way ? middle[j % D] : 0.0);
        for (size_t j = 0; j < D; j++)
            start[j] = scale * START[j] + (way ? middle[j] : 0.0);
        c.sources.points = points;
        struct ode_solver *s = drive_new(o, D);
        assert_int_equal(
            drive(s, start, 40.0 * scale, 1e-3 * scale, drive_sources_slope, &c, scratch),
            ODE_DONE);
        const double *end = ode_solver_state(s);
        if (way == 0)
            nfe = ode_solver_counts(s).nfe;
        assert_int_equal(ode_solver_counts(s).nfe, nfe);
        for (size_t j = 0; j < D; j++) {
            const double at = (end[j] - (way ? middle[j] : 0.0)) / scale;
            first[j] = way ? first[j] : at;
            assert_true(fabs(at - first[j]) < 1e-8);
        }
        ode_solver_free(s);
    }
}

static void ode_non_finite_start_scipy_17846(void **state)
{
    (void)state;
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    struct err e;
    for (size_t m = 0; m < METHOD_COUNT; m++) {
        struct ode_solver *s = drive_new(options_of(METHODS[m]), D);
        for (size_t k = 0; k < 3; k++) {
            double x0[D] = {1.0, bad[k]};
            e = (struct err){0};
            assert_int_equal(ode_solver_start(s, x0, 40.0, 1e-3, &e), -1);
            assert_int_equal(e.code, ERR_NUMERIC);
            assert_string_equal(e.text, "non-finite start at t = 40");
            assert_int_equal(ode_solver_status(s), ODE_FAILED);
            assert_int_equal(ode_solver_error(s)->code, ERR_NUMERIC);
        }
        ode_solver_free(s);
    }
}

/* Becomes `bad` from evaluation `from` on. */
struct spoiled {
    struct drive_sources field;
    int64_t from, calls;
    double bad;
};

static void spoiled_slope(void *context, const double *x, double t, double *slope)
{
    struct spoiled *c = context;
    drive_sources_slope(&c->field, x, t, slope);
    if (++c->calls >= c->from)
        slope[D - 1] = c->bad;
}

/* A field that turns to NaN or Inf at any evaluation ends the run with that evaluation. */
static void ode_non_finite_slope_scipy_17846(void **state)
{
    (void)state;
    double scratch[D];
    for (size_t m = 0; m < METHOD_COUNT; m++) {
        struct ode_solver *s = drive_new(options_of(METHODS[m]), D);
        for (int64_t from = 1; from <= 9; from++) {
            struct spoiled c = {three_sources(), from, 0, from % 2 == 0 ? NAN : INFINITY};
            assert_int_equal(drive(s, START, 40.0, 1e-3, spoiled_slope, &c, scratch), ODE_FAILED);
            assert_int_equal(ode_solver_counts(s).nfe, from);
            assert_int_equal(ode_solver_error(s)->code, ERR_NUMERIC);
            assert_non_null(strstr(ode_solver_error(s)->text, "non-finite slope at t = "));
        }
        ode_solver_free(s);
    }
}

/* Finite slopes so large that the state overflows. */
static void huge_slope(void *context, const double *x, double t, double *slope)
{
    (void)context;
    (void)t;
    for (size_t j = 0; j < D; j++)
        slope[j] = x[j] > 0.0 ? -DBL_MAX : DBL_MAX;
}

static void ode_state_overflow_ends_in_error(void **state)
{
    (void)state;
    double scratch[D];
    for (size_t m = 0; m < METHOD_COUNT; m++) {
        struct ode_options options = options_of(METHODS[m]);
        options.steps = 2;
        options.max_nfe = 1000;
        struct ode_solver *s = drive_new(options, D);
        assert_int_equal(drive(s, START, 1e9, 1e-9, huge_slope, NULL, scratch), ODE_FAILED);
        assert_true(ode_solver_error(s)->text[0] != '\0');
        print_message("%-14s %s\n", ode_method_name(METHODS[m]), ode_solver_error(s)->text);
        ode_solver_free(s);
    }
}

/* Flips its direction across x = 0 with a slope that no step size resolves. */
static void rough_slope(void *context, const double *x, double t, double *slope)
{
    (void)context;
    slope[0] = x[0] > 0.0 ? 1e15 : -1e15;
    slope[1] = t;
}

static void ode_step_underflow_torchdiffeq_27(void **state)
{
    (void)state;
    double scratch[D], x0[D] = {1.0, 1.0};
    struct ode_options options = options_of(ODE_RK45);
    struct err e = {0};
    options.rtol = options.atol = 1e-14;
    assert_int_equal(ode_options_check(&options, &e), -1);
    assert_string_equal(e.at, "rtol");
    options.rtol = 1e-12;
    options.atol = 0.0;
    struct ode_solver *s = drive_new(options, D);
    assert_int_equal(drive(s, x0, 40.0, 1e-3, rough_slope, NULL, scratch), ODE_FAILED);
    print_message("%s (nfe %lld)\n", ode_solver_error(s)->text,
                  (long long)ode_solver_counts(s).nfe);
    assert_int_equal(ode_solver_error(s)->code, ERR_NUMERIC);
    assert_non_null(strstr(ode_solver_error(s)->text, "step size underflow at t = "));
    assert_true(ode_solver_counts(s).nfe < 10000);
    ode_solver_free(s);
}

static void ode_one_step_audio_diffusion_15(void **state)
{
    (void)state;
    double scratch[D];
    for (size_t m = 1; m < METHOD_COUNT; m++) {
        for (int steps = 1; steps <= 2; steps++) {
            struct drive_sources field = three_sources();
            struct ode_options options = options_of(METHODS[m]);
            options.steps = steps;
            struct ode_solver *s = drive_new(options, D);
            assert_int_equal(drive(s, START, 40.0, 1e-3, drive_sources_slope, &field, scratch),
                             ODE_DONE);
            assert_int_equal(ode_solver_counts(s).accepted, steps);
            assert_true(ode_solver_state_time(s) == 1e-3);
            for (size_t j = 0; j < D; j++)
                assert_true(isfinite(ode_solver_state(s)[j]));
            ode_solver_free(s);
        }
    }
}

static void ode_budget_ends_in_error(void **state)
{
    (void)state;
    double scratch[D];
    struct drive_sources field = three_sources();
    struct ode_options options = options_of(ODE_RK45);
    options.max_nfe = 20;
    struct ode_solver *s = drive_new(options, D);
    assert_int_equal(drive(s, START, 40.0, 1e-3, drive_sources_slope, &field, scratch), ODE_FAILED);
    const struct err *e = ode_solver_error(s);
    assert_int_equal(e->code, ERR_LIMIT);
    assert_string_equal(e->at, "max_nfe");
    print_message("%s\n", e->text);
    assert_non_null(strstr(e->text, "after 20 evaluations, max_nfe is 20: raise max_nfe or"));
    assert_int_equal(ode_solver_counts(s).nfe, 20);
    assert_true(ode_solver_progress(s) > 0.0 && ode_solver_progress(s) < 1.0);
    ode_solver_free(s);
    /* A budget that is just enough is enough; one less is not. */
    options.max_nfe = 0;
    s = drive_new(options, D);
    assert_int_equal(drive(s, START, 40.0, 1e-3, drive_sources_slope, &field, scratch), ODE_DONE);
    int64_t nfe = ode_solver_counts(s).nfe;
    ode_solver_free(s);
    for (int less = 0; less < 2; less++) {
        options.max_nfe = nfe - less;
        s = drive_new(options, D);
        assert_int_equal(drive(s, START, 40.0, 1e-3, drive_sources_slope, &field, scratch),
                         less == 0 ? ODE_DONE : ODE_FAILED);
        ode_solver_free(s);
    }
}

static void assert_refused(struct ode_options options, const char *at, enum err_code code)
{
    struct err e = {0};
    assert_int_equal(ode_options_check(&options, &e), -1);
    assert_string_equal(e.at, at);
    assert_int_equal(e.code, code);
    assert_null(ode_solver_new(&options, D, &e));
}

static void ode_options_are_checked(void **state)
{
    (void)state;
    struct ode_options o = options_of(ODE_EULER);
    static const int steps[] = {0, -1, ODE_STEPS_MAX + 1};
    for (size_t k = 0; k < 3; k++) {
        o.steps = steps[k];
        assert_refused(o, "steps", ERR_INPUT);
    }
    o = options_of(ODE_HEUN);
    o.max_nfe = 19; /* ten steps take 20 */
    assert_refused(o, "max_nfe", ERR_LIMIT);
    o.max_nfe = -1;
    assert_refused(o, "max_nfe", ERR_INPUT);
    o.max_nfe = (int64_t)ODE_NFE_MAX + 1;
    assert_refused(o, "max_nfe", ERR_INPUT);
    static const double rtols[] = {0.0, -1.0, 1e-13, 1.0, NAN, INFINITY};
    for (size_t k = 0; k < 6; k++) {
        o = options_of(ODE_RK45);
        o.rtol = rtols[k];
        assert_refused(o, "rtol", ERR_INPUT);
    }
    static const double atols[] = {-1e-9, NAN, INFINITY};
    for (size_t k = 0; k < 3; k++) {
        o = options_of(ODE_RK45);
        o.atol = atols[k];
        assert_refused(o, "atol", ERR_INPUT);
    }
    o = options_of(ODE_RK45);
    o.clock = ODE_CLOCK_LINEAR;
    o.time_components = 1;
    assert_refused(o, "time_components", ERR_INPUT);
    o = options_of((enum ode_method)99);
    assert_refused(o, "method", ERR_INPUT);
    o = options_of(ODE_RK45);
    struct err e = {0};
    assert_null(ode_solver_new(&o, SIZE_MAX / 8, &e));
    assert_int_equal(e.code, ERR_MEMORY);
    assert_true(ode_solver_scratch(ODE_RK45, SIZE_MAX / 4) == SIZE_MAX);
    assert_true(ode_solver_scratch(ODE_RK45, 196608) == 8 * (size_t)196608);
}

static void ode_bad_times_are_refused(void **state)
{
    (void)state;
    static const double times[][2] = {{0.0, 1.0}, {1.0, 0.0},      {-1.0, 2.0},
                                      {1.0, 1.0}, {INFINITY, 1.0}, {1.0, NAN}};
    for (size_t m = 0; m < METHOD_COUNT; m++) {
        struct ode_solver *s = drive_new(options_of(METHODS[m]), D);
        for (size_t k = 0; k < sizeof times / sizeof times[0]; k++) {
            struct err e = {0};
            assert_int_equal(ode_solver_start(s, START, times[k][0], times[k][1], &e), -1);
            assert_int_equal(e.code, ERR_INPUT);
            assert_string_equal(e.at, "t");
            assert_int_equal(ode_solver_status(s), ODE_FAILED);
        }
        ode_solver_free(s);
    }
}

static void ode_names_are_those_of_the_interface(void **state)
{
    (void)state;
    static const char *const names[] = {"rk45",       "euler",      "improved-euler", "heun",
                                        "multistep2", "multistep3", "ipndm4",         "unipc3"};
    enum ode_method method;
    for (size_t m = 0; m < METHOD_COUNT; m++) {
        assert_int_equal(ode_method_parse(names[m], &method), 0);
        assert_int_equal(method, METHODS[m]);
        assert_string_equal(ode_method_name(method), names[m]);
        assert_int_equal(ode_method_is_fixed_step(method), m != 0);
    }
    assert_int_equal(ode_method_parse("RK45", &method), -1);
    assert_int_equal(ode_method_parse("", &method), -1);
}

/* A solver used before, even one that failed, gives the bits of a new one; and none of that takes
 * memory after ode_solver_new. */
static void ode_reuse_gives_the_same_bits_without_allocating(void **state)
{
    (void)state;
    double scratch[D], fresh[D], other[D] = {-300.0, 4.0};
    for (size_t m = 0; m < METHOD_COUNT; m++) {
        struct drive_sources field = three_sources();
        struct spoiled spoiled = {field, 4, 0, NAN};
        struct ode_solver *s = drive_new(options_of(METHODS[m]), D);
        long before = allocations;
        assert_true(before > 0); /* the wrapping is in place */
        assert_int_equal(drive(s, START, 40.0, 1e-3, drive_sources_slope, &field, scratch),
                         ODE_DONE);
        struct ode_counts counts = ode_solver_counts(s);
        memcpy(fresh, ode_solver_state(s), sizeof fresh);
        assert_int_equal(drive(s, other, 1e-2, 80.0, drive_sources_slope, &field, scratch),
                         ODE_DONE);
        assert_int_equal(drive(s, other, 40.0, 1.0, spoiled_slope, &spoiled, scratch), ODE_FAILED);
        ode_solver_feed(s, scratch); /* after the end: nothing happens */
        assert_int_equal(ode_solver_counts(s).nfe, 4);
        assert_int_equal(drive(s, START, 40.0, 1e-3, drive_sources_slope, &field, scratch),
                         ODE_DONE);
        assert_int_equal(allocations, before);
        assert_memory_equal(fresh, ode_solver_state(s), sizeof fresh);
        assert_int_equal(ode_solver_counts(s).nfe, counts.nfe);
        assert_int_equal(ode_solver_counts(s).accepted, counts.accepted);
        assert_int_equal(ode_solver_error(s)->code, ERR_NONE);
        ode_solver_free(s);
    }
}

static void ode_progress_rises_from_0_to_1(void **state)
{
    (void)state;
    double scratch[D];
    for (size_t m = 0; m < METHOD_COUNT; m++) {
        struct drive_sources field = three_sources();
        struct err e = {0};
        struct ode_solver *s = drive_new(options_of(METHODS[m]), D);
        assert_int_equal(ode_solver_start(s, START, 40.0, 1e-3, &e), 0);
        double last = ode_solver_progress(s);
        assert_true(last == 0.0);
        while (ode_solver_status(s) == ODE_WANTS_SLOPE) {
            drive_once(s, drive_sources_slope, &field, scratch);
            assert_true(ode_solver_progress(s) >= last);
            last = ode_solver_progress(s);
        }
        assert_true(last == 1.0);
        ode_solver_free(s);
    }
}

/* From planes so far that squares overflow float32, and further: the end is finite and on the data,
 * or the run is refused; never NaN. */
static void ode_huge_t_knowhere_1676(void **state)
{
    (void)state;
    static const double planes[] = {1e19, 1e20, 1e38, 1e150, 1e300};
    double scratch[D];
    for (size_t m = 0; m < METHOD_COUNT; m++) {
        struct ode_options options = options_of(METHODS[m]);
        options.steps = 2000;
        for (size_t k = 0; k < 5; k++) {
            struct drive_sources field = three_sources();
            double x0[D] = {0.6 * planes[k], -1.3 * planes[k]};
            struct ode_solver *s = drive_new(options, D);
            enum ode_status end =
                drive(s, x0, planes[k], 1e-3, drive_sources_slope, &field, scratch);
            print_message("T = %g, %-14s (%g, %g) nfe %lld %s\n", planes[k],
                          ode_method_name(METHODS[m]), ode_solver_state(s)[0],
                          ode_solver_state(s)[1], (long long)ode_solver_counts(s).nfe,
                          ode_solver_error(s)->text);
            assert_int_equal(end, ODE_DONE);
            for (size_t j = 0; j < D; j++)
                assert_true(isfinite(ode_solver_state(s)[j]));
            /* Heun: in ln t a step of 0.35 shrinks x by e^-h but roughly. ipndm4: its large weights
             * of either sign let the rounding of far slopes grow. */
            if (METHODS[m] != ODE_HEUN && METHODS[m] != ODE_IPNDM4)
                assert_true(fabs(ode_solver_state(s)[0]) < 2.0);
            ode_solver_free(s);
        }
    }
}

/* A component that stays at 0 with atol = 0 has no error, instead of 0/0. */
static void still_slope(void *context, const double *x, double t, double *slope)
{
    (void)context;
    (void)t;
    slope[0] = x[0];
    slope[1] = 0.0;
}

static void ode_zero_tolerance_of_a_zero_component(void **state)
{
    (void)state;
    double scratch[D], x0[D] = {5.0, 0.0};
    struct ode_options options = options_of(ODE_RK45);
    options.atol = 0.0;
    struct ode_solver *s = drive_new(options, D);
    assert_int_equal(drive(s, x0, 40.0, 1e-3, still_slope, NULL, scratch), ODE_DONE);
    assert_true(fabs(ode_solver_state(s)[0] - 5.0 * 1e-3 / 40.0) < 1e-7);
    assert_true(ode_solver_state(s)[1] == 0.0);
    struct drive_sources field = three_sources();
    x0[0] = 0.0; /* the start in 0, where the slope is not: the scale is 0 at first */
    assert_int_equal(drive(s, x0, 40.0, 1e-3, drive_sources_slope, &field, scratch), ODE_DONE);
    print_message("from the origin with atol = 0: nfe %lld\n", (long long)ode_solver_counts(s).nfe);
    ode_solver_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ode_rk45_is_the_same_wherever_the_data_lie),
        cmocka_unit_test(ode_non_finite_start_scipy_17846),
        cmocka_unit_test(ode_non_finite_slope_scipy_17846),
        cmocka_unit_test(ode_state_overflow_ends_in_error),
        cmocka_unit_test(ode_step_underflow_torchdiffeq_27),
        cmocka_unit_test(ode_one_step_audio_diffusion_15),
        cmocka_unit_test(ode_budget_ends_in_error),
        cmocka_unit_test(ode_options_are_checked),
        cmocka_unit_test(ode_bad_times_are_refused),
        cmocka_unit_test(ode_names_are_those_of_the_interface),
        cmocka_unit_test(ode_reuse_gives_the_same_bits_without_allocating),
        cmocka_unit_test(ode_progress_rises_from_0_to_1),
        cmocka_unit_test(ode_huge_t_knowhere_1676),
        cmocka_unit_test(ode_zero_tolerance_of_a_zero_component),
    };
    return cmocka_run_group_tests_name("faults of solvers", tests, NULL, NULL);
}
