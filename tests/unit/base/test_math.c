/* The elementary functions against the C library's long double ones, in units in the last place. */
#include "base_math.h"
#include "base_rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static double ulps(double got, long double exact)
{
    double rounded = (double)exact;
    double unit = nextafter(fabs(rounded), INFINITY) - fabs(rounded);
    return (double)(fabsl((long double)got - exact) / unit);
}

/* Number i of a fixed stream of uniforms. */
static double uniform(uint64_t i)
{
    double u;
    rng_uniforms(17, i, RNG_TEST, 1, &u);
    return u;
}

static void exp_and_log_are_right_to_two_units(void **state)
{
    (void)state;
    double worst_exp = 0, worst_log = 0;
    for (uint64_t i = 0; i < 200000; i++) {
        double x = (uniform(i) - 0.5) * (i % 2 ? 1400.0 : 4.0);
        worst_exp = fmax(worst_exp, ulps(math_exp(x), expl((long double)x)));
        double y = i % 3 ? uniform(i) * 3.0 : ldexp(uniform(i), (int)(i % 2000) - 1000);
        worst_log = fmax(worst_log, ulps(math_log(y), logl((long double)y)));
    }
    printf("exp: %.3f units in the last place, log: %.3f\n", worst_exp, worst_log);
    assert_true(worst_exp < 2.0);
    assert_true(worst_log < 2.0);
}

static void sine_and_cosine_of_turns_are_right(void **state)
{
    (void)state;
    double worst = 0;
    const long double two_pi = 6.283185307179586476925286766559005768L;
    for (uint64_t i = 0; i < 200000; i++) {
        double u = uniform(i), s, c;
        math_sincos_turn(u, &s, &c);
        worst = fmax(worst, fabs((double)((long double)s - sinl(two_pi * (long double)u))));
        worst = fmax(worst, fabs((double)((long double)c - cosl(two_pi * (long double)u))));
    }
    printf("sine and cosine: largest error %.3g\n", worst);
    assert_true(worst < 2.3e-16);
    double s, c;
    math_sincos_turn(0.25, &s, &c);
    assert_true(s == 1.0 && c == 0.0);
    math_sincos_turn(0.5, &s, &c);
    assert_true(s == 0.0 && c == -1.0);
}

static void special_values(void **state)
{
    (void)state;
    assert_true(math_exp(0.0) == 1.0);
    assert_true(isinf(math_exp(1000.0)));
    assert_true(math_exp(-1000.0) == 0.0);
    assert_true(math_exp(-740.0) > 0.0); /* gradual underflow */
    assert_true(isnan(math_exp(NAN)));
    assert_true(math_log(1.0) == 0.0);
    assert_true(isinf(math_log(0.0)));
    assert_true(isnan(math_log(-1.0)));
    assert_true(fabs(math_log(5e-324) + 744.4400719213812) < 1e-12);
    assert_true(fabs(math_pow(2.0, 10.0) - 1024.0) < 1e-11);
}

static void log_gamma_matches(void **state)
{
    (void)state;
    double worst = 0;
    for (double x = 0.5; x < 200000.0; x *= 1.07) {
        double exact = (double)lgammal((long double)x);
        worst = fmax(worst, fabs(math_lgamma(x) - exact) / fmax(1.0, fabs(exact)));
    }
    printf("log gamma: relative error %.3g\n", worst);
    assert_true(worst < 2e-14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_and_log_are_right_to_two_units),
        cmocka_unit_test(sine_and_cosine_of_turns_are_right),
        cmocka_unit_test(special_values),
        cmocka_unit_test(log_gamma_matches),
    };
    return cmocka_run_group_tests_name("base: math", tests, NULL, NULL);
}
