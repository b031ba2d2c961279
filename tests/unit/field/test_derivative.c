/* The exact field's derivatives in closed form against differences of the plain field, near sources
 * and far from them, of clouds with weights and groups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base_rng.h"
#include "field_cloud.h"
#include "field_exact.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { D_MAX = 64, COUNT = 100, GROUPS = 2 };

struct cloud {
    size_t d;
    float points[COUNT * D_MAX], weights[COUNT];
    int32_t group[COUNT];
    double exact[COUNT * D_MAX], exact_weights[COUNT];
    struct field_cloud *cloud;
    struct field_cloud_scratch *scratch;
};

static struct cloud *cloud_new(size_t d)
{
    struct cloud *c = calloc(1, sizeof *c);
    struct err e = {0};
    assert_non_null(c);
    c->d = d;
    rng_normals(3, d, RNG_TEST, COUNT * d, c->exact);
    rng_normals(4, d, RNG_TEST, COUNT, c->exact_weights);
    for (size_t i = 0; i < COUNT * d; i++)
        c->exact[i] = (double)(c->points[i] = (float)c->exact[i]);
    for (size_t i = 0; i < COUNT; i++) {
        c->weights[i] = (float)(0.1 + fabs(c->exact_weights[i]));
        c->exact_weights[i] = (double)c->weights[i];
        c->group[i] = (int32_t)(i % GROUPS);
    }
    c->cloud = field_cloud_new(&(struct field_cloud_points){.count = COUNT,
                                                            .d = d,
                                                            .points = c->points,
                                                            .weights = c->weights,
                                                            .group = c->group,
                                                            .groups = GROUPS},
                               &e);
    assert_non_null(c->cloud);
    c->scratch = field_cloud_scratch_new(c->cloud, 3, &e);
    assert_non_null(c->scratch);
    return c;
}

static void cloud_free(struct cloud *c)
{
    field_cloud_scratch_free(c->scratch);
    field_cloud_free(c->cloud);
    free(c);
}

/* c·x̂ of the plain field; `group` as of a question. */
static double plain(const struct cloud *c, int group, const double *x, double t,
                    const double *cotangent)
{
    double log_weights[COUNT], out[D_MAX], sum = 0.0, *points = malloc(COUNT * c->d * 8);
    double weights[COUNT];
    struct field_sources s = {.d = c->d, .points = points, .weights = weights};
    assert_non_null(points);
    for (size_t i = 0; i < COUNT; i++) {
        if (group != FIELD_CLOUD_NONE && c->group[i] != group)
            continue;
        memcpy(points + s.count * c->d, c->exact + i * c->d, c->d * sizeof(double));
        weights[s.count++] = c->exact_weights[i];
    }
    field_exact_prediction(&s, x, t, log_weights, out);
    for (size_t j = 0; j < c->d; j++)
        sum += cotangent[j] * out[j];
    free(points);
    return sum;
}

/* ∂(c·x̂)/∂x_j by two central differences, the error of order 2 taken out. */
static double difference(const struct cloud *c, int group, const double *x, double t, double step,
                         const double *cotangent, size_t j)
{
    double moved[D_MAX], slopes[2];
    memcpy(moved, x, c->d * sizeof(double));
    for (int k = 0; k < 2; k++) {
        double h = step * (k + 1);
        moved[j] = x[j] + h;
        double above = plain(c, group, moved, t, cotangent);
        moved[j] = x[j] - h;
        slopes[k] = (above - plain(c, group, moved, t, cotangent)) / (2.0 * h);
    }
    return (4.0 * slopes[0] - slopes[1]) / 3.0;
}

/* Of Jᵀc and tr J at x, the largest difference from the plain field's; over the largest of c and
 * Jᵀc, and of d and tr J, as the flow's slope has them, c − Jᵀc and d − tr J. */
static double check(struct cloud *c, int group, const double *x, double t)
{
    double cotangent[D_MAX], product[D_MAX], prediction[D_MAX], alone[D_MAX], divergence;
    double trace = 0.0, worst = 0.0, largest = 0.0, step = 1e-3 * t;
    const struct field_cloud_query q = {x, t, group, prediction};
    const struct field_cloud_derivative wanted = {cotangent, product, &divergence};
    rng_normals(5, c->d, RNG_TEST, c->d, cotangent);
    field_cloud_differentiate(c->cloud, c->scratch, 1, &q, &wanted);
    field_cloud_predict(c->cloud, c->scratch, 1, &(struct field_cloud_query){x, t, group, alone});
    assert_memory_equal(alone, prediction, c->d * sizeof(double));
    for (size_t j = 0; j < c->d; j++) {
        double unit[D_MAX] = {0};
        double want = difference(c, group, x, t, step, cotangent, j);
        worst = fmax(worst, fabs(product[j] - want));
        largest = fmax(largest, fmax(fabs(cotangent[j]), fabs(want)));
        unit[j] = 1.0;
        trace += difference(c, group, x, t, step, unit, j);
    }
    return fmax(worst / largest, fabs(divergence - trace) / fmax((double)c->d, fabs(trace)));
}

