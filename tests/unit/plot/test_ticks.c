/* Where an axis has its ticks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "plot_internal.h"

#include <math.h>
#include <stdlib.h>

/* Whatever its range, an axis has two numbers at least, and all of them on it. A loss between 0.61
 * and 0.68 had neither ticks nor numbers. */
static void every_axis_has_numbers(void **state)
{
    (void)state;
    for (double low = 1e-7; low < 1e6; low *= 1.37)
        for (double times = 1.02; times < 1e8; times *= 1.71) {
            const struct plot_axis axis = {low, low * times, true, NULL, false};
            struct plot_ticks t;
            int names = 0;
            plot_ticks_find(&axis, &t);
            for (int i = 0; i < t.count; i++) {
                assert_true(t.at[i] >= 0.999 * low && t.at[i] <= 1.001 * low * times);
                names += t.named[i];
            }
            assert_int_equal(names, t.names);
            if (names < 2)
                fail_msg("%g to %g: %d numbers", low, low * times, names);
        }
}

static void decades_keep_their_powers(void **state)
{
    (void)state;
    const struct plot_axis wide = {0.05, 300, true, NULL, false},
                           short_one = {0.61, 0.68, true, NULL, false};
    struct plot_ticks t;
    plot_ticks_find(&wide, &t);
    assert_true(t.powers && t.names >= 4 && t.count > 20);
    plot_ticks_find(&short_one, &t);
    assert_true(!t.powers && t.at[0] > 0.6099 && t.at[0] < 0.63);
}

/* 5e-4 was written 1e-3, and 2e5 was 1e5 once more. */
static void numbers_are_those_of_their_ticks(void **state)
{
    (void)state;
    for (int power = -12; power <= 12; power++)
        for (int k = 1; k <= 5; k += k == 1 ? 1 : 3) {
            char number[32];
            const double value = k * pow(10.0, power);
            plot_tick_number(value, true, number);
            if (fabs(strtod(number, NULL) / value - 1.0) > 1e-6)
                fail_msg("%g is written %s", value, number);
        }
    char number[32];
    plot_tick_number(5e-4, true, number);
    assert_string_equal(number, "5e-4");
    plot_tick_number(0.001, true, number);
    assert_string_equal(number, "0.001");
    plot_tick_number(2e5, true, number);
    assert_string_equal(number, "2e5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_axis_has_numbers),
        cmocka_unit_test(decades_keep_their_powers),
        cmocka_unit_test(numbers_are_those_of_their_ticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
