/* Great circles between latents: exact ends, the constant speed, the plane and the norms of the
 * way, and the cases where the circle is not there or not the only one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base_rng.h"
#include "field_circle.h"
#include <float.h>
#include <math.h>
#include <string.h>

#define D 37
#define PI_4 0.78539816339744830962
#define PI_6 0.52359877559829887308

static double dot(size_t d, const double *a, const double *b)
{
    double sum = 0.0;
    for (size_t i = 0; i < d; i++)
        sum += a[i] * b[i];
    return sum;
}

static double norm(size_t d, const double *a)
{
    return sqrt(dot(d, a, a));
}

/* By the chord, which is exact where the arc cosine is not. */
static double angle(size_t d, const double *a, const double *b)
{
    double sum = 0.0;
    for (size_t i = 0; i < d; i++) {
        const double apart = a[i] / norm(d, a) - b[i] / norm(d, b);
        sum += apart * apart;
    }
    return 2.0 * asin(fmin(1.0, sqrt(sum) / 2.0));
}

static void draw(uint64_t index, double size, double *out)
{
    rng_normals(5, index, RNG_TEST, D, out);
    for (size_t i = 0; i < D; i++)
        out[i] *= size;
}

static void the_ends_are_exact(void **state)
{
    (void)state;
    double a[D], b[D], out[D];
    draw(1, 3e5, a);
    draw(2, 1e-9, b);
    field_circle_between(D, a, b, 0.0, 0, out);
    assert_memory_equal(out, a, sizeof a);
    field_circle_between(D, a, b, 1.0, 0, out);
    assert_memory_equal(out, b, sizeof b);
}

/* In steps of equal angle, with the norm in equal steps, and in the plane of a and b. */
static void the_way_is_even(void **state)
{
    (void)state;
    double a[D], b[D], out[D], before[D], worst = 0.0;
    for (uint64_t k = 0; k < 50; k++) {
        draw(2 * k, 7.0, a);
        draw(2 * k + 1, k % 2 ? 0.01 : 2e3, b);
        const double whole = angle(D, a, b), na = norm(D, a), nb = norm(D, b);
        memcpy(before, a, sizeof a);
        for (int step = 1; step <= 8; step++) {
            const double s = step / 8.0, n = (1.0 - s) * na + s * nb;
            field_circle_between(D, a, b, s, 0, out);
            worst = fmax(worst, fabs(norm(D, out) / n - 1.0));
            worst = fmax(worst, fabs(angle(D, before, out) - whole / 8.0));
            worst = fmax(worst, fabs(angle(D, a, out) + angle(D, out, b) - whole));
            memcpy(before, out, sizeof out);
        }
    }
    print_message("the way is even to %.2e\n", worst);
    assert_true(worst < 1e-12);
}

/* There and back is one way, to rounding. */
static void the_way_back_is_the_same(void **state)
{
    (void)state;
    double a[D], b[D], there[D], back[D];
    draw(3, 1.0, a);
    draw(4, 40.0, b);
    for (int step = 1; step < 10; step++) {
        field_circle_between(D, a, b, step / 10.0, 0, there);
        field_circle_between(D, b, a, 1.0 - step / 10.0, 0, back);
        for (size_t i = 0; i < D; i++)
            assert_true(fabs(there[i] - back[i]) <= 1e-12 * norm(D, there));
    }
}

static void a_quarter_turn_has_its_closed_form(void **state)
{
    (void)state;
    const double a[2] = {2.0, 0.0}, b[2] = {0.0, 6.0};
    double out[2];
    field_circle_between(2, a, b, 0.5, 0, out);
    assert_true(fabs(out[0] - 4.0 * sqrt(0.5)) < 1e-14 && fabs(out[1] - out[0]) < 1e-14);
    field_circle_between(2, a, b, 1.0 / 3.0, 0, out);
    assert_true(fabs(out[0] - 10.0 / 3.0 * cos(PI_6)) < 1e-13);
    assert_true(fabs(out[1] - 10.0 / 3.0 * sin(PI_6)) < 1e-13);
}