static void test_against_differences(void **state)
{
    (void)state;
    static const size_t dimensions[] = {1, 2, 64};
    static const double times[] = {0.05, 0.5, 3.0, 40.0};
    for (size_t k = 0; k < 3; k++) {
        struct cloud *c = cloud_new(dimensions[k]);
        for (int i = 0; i < 4; i++) {
            double worst = 0.0, t = times[i];
            for (int draw = 0; draw < 8; draw++) {
                double x[D_MAX];
                rng_normals(6, (uint64_t)draw, RNG_TEST, c->d, x);
                for (size_t j = 0; j < c->d; j++)
                    x[j] = (double)(float)(x[j] * (1.0 + t));
                worst = fmax(worst, check(c, draw % 3 - 1, x, t));
            }
            print_message("d = %2zu, t = %4g: derivatives off by %.1e of the flow's\n", c->d, t,
                          worst);
            assert_true(worst < 2e-5);
        }
        cloud_free(c);
    }
}

/* At a hair from a source the weights of the others are next to nothing, and so is J: still it is
 * not the rounding of the prediction over the distance. */
static void test_near_a_source(void **state)
{
    (void)state;
    static const size_t dimensions[] = {1, 2, 64};
    for (size_t k = 0; k < 3; k++) {
        struct cloud *c = cloud_new(dimensions[k]);
        for (double t = 1e-2; t > 1e-5; t *= 0.1) {
            double x[D_MAX];
            for (size_t j = 0; j < c->d; j++)
                x[j] = (double)(float)(c->exact[j] + (j % 2 ? t : -0.5 * t));
            double worst = check(c, FIELD_CLOUD_NONE, x, t);
            print_message("d = %2zu, %g from a source: off by %.1e\n", c->d, t, worst);
            assert_true(worst < 1e-4);
        }
        cloud_free(c);
    }
}

/* The answer is the question's own: in company as alone; and the trace is that of the products. */
static void test_company_and_trace(void **state)
{
    (void)state;
    enum { D = 7 };
    struct cloud *c = cloud_new(D);
    double x[3 * D], prediction[3 * D], unit[3 * D], product[3 * D], divergence[3], trace = 0.0;
    struct field_cloud_query q[3];
    struct field_cloud_derivative wanted[3];
    rng_normals(8, 0, RNG_TEST, 3 * D, x);
    for (int j = 0; j < D; j++) {
        double alone[D], trace_alone;
        for (int i = 0; i < 3; i++) {
            q[i] = (struct field_cloud_query){x + i * D, 0.7 + i, i - 1, prediction + i * D};
            wanted[i] = (struct field_cloud_derivative){unit + i * D, product + i * D,
                                                        i == 1 ? NULL : &divergence[i]};
            for (int l = 0; l < D; l++)
                unit[i * D + l] = l == j ? 1e200 : 0.0; /* beyond what a float holds */
        }
        field_cloud_differentiate(c->cloud, c->scratch, 3, q, wanted);
        struct field_cloud_derivative one = {unit + 2 * D, alone, &trace_alone};
        field_cloud_differentiate(c->cloud, c->scratch, 1, &q[2], &one);
        assert_memory_equal(alone, product + 2 * D, sizeof alone);
        assert_true(trace_alone == divergence[2]);
        trace += alone[j] * 1e-200;
    }
    print_message("trace of products %.8f, divergence %.8f\n", trace, divergence[2]);
    assert_true(fabs(trace - divergence[2]) < 1e-6);
    cloud_free(c);
}

/* One source has a field of straight lines: J = 0 to the bit, also right on it, far off and for no
 * cotangent; what is not finite has no derivative. */
static void test_ends(void **state)
{
    (void)state;
    static const float y[2] = {0.3f, -2.0f};
    static const double places[] = {0.0, 1e-4, 1e12, 1e30};
    struct err e = {0};
    struct field_cloud *c =
        field_cloud_new(&(struct field_cloud_points){.count = 1, .d = 2, .points = y}, &e);
    struct field_cloud_scratch *s = field_cloud_scratch_new(c, 1, &e);
    double out[2], product[2], divergence, cotangent[2] = {1.0, -3.0}, x[2];
    const struct field_cloud_query q = {x, 1e-6, FIELD_CLOUD_NONE, out};
    const struct field_cloud_derivative wanted = {cotangent, product, &divergence};
    for (int k = 0; k < 4; k++) {
        x[0] = (double)y[0] + places[k];
        x[1] = (double)y[1];
        field_cloud_differentiate(c, s, 1, &q, &wanted);
        assert_true(product[0] == 0.0 && product[1] == 0.0);
        assert_true(fabs(divergence) < 1e-20);
    }
    cotangent[0] = NAN;
    field_cloud_differentiate(c, s, 1, &q, &wanted);
    assert_true(isnan(product[0]) && isnan(product[1]) && fabs(divergence) < 1e-20);
    x[1] = INFINITY;
    cotangent[0] = 1.0;
    field_cloud_differentiate(c, s, 1, &q, &wanted);
    assert_true(isnan(product[0]) && isnan(divergence));
    field_cloud_scratch_free(s);
    field_cloud_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_differences),
        cmocka_unit_test(test_near_a_source),
        cmocka_unit_test(test_company_and_trace),
        cmocka_unit_test(test_ends),
    };
    return cmocka_run_group_tests_name("derivatives of the exact field", tests, NULL, NULL);
}
