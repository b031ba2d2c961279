/* What becomes of a density on its way: the flow is there and back again; on each plane t of a few
 * sources the points have the mixture of Cauchy densities of scale t about the sources; and the
 * divergence, integrated along a line, says how that density changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base_rng.h"
#include "field_cloud.h"
#include "field_prior.h"
#include "judge.h"
#include "ode_drive.h"
#include <stdio.h>

#define SEED 20220923u
#define PI 3.14159265358979323846

enum { COUNT = 5, D_MAX = 64 };
static const float WEIGHTS[COUNT] = {1, 2, 3, 4, 5};

/* Sources of unequal weights, their cloud, and room for a line's question. */
struct setting {
    size_t d;
    float points[COUNT * D_MAX];
    struct field_cloud *cloud;
    struct field_cloud_scratch *scratch;
};

static void setting_open(struct setting *s, size_t d)
{
    double normals[COUNT * D_MAX];
    struct err e = {0};
    s->d = d;
    rng_normals(SEED, d, RNG_TEST, COUNT * d, normals);
    for (size_t i = 0; i < COUNT * d; i++)
        s->points[i] = (float)normals[i];
    s->cloud = field_cloud_new(
        &(struct field_cloud_points){
            .count = COUNT, .d = d, .points = s->points, .weights = WEIGHTS},
        &e);
    assert_non_null(s->cloud);
    s->scratch = field_cloud_scratch_new(s->cloud, 1, &e);
    assert_non_null(s->scratch);
}

static void setting_close(struct setting *s)
{
    field_cloud_scratch_free(s->scratch);
    field_cloud_free(s->cloud);
}

/* State x [d] and log p behind it: d log p/d ln t = −∇·(x − x̂). */
static void density_slope(void *context, const double *state, double t, double *slope)
{
    struct setting *s = context;
    double divergence;
    const struct field_cloud_query q = {state, t, FIELD_CLOUD_NONE, slope};
    const struct field_cloud_derivative wanted = {.divergence = &divergence};
    field_cloud_differentiate(s->cloud, s->scratch, 1, &q, &wanted);
    for (size_t j = 0; j < s->d; j++)
        slope[j] = state[j] - slope[j];
    slope[s->d] = divergence - (double)s->d;
}

static void line_slope(void *context, const double *x, double t, double *slope)
{
    struct setting *s = context;
    const struct field_cloud_query q = {x, t, FIELD_CLOUD_NONE, slope};
    field_cloud_predict(s->cloud, s->scratch, 1, &q);
    for (size_t j = 0; j < s->d; j++)
        slope[j] = x[j] - slope[j];
}

static double distance_to(const struct setting *s, size_t i, const double *x)
{
    double square = 0.0;
    for (size_t j = 0; j < s->d; j++)
        square += pow(x[j] - (double)s->points[i * s->d + j], 2);
    return sqrt(square);
}

/* log of the mixture's density at x on the plane t. */
static double mixture(const struct setting *s, const double *x, double t)
{
    double logs[COUNT], largest = -INFINITY, sum = 0.0;
    for (size_t i = 0; i < COUNT; i++) {
        logs[i] =
            log((double)WEIGHTS[i] / 15.0) + field_prior_log_density(s->d, t, distance_to(s, i, x));
        largest = fmax(largest, logs[i]);
    }
    for (size_t i = 0; i < COUNT; i++)
        sum += exp(logs[i] - largest);
    return largest + log(sum);
}

/* A point of the mixture on the plane t: a source by its weight, and the prior about it. */
static void mixture_draw(const struct setting *s, uint64_t index, double t, double *x)
{
    const struct field_prior prior = {.d = s->d, .t_max = t, .norm_max = INFINITY};
    uint64_t share = rng_below(SEED, index, RNG_TEST, 15);
    size_t i = 0;
    for (uint64_t up = 1; share >= up; up += (uint64_t)WEIGHTS[i])
        i++;
    field_prior_draw(&prior, SEED, index, x);
    for (size_t j = 0; j < s->d; j++)
        x[j] += (double)s->points[i * s->d + j];
}

static struct ode_solver *solver_new(size_t n, double tolerance)
{
    return drive_new(
        (struct ode_options){
            .method = ODE_RK45, .clock = ODE_CLOCK_LOG, .rtol = tolerance, .atol = tolerance},
        n);
}

