/* What a run of a given time is made of, by figures that stand for a machine's; and the clock of
 * such a run. */
#include "train_plan.h"
#include "train_config.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SECOND 1000000000LL

/* A machine that takes so long for an image of the smallest network, and twice as long for each
 * larger one, as it would be measured. */
static struct train_plan measured(double seconds, double image)
{
    struct train_plan p = {.seconds = seconds, .sheet = 200};
    do
        p.image_seconds[p.measured++] = image;
    while (image *= 2, train_plan_goes_on(&p));
    return p;
}

static json_t *object(const char *text)
{
    json_t *root = json_parse(text, strlen(text), "test", NULL);
    assert_non_null(root);
    return root;
}

static void more_time_brings_larger_networks_and_batches(void **state)
{
    (void)state;
    int network = 0;
    int64_t batch = 0;
    for (double minutes = 1; minutes < 100000; minutes *= 3) {
        struct train_plan p = measured(60 * minutes, 0.01);
        assert_int_equal(train_plan_decide(&p, 0, NULL), 0);
        assert_true(p.network >= network);
        if (p.network == network)
            assert_true(p.batch >= batch);
        assert_true(p.batch >= 8 && p.batch <= 64);
        network = p.network;
        batch = p.batch;
        const double each = p.image_seconds[network];
        double taken = (double)(p.steps * p.batch) * each + p.sheet * each;
        assert_true(taken <= p.seconds && taken > 0.9 * p.seconds);
    }
    assert_int_equal(network, TRAIN_PLAN_NETWORKS - 1);
}

static void the_time_that_is_enough_is_said(void **state)
{
    (void)state;
    struct train_plan p = measured(30, 0.01);
    assert_int_equal(p.measured, 1);
    assert_int_equal(train_plan_decide(&p, 0, NULL), 0);
    assert_true(p.enough > p.seconds && p.more == 0);
    struct train_plan longer = measured(p.enough + 1, 0.01);
    assert_int_equal(longer.measured, 2);
    assert_int_equal(train_plan_decide(&longer, 0, NULL), 0);
    assert_int_equal(longer.network, 0);
    assert_true(longer.more > longer.seconds);
    struct train_plan larger = measured(longer.more + 1, 0.01);
    assert_int_equal(train_plan_decide(&larger, 0, NULL), 0);
    assert_int_equal(larger.network, 1);
}

static void no_time_for_a_step_is_an_error(void **state)
{
    (void)state;
    struct err e = {0};
    struct train_plan p = {.seconds = 60, .image_seconds = {100}, .measured = 1};
    assert_int_equal(train_plan_decide(&p, 0, &e), -1);
    assert_string_equal(e.at, "--minutes");
}

static void what_is_given_wins(void **state)
{
    (void)state;
    json_t *given = object("{\"network\": {\"nf\": 40}, \"batch\": 20, \"learning_rate\": 0.125, "
                           "\"decay\": \"linear\", \"ema\": 0.75, \"objective\": \"pfgm\", "
                           "\"save_every\": 7}");
    assert_true(train_plan_network_given(given, false));
    struct train_plan p = {.seconds = 600, .image_seconds = {0.01}, .measured = 1, .given = true};
    assert_false(train_plan_goes_on(&p));
    assert_int_equal(train_plan_decide(&p, 20, NULL), 0);
    json_t *chosen = train_plan_config(&p, given, false, NULL), *value;
    const char *key;
    assert_non_null(chosen);
    json_object_foreach(given, key, value)
        assert_true(json_equal(value, json_object_get(chosen, key)));
    assert_int_equal(json_integer_value(json_object_get(chosen, "steps")), 3000);
    assert_null(json_object_get(chosen, "log_sigma_mean")); /* of another objective */
    assert_int_equal(json_integer_value(json_object_get(chosen, "decay_steps")), 1500);
    json_decref(chosen);
    json_decref(given);
}

