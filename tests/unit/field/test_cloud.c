/* The fast exact field against the plain one, and what the seed rule asks of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base_rng.h"
#include "field_cloud_kernels.h"
#include "field_exact.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 5

struct cloud_case {
    size_t count, d;
    bool weighted;
    int groups;
};

static const struct cloud_case cases[] = {
    {1, 1, false, 0},    {5, 3, true, 0},     {16, 2, false, 0},
    {17, 2, true, 3},    {1000, 2, true, 0},  {1000, 2, false, 2},
    {3000, 7, false, 0}, {500, 64, false, 2}, {300, 784, true, 4}};

struct points {
    double *exact, *weights;
    float *single, *single_weights;
    int32_t *group;
    struct field_cloud_points view;
};

static struct points draw_points(const struct cloud_case *k)
{
    struct points p = {0};
    size_t values = k->count * k->d;
    p.exact = malloc(values * sizeof(double));
    p.weights = malloc(k->count * sizeof(double));
    p.single = malloc(values * sizeof(float));
    p.single_weights = malloc(k->count * sizeof(float));
    p.group = malloc(k->count * sizeof(int32_t));
    rng_normals(k->count, k->d, RNG_TEST, values, p.exact);
    rng_normals(k->count, k->d + 1, RNG_TEST, k->count, p.weights);
    for (size_t i = 0; i < values; i++)
        p.exact[i] = (double)(p.single[i] = (float)p.exact[i]);
    for (size_t i = 0; i < k->count; i++) {
        p.single_weights[i] = k->weighted ? (float)(0.1 + fabs(p.weights[i])) : 1.0f;
        p.weights[i] = (double)p.single_weights[i];
        p.group[i] = k->groups ? (int32_t)(i % (size_t)(k->groups + 1)) - 1 : 0;
    }
    p.view = (struct field_cloud_points){.count = k->count,
                                         .d = k->d,
                                         .points = p.single,
                                         .weights = k->weighted ? p.single_weights : NULL,
                                         .group = k->groups ? p.group : NULL,
                                         .groups = k->groups};
    return p;
}

static void free_points(struct points *p)
{
    free(p->exact);
    free(p->weights);
    free(p->single);
    free(p->single_weights);
    free(p->group);
}

/* The plain field of one group's points, or of all. */
static void plain(const struct cloud_case *k, const struct points *p, int group, const double *x,
                  double t, double *out)
{
    double *own = malloc(k->count * k->d * sizeof(double));
    double *weights = malloc(k->count * sizeof(double)),
           *scratch = malloc(k->count * sizeof(double));
    struct field_sources s = {.d = k->d, .points = own, .weights = weights};
    for (size_t i = 0; i < k->count; i++) {
        if (group != FIELD_CLOUD_NONE && p->group[i] != group)
            continue;
        memcpy(own + s.count * k->d, p->exact + i * k->d, k->d * sizeof(double));
        weights[s.count++] = p->weights[i];
    }
    field_exact_prediction(&s, x, t, scratch, out);
    free(own);
    free(weights);
    free(scratch);
}

static double check_questions(const struct cloud_case *k, const struct points *p,
                              struct field_cloud *c, double t)
{
    struct err e = {0};
    struct field_cloud_scratch *s = field_cloud_scratch_new(c, BATCH, &e);
    struct field_cloud_query q[BATCH];
    double *x = malloc(BATCH * k->d * sizeof(double)), *got = malloc(BATCH * k->d * sizeof(double));
    double *alone = malloc(k->d * sizeof(double)), worst = 0.0;
    assert_non_null(s);
    rng_normals(99, (uint64_t)(t * 1000), RNG_TEST, BATCH * k->d, x);
    for (int i = 0; i < BATCH; i++) {
        for (size_t j = 0; j < k->d; j++)
            x[(size_t)i * k->d + j] *= 1.0 + t;
        q[i] = (struct field_cloud_query){x + (size_t)i * k->d, t,
                                          k->groups ? i % (k->groups + 1) - 1 : FIELD_CLOUD_NONE,
                                          got + (size_t)i * k->d};
    }
    field_cloud_predict(c, s, BATCH, q);
    for (int i = 0; i < BATCH; i++) {
        struct field_cloud_query one = q[i];
        one.prediction = alone;
        field_cloud_predict(c, s, 1, &one);
        assert_memory_equal(alone, q[i].prediction, k->d * sizeof(double));
        plain(k, p, q[i].group, q[i].x, t, alone);
        for (size_t j = 0; j < k->d; j++)
            worst = fmax(worst, fabs(alone[j] - q[i].prediction[j]));
    }
    field_cloud_scratch_free(s);
    free(x);
    free(got);
    free(alone);
    return worst;
}

static void test_against_the_plain_field(void **state)
{
    (void)state;
    static const double times[] = {0.01, 0.3, 2.0, 40.0, 1e6};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = {0};
        struct points p = draw_points(&cases[i]);
        struct field_cloud *c = field_cloud_new(&p.view, &e);
        double worst = 0.0;
        assert_non_null(c);
        for (size_t k = 0; k < sizeof times / sizeof times[0]; k++)
            worst = fmax(worst, check_questions(&cases[i], &p, c, times[k]));
        print_message("cloud of %zu points, d = %zu: largest difference %.2g\n", cases[i].count,
                      cases[i].d, worst);
        assert_true(worst < 5e-4);
        field_cloud_free(c);
        free_points(&p);
    }
}

