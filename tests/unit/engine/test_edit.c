/* Edits: what strength 0 and 1 are, what a mask keeps, the seed rule, which solvers there can be,
 * and the part of a path that is left of one. */
#include "base_cpu.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "task_test.h"

static uint8_t left_half[D]; /* of the 8×8 picture */

static int set_up(void **state)
{
    for (int j = 0; j < D; j++)
        left_half[j] = j % 8 < 4;
    return read_golden(state);
}

static struct engine_order edit_of(struct engine *g, double strength, const uint8_t *kept,
                                   size_t first, size_t n)
{
    struct engine_model *em = engine_model_find(g, NULL);
    struct engine_order order = {.model = em,
                                 .seed = 11,
                                 .first_index = first,
                                 .n = n,
                                 .solver = model_solver_default(engine_model_get(em)),
                                 .edit = {golden.x, kept, strength},
                                 .output = ENGINE_OUTPUT_SAMPLE};
    engine_model_release(em); /* the engine keeps it until its own end */
    return order;
}

static const float *sample(const struct engine_request *r, size_t i)
{
    return engine_request_image(r, i)->sample;
}

static void strength_0_gives_every_value_back(void **state)
{
    (void)state;
    struct engine *g = new_engine(2, 4, NN_KERNEL_AUTO);
    for (int mask = 0; mask < 2; mask++) {
        struct engine_order order = edit_of(g, 0.0, mask ? left_half : NULL, 0, 3);
        struct engine_request *r = finished(g, &order);
        for (size_t i = 0; i < 3; i++) {
            for (int j = 0; j < D; j++)
                assert_true(sample(r, i)[j] == (float)golden.x[j]);
            assert_int_equal(engine_request_image(r, i)->counts.nfe, 0);
        }
        assert_true(engine_request_progress(r).fraction == 1.0);
        engine_request_free(r);
    }
    engine_free(g);
}

static void strength_1_is_the_plain_sample_by_every_solver(void **state)
{
    (void)state;
    struct engine *g = new_engine(1, 8, NN_KERNEL_AUTO);
    for (int method = 0; method < ODE_METHODS; method++) {
        struct engine_order order = edit_of(g, 1.0, NULL, 5, 2);
        order.solver.ode.method = (enum ode_method)method;
        order.solver.ode.schedule = ODE_SCHEDULE_LOG;
        order.solver.ode.steps = 6;
        order.solver.ode.rtol = order.solver.ode.atol = 0.1;
        struct engine_request *edited = finished(g, &order);
        order.edit = (struct engine_edit){0};
        struct engine_request *plain = finished(g, &order);
        for (size_t i = 0; i < 2; i++)
            assert_memory_equal(sample(edited, i), sample(plain, i), D * sizeof(float));
        engine_request_free(edited);
        engine_request_free(plain);
    }
    engine_free(g);
}

/* With everything changed under a mask that keeps nothing, the path is still that of the sample. */
static void a_mask_that_keeps_nothing_changes_nothing(void **state)
{
    (void)state;
    const uint8_t nothing[D] = {0};
    struct engine *g = new_engine(1, 4, NN_KERNEL_AUTO);
    for (double strength = 0.4; strength < 1.1; strength += 0.6) {
        struct engine_order order = edit_of(g, strength, nothing, 3, 1);
        struct engine_request *masked = finished(g, &order);
        order.edit.kept = NULL;
        struct engine_request *plain = finished(g, &order);
        assert_memory_equal(sample(masked, 0), sample(plain, 0), D * sizeof(float));
        engine_request_free(masked);
        engine_request_free(plain);
    }
    engine_free(g);
}

static void what_is_kept_is_exact_and_the_rest_is_new(void **state)
{
    (void)state;
    struct engine *g = new_engine(1, 8, NN_KERNEL_AUTO);
    int methods = 0;
    for (int method = 0; method < ODE_METHODS; method++) {
        struct engine_order order = edit_of(g, 1.0, left_half, 0, 2);
        struct err e = {0};
        order.solver.ode.method = (enum ode_method)method;
        order.solver.ode.schedule = ODE_SCHEDULE_POWER;
        order.solver.ode.steps = 10;
        if (!ode_method_evaluates_once((enum ode_method)method)) {
            assert_int_equal(engine_check(&order, &e), -1);
            assert_string_equal(e.at, "method");
            continue;
        }
        methods++;
        struct engine_request *r = finished(g, &order);
        double moved = 0.0, apart = 0.0;
        for (int j = 0; j < D; j++) {
            if (left_half[j])
                assert_true(sample(r, 0)[j] == (float)golden.x[j]);
            moved += fabs((double)sample(r, 0)[j] - golden.x[j]);
            apart += fabs((double)sample(r, 0)[j] - (double)sample(r, 1)[j]);
        }
        assert_true(moved > 1.0 && apart > 1.0);
        assert_int_equal(engine_request_image(r, 0)->counts.nfe, 10);
        engine_request_free(r);
    }
    assert_int_equal(methods, 5);
    engine_free(g);
}

/* The farther up, the more evaluations and the more of the image is gone. */
static void a_strength_says_how_far(void **state)
{
    (void)state;
    struct engine *g = new_engine(1, 8, NN_KERNEL_AUTO);
    double before = 0.0;
    int64_t nfe = 0;
    for (int k = 1; k <= 4; k++) {
        struct engine_order order = edit_of(g, 0.2 * k, NULL, 0, 8);
        struct engine_request *r = finished(g, &order);
        double moved = 0.0;
        int64_t count = 0;
        for (size_t i = 0; i < 8; i++) {
            for (int j = 0; j < D; j++)
                moved += pow((double)sample(r, i)[j] - golden.x[j], 2.0);
            count += engine_request_image(r, i)->counts.nfe;
        }
        moved = sqrt(moved / (8.0 * D));
        printf("strength %.1f: %.3f from the image after %.1f evaluations\n", 0.2 * k, moved,
               (double)count / 8.0);
        assert_true(moved > before && count > nfe);
        before = moved;
        nfe = count;
        engine_request_free(r);
    }
    engine_free(g);
}

