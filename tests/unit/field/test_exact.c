/* The exact field as a data prediction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base_rng.h"
#include "field_exact.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double *normals(uint64_t seed, size_t n)
{
    double *values = malloc(n * sizeof(double));
    assert_non_null(values);
    rng_normals(seed, 0, RNG_TEST, n, values);
    return values;
}

/* The prediction of one source is that source, to the bit, wherever one stands. */
static void test_one_source(void **state)
{
    (void)state;
    static const size_t dimensions[] = {1, 2, 3072};
    static const double times[] = {1e-300, 1e-3, 40.0, 1e19, 1e38, 1e300};
    for (size_t k = 0; k < 3; k++) {
        size_t d = dimensions[k];
        double *y = normals(1, d), *x = normals(2, d), *out = normals(3, d), log_weight;
        struct field_sources one = {.count = 1, .d = d, .points = y};
        for (size_t i = 0; i < 6; i++) {
            field_exact_prediction(&one, x, times[i], &log_weight, out);
            assert_memory_equal(out, y, d * sizeof(double));
            field_exact_prediction(&one, y, times[i], &log_weight, out); /* right on it */
            assert_memory_equal(out, y, d * sizeof(double));
        }
        free(y);
        free(x);
        free(out);
    }
}

/* Against the field written as the formula has it, F ∝ −Σ w (x − y, t)/(‖x − y‖² + t²)^((d+1)/2),
 * which is safe in few dimensions: x̂ = x − t F_x/F_t. */
static void test_against_plain_powers(void **state)
{
    (void)state;
    enum { D = 3, COUNT = 5 };
    static const double weights[COUNT] = {0.1, 0.15, 0.2, 0.25, 0.3};
    double *points = normals(4, COUNT * D), *x = normals(5, D);
    double log_weights[COUNT], out[D];
    struct field_sources sources = {COUNT, D, points, weights};
    static const double times[] = {0.05, 0.5, 3.0, 40.0};
    double worst = 0.0;
    for (size_t k = 0; k < 4; k++) {
        double t = times[k], force[D] = {0.0}, force_t = 0.0;
        for (size_t i = 0; i < COUNT; i++) {
            double q = t * t;
            for (size_t j = 0; j < D; j++)
                q += pow(x[j] - points[i * D + j], 2.0);
            double power = weights[i] / pow(q, 0.5 * (D + 1));
            for (size_t j = 0; j < D; j++)
                force[j] -= power * (x[j] - points[i * D + j]);
            force_t -= power * t;
        }
        field_exact_prediction(&sources, x, t, log_weights, out);
        for (size_t j = 0; j < D; j++)
            worst = fmax(worst, fabs(out[j] - (x[j] - t * force[j] / force_t)));
    }
    print_message("log weights against plain powers: %.1e\n", worst);
    assert_true(worst < 1e-12);
    free(points);
    free(x);
}

/* A convex mean: within the sources' range in every coordinate, near the nearest when t is small,
 * and the mean when far away. */
static void check_convex_mean(size_t d, size_t count)
{
    double *points = normals(6, count * d), *x = normals(7, d), *out = normals(8, d);
    double *log_weights = normals(9, count);
    struct field_sources sources = {.count = count, .d = d, .points = points};
    static const double times[] = {1e-300, 1e-3, 1.0, 40.0, 1e4, 1e38, 1e300};
    for (size_t k = 0; k < 7; k++) {
        field_exact_prediction(&sources, x, times[k], log_weights, out);
        for (size_t j = 0; j < d; j++) {
            double low = INFINITY, high = -INFINITY;
            for (size_t i = 0; i < count; i++) {
                low = fmin(low, points[i * d + j]);
                high = fmax(high, points[i * d + j]);
            }
            assert_true(out[j] >= low - 1e-12 && out[j] <= high + 1e-12);
        }
    }
    double worst = 0.0; /* at t = 1e300 */
    for (size_t j = 0; j < d; j++) {
        double mean = 0.0;
        for (size_t i = 0; i < count; i++)
            mean += points[i * d + j] / (double)count;
        worst = fmax(worst, fabs(out[j] - mean));
    }
    assert_true(worst < 1e-12);
    field_exact_prediction(&sources, points + d, 1e-9, log_weights, out);
    for (size_t j = 0; j < d; j++)
        assert_true(fabs(out[j] - points[d + j]) < 1e-12);
    free(points);
    free(x);
    free(out);
    free(log_weights);
}

static void test_convex_mean(void **state)
{
    (void)state;
    check_convex_mean(1, 7);
    check_convex_mean(2, 7);
    check_convex_mean(64, 20);
    check_convex_mean(3072, 20); /* powers of 1536 overflow any float */
}

/* Linear in sources: a source of weight 3 is three of weight 1 at its place, and a common factor of
 * all weights changes nothing. */
static void test_linear_in_sources(void **state)
{
    (void)state;
    enum { D = 8 };
    double *points = normals(10, 2 * D), *x = normals(11, D);
    double four[4 * D], log_weights[4], a[D], b[D], c[D];
    static const double weights[2] = {1.0, 3.0}, scaled[2] = {1e-200, 3e-200};
    for (size_t i = 0; i < 4; i++)
        memcpy(four + i * D, points + (i == 0 ? 0 : D), D * sizeof(double));
    struct field_sources weighted = {2, D, points, weights}, rescaled = {2, D, points, scaled};
    struct field_sources repeated = {.count = 4, .d = D, .points = four};
    for (double t = 1e-2; t < 1e3; t *= 10.0) {
        field_exact_prediction(&weighted, x, t, log_weights, a);
        field_exact_prediction(&repeated, x, t, log_weights, b);
        field_exact_prediction(&rescaled, x, t, log_weights, c);
        for (size_t j = 0; j < D; j++) {
            assert_true(fabs(a[j] - b[j]) < 1e-12);
            assert_true(fabs(a[j] - c[j]) < 1e-11);
        }
    }
    free(points);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_source),
        cmocka_unit_test(test_against_plain_powers),
        cmocka_unit_test(test_convex_mean),
        cmocka_unit_test(test_linear_in_sources),
    };
    return cmocka_run_group_tests_name("exact field", tests, NULL, NULL);
}
