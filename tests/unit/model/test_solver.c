/* Which solver a request gets: the model's default, what the request changes, and tuned schedules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "model.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Two points, an exact field, with or without tuned schedules, whose last step is the one to zero.
 */
static struct model *points_model(const char *tuned, struct err *e)
{
    static const float points[4] = {1, 1, -1, 3};
    char path[256], description[1024];
    const char *folder = getenv("TMPDIR");
    const struct ckpt_output sources = {
        .name = CKPT_SOURCES, .dtype = CKPT_F32, .rank = 2, .shape = {2, 2}, .data = points};
    snprintf(path, sizeof path, "%s/pfgm-solver-%d", folder ? folder : "/tmp", (int)getpid());
    snprintf(
        description, sizeof description,
        "{\"version\":1,\"family\":\"exact\",\"shape\":[1,1,2],\"t_max\":40,\"t_min\":1e-3,%s%s"
        "\"provenance\":{\"source_sha256\":\"\",\"source_name\":\"\",\"step\":null,"
        "\"weights\":\"raw\"}}",
        tuned ? tuned : "", tuned ? "," : "");
    json_t *metadata = json_pack("{s:s}", CKPT_DESCRIPTION_KEY, description);
    assert_int_equal(ckpt_file_write(path, &sources, 1, metadata, e), 0);
    json_decref(metadata);
    struct model *m = model_load(path, &(struct model_options){0}, e);
    unlink(path);
    return m;
}

#define TUNED                                                                                      \
    "\"tuned\":[{\"method\":\"ipndm4\",\"nodes\":[20,5,1,1e-3]},"                                  \
    "{\"method\":\"multistep2\",\"nodes\":[40,36,32,28,24,20,16,12,8,6,4,3,2,1.5,1,0.7,0.5,"       \
    "0.1,0.05,1e-3]}]"

static struct model *load(const char *tuned)
{
    struct err e = {0};
    struct model *m = points_model(tuned, &e);
    if (!m)
        fail_msg("%s: %s", e.at, e.text);
    return m;
}

static struct model_solver choose(const struct model *m, struct model_choice c)
{
    struct model_solver s;
    struct err e = {0};
    if (model_solver_choose(m, &c, &s, &e) != 0)
        fail_msg("%s: %s", e.at, e.text);
    return s;
}

static void the_solver_is_resolved(void **state)
{
    (void)state;
    struct model *m = load(NULL);
    struct model_solver s = choose(m, (struct model_choice){0});
    assert_int_equal(s.ode.method, ODE_MULTISTEP3);
    assert_int_equal(s.ode.schedule, ODE_SCHEDULE_POWER);
    assert_int_equal(s.ode.steps, 35);
    assert_true(s.t_max == 40 && s.t_min == 1e-3);
    s = choose(m, (struct model_choice){.given = MODEL_GIVEN(STEPS), .value.ode.steps = 12});
    assert_int_equal(s.ode.method, ODE_MULTISTEP3);
    assert_int_equal(s.ode.steps, 12);
    s = choose(m, (struct model_choice){.given = MODEL_GIVEN(RTOL), .value.ode.rtol = 1e-3});
    assert_int_equal(s.ode.method, ODE_RK45);
    assert_true(s.ode.rtol == 1e-3 && s.ode.atol == 1e-4);
    s = choose(m,
               (struct model_choice){.given = MODEL_GIVEN(METHOD), .value.ode.method = ODE_EULER});
    assert_int_equal(s.ode.steps, 100);
    assert_int_equal(s.ode.schedule, ODE_SCHEDULE_LOG);
    s = choose(m, (struct model_choice){.given = MODEL_GIVEN(METHOD) | MODEL_GIVEN(SCHEDULE) |
                                                 MODEL_GIVEN(STEPS),
                                        .value.ode.method = ODE_HEUN,
                                        .value.ode.schedule = ODE_SCHEDULE_RHO,
                                        .value.ode.steps = 7});
    assert_int_equal(s.ode.steps, 7);
    assert_int_equal(s.ode.schedule, ODE_SCHEDULE_RHO);
    s = choose(m, (struct model_choice){.given = MODEL_GIVEN(T_MAX) | MODEL_GIVEN(T_MIN) |
                                                 MODEL_GIVEN(MAX_NFE),
                                        .value.t_max = 9,
                                        .value.t_min = 1,
                                        .value.ode.max_nfe = 5});
    assert_true(s.t_max == 9 && s.t_min == 1 && s.ode.max_nfe == 5);
    model_free(m);
}

static void refused(const struct model *m, struct model_choice c, const char *at)
{
    struct model_solver s;
    struct err e = {0};
    int bad = model_solver_choose(m, &c, &s, &e) != 0 || model_solver_resolve(m, &s, &e) != 0 ||
              model_solver_check(m, &s, &e) != 0;
    if (!bad || strcmp(e.at, at) != 0)
        fail_msg("refused %d, at \"%s\", not \"%s\"", bad, e.at, at);
}