static void same_seed_same_bits_in_any_company(void **state)
{
    (void)state;
    const int workers[] = {1, 3}, batches[] = {3, 8};
    float expected[2][IMAGES][D];
    bool known = false;
    for (int w = 0; w < 2; w++) {
        struct engine *g = new_engine(workers[w], batches[w], NN_KERNEL_AUTO);
        struct engine_order plain = edit_of(g, 0.9, NULL, 40, 9), crowd = plain;
        crowd.edit = (struct engine_edit){0};
        struct engine_request *others[2] = {submit(g, &plain), submit(g, &crowd)};
        for (size_t n = 1; n <= IMAGES; n += 3)
            for (size_t first = 0; first + n <= IMAGES; first += n)
                for (int mask = 0; mask < 2; mask++) {
                    struct engine_order order = edit_of(g, 0.6, mask ? left_half : NULL, first, n);
                    struct engine_request *r = finished(g, &order);
                    for (size_t i = 0; i < n; i++) {
                        if (!known)
                            memcpy(expected[mask][first + i], sample(r, i), sizeof(float[D]));
                        assert_memory_equal(expected[mask][first + i], sample(r, i),
                                            sizeof(float[D]));
                    }
                    known |= first + n == IMAGES && mask;
                    engine_request_free(r);
                }
        for (int i = 0; i < 2; i++) {
            wait_success(others[i]);
            engine_request_free(others[i]);
        }
        engine_free(g);
    }
}

static void orders_that_make_no_sense_are_refused_by_name(void **state)
{
    (void)state;
    struct engine *g = new_engine(1, 1, NN_KERNEL_AUTO);
    double bad[D];
    memcpy(bad, golden.x, sizeof bad);
    bad[7] = NAN;
    struct {
        const char *at;
        struct engine_order order;
    } cases[6];
    for (int i = 0; i < 6; i++)
        cases[i].order = edit_of(g, 0.5, NULL, 0, 1);
    cases[0].at = cases[1].at = "strength";
    cases[0].order.edit.strength = 1.5;
    cases[1].order.edit.strength = NAN;
    cases[2].at = cases[3].at = cases[4].at = "image";
    cases[2].order.edit.image = bad;
    cases[3].order.latents = golden.x;
    cases[4].order.task = ENGINE_TASK_ENCODE;
    cases[4].order.points = golden.x;
    cases[5].at = "mask";
    cases[5].order.edit = (struct engine_edit){.kept = left_half};
    for (int i = 0; i < 6; i++) {
        struct err e = {0};
        assert_int_equal(engine_check(&cases[i].order, &e), -1);
        assert_string_equal(e.at, cases[i].at);
    }
    engine_free(g);
}

/* What lies below a t of a path of fixed steps: its own nodes, but for one that is too near. */
static void a_part_of_a_path_has_the_nodes_of_the_whole(void **state)
{
    (void)state;
    struct engine *g = new_engine(1, 1, NN_KERNEL_AUTO);
    struct engine_order order = edit_of(g, 0.5, NULL, 0, 1);
    const struct model *m = engine_model_get(order.model);
    struct model_solver whole = order.solver, part;
    enum { STEPS = 12 };
    double all[STEPS + 1], nodes[STEPS + 2];
    whole.ode.steps = STEPS;
    whole.ode.schedule = ODE_SCHEDULE_POWER;
    ode_options_nodes(&whole.ode, whole.t_max, whole.t_min, all);
    assert_true(all[0] == whole.t_max && all[STEPS] == whole.t_min);
    for (int i = 1; i < STEPS; i++) {
        /* on a node, just above it, just below it */
        const double from[] = {all[i], all[i] * 1.001, all[i] * 0.999};
        const int steps[] = {STEPS - i, STEPS - i, STEPS - i};
        for (int k = 0; k < 3; k++) {
            assert_true(model_solver_below(m, &whole, from[k], &part, nodes) == from[k]);
            assert_int_equal(part.ode.steps, steps[k]);
            assert_true(part.t_max == from[k] && nodes[0] == from[k]);
            for (int s = 1; s <= part.ode.steps; s++)
                assert_true(nodes[s] == all[i + s]);
        }
    }
    assert_true(model_solver_below(m, &whole, whole.t_max, &part, nodes) == whole.t_max);
    assert_memory_equal(&part, &whole, sizeof part);
    assert_true(model_solver_below(m, &whole, whole.t_min * 1.01, &part, nodes) > whole.t_min);
    assert_int_equal(part.ode.steps, 1);
    engine_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strength_0_gives_every_value_back),
        cmocka_unit_test(strength_1_is_the_plain_sample_by_every_solver),
        cmocka_unit_test(a_mask_that_keeps_nothing_changes_nothing),
        cmocka_unit_test(what_is_kept_is_exact_and_the_rest_is_new),
        cmocka_unit_test(a_strength_says_how_far),
        cmocka_unit_test(same_seed_same_bits_in_any_company),
        cmocka_unit_test(orders_that_make_no_sense_are_refused_by_name),
        cmocka_unit_test(a_part_of_a_path_has_the_nodes_of_the_whole),
    };
    return cmocka_run_group_tests_name("edits", tests, set_up, NULL);
}
