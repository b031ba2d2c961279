/* The flow's divisor and its derivative, which a likelihood follows: by finite differences on both
 * sides of the substitution, at a length of 0, and where the length is held. */
#include "field_flow.h"

#include "base_rng.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define N 48

/* v_x of the length a · √N in a random direction. */
static void fill(float *v, double a, uint64_t seed)
{
    double g[N], square = 0.0;
    rng_normals(seed, 0, RNG_TEST, N, g);
    for (int i = 0; i < N; i++)
        square += g[i] * g[i];
    for (int i = 0; i < N; i++)
        v[i] = (float)(a * sqrt((double)N / square) * g[i]);
}

static const struct field_flow flow = {.gamma = 5.0, .t_substitution = 1.0, .offset = 1e-5};

static void derivative_by_differences(void **state)
{
    (void)state;
    const double lengths[] = {1e-4, 0.05, 0.5, 0.9, 0.999}, times[] = {1e-3, 0.02, 0.3, 0.99};
    double worst = 0.0;
    for (size_t a = 0; a < sizeof lengths / sizeof *lengths; a++)
        for (size_t k = 0; k < sizeof times / sizeof *times; k++) {
            float v[N], moved[N];
            fill(v, lengths[a], 7 + a);
            const struct field_flow_slope slope = field_flow_divisor_slope(&flow, v, N, times[k]);
            /* Along v itself, by a part in a thousand of what is left of the length. */
            double step = 1e-3 * fmin(1.0, (1.0 - lengths[a]) / lengths[a]), square = 0.0;
            double at[2], length[2];
            for (int side = 0; side < 2; side++) {
                double sum = 0.0;
                for (int i = 0; i < N; i++) {
                    moved[i] = (float)((double)v[i] * (1.0 + (side ? step : -step)));
                    sum += (double)moved[i] * (double)moved[i];
                }
                length[side] = sqrt(sum);
                at[side] = field_flow_divisor(&flow, moved, N, -3.0, times[k]);
            }
            for (int i = 0; i < N; i++)
                square += (double)v[i] * (double)v[i];
            double want = (at[1] - at[0]) / (length[1] - length[0]);
            double got = slope.v_x * sqrt(square);
            worst = fmax(worst, fabs(got - want) / fabs(want));
            assert_true(slope.v_t == 0.0);
        }
    printf("derivative of the substituted divisor: %.1e from differences\n", worst);
    assert_true(worst < 1e-3);
}

static void elsewhere_it_is_the_network_s_own(void **state)
{
    (void)state;
    const struct field_flow never = {.gamma = 0.0, .t_substitution = 1.0, .offset = 1e-5};
    float v[N];
    fill(v, 0.6, 3);
    struct field_flow_slope slope = field_flow_divisor_slope(&flow, v, N, 1.0);
    assert_true(slope.v_x == 0.0 && slope.v_t == 1.0);
    slope = field_flow_divisor_slope(&never, v, N, 0.1);
    assert_true(slope.v_x == 0.0 && slope.v_t == 1.0);
    assert_true(field_flow_divisor(&flow, v, N, -2.0, 1.0) == -2.0 + 1e-5);
}

static void ends_of_the_length(void **state)
{
    (void)state;
    float v[N], zero[N] = {0};
    fill(v, 1.5, 4); /* held: a longer one changes nothing */
    struct field_flow_slope slope = field_flow_divisor_slope(&flow, v, N, 0.1);
    assert_true(slope.v_x == 0.0 && slope.v_t == 0.0);
    slope = field_flow_divisor_slope(&flow, zero, N, 0.1);
    assert_true(isfinite(slope.v_x) && slope.v_x > 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derivative_by_differences),
        cmocka_unit_test(elsewhere_it_is_the_network_s_own),
        cmocka_unit_test(ends_of_the_length),
    };
    return cmocka_run_group_tests_name("the divisor", tests, NULL, NULL);
}