/* Each build of the loops gives the bits of the portable one. */
static void test_instruction_sets_agree(void **state)
{
    (void)state;
    enum { BLOCKS = 150, D = 37, N = BLOCKS * FIELD_CLOUD_LANES };
    const struct field_cloud_kernels *const sets[] = {&field_cloud_kernels_portable,
                                                      field_cloud_kernels_best()};
    double *draws = malloc(N * (D + 1) * sizeof(double)), sums[2][D] = {{0}}, totals[2];
    float *points = malloc(N * D * sizeof(float)), *own = calloc(N, sizeof(float));
    float *weights[2], *lanes = malloc(D * FIELD_CLOUD_LANES * sizeof(float)), x[D];
    float *powers[2], *along[2];
    double offsets[2][D], power_totals[2];
    rng_normals(7, 7, RNG_TEST, N * (D + 1), draws);
    for (size_t i = 0; i < N * D; i++)
        points[i] = (float)draws[i];
    for (size_t i = 0; i < N; i++)
        own[i] = (float)draws[N * D + i];
    for (size_t j = 0; j < D; j++)
        x[j] = (float)draws[j * 3] * 2.0f;
    for (int k = 0; k < 2; k++) {
        weights[k] = malloc(N * sizeof(float));
        powers[k] = malloc(N * sizeof(float));
        along[k] = malloc(N * sizeof(float));
        float least = sets[k]->distances(points, D, BLOCKS, x, 0.01f, weights[k]);
        memcpy(powers[k], weights[k], N * sizeof(float));
        power_totals[k] = sets[k]->powers(powers[k], own, BLOCKS, 3, least);
        float largest = sets[k]->log_weights(weights[k], own, BLOCKS, 0.5f * (D + 1), least);
        totals[k] = sets[k]->weights(weights[k], BLOCKS, largest);
        sets[k]->mean(points, D, BLOCKS, weights[k], lanes, sums[k]);
        sets[k]->along(points, D, BLOCKS, weights[k], x, points, along[k]);
        sets[k]->offset(points, D, BLOCKS, weights[k], x, lanes, offsets[k]);
    }
    assert_memory_equal(weights[0], weights[1], N * sizeof(float));
    assert_memory_equal(&totals[0], &totals[1], sizeof(double));
    assert_memory_equal(sums[0], sums[1], sizeof sums[0]);
    assert_memory_equal(powers[0], powers[1], N * sizeof(float));
    assert_memory_equal(&power_totals[0], &power_totals[1], sizeof(double));
    assert_memory_equal(along[0], along[1], N * sizeof(float));
    assert_memory_equal(offsets[0], offsets[1], sizeof offsets[0]);
    assert_true(totals[0] >= 1.0);
    free(draws);
    free(points);
    free(own);
    free(lanes);
    for (int k = 0; k < 2; k++) {
        free(weights[k]);
        free(powers[k]);
        free(along[k]);
    }
}

/* One source is found to the bit, far away and right on it. */
static void test_one_source(void **state)
{
    (void)state;
    static const float y[3] = {0.3f, -2.0f, 7.0f};
    static const double far[] = {1e-30, 1e-3, 40.0, 1e12, 1e25};
    struct err e = {0};
    struct field_cloud *c =
        field_cloud_new(&(struct field_cloud_points){.count = 1, .d = 3, .points = y}, &e);
    struct field_cloud_scratch *s = field_cloud_scratch_new(c, 1, &e);
    double x[3] = {0.3, -2.0, 7.0}, out[3];
    for (size_t k = 0; k < 5; k++) {
        struct field_cloud_query q = {x, far[k], FIELD_CLOUD_NONE, out};
        field_cloud_predict(c, s, 1, &q);
        for (int j = 0; j < 3; j++)
            assert_true(out[j] == (double)y[j]);
        x[k % 3] *= far[k];
    }
    x[1] = NAN;
    struct field_cloud_query q = {x, 1.0, FIELD_CLOUD_NONE, out};
    field_cloud_predict(c, s, 1, &q);
    assert_true(isnan(out[1]));
    field_cloud_scratch_free(s);
    field_cloud_free(c);
}

static void refused(struct field_cloud_points p, const char *at)
{
    struct err e = {0};
    assert_null(field_cloud_new(&p, &e));
    assert_int_equal(e.code, ERR_INPUT);
    assert_string_equal(e.at, at);
}

static void test_bad_points_are_refused(void **state)
{
    (void)state;
    static const float good[4] = {0, 1, 2, 3}, bad[4] = {0, 1, NAN, 3}, zero[2] = {1, 0};
    static const int32_t skipped[2] = {0, 0}, beyond[2] = {0, 2};
    refused((struct field_cloud_points){.count = 0, .d = 2, .points = good}, "points");
    refused((struct field_cloud_points){.count = 2, .d = 2, .points = bad}, "points");
    refused((struct field_cloud_points){.count = 2, .d = 2, .points = good, .weights = zero},
            "weights");
    refused((struct field_cloud_points){2, 2, good, NULL, skipped, 2}, "group");
    refused((struct field_cloud_points){2, 2, good, NULL, beyond, 2}, "group");
}

static void test_centre_and_radius(void **state)
{
    (void)state;
    static const float points[4] = {0, 0, 4, 0}, weights[2] = {3, 1};
    struct err e = {0};
    struct field_cloud *c = field_cloud_new(
        &(struct field_cloud_points){.count = 2, .d = 2, .points = points, .weights = weights}, &e);
    assert_non_null(c);
    assert_true(field_cloud_centre(c)[0] == 1.0 && field_cloud_centre(c)[1] == 0.0);
    assert_true(field_cloud_radius(c) == 3.0);
    field_cloud_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_the_plain_field),
        cmocka_unit_test(test_instruction_sets_agree),
        cmocka_unit_test(test_one_source),
        cmocka_unit_test(test_bad_points_are_refused),
        cmocka_unit_test(test_centre_and_radius),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
