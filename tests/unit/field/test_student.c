/* PFGM++'s prior against closed laws of its radius, against PFGM's prior where the two must be one,
 * and against its own definition from D normals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base_rng.h"
#include "field_prior.h"
#include "field_student.h"
#include "judge.h"
#include "sanitized.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SEED 20230208u

static const double SIGMA = 80.0;

/* (‖x‖/sigma_max)² of n draws. */
static void draw_squares(size_t d, double added, size_t n, double *square)
{
    struct field_student prior = {.d = d, .added = added, .sigma_max = SIGMA};
    double *x = room(d);
    for (size_t i = 0; i < n; i++) {
        field_student_draw(&prior, SEED, i, x);
        square[i] = 0.0;
        for (size_t j = 0; j < d; j++)
            square[i] += (x[j] / SIGMA) * (x[j] / SIGMA);
    }
    free(x);
}

/* s/(s + D), s = (‖x‖/sigma_max)², is Beta(d/2, D/2): for d = 2 its law is 1 − (1 + s/D)^(−D/2),
 * and 1 − exp(−s/2) for D = ∞. */
static void test_radius_in_the_plane(void **state)
{
    (void)state;
    enum { N = TEST_SANITIZED ? 40000 : 400000 };
    static const double added[] = {1.0, 1.5, 2.0, 3.0, 128.0, 2048.0, 3072000.0, 1e9, INFINITY};
    double *u = room(N);
    for (size_t k = 0; k < sizeof added / sizeof added[0]; k++) {
        char what[64];
        double D = added[k];
        draw_squares(2, D, N, u);
        for (size_t i = 0; i < N; i++)
            u[i] = isinf(D) ? -expm1(-0.5 * u[i]) : -expm1(-0.5 * D * log1p(u[i] / D));
        snprintf(what, sizeof what, "radius against its law, d = 2, D = %g", D);
        assert_uniform(u, N, what);
    }
    free(u);
}

/* D = 1 is PFGM's prior without its clip, at d where nothing is closed. */
static void test_one_added_dimension_is_pfgm(void **state)
{
    (void)state;
    enum { N = 20000 };
    static const size_t dimensions[] = {1, 3, 64};
    double *u = room(N);
    for (size_t k = 0; k < 3; k++) {
        char what[64];
        draw_squares(dimensions[k], 1.0, N, u);
        for (size_t i = 0; i < N; i++)
            u[i] = field_prior_radius_cdf(dimensions[k], SIGMA, SIGMA * sqrt(u[i]));
        snprintf(what, sizeof what, "D = 1 against PFGM's prior, d = %zu", dimensions[k]);
        assert_uniform(u, N, what);
    }
    free(u);
}

/* sigma_max·√D·‖g‖/‖h‖ from d + D normals, no chi-square drawn. */
static void test_ratio_of_normals(void **state)
{
    (void)state;
    enum { N = 5000, D = 128, DATA = 768 };
    double *drawn = room(N), *made = room(N), *normals = room(DATA + D);
    draw_squares(DATA, D, N, drawn);
    for (size_t i = 0; i < N; i++) {
        double g = 0.0, h = 0.0;
        rng_normals(SEED, i, RNG_TEST, DATA + D, normals);
        for (size_t j = 0; j < DATA; j++)
            g += normals[j] * normals[j];
        for (size_t j = DATA; j < DATA + D; j++)
            h += normals[j] * normals[j];
        made[i] = D * g / h;
    }
    assert_same_law(drawn, made, N, "ratio of normals, d = 768, D = 128");
    free(drawn);
    free(made);
    free(normals);
}

/* The draw is its two streams, scaled; the same direction for every D; alone or among others. */
static void test_draw_is_a_function_of_seed_and_index(void **state)
{
    (void)state;
    enum { DATA = 17 };
    double a[DATA], b[DATA], g[DATA];
    struct field_student prior = {.d = DATA, .added = 128.0, .sigma_max = SIGMA};
    field_student_draw(&prior, 7, 3, a);
    for (uint64_t i = 0; i < 5; i++)
        field_student_draw(&prior, 7, i, b);
    field_student_draw(&prior, 7, 3, b);
    assert_memory_equal(a, b, sizeof a);
    field_student_draw(&prior, 7, 4, b);
    assert_memory_not_equal(a, b, sizeof a);
    field_student_draw(&prior, 8, 3, b);
    assert_memory_not_equal(a, b, sizeof a);
    rng_normals(7, 3, RNG_PRIOR_DIRECTION, DATA, g);
    double h = sqrt(rng_chi_square(7, 3, RNG_PRIOR_ADDED, 128.0));
    for (size_t j = 0; j < DATA; j++)
        assert_true(fabs(a[j] - SIGMA * sqrt(128.0) * g[j] / h) < 1e-12 * fabs(a[j]));
    prior.added = INFINITY;
    field_student_draw(&prior, 7, 3, b);
    for (size_t j = 0; j < DATA; j++)
        assert_true(b[j] == SIGMA * g[j]);
}