static void options_of_the_other_kind_of_method_are_refused(void **state)
{
    (void)state;
    struct model *m = load(NULL);
    struct model_choice c = {.given = MODEL_GIVEN(METHOD) | MODEL_GIVEN(STEPS),
                             .value.ode.method = ODE_RK45};
    refused(m, c, "steps");
    c.given &= ~MODEL_GIVEN(STEPS);
    c.given |= MODEL_GIVEN(SCHEDULE);
    refused(m, c, "schedule");
    c = (struct model_choice){.given = MODEL_GIVEN(METHOD) | MODEL_GIVEN(RTOL),
                              .value.ode.method = ODE_HEUN};
    refused(m, c, "rtol");
    c = (struct model_choice){.given = MODEL_GIVEN(METHOD) | MODEL_GIVEN(ATOL),
                              .value.ode.method = ODE_EULER};
    refused(m, c, "atol");
    c = (struct model_choice){.given = MODEL_GIVEN(STEPS) | MODEL_GIVEN(ATOL),
                              .value.ode.steps = 3};
    refused(m, c, "atol");
    c = (struct model_choice){.given = MODEL_GIVEN(SCHEDULE),
                              .value.ode.schedule = ODE_SCHEDULE_TUNED};
    refused(m, c, "schedule");
    model_free(m);
}

/* The path up keeps its rk45 with other tolerances and ends, is another method's where that is
 * named, and says what it cannot do: noise was passed over once. */
static void the_path_up_is_chosen(void **state)
{
    (void)state;
    struct model *m = load(NULL);
    const struct model_solver base = model_solver_forward_default(m);
    struct model_choice c = {.given = MODEL_GIVEN(ATOL) | MODEL_GIVEN(T_MAX),
                             .value = {.ode.atol = 1e-3, .t_max = 9}};
    struct model_solver s;
    struct err e = {0};
    assert_int_equal(model_solver_choose_forward(m, &base, &c, &s, &e), 0);
    assert_true(s.ode.method == ODE_RK45 && s.ode.rtol == base.ode.rtol && s.ode.atol == 1e-3);
    assert_true(s.t_max == 9 && s.t_min == base.t_min && !s.ode.to_zero);
    c = (struct model_choice){.given = MODEL_GIVEN(CHURN), .value.ode.churn.amount = 1};
    assert_int_equal(model_solver_choose_forward(m, &base, &c, &s, &e), 0);
    assert_int_equal(model_solver_check(m, &s, &e), -1);
    assert_string_equal(e.at, "churn");
    c = (struct model_choice){.given = MODEL_GIVEN(METHOD), .value.ode.method = ODE_HEUN};
    assert_int_equal(model_solver_choose_forward(m, &base, &c, &s, &e), 0);
    assert_true(s.ode.method == ODE_HEUN && s.ode.steps == 100 && !s.ode.to_zero);
    c.given |= MODEL_GIVEN(RTOL);
    assert_int_equal(model_solver_choose_forward(m, &base, &c, &s, &e), -1);
    assert_string_equal(e.at, "rtol");
    model_free(m);
}

/* On the path up the tuned nodes that a model has by default are the power grid's, and only those
 * that were asked for stay, to be refused: fixed steps were refused on every tuned model. */
static void the_path_up_leaves_tuned_nodes(void **state)
{
    (void)state;
    struct model *m = load(TUNED);
    const struct model_solver base = model_solver_forward_default(m);
    struct model_choice c = {.given = MODEL_GIVEN(STEPS), .value.ode.steps = 20};
    struct model_solver s;
    struct err e = {0};
    assert_int_equal(model_solver_choose_forward(m, &base, &c, &s, &e), 0);
    assert_int_equal(s.ode.method, ODE_MULTISTEP2);
    assert_int_equal(s.ode.schedule, ODE_SCHEDULE_POWER);
    assert_int_equal(s.ode.steps, 20);
    c = (struct model_choice){.given = MODEL_GIVEN(METHOD), .value.ode.method = ODE_MULTISTEP2};
    assert_int_equal(model_solver_choose_forward(m, &base, &c, &s, &e), 0);
    assert_int_equal(s.ode.schedule, ODE_SCHEDULE_POWER);
    assert_int_equal(s.ode.steps, 35);
    c = (struct model_choice){.given = MODEL_GIVEN(SCHEDULE),
                              .value.ode.schedule = ODE_SCHEDULE_TUNED};
    assert_int_equal(model_solver_choose_forward(m, &base, &c, &s, &e), 0);
    assert_int_equal(s.ode.schedule, ODE_SCHEDULE_TUNED);
    model_free(m);
}