static void a_part_of_a_network_leaves_its_size_to_the_plan(void **state)
{
    (void)state;
    json_t *given = object("{\"network\": {\"attn_resolutions\": [8]}}");
    struct train_plan p = measured(600, 0.01);
    p.log_sigma_mean = -0.25;
    assert_false(train_plan_network_given(given, false));
    assert_int_equal(train_plan_decide(&p, 0, NULL), 0);
    json_t *chosen = train_plan_config(&p, given, false, NULL);
    json_t *network = json_object_get(chosen, "network");
    assert_int_equal(json_array_size(json_object_get(network, "attn_resolutions")), 1);
    assert_true(json_integer_value(json_object_get(network, "nf")) > 0);
    assert_string_equal(json_string_value(json_object_get(chosen, "objective")), "pfgmpp");
    assert_string_equal(json_string_value(json_object_get(chosen, "decay")), "cosine");
    assert_float_equal(json_real_value(json_object_get(chosen, "log_sigma_mean")), p.log_sigma_mean,
                       0);
    assert_null(json_object_get(json_object_get(given, "network"), "nf"));
    json_decref(chosen);
    json_decref(given);
}

/* More noise than the rule's, and as much more as the data are larger. */
static void noise_goes_with_the_data(void **state)
{
    (void)state;
    assert_true(train_plan_noise_mean(0.5) > train_config_noise_mean(0.5));
    assert_true(fabs(train_plan_noise_mean(1) - train_plan_noise_mean(0.5) - log(2)) < 1e-12);
    const struct data_set pictures = {.channels = 3, .side = 2, .count = 2, .norm = sqrt(3)};
    assert_true(fabs(train_config_deviation(&pictures) - 0.5) < 1e-12);
}

static void steps_and_minutes_conflict(void **state)
{
    (void)state;
    json_t *given = object("{\"steps\": 10}");
    struct err e = {0};
    assert_int_equal(train_plan_check(given, "mine.json", &e), -1);
    assert_string_equal(e.at, "mine.json");
    assert_non_null(strstr(e.text, "--minutes"));
    json_decref(given);
}

/* A run on a machine where a step takes `slow(step)` seconds; when it ends. */
static double run(double total, int64_t steps, double (*slow)(int64_t step), double sheet)
{
    struct train_clock c = {.total = total, .begun_ns = 5 * SECOND};
    double now = 5;
    train_clock_start(&c, 5 * SECOND, 0, sheet);
    for (int64_t step = 1; step <= steps; step++) {
        int64_t wanted;
        now += slow(step);
        if (train_clock_look(&c, (int64_t)(now * 1e9), step, steps, &wanted))
            steps = wanted;
    }
    return now - 5 + sheet;
}

static double as_planned(int64_t step)
{
    (void)step;
    return 0.1;
}

static double five_times_slower(int64_t step)
{
    return step > 300 ? 0.5 : 0.1;
}

static double three_times_faster(int64_t step)
{
    return step > 300 ? 0.033 : 0.1;
}

static double sleeps_at_the_end(int64_t step)
{
    return step == 1150 ? 60 : 0.1;
}

static double busy_for_a_while(int64_t step)
{
    return step > 140 && step <= 150 ? 2 : 0.1;
}

static void a_run_ends_at_its_time_whatever_the_machine_does(void **state)
{
    (void)state;
    assert_true(fabs(run(120, 1190, as_planned, 1) - 120) < 2);
    assert_true(fabs(run(120, 1190, five_times_slower, 1) - 120) < 6);
    assert_true(fabs(run(120, 1190, three_times_faster, 1) - 120) < 6);
    assert_true(fabs(run(120, 1190, busy_for_a_while, 1) - 120) < 6);
    assert_true(fabs(run(120, 200, as_planned, 1) - 120) < 6);
    assert_true(run(120, 1190, sleeps_at_the_end, 1) < 178);
}

static void a_run_without_a_time_is_never_changed(void **state)
{
    (void)state;
    struct train_clock c = {0};
    int64_t wanted = 0;
    train_clock_start(&c, 0, 0, 0);
    for (int64_t step = 1; step < 100; step++)
        assert_false(train_clock_look(&c, step * 1000 * SECOND, step, 100, &wanted));
    assert_int_equal(wanted, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_time_brings_larger_networks_and_batches),
        cmocka_unit_test(the_time_that_is_enough_is_said),
        cmocka_unit_test(no_time_for_a_step_is_an_error),
        cmocka_unit_test(what_is_given_wins),
        cmocka_unit_test(a_part_of_a_network_leaves_its_size_to_the_plan),
        cmocka_unit_test(noise_goes_with_the_data),
        cmocka_unit_test(steps_and_minutes_conflict),
        cmocka_unit_test(a_run_ends_at_its_time_whatever_the_machine_does),
        cmocka_unit_test(a_run_without_a_time_is_never_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
