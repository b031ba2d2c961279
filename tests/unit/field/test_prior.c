/* The prior's distribution, as numbers: Kolmogorov–Smirnov tests against the exact law of the
 * radius, its closed forms and its geometry; the density's integral; and the draws' finiteness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base_rng.h"
#include "field_prior.h"
#include "judge.h"
#include "sanitized.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PI 3.14159265358979323846
#define SEED 20220922u
#define FEWER (TEST_SANITIZED ? 10u : 1u) /* draws */

static const double T = 40.0;

static struct field_prior unclipped(size_t d)
{
    return (struct field_prior){.d = d, .t_max = T, .norm_min = 0.0, .norm_max = INFINITY};
}

static double norm_of(const double *x, size_t d)
{
    double sum = 0.0;
    for (size_t j = 0; j < d; j++)
        sum += x[j] * x[j];
    return sqrt(sum);
}

static void draw_norms(size_t d, size_t n, double *r)
{
    struct field_prior prior = unclipped(d);
    double *x = room(d);
    for (size_t i = 0; i < n; i++) {
        field_prior_draw(&prior, SEED, i, x);
        r[i] = norm_of(x, d);
    }
    free(x);
}

static void test_radius_against_exact_law(void **state)
{
    (void)state;
    static const struct {
        size_t d, n;
    } cases[] = {{1, 100000}, {2, 100000}, {64, 50000}, {3072, 5000}};
    for (size_t k = 0; k < 4; k++) {
        size_t d = cases[k].d, n = cases[k].n / FEWER;
        double *r = room(n);
        char what[64];
        draw_norms(d, n, r);
        for (size_t i = 0; i < n; i++)
            r[i] = field_prior_radius_cdf(d, T, r[i]);
        snprintf(what, sizeof what, "radius against its law, d = %zu", d);
        assert_uniform(r, n, what);
        free(r);
    }
}

/* r = T tan(πu/2) for d = 1 and T √(1/(1−u)² − 1) for d = 2. */
static void test_radius_against_inverse_cdf(void **state)
{
    (void)state;
    enum { N = 50000 };
    for (size_t d = 1; d <= 2; d++) {
        double *r = room(N), *u = room(N);
        draw_norms(d, N, r);
        rng_uniforms(SEED, d, RNG_TEST, N, u);
        for (size_t i = 0; i < N; i++)
            u[i] = d == 1 ? T * tan(0.5 * PI * u[i]) : T * sqrt(1.0 / pow(1.0 - u[i], 2.0) - 1.0);
        assert_same_law(r, u, N,
                        d == 1 ? "radius against T tan(pi u/2), d = 1"
                               : "radius against its inverse CDF, d = 2");
        free(r);
        free(u);
    }
}

/* Points uniform on the half sphere in d + 1 dimensions, projected from the centre onto t = T. For
 * d = 2 by Archimedes (the height is uniform), for d = 64 by normals on the sphere. */
static void test_projection_of_half_sphere(void **state)
{
    (void)state;
    enum { N = 30000, D = 64 };
    double *r = room(N), *projected = room(N), point[D + 1];
    draw_norms(2, N, r);
    rng_uniforms(SEED, 3, RNG_TEST, N, projected);
    for (size_t i = 0; i < N; i++) {
        double height = projected[i];
        projected[i] = sqrt(1.0 - height * height) * (T / height);
    }
    assert_same_law(r, projected, N, "half sphere projected onto t = T, d = 2");
    draw_norms(D, N, r);
    for (size_t i = 0; i < N; i++) {
        rng_normals(SEED, 1000 + i, RNG_TEST, D + 1, point);
        double radius = norm_of(point, D + 1);
        for (size_t j = 0; j <= D; j++)
            point[j] /= radius;
        projected[i] = norm_of(point, D) * (T / fabs(point[D]));
    }
    assert_same_law(r, projected, N, "half sphere projected onto t = T, d = 64");
    free(r);
    free(projected);
}

/* The direction is uniform: the angle for d = 2, one coordinate of the unit vector for d = 3, and
 * the sign for d = 1. */
