/* Where tuned nodes may lie: whatever is done to a curve or to a node, they fall, and their ends
 * stay where they belong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base_rng.h"
#include "tune_way.h"
#include <math.h>

#define T_MAX 43.4
#define T_MIN 1e-3

static void assert_falls(const struct tune_way *way, double begin)
{
    assert_true(way->nodes[0] == begin);
    assert_true(way->nodes[way->steps] == T_MIN);
    for (int i = 1; i <= way->steps; i++)
        assert_true(way->nodes[i] < way->nodes[i - 1]);
}

static void test_grids(void **state)
{
    (void)state;
    struct tune_way way = {.steps = 2};
    tune_way_lay(&way, 4.0, 1e-3, 0.0);
    assert_true(fabs(way.nodes[1] / sqrt(4e-3) - 1.0) < 1e-12);
    tune_way_lay(&way, 4.0, 1e-3, 1.0);
    assert_true(fabs(way.nodes[1] / (0.5 * 4.001) - 1.0) < 1e-12);
    for (way.steps = 1; way.steps <= CKPT_TUNED_STEPS_MAX; way.steps++) {
        tune_way_lay(&way, T_MAX, T_MIN, 7.0);
        assert_falls(&way, T_MAX);
    }
}

/* The curve of a grid is the grid where its knots are nodes, and near it elsewhere. */
static void test_the_curve_of_a_grid(void **state)
{
    (void)state;
    static const double exponents[] = {0.0, 4.0, 10.0};
    for (int k = 0; k < 3; k++)
        for (int steps = 4; steps <= 100; steps += 16) {
            struct tune_way grid = {.steps = steps}, way = grid;
            double worst = 0.0;
            tune_way_lay(&grid, T_MAX, T_MIN, exponents[k]);
            struct tune_curve curve = tune_curve_of(&grid);
            tune_curve_lay(&curve, &way);
            assert_falls(&way, T_MAX);
            for (int i = 0; i <= steps; i++) {
                double off = fabs(log(way.nodes[i] / grid.nodes[i]));
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
        struct tune_way way = {.steps = 1 + (int)(draw % 40)};
        double normals[TUNE_HANDLES];
        tune_way_lay(&way, 20.0, T_MIN, 10.0);
        struct tune_curve curve = tune_curve_of(&way);
        rng_normals(draw, 0, RNG_TEST, TUNE_HANDLES, normals);
        for (int handle = 0; handle < TUNE_QUARTERS; handle++)
            assert_true(tune_curve_bend(&curve, handle, 2.0 * normals[handle], T_MAX));
        double before = curve.begin;
        bool stays = tune_curve_bend(&curve, TUNE_QUARTERS, 0.5 * normals[TUNE_QUARTERS], T_MAX);
        assert_true(stays == (curve.begin <= T_MAX));
        if (!stays)
            curve.begin = before;
        tune_curve_lay(&curve, &way);
        assert_falls(&way, curve.begin);
    }
}

static void test_moves(void **state)
{
    (void)state;
    struct tune_way grid = {.steps = 6}, way;
    tune_way_lay(&grid, 20.0, T_MIN, 10.0);
    for (int i = 0; i < grid.steps; i++)
        for (int up = 0; up <= 1; up++) {
            way = grid;
            assert_true(tune_way_move(&way, i, up ? 0.3 : -0.3, T_MAX));
            assert_true(up ? way.nodes[i] > grid.nodes[i] : way.nodes[i] < grid.nodes[i]);
            assert_falls(&way, i == 0 ? way.nodes[0] : 20.0);
            way = grid;
            assert_false(tune_way_move(&way, i, up ? 1.001 : -1.001, T_MAX));
        }
    tune_way_lay(&way, T_MAX, T_MIN, 10.0); /* there is nothing above t_max */
    assert_false(tune_way_move(&way, 0, 0.3, T_MAX));
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