static void parallel_ones_keep_their_line(void **state)
{
    (void)state;
    double a[D], b[D], out[D];
    draw(5, 1.0, a);
    for (size_t i = 0; i < D; i++)
        b[i] = 3.0 * a[i] * (i == 4 ? 1.0 + 4 * DBL_EPSILON : 1.0);
    field_circle_between(D, a, b, 0.25, 0, out);
    for (size_t i = 0; i < D; i++)
        assert_true(fabs(out[i] - 1.5 * a[i]) <= 1e-15 * fabs(a[i]) * 4);
    field_circle_between(D, a, a, 0.7, 0, out);
    for (size_t i = 0; i < D; i++)
        assert_true(fabs(out[i] - a[i]) <= DBL_EPSILON * fabs(a[i]));
}

/* By way of a direction that the seed draws: its middle is no axis, which would put all of the norm
 * on one value. */
static void opposite_ones_go_around_by_a_drawn_direction(void **state)
{
    (void)state;
    double a[D], b[D], out[D], other[D], largest = 0.0;
    draw(6, 1.0, a);
    a[11] = 1e-9;
    for (size_t i = 0; i < D; i++)
        b[i] = -2.0 * a[i];
    const double n = norm(D, a);
    field_circle_between(D, a, b, 0.5, 0, out);
    assert_true(fabs(norm(D, out) / (1.5 * n) - 1.0) < 1e-12);
    assert_true(fabs(dot(D, a, out)) < 1e-12 * n * n);
    for (size_t i = 0; i < D; i++)
        largest = fmax(largest, fabs(out[i]));
    assert_true(largest < 0.7 * 1.5 * n);
    field_circle_between(D, a, b, 0.5, 1, other);
    assert_true(angle(D, out, other) > 0.1);
    field_circle_between(D, b, a, 0.5, 0, other); /* the way back is the same */
    assert_true(angle(D, out, other) < 1e-12);
    field_circle_between(D, a, b, 0.25, 0, out);
    assert_true(fabs(angle(D, a, out) - PI_4) < 1e-7);
    const double one = 3.0, minus = -5.0;
    field_circle_between(1, &one, &minus, 0.25, 0, out);
    assert_true(out[0] == 1.0);
}

static void a_norm_of_zero_takes_the_others_direction(void **state)
{
    (void)state;
    double a[D] = {0}, b[D], out[D];
    draw(7, 1.0, b);
    field_circle_between(D, a, b, 0.5, 0, out);
    for (size_t i = 0; i < D; i++)
        assert_true(out[i] == 0.5 * b[i]);
    field_circle_between(D, b, a, 0.25, 0, out);
    for (size_t i = 0; i < D; i++)
        assert_true(out[i] == 0.75 * b[i]);
    field_circle_between(D, a, a, 0.25, 0, out);
    for (size_t i = 0; i < D; i++)
        assert_true(out[i] == 0.0);
}

/* Nothing overflows on the way, and no fraction makes a number that is none. */
static void everything_finite_stays_finite(void **state)
{
    (void)state;
    static const double sizes[] = {1e-300, 1e-160, 1.0, 1e30, 1e200};
    double a[D], b[D], out[D];
    for (size_t i = 0; i < 25; i++) {
        draw(100 + i, sizes[i / 5], a);
        draw(200 + i, sizes[i % 5], b);
        if (i % 3 == 0)
            for (size_t j = 0; j < D; j++)
                b[j] = -a[j] * (1.0 + (double)j * 1e-9);
        for (int step = 0; step <= 16; step++) {
            field_circle_between(D, a, b, step / 16.0, 0, out);
            for (size_t j = 0; j < D; j++)
                assert_true(isfinite(out[j]));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ends_are_exact),
        cmocka_unit_test(the_way_is_even),
        cmocka_unit_test(the_way_back_is_the_same),
        cmocka_unit_test(a_quarter_turn_has_its_closed_form),
        cmocka_unit_test(parallel_ones_keep_their_line),
        cmocka_unit_test(opposite_ones_go_around_by_a_drawn_direction),
        cmocka_unit_test(a_norm_of_zero_takes_the_others_direction),
        cmocka_unit_test(everything_finite_stays_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