static void tuned_schedules_are_taken(void **state)
{
    (void)state;
    struct err e = {0};
    struct model *m = load(TUNED);
    struct model_solver s = choose(m, (struct model_choice){0});
    assert_int_equal(s.ode.method, ODE_MULTISTEP2);
    assert_int_equal(s.ode.steps, 20);
    assert_int_equal(s.ode.schedule, ODE_SCHEDULE_TUNED);
    s = choose(m, (struct model_choice){.given = MODEL_GIVEN(SCHEDULE) | MODEL_GIVEN(STEPS),
                                        .value.ode.schedule = ODE_SCHEDULE_TUNED,
                                        .value.ode.steps = 4});
    assert_int_equal(s.ode.method, ODE_IPNDM4);
    assert_int_equal(model_solver_resolve(m, &s, &e), 0);
    assert_int_equal(model_solver_check(m, &s, &e), 0);
    assert_true(s.ode.nodes[1] == 5 && s.ode.nodes[3] == 1e-3);
    /* from 40 to 20 straight through the mean, (0, 2) */
    double x[2] = {10, 12};
    assert_true(model_solver_begin(m, &s, x) == 20.0);
    assert_true(x[0] == 5 && x[1] == 7);
    /* the steps alone take what was tuned for them, with a method of its own */
    s = choose(m, (struct model_choice){.given = MODEL_GIVEN(STEPS), .value.ode.steps = 4});
    assert_int_equal(s.ode.method, ODE_IPNDM4);
    assert_int_equal(s.ode.schedule, ODE_SCHEDULE_TUNED);
    assert_int_equal(model_solver_resolve(m, &s, &e), 0);
    s = choose(m, (struct model_choice){.given = MODEL_GIVEN(METHOD) | MODEL_GIVEN(STEPS),
                                        .value.ode.method = ODE_MULTISTEP2,
                                        .value.ode.steps = 4});
    assert_int_equal(s.ode.schedule, ODE_SCHEDULE_POWER);
    /* another number of steps, or other ends, are not what was tuned */
    s = choose(m, (struct model_choice){.given = MODEL_GIVEN(STEPS), .value.ode.steps = 9});
    assert_int_equal(s.ode.schedule, ODE_SCHEDULE_POWER);
    assert_int_equal(s.ode.steps, 9);
    s = choose(m, (struct model_choice){.given = MODEL_GIVEN(T_MAX), .value.t_max = 30});
    assert_int_equal(s.ode.schedule, ODE_SCHEDULE_POWER);
    struct model_choice c = {.given = MODEL_GIVEN(SCHEDULE) | MODEL_GIVEN(STEPS),
                             .value.ode.schedule = ODE_SCHEDULE_TUNED,
                             .value.ode.steps = 5};
    refused(m, c, "schedule");
    c.value.ode.steps = 4;
    c.given |= MODEL_GIVEN(T_MAX);
    c.value.t_max = 30;
    refused(m, c, "t_max");
    c.given &= ~MODEL_GIVEN(T_MAX);
    c.given |= MODEL_GIVEN(METHOD);
    c.value.ode.method = ODE_HEUN;
    refused(m, c, "method");
    model_free(m);
}

static void bad_tuned_schedules_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "\"tuned\":3",
        "\"tuned\":[]",
        "\"tuned\":[3]",
        "\"tuned\":[{\"method\":\"rk45\",\"nodes\":[40,1e-3]}]",
        "\"tuned\":[{\"method\":\"euler\",\"nodes\":[40]}]",
        "\"tuned\":[{\"method\":\"euler\",\"nodes\":[40,40,1e-3]}]",
        "\"tuned\":[{\"method\":\"euler\",\"nodes\":[41,1e-3]}]",
        "\"tuned\":[{\"method\":\"euler\",\"nodes\":[40,2e-3]}]",
        "\"tuned\":[{\"method\":\"euler\",\"nodes\":[40,\"1\",1e-3]}]",
        "\"tuned\":[{\"method\":\"euler\",\"nodes\":[40,1e-3],\"more\":1}]",
        "\"tuned\":[{\"method\":\"euler\",\"nodes\":[40,1e-3]},"
        "{\"method\":\"euler\",\"nodes\":[30,1e-3]}]"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        if (points_model(rows[i], &e))
            fail_msg("%s was taken", rows[i]);
        assert_true(strstr(e.text, "tuned") || strstr(e.text, "more"));
    }
}

/* What says that it is the default is it, whatever else there is. */
static void a_tuned_schedule_may_be_the_default(void **state)
{
    (void)state;
    char text[sizeof TUNED + 64];
    const char *mark = strstr(TUNED, "]}");
    snprintf(text, sizeof text, "%.*s],\"default\":true%s", (int)(mark - TUNED), TUNED, mark + 1);
    struct model *m = load(text);
    struct model_solver s = choose(m, (struct model_choice){0});
    assert_int_equal(s.ode.method, ODE_IPNDM4);
    assert_int_equal(s.ode.schedule, ODE_SCHEDULE_TUNED);
    assert_int_equal(s.ode.steps, 4);
    s = choose(m, (struct model_choice){.given = MODEL_GIVEN(STEPS), .value.ode.steps = 20});
    assert_int_equal(s.ode.method, ODE_MULTISTEP2);
    model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_solver_is_resolved),
        cmocka_unit_test(options_of_the_other_kind_of_method_are_refused),
        cmocka_unit_test(the_path_up_is_chosen),
        cmocka_unit_test(the_path_up_leaves_tuned_nodes),
        cmocka_unit_test(tuned_schedules_are_taken),
        cmocka_unit_test(a_tuned_schedule_may_be_the_default),
        cmocka_unit_test(bad_tuned_schedules_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