/* The tails of small D at the largest scale stay finite, and within what float32 holds. */
static void test_finite_in_tails(void **state)
{
    (void)state;
    static const double added[] = {1.0, 1.25, 2.0};
    for (size_t k = 0; k < 3; k++) {
        struct field_student prior = {.d = 1, .added = added[k], .sigma_max = FIELD_T_MAX};
        double x, most = 0.0;
        for (uint64_t i = 0; i < 300000; i++) {
            field_student_draw(&prior, SEED, i, &x);
            if (!(fabs(x) < 3e38))
                fail_msg("draw %llu is %g", (unsigned long long)i, x);
            most = fmax(most, fabs(x));
        }
        print_message("D = %g: largest of 300000 draws %.3g scales\n", added[k],
                      most / FIELD_T_MAX);
        assert_true(most > 100.0 * FIELD_T_MAX);
    }
}

/* The density integrates to 1 over the plane (in steps of ln r), is PFGM's for D = 1, and comes
 * near the normal law's as D grows. */
static void test_log_density(void **state)
{
    (void)state;
    static const double added[] = {1, 2, 5.5, 128, 1e6, INFINITY};
    for (size_t k = 0; k < sizeof added / sizeof *added; k++) {
        const struct field_student prior = {.d = 2, .added = added[k], .sigma_max = SIGMA};
        double whole = 0.0;
        for (double u = -12.0; u < 18.0; u += 1e-3) {
            double r = SIGMA * exp(u);
            whole += 2.0 * M_PI * r * r * exp(field_student_log_density(&prior, r)) * 1e-3;
        }
        printf("D = %g: the density integrates to 1 - %.1e\n", added[k], 1.0 - whole);
        assert_true(fabs(whole - 1.0) < 1e-6);
    }
    for (size_t d = 1; d <= 3072; d *= 8)
        for (double r = 0.1; r < 1e6; r *= 7.0) {
            const struct field_student cauchy = {.d = d, .added = 1, .sigma_max = SIGMA},
                                       many = {.d = d, .added = 1e9, .sigma_max = SIGMA},
                                       normal = {.d = d, .added = INFINITY, .sigma_max = SIGMA};
            double one = field_student_log_density(&cauchy, r),
                   pfgm = field_prior_log_density(d, SIGMA, r);
            assert_true(fabs(one - pfgm) < 1e-10 * (1.0 + fabs(pfgm)));
            if (r < 10 * SIGMA)
                assert_true(fabs(field_student_log_density(&many, r) -
                                 field_student_log_density(&normal, r)) < 1e-2);
        }
}

static void test_ranges(void **state)
{
    (void)state;
    static const struct {
        struct field_student prior;
        const char *at; /* "": good */
    } cases[] = {
        {{1, 1.0, 80.0}, ""},
        {{3072, 128.0, 80.0}, ""},
        {{1, 1.5, FIELD_T_MAX}, ""},
        {{1, FIELD_ADDED_MAX, 80.0}, ""},
        {{1, INFINITY, 80.0}, ""},
        {{0, 128.0, 80.0}, "d"},
        {{1, 0.0, 80.0}, "D"},
        {{1, 0.99, 80.0}, "D"},
        {{1, -1.0, 80.0}, "D"},
        {{1, NAN, 80.0}, "D"},
        {{1, -INFINITY, 80.0}, "D"},
        {{1, 1e10, 80.0}, "D"},
        {{1, 128.0, 0.0}, "sigma_max"},
        {{1, 128.0, NAN}, "sigma_max"},
        {{1, 128.0, 1e13}, "sigma_max"},
        {{1, 128.0, INFINITY}, "sigma_max"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        struct err e = {0};
        int good = cases[k].at[0] == '\0';
        assert_int_equal(field_student_check(&cases[k].prior, &e), good ? 0 : -1);
        assert_string_equal(e.at, cases[k].at);
        assert_int_equal(e.code, good ? ERR_NONE : ERR_INPUT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_radius_in_the_plane),
        cmocka_unit_test(test_one_added_dimension_is_pfgm),
        cmocka_unit_test(test_ratio_of_normals),
        cmocka_unit_test(test_draw_is_a_function_of_seed_and_index),
        cmocka_unit_test(test_finite_in_tails),
        cmocka_unit_test(test_log_density),
        cmocka_unit_test(test_ranges),
    };
    return cmocka_run_group_tests_name("student", tests, NULL, NULL);
}
