/* Where tuned nodes may lie: whatever is done to a curve or to a node, they fall, and their ends
 * stay where they belong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base_rng.h"
#include "tune_schedule.h"
#include <math.h>

#define T_MAX 43.4
#define T_MIN 1e-3

static void assert_falls(const struct tune_schedule *schedule, double begin)
{
    assert_true(schedule->nodes[0] == begin);
    assert_true(schedule->nodes[schedule->steps] == T_MIN);
    for (int i = 1; i <= schedule->steps; i++)
        assert_true(schedule->nodes[i] < schedule->nodes[i - 1]);
}

static void test_grids(void **state)
{
    (void)state;
    struct tune_schedule schedule = {.steps = 2};
    tune_schedule_lay(&schedule, 4.0, 1e-3, 0.0);
    assert_true(fabs(schedule.nodes[1] / sqrt(4e-3) - 1.0) < 1e-12);
    tune_schedule_lay(&schedule, 4.0, 1e-3, 1.0);
    assert_true(fabs(schedule.nodes[1] / (0.5 * 4.001) - 1.0) < 1e-12);
    for (schedule.steps = 1; schedule.steps <= CKPT_TUNED_STEPS_MAX; schedule.steps++) {
        tune_schedule_lay(&schedule, T_MAX, T_MIN, 7.0);
        assert_falls(&schedule, T_MAX);
    }
}

/* The curve of a grid is the grid where its knots are nodes, and near it elsewhere. */
static void test_the_curve_of_a_grid(void **state)
{
    (void)state;
    static const double exponents[] = {0.0, 4.0, 10.0};
    for (int k = 0; k < 3; k++)
        for (int steps = 4; steps <= 100; steps += 16) {
            struct tune_schedule grid = {.steps = steps}, schedule = grid;
            double worst = 0.0;
            tune_schedule_lay(&grid, T_MAX, T_MIN, exponents[k]);
            struct tune_curve curve = tune_curve_of(&grid);
            tune_curve_lay(&curve, &schedule);
            assert_falls(&schedule, T_MAX);
            for (int i = 0; i <= steps; i++) {
                double off = fabs(log(schedule.nodes[i] / grid.nodes[i]));
                worst = fmax(worst, off);
                if (4 * i % steps == 0)
                    assert_true(off < 1e-12);
            }
            print_message("exponent %2g, %3d steps: the curve is %.2g of ln t off the grid\n",
                          exponents[k], steps, worst);
            assert_true(worst < (exponents[k] == 0.0 ? 1e-12 : 1.0));
        }
}

static void test_bent_curves_fall(void **state)
{
    (void)state;
    for (uint64_t draw = 0; draw < 300; draw++) {
        struct tune_schedule schedule = {.steps = 1 + (int)(draw % 40)};
        double normals[TUNE_HANDLES];
        tune_schedule_lay(&schedule, 20.0, T_MIN, 10.0);
        struct tune_curve curve = tune_curve_of(&schedule);
        rng_normals(draw, 0, RNG_TEST, TUNE_HANDLES, normals);
        for (int handle = 0; handle < TUNE_QUARTERS; handle++)
            assert_true(tune_curve_bend(&curve, handle, 2.0 * normals[handle], T_MAX));
        double before = curve.begin;
        bool stays = tune_curve_bend(&curve, TUNE_QUARTERS, 0.5 * normals[TUNE_QUARTERS], T_MAX);
        assert_true(stays == (curve.begin <= T_MAX));
        if (!stays)
            curve.begin = before;
        tune_curve_lay(&curve, &schedule);
        assert_falls(&schedule, curve.begin);
    }
}

static void test_moves(void **state)
{
    (void)state;
    struct tune_schedule grid = {.steps = 6}, schedule;
    tune_schedule_lay(&grid, 20.0, T_MIN, 10.0);
    for (int i = 0; i < grid.steps; i++)
        for (int up = 0; up <= 1; up++) {
            schedule = grid;
            assert_true(tune_schedule_move(&schedule, i, up ? 0.3 : -0.3, T_MAX));
            assert_true(up ? schedule.nodes[i] > grid.nodes[i] : schedule.nodes[i] < grid.nodes[i]);
            assert_falls(&schedule, i == 0 ? schedule.nodes[0] : 20.0);
            schedule = grid;
            assert_false(tune_schedule_move(&schedule, i, up ? 1.001 : -1.001, T_MAX));
        }
    tune_schedule_lay(&schedule, T_MAX, T_MIN, 10.0); /* there is nothing above t_max */
    assert_false(tune_schedule_move(&schedule, 0, 0.3, T_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grids),
        cmocka_unit_test(test_the_curve_of_a_grid),
        cmocka_unit_test(test_bent_curves_fall),
        cmocka_unit_test(test_moves),
    };
    return cmocka_run_group_tests_name("tuned nodes", tests, NULL, NULL);
}