static void test_forward_then_backward(void **state)
{
    (void)state;
    static const size_t dimensions[] = {1, 2, 64};
    for (int k = 0; k < 3; k++) {
        struct setting s;
        setting_open(&s, dimensions[k]);
        struct ode_solver *solver = solver_new(s.d, 1e-8);
        double worst = 0.0, way = INFINITY, scratch[D_MAX];
        for (uint64_t index = 0; index < 50; index++) {
            double start[D_MAX], far[D_MAX];
            mixture_draw(&s, index, 0.1, start);
            assert_int_equal(drive(solver, start, 0.1, 40.0, line_slope, &s, scratch), ODE_DONE);
            memcpy(far, ode_solver_state(solver), s.d * sizeof(double));
            way = fmin(way, worst_difference(far, start, s.d));
            assert_int_equal(drive(solver, far, 40.0, 0.1, line_slope, &s, scratch), ODE_DONE);
            double length = 1.0;
            for (size_t j = 0; j < s.d; j++)
                length = fmax(length, fabs(start[j]));
            worst = fmax(worst, worst_difference(ode_solver_state(solver), start, s.d) / length);
        }
        print_message("d = %2zu: from t = 0.1 to 40, at least %.2g away, and back: off by %.1e\n",
                      s.d, way, worst);
        assert_true(worst < 1e-5);
        ode_solver_free(solver);
        setting_close(&s);
    }
}

/* Points of the mixture at T, followed down, are the mixture on every plane: along any axis that is
 * a mixture of Cauchy laws in one dimension. */
static void check_planes(size_t d)
{
    enum { LINES = 3000 };
    static const double planes[] = {10.0, 1.0, 0.1, 0.01};
    struct setting s;
    setting_open(&s, d);
    struct ode_solver *solver = solver_new(d, 1e-6);
    double *points = room(LINES * d), *u = room(LINES), scratch[D_MAX], t = 40.0;
    for (uint64_t i = 0; i < LINES; i++)
        mixture_draw(&s, i, t, points + i * d);
    for (int k = 0; k < 4; k++) {
        char what[96];
        for (size_t i = 0; i < LINES; i++) {
            double *x = points + i * d;
            assert_int_equal(drive(solver, x, t, planes[k], line_slope, &s, scratch), ODE_DONE);
            memcpy(x, ode_solver_state(solver), d * sizeof(double));
        }
        t = planes[k];
        for (size_t axis = 0; axis < d; axis++) {
            for (size_t i = 0; i < LINES; i++) {
                u[i] = 0.0;
                for (size_t y = 0; y < COUNT; y++)
                    u[i] +=
                        (double)WEIGHTS[y] / 15.0 *
                        (0.5 +
                         atan((points[i * d + axis] - (double)s.points[y * d + axis]) / t) / PI);
            }
            snprintf(what, sizeof what, "d = %zu, plane t = %g, axis %zu, mixture of Cauchy", d, t,
                     axis);
            assert_uniform(u, LINES, what);
        }
    }
    free(points);
    free(u);
    ode_solver_free(solver);
    setting_close(&s);
}

static void test_the_mixture_on_every_plane(void **state)
{
    (void)state;
    check_planes(1);
    check_planes(2);
}

/* ∫ −div along a line against log p(t₂) − log p(t₁). */
static void test_divergence_is_the_change_of_density(void **state)
{
    (void)state;
    static const size_t dimensions[] = {1, 2, 64};
    for (int k = 0; k < 3; k++) {
        struct setting s;
        setting_open(&s, dimensions[k]);
        struct ode_solver *solver = solver_new(s.d + 1, 1e-7);
        double worst = 0.0, least = INFINITY, most = -INFINITY, scratch[D_MAX + 1];
        for (uint64_t index = 0; index < 50; index++) {
            double start[D_MAX + 1];
            mixture_draw(&s, index, 0.1, start);
            start[s.d] = 0.0;
            assert_int_equal(drive(solver, start, 0.1, 40.0, density_slope, &s, scratch), ODE_DONE);
            const double *end = ode_solver_state(solver);
            double change = mixture(&s, end, 40.0) - mixture(&s, start, 0.1);
            worst = fmax(worst, fabs(end[s.d] - change));
            least = fmin(least, change);
            most = fmax(most, change);
        }
        print_message("d = %2zu: log p changes by %.2f to %.2f; by the divergence off by %.1e\n",
                      s.d, least, most, worst);
        assert_true(worst < 1e-4);
        ode_solver_free(solver);
        setting_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_then_backward),
        cmocka_unit_test(test_the_mixture_on_every_plane),
        cmocka_unit_test(test_divergence_is_the_change_of_density),
    };
    return cmocka_run_group_tests_name("densities along the flow", tests, NULL, NULL);
}