static void test_direction_is_uniform(void **state)
{
    (void)state;
    enum { N = 50000 };
    double *u = room(N), x[3];
    struct field_prior prior = unclipped(2);
    for (size_t i = 0; i < N; i++) {
        field_prior_draw(&prior, SEED, i, x);
        u[i] = atan2(x[1], x[0]) / (2.0 * PI) + 0.5;
    }
    assert_uniform(u, N, "angle, d = 2");
    prior = unclipped(3);
    for (size_t i = 0; i < N; i++) {
        field_prior_draw(&prior, SEED, i, x);
        u[i] = 0.5 * (x[2] / norm_of(x, 3) + 1.0);
    }
    assert_uniform(u, N, "third coordinate of the unit vector, d = 3");
    prior = unclipped(1);
    double positive = 0.0;
    for (size_t i = 0; i < N; i++) {
        field_prior_draw(&prior, SEED, i, x);
        positive += x[0] > 0.0 ? 1.0 : 0.0;
    }
    double z = (positive - 0.5 * N) / sqrt(0.25 * N);
    print_message("share of x > 0, d = 1: %.4f (z = %.2f)\n", positive / N, z);
    assert_true(fabs(z) < 3.3);
    free(u);
}

/* ∫ p over the line and the plane, by Simpson in θ with r = T tan θ, which makes the integrand
 * smooth. */
static void test_density_integrates_to_1(void **state)
{
    (void)state;
    enum { N = 2000 };
    for (size_t d = 1; d <= 2; d++) {
        double sum = 0.0;
        for (int i = 0; i <= N; i++) {
            double theta = 0.5 * PI * i / N;
            double weight = i == 0 || i == N ? 1.0 : i % 2 == 1 ? 4.0 : 2.0;
            if (i == N)
                theta -= 1e-9;
            double r = T * tan(theta), around = d == 1 ? 2.0 : 2.0 * PI * r;
            double slope = T / (cos(theta) * cos(theta));
            sum += weight * exp(field_prior_log_density(d, T, r)) * around * slope;
        }
        double integral = sum * (0.5 * PI / N) / 3.0;
        print_message("integral of the density, d = %zu: %.10f\n", d, integral);
        assert_true(fabs(integral - 1.0) < 1e-6);
    }
}

/* d/dr of the radius' law is the density times the area of the sphere, for any d. */
static void test_law_and_density_agree(void **state)
{
    (void)state;
    static const size_t dimensions[] = {1, 2, 3, 64, 3072};
    for (size_t k = 0; k < 5; k++) {
        size_t d = dimensions[k];
        double middle = T * sqrt((double)d), half = 0.5 * (double)d;
        for (double r = 0.6 * middle; r < 4.0 * middle; r *= 1.7) {
            double h = 1e-4 * r;
            double slope =
                (field_prior_radius_cdf(d, T, r + h) - field_prior_radius_cdf(d, T, r - h)) /
                (2.0 * h);
            double log_area = log(2.0) + half * log(PI) - lgamma(half) + ((double)d - 1.0) * log(r);
            double density = exp(field_prior_log_density(d, T, r) + log_area);
            assert_true(fabs(slope / density - 1.0) < 1e-4);
        }
    }
}

/* P(‖x‖ ≤ r) = ∫₀^θ sin^(d−1) / ∫₀^(π/2) sin^(d−1), θ = atan(r/T): closed forms for d = 1, 2, 3,
 * Simpson in long double for large d. */
static long double sine_power_integral(double theta, size_t d)
{
    enum { N = 100000 };
    long double sum = 0.0L, h = (long double)theta / N;
    for (int i = 0; i <= N; i++) {
        long double weight = i == 0 || i == N ? 1.0L : i % 2 == 1 ? 4.0L : 2.0L;
        sum += weight * powl(sinl(h * i), (long double)(d - 1));
    }
    return sum * h / 3.0L;
}

static void test_law_to_full_precision(void **state)
{
    (void)state;
    double worst = 0.0;
    for (double r = 1e-6 * T; r < 1e7 * T; r *= 3.0) {
        double theta = atan(r / T), sine = sin(theta), cosine = cos(theta);
        double want[3] = {2.0 * theta / PI, sine * sine / (1.0 + cosine),
                          (theta - sine * cosine) * 2.0 / PI};
        for (size_t d = 1; d <= 3; d++) {
            if (d == 3 && r < 0.1 * T)
                continue; /* the closed form cancels there */
            double got = field_prior_radius_cdf(d, T, r);
            worst = fmax(worst, fabs(got / want[d - 1] - 1.0));
        }
    }
    print_message("law against closed forms: %.1e relative\n", worst);
    assert_true(worst < 2e-12);
    static const size_t dimensions[] = {8, 63, 64, 785, 3072};
    for (size_t k = 0; k < 5; k++) {
        size_t d = dimensions[k];
        long double whole = sine_power_integral(0.5 * PI, d);
        worst = 0.0;
        for (double q = 0.3; q < 100.0; q *= 4.0) {
            double r = q * T * sqrt((double)d);
            long double want = sine_power_integral(atan(r / T), d) / whole;
            double off = (double)fabsl(field_prior_radius_cdf(d, T, r) / want - 1.0L);
            worst = fmax(worst, off);
        }
        print_message("law against quadrature, d = %zu: %.1e relative\n", d, worst);
        assert_true(worst < 5e-12);
    }
    assert_true(field_prior_radius_cdf(5, T, 0.0) == 0.0);
    assert_true(field_prior_radius_cdf(5, T, INFINITY) == 1.0);
}

