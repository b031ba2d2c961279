/* Which slopes a solver wants guided, what they count, and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "ode_solver.h"

static int64_t evaluations(struct ode_options options, int *guided)
{
    struct err e = {0};
    const double x0 = 1, slope = 0.5;
    struct ode_solver *s = ode_solver_new(&options, 1, &e);
    if (!s)
        fail_msg("%s: %s", e.at, e.text);
    *guided = 0;
    assert_int_equal(ode_solver_start(s, &x0, 10, 0.1, &e), 0);
    while (ode_solver_status(s) == ODE_WANTS_SLOPE) {
        const double t = ode_solver_time(s);
        const bool inside = t >= options.guidance.t_min && t <= options.guidance.t_max;
        assert_true(ode_solver_guided(s) == (options.guidance.scale != 1 && inside));
        assert_true(!ode_solver_guided(s) || ode_solver_guidance(s) == options.guidance.scale);
        *guided += ode_solver_guided(s);
        ode_solver_feed(s, &slope);
    }
    const int64_t nfe = ode_solver_counts(s).nfe;
    if (ode_solver_status(s) != ODE_DONE)
        assert_string_equal(ode_solver_error(s)->at, "max_nfe");
    ode_solver_free(s);
    return nfe;
}

static void guided_slopes_count_twice(void **state)
{
    (void)state;
    struct ode_options o = {.method = ODE_MULTISTEP3, .steps = 9, .schedule = ODE_SCHEDULE_LOG};
    int guided;
    assert_int_equal(evaluations(o, &guided), 9); /* zeros are none */
    o.guidance = (struct ode_guidance){1, 0, INFINITY};
    assert_int_equal(evaluations(o, &guided), 9);
    o.guidance.scale = 0;
    assert_int_equal(evaluations(o, &guided), 18);
    assert_int_equal(guided, 9);
    o.guidance = (struct ode_guidance){2, 0.5, 5};
    const int64_t nfe = evaluations(o, &guided);
    assert_int_equal(nfe, 9 + guided);
    assert_true(guided > 2 && guided < 9);
    o.guidance = (struct ode_guidance){2, 11, INFINITY};
    assert_int_equal(evaluations(o, &guided), 9);
}

static void the_budget_is_of_evaluations(void **state)
{
    (void)state;
    struct ode_options o = {.method = ODE_MULTISTEP3,
                            .steps = 9,
                            .schedule = ODE_SCHEDULE_LOG,
                            .max_nfe = 17,
                            .guidance = {2, 0, INFINITY}};
    struct err e = {0};
    int guided;
    assert_int_equal(ode_options_check(&o, &e), -1);
    assert_string_equal(e.at, "max_nfe");
    o.guidance.t_max = 20; /* how much of the path that is shows on the path alone */
    assert_int_equal(evaluations(o, &guided), 16);
    o.max_nfe = 18;
    assert_int_equal(evaluations(o, &guided), 18);
}

static void bad_guidance_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        struct ode_guidance guidance;
        const char *at;
    } bad[] = {{{-1, 0, INFINITY}, "guidance"},  {{101, 0, INFINITY}, "guidance"},
               {{NAN, 0, INFINITY}, "guidance"}, {{2, -1, INFINITY}, "guidance_t_min"},
               {{2, NAN, 5}, "guidance_t_min"},  {{2, 3, 2}, "guidance_t_max"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct ode_options o = {.method = ODE_EULER, .steps = 5, .guidance = bad[i].guidance};
        struct err e = {0};
        assert_int_equal(ode_options_check(&o, &e), -1);
        assert_string_equal(e.at, bad[i].at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guided_slopes_count_twice),
        cmocka_unit_test(the_budget_is_of_evaluations),
        cmocka_unit_test(bad_guidance_is_refused_by_name),
    };
    return cmocka_run_group_tests_name("guidance", tests, NULL, NULL);
}
