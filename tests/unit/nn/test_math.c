/* The exponential and SiLU that every activation and attention weight goes through: accuracy
 * against the C library's double, and behaviour at the ends of the range. */
#include "nn_kernels.h"
#include "nn_math.h"
#include "nn_test.h"

static void test_exponential_is_accurate(void **state)
{
    (void)state;
    double worst = 0;
    for (int i = 0; i <= 1000000; i++) {
        float x = (float)(-87.0 + 175.0 * i / 1000000);
        double exact = exp((double)x);
        worst = fmax(worst, fabs((double)nn_exp(x) - exact) / exact);
    }
    print_message("relative error of the exponential %.2e\n", worst);
    assert_true(worst < 2e-7);
    assert_true(nn_exp(0.0f) == 1.0f);
    assert_true(nn_exp(-INFINITY) < 1e-37f && nn_exp(-INFINITY) >= 0);
    assert_true(isfinite(nn_exp(INFINITY)) && nn_exp(INFINITY) > 1e38f);
    assert_true(isnan(nn_exp(NAN)));
}

static void test_silu_is_accurate_and_tame(void **state)
{
    (void)state;
    enum { N = 80008 };
    static const float far[] = {1e30f, -1e30f, 3e38f, -3e38f, 200.0f, -200.0f, 0.0f, -0.0f};
    static float x[N], y[N];
    for (int i = 0; i < N; i++)
        x[i] = i < N - 8 ? (float)(-80 + i * 0.002) : far[i - (N - 8)];
    for (int k = NN_KERNEL_C; k <= LAST_KERNEL; k++) {
        if (!nn_kernel_available((enum nn_kernel)k))
            continue;
        double worst = 0;
        nn_kernels_get((enum nn_kernel)k)->silu(N, x, y);
        for (int i = 0; i < N - 8; i++) {
            double exact = (double)x[i] / (1 + exp(-(double)x[i]));
            worst = fmax(worst, x[i] == 0 ? fabs((double)y[i]) : fabs(y[i] - exact) / fabs(exact));
        }
        print_message("%s: relative error of SiLU %.2e\n", nn_kernel_id((enum nn_kernel)k), worst);
        assert_true(worst < 4e-7);
        for (int i = N - 8; i < N; i++)
            assert_true(x[i] > 0 ? y[i] == x[i] : y[i] <= 0 && y[i] > -2.0f);
        x[3] = NAN;
        nn_kernels_get((enum nn_kernel)k)->silu(16, x, y);
        assert_true(isnan(y[3]) && isfinite(y[4]));
        x[3] = (float)(-80 + 3 * 0.002);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exponential_is_accurate),
        cmocka_unit_test(test_silu_is_accurate_and_tame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