static void prior_finite_in_tails_webppl_269(void **state)
{
    (void)state;
    static const struct {
        size_t d, n;
        double norm_max;
    } cases[] = {{1, 1000000, INFINITY}, {1, 1000000, 3000.0}, {3072, 20000, 3000.0}};
    for (size_t k = 0; k < 3; k++) {
        struct field_prior prior = {cases[k].d, T, 1.0, cases[k].norm_max};
        double *x = room(prior.d), least = INFINITY, most = 0.0;
        size_t clipped = 0, n = cases[k].n / FEWER;
        for (size_t i = 0; i < n; i++) {
            field_prior_draw(&prior, SEED, i, x);
            double r = norm_of(x, prior.d);
            if (!isfinite(r))
                fail_msg("draw %zu has the norm %g", i, r);
            least = fmin(least, r);
            most = fmax(most, r);
            clipped += r > (1.0 - 1e-9) * prior.norm_max;
        }
        print_message("%zu draws, d = %zu, clip [1, %g]: norms %.6g to %.6g, %.2f %% at the clip\n",
                      n, prior.d, prior.norm_max, least, most, 100.0 * (double)clipped / (double)n);
        assert_true(least >= 1.0 - 1e-12 && most <= prior.norm_max * (1.0 + 1e-12));
        if (k == 2) { /* 54 % in the published CIFAR-10 setting */
            double share = 1.0 - field_prior_radius_cdf(prior.d, T, prior.norm_max);
            double z =
                ((double)clipped / (double)n - share) / sqrt(share * (1.0 - share) / (double)n);
            print_message("share beyond the clip by the law: %.4f (z = %.2f)\n", share, z);
            assert_true(fabs(z) < 3.3);
        }
        free(x);
    }
}

/* The seed with which a generator's uniform 0 was found, and normals of exactly 0 or near it. */
static void prior_zero_uniform_gpuocean_37(void **state)
{
    (void)state;
    enum { D = 64 };
    double x[D];
    struct field_prior prior = unclipped(D);
    for (uint64_t i = 0; i < 20000; i++) {
        field_prior_draw(&prior, 1871412062u, i, x);
        for (size_t j = 0; j < D; j++)
            assert_true(isfinite(x[j]));
    }
    prior.t_max = FIELD_T_MAX;
    static const double h[] = {0.0, -0.0, 5e-324, -1e-300, 1e-24};
    double zero = field_prior_radius(&prior, 55.0, 0.0);
    assert_true(isfinite(zero) && zero > 1e30);
    for (size_t k = 0; k < 5; k++)
        assert_true(field_prior_radius(&prior, 55.0, h[k]) == zero);
    assert_true(field_prior_radius(&prior, 0.0, 1.0) == 0.0);
    /* The smallest h that Box and Muller's formula gives is not below the floor. */
    double smallest = sqrt(-2.0 * log1p(-0x1p-53)) * sin(2.0 * PI * 0x1p-53);
    assert_true(field_prior_radius(&prior, 55.0, smallest) <= zero * (1.0 + 1e-12));
    assert_true(field_prior_radius(&prior, 55.0, smallest) > zero * (1.0 - 1e-6));
}

static void test_clip(void **state)
{
    (void)state;
    struct field_prior prior = {.d = 3, .t_max = T, .norm_min = 1.0, .norm_max = 100.0};
    assert_true(field_prior_radius(&prior, 2.0, 1.0) == 80.0);
    assert_true(field_prior_radius(&prior, 2.0, -1.0) == 80.0);
    assert_true(field_prior_radius(&prior, 3.0, 1.0) == 100.0);
    assert_true(field_prior_radius(&prior, 1e-3, 1.0) == 1.0);
    /* The clip changes the length alone: same direction as the unclipped draw. */
    struct field_prior free_prior = unclipped(3);
    size_t clipped = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        double a[3], b[3];
        field_prior_draw(&prior, SEED, i, a);
        field_prior_draw(&free_prior, SEED, i, b);
        double ra = norm_of(a, 3), rb = norm_of(b, 3);
        assert_true(fabs(ra - fmin(fmax(rb, 1.0), 100.0)) < 1e-10);
        clipped += rb > 100.0;
        for (size_t j = 0; j < 3; j++)
            assert_true(fabs(a[j] / ra - b[j] / rb) < 1e-12);
    }
    assert_true(clipped > 100 && clipped < 900);
}

/* A draw is a function of (seed, index) alone, and is T·g/|h| of the streams that the header names.
 */
static void test_draw_is_a_function_of_seed_and_index(void **state)
{
    (void)state;
    enum { D = 17 };
    double a[D], b[D], g[D], h;
    struct field_prior prior = unclipped(D);
    field_prior_draw(&prior, 7, 3, a);
    for (uint64_t i = 0; i < 5; i++)
        field_prior_draw(&prior, 7, i, b);
    field_prior_draw(&prior, 7, 3, b);
    assert_memory_equal(a, b, sizeof a);
    field_prior_draw(&prior, 7, 4, b);
    assert_memory_not_equal(a, b, sizeof a);
    field_prior_draw(&prior, 8, 3, b);
    assert_memory_not_equal(a, b, sizeof a);
    rng_normals(7, 3, RNG_PRIOR_DIRECTION, D, g);
    rng_normals(7, 3, RNG_PRIOR_RADIUS, 1, &h);
    for (size_t j = 0; j < D; j++)
        assert_true(fabs(a[j] - T * g[j] / fabs(h)) < 1e-12 * fabs(a[j]));
}

static void test_ranges(void **state)
{
    (void)state;
    static const struct {
        struct field_prior prior;
        const char *at; /* NULL: good */
    } cases[] = {
        {{1, 40.0, 0.0, INFINITY}, NULL},        {{3072, 40.0, 1.0, 3000.0}, NULL},
        {{3072, 40.0, 5.0, 5.0}, NULL},          {{1, FIELD_T_MAX, 0.0, INFINITY}, NULL},
        {{0, 40.0, 0.0, INFINITY}, "d"},         {{1, 0.0, 0.0, INFINITY}, "t_max"},
        {{1, -1.0, 0.0, INFINITY}, "t_max"},     {{1, NAN, 0.0, INFINITY}, "t_max"},
        {{1, INFINITY, 0.0, INFINITY}, "t_max"}, {{1, 1e19, 0.0, INFINITY}, "t_max"},
        {{1, 1e308, 0.0, INFINITY}, "t_max"},    {{1, 40.0, -1.0, 10.0}, "norm_min"},
        {{1, 40.0, NAN, 10.0}, "norm_min"},      {{1, 40.0, INFINITY, INFINITY}, "norm_min"},
        {{1, 40.0, 2.0, 1.0}, "norm_max"},       {{1, 40.0, 0.0, NAN}, "norm_max"},
        {{1, 40.0, 0.0, 0.0}, "norm_max"},       {{1, 40.0, 0.0, -INFINITY}, "norm_max"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        struct err e = {0};
        int result = field_prior_check(&cases[k].prior, &e);
        assert_int_equal(result, cases[k].at == NULL ? 0 : -1);
        assert_string_equal(e.at, cases[k].at == NULL ? "" : cases[k].at);
        assert_int_equal(e.code, cases[k].at == NULL ? ERR_NONE : ERR_INPUT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_radius_against_exact_law),
        cmocka_unit_test(test_radius_against_inverse_cdf),
        cmocka_unit_test(test_projection_of_half_sphere),
        cmocka_unit_test(test_direction_is_uniform),
        cmocka_unit_test(test_density_integrates_to_1),
        cmocka_unit_test(test_law_and_density_agree),
        cmocka_unit_test(test_law_to_full_precision),
        cmocka_unit_test(prior_finite_in_tails_webppl_269),
        cmocka_unit_test(prior_zero_uniform_gpuocean_37),
        cmocka_unit_test(test_clip),
        cmocka_unit_test(test_draw_is_a_function_of_seed_and_index),
        cmocka_unit_test(test_ranges),
    };
    return cmocka_run_group_tests_name("prior", tests, NULL, NULL);
}
