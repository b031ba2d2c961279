/* What the Poisson flow must do, as numbers: field lines end on the sources, in shares of their
 * weights; far away all looks like one mass; what lies inside a shell feels nothing without the
 * added dimension, and with it a ball is filled evenly. */
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
#include "sanitized.h"
#include <stdio.h>

#define SEED 20220922u
#define PI 3.14159265358979323846

/* The end on t = 0 of the line through image `index` of the prior about the sources' centre. */
static void flow(struct drive_sources *field, const double *centre, double radius, uint64_t index,
                 struct ode_solver *s, double *scratch, double *end)
{
    const size_t d = field->sources.d;
    struct field_prior prior = {.d = d, .t_max = 20.0 * radius, .norm_max = INFINITY};
    field_prior_draw(&prior, SEED, index, end);
    for (size_t j = 0; j < d; j++)
        end[j] += centre[j];
    assert_int_equal(
        drive(s, end, prior.t_max, 1e-10 * radius, drive_sources_slope, field, scratch), ODE_DONE);
    memcpy(end, ode_solver_state(s), d * sizeof(double));
}

/* Centre of mass, and the largest distance from it. */
static double radius_of(const struct field_sources *s, double *centre)
{
    double total = 0.0, radius = 0.0;
    memset(centre, 0, s->d * sizeof(double));
    for (size_t i = 0; i < s->count; i++) {
        double w = s->weights ? s->weights[i] : 1.0;
        total += w;
        for (size_t j = 0; j < s->d; j++)
            centre[j] += w * s->points[i * s->d + j];
    }
    for (size_t j = 0; j < s->d; j++)
        centre[j] /= total;
    for (size_t i = 0; i < s->count; i++) {
        double square = 0.0;
        for (size_t j = 0; j < s->d; j++)
            square += pow(s->points[i * s->d + j] - centre[j], 2);
        radius = fmax(radius, sqrt(square));
    }
    return radius;
}

/* Where lines from T = 20 radii end: on a source each, as often as `shares` say. */
static void check_ends(size_t d, const double *weights, const double *shares, const char *what)
{
    enum { COUNT = 7, LINES = TEST_SANITIZED ? 800 : 4000, D_MAX = 8 };
    double points[COUNT * D_MAX], centre[D_MAX], scratch[D_MAX], end[D_MAX];
    size_t counts[COUNT] = {0};
    struct drive_sources field = {.sources = {COUNT, d, points, weights}};
    rng_normals(SEED, d, RNG_TEST, COUNT * d, points);
    double radius = radius_of(&field.sources, centre), worst = 0.0;
    struct ode_options options = {
        .method = ODE_RK45, .clock = ODE_CLOCK_LOG, .rtol = 1e-5, .atol = 1e-5, .to_zero = true};
    struct ode_solver *s = drive_new(options, d);
    for (uint64_t index = 0; index < LINES; index++) {
        size_t nearest = 0;
        double least = INFINITY;
        flow(&field, centre, radius, index, s, scratch, end);
        for (size_t i = 0; i < COUNT; i++) {
            double distance = worst_difference(end, points + i * d, d);
            nearest = distance < least ? i : nearest;
            least = fmin(least, distance);
        }
        worst = fmax(worst, least);
        counts[nearest]++;
    }
    print_message("%s, d = %zu: farthest end from a source %.2e\n", what, d, worst);
    assert_true(worst < 1e-6);
    assert_shares(counts, shares, COUNT, what);
    ode_solver_free(s);
}

static void test_lines_end_on_the_sources(void **state)
{
    (void)state;
    static const double even[7] = {1.0 / 7, 1.0 / 7, 1.0 / 7, 1.0 / 7, 1.0 / 7, 1.0 / 7, 1.0 / 7};
    check_ends(2, NULL, even, "equal sources, equal shares");
    check_ends(8, NULL, even, "equal sources, equal shares");
}

static void test_ends_follow_the_weights(void **state)
{
    (void)state;
    static const double weights[7] = {1, 2, 3, 4, 5, 6, 7};
    double shares[7];
    for (size_t i = 0; i < 7; i++)
        shares[i] = weights[i] / 28.0;
    check_ends(3, weights, shares, "shares as the weights");
}

/* ‖F − F_one‖/‖F_one‖ at distance r of the centre of mass, F_one the field of all mass there; the
 * root mean square over directions. */
static double far_deviation(const struct field_sources *s, const double *centre, double r)
{
    enum { DIRECTIONS = 50, D = 3 };
    double normals[D + 1], x[D], F[D + 1], one[D + 1], log_weights[16], scale, scale_one, sum = 0.0;
    struct field_sources mass = {.count = 1, .d = D, .points = centre};
    for (uint64_t k = 0; k < DIRECTIONS; k++) {
        double length = 0.0, difference = 0.0, whole = 0.0;
        rng_normals(SEED, k, RNG_TEST, D + 1, normals);
        for (size_t j = 0; j <= D; j++)
            length += normals[j] * normals[j];
        for (size_t j = 0; j < D; j++)
            x[j] = centre[j] + r * normals[j] / sqrt(length);
        double t = r * fabs(normals[D]) / sqrt(length);
        field_exact_force(s, x, &t, log_weights, F, &scale);
        field_exact_force(&mass, x, &t, log_weights, one, &scale_one);
        for (size_t j = 0; j <= D; j++) {
            difference += pow(F[j] * exp(scale - scale_one) - one[j], 2);
            whole += one[j] * one[j];
        }
        sum += difference / whole;
    }
    return sqrt(sum / DIRECTIONS);
}

static void test_far_away_it_is_one_mass(void **state)
{
    (void)state;
    double points[7 * 3], centre[3];
    static const double weights[7] = {1, 2, 3, 4, 5, 6, 7};
    struct field_sources s = {7, 3, points, weights};
    rng_normals(SEED, 3, RNG_TEST, 21, points);
    double radius = radius_of(&s, centre);
    double near = far_deviation(&s, centre, 20.0 * radius);
    double far = far_deviation(&s, centre, 2000.0 * radius);
    double slope = log(far / near) / log(100.0);
    print_message("far deviation from one mass: %.2e at 20 radii, %.2e at 2000, slope %.4f\n", near,
                  far, slope);
    assert_true(fabs(slope + 2.0) < 0.1);
}

/* Equal angles on the circle, a Fibonacci spiral on the sphere. */
static double *shell(size_t d, size_t count)
{
    double *points = malloc(count * d * sizeof(double));
    assert_non_null(points);
    for (size_t i = 0; i < count; i++) {
        double *y = points + i * d, angle = 2.0 * PI * (double)i / (double)count;
        if (d == 2) {
            y[0] = cos(angle);
            y[1] = sin(angle);
            continue;
        }
        double z = 1.0 - (2.0 * (double)i + 1.0) / (double)count, ring = sqrt(1.0 - z * z);
        angle = PI * (3.0 - sqrt(5.0)) * (double)i;
        y[0] = ring * cos(angle);
        y[1] = ring * sin(angle);
        y[2] = z;
    }
    return points;
}

static void check_shell(size_t d, size_t count)
{
    enum { PLACES = 60 };
    double *points = shell(d, count), *log_weights = malloc(count * sizeof(double));
    double inside = 0.0, outside = 0.0;
    struct field_sources s = {.count = count, .d = d, .points = points};
    for (uint64_t k = 0; k < PLACES; k++) {
        double x[3], F[3], length = 0.0, scale;
        rng_normals(SEED, k, RNG_TEST, d, x);
        for (size_t j = 0; j < d; j++)
            length += x[j] * x[j];
        for (int out = 0; out <= 1; out++) {
            double r = out ? 1.1 : 0.5 * (double)(k + 1) / PLACES, at[3], force = 0.0;
            for (size_t j = 0; j < d; j++)
                at[j] = r * x[j] / sqrt(length);
            field_exact_force(&s, at, NULL, log_weights, F, &scale);
            for (size_t j = 0; j < d; j++)
                force += F[j] * F[j];
            force = sqrt(force) * exp(scale);
            if (out)
                outside += force / PLACES;
            else
                inside = fmax(inside, force);
        }
    }
    print_message(
        "shell of %zu points, d = %zu: largest |F| at r <= 0.5 is %.2e of the mean at 1.1\n", count,
        d, inside / outside);
    assert_true(inside < 1e-3 * outside);
    free(points);
    free(log_weights);
}

static void test_nothing_inside_a_shell(void **state)
{
    (void)state;
    check_shell(2, 1000);
    check_shell(3, 20000);
}

/* The uniform ball without the added dimension: F = −x inside, −x/r^d outside. */
static void ball_slope(void *context, const double *x, double t, double *slope)
{
    const size_t d = *(const size_t *)context;
    double square = 0.0;
    (void)t;
    for (size_t j = 0; j < d; j++)
        square += x[j] * x[j];
    for (size_t j = 0; j < d; j++)
        slope[j] = square < 1.0 ? -x[j] : -x[j] * pow(square, -0.5 * (double)d);
}

static void test_a_ball_swallows_lines_without_t(void **state)
{
    (void)state;
    for (size_t d = 2; d <= 3; d++) {
        double start[3], scratch[3], worst = 0.0;
        struct ode_options options = {
            .method = ODE_RK45, .clock = ODE_CLOCK_LINEAR, .rtol = 1e-6, .atol = 1e-8};
        struct ode_solver *s = drive_new(options, d);
        for (uint64_t k = 0; k < 100; k++) {
            double square = 0.0;
            rng_normals(SEED, k, RNG_TEST, d, start);
            for (size_t j = 0; j < d; j++)
                start[j] *= 5.0;
            assert_int_equal(drive(s, start, 0.0, 2000.0, ball_slope, &d, scratch), ODE_DONE);
            for (size_t j = 0; j < d; j++)
                square += pow(ode_solver_state(s)[j], 2);
            worst = fmax(worst, sqrt(square));
        }
        print_message("uniform ball, no t, d = %zu: farthest end from the centre %.2e R\n", d,
                      worst);
        assert_true(worst < 0.05);
        ode_solver_free(s);
    }
}

/* Points evenly in the ball. */
static float *ball(size_t d, size_t count)
{
    float *points = malloc(count * d * sizeof(float));
    double x[4];
    assert_non_null(points);
    for (size_t i = 0; i < count; i++) {
        double square = 0.0;
        /* d of d + 2 coordinates of a point on the sphere in d + 2 dimensions are even in the ball
         */
        double more[2];
        rng_normals(SEED + 1, i, RNG_TEST, d, x);
        rng_normals(SEED + 2, i, RNG_TEST, 2, more);
        square = more[0] * more[0] + more[1] * more[1];
        for (size_t j = 0; j < d; j++)
            square += x[j] * x[j];
        for (size_t j = 0; j < d; j++)
            points[i * d + j] = (float)(x[j] / sqrt(square));
    }
    return points;
}

struct ball_field {
    struct field_cloud *cloud;
    struct field_cloud_scratch *scratch;
    size_t d;
};

static void cloud_slope(void *context, const double *x, double t, double *slope)
{
    struct ball_field *f = context;
    struct field_cloud_query q = {x, t, FIELD_CLOUD_NONE, slope};
    field_cloud_predict(f->cloud, f->scratch, 1, &q);
    for (size_t j = 0; j < f->d; j++)
        slope[j] = x[j] - slope[j];
}

/* With the added dimension a uniform ball is filled evenly: (r/R)^d of the ends is uniform. */
static void check_ball(size_t d)
{
    enum { SOURCES = 20000, LINES = TEST_SANITIZED ? 60 : 600 };
    struct err e = {0};
    float *points = ball(d, SOURCES);
    struct ball_field f = {.d = d};
    f.cloud = field_cloud_new(
        &(struct field_cloud_points){.count = SOURCES, .d = d, .points = points}, &e);
    f.scratch = field_cloud_scratch_new(f.cloud, 1, &e);
    struct field_prior prior = {.d = d, .t_max = 40.0, .norm_max = INFINITY};
    struct ode_options options = {.method = ODE_MULTISTEP2, .steps = 30, .to_zero = true};
    struct ode_solver *s = drive_new(options, d);
    double u[LINES], x[3], scratch[3];
    char what[64];
    for (uint64_t k = 0; k < LINES; k++) {
        double square = 0.0;
        field_prior_draw(&prior, SEED, k, x);
        assert_int_equal(drive(s, x, 40.0, 1e-3, cloud_slope, &f, scratch), ODE_DONE);
        for (size_t j = 0; j < d; j++)
            square += pow(ode_solver_state(s)[j], 2);
        u[k] = pow(square, 0.5 * (double)d);
    }
    snprintf(what, sizeof what, "uniform ball with t, d = %zu, (r/R)^d", d);
    assert_uniform(u, LINES, what);
    ode_solver_free(s);
    field_cloud_scratch_free(f.scratch);
    field_cloud_free(f.cloud);
    free(points);
}

static void test_a_ball_is_filled_with_t(void **state)
{
    (void)state;
    check_ball(2);
    check_ball(3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_end_on_the_sources),
        cmocka_unit_test(test_ends_follow_the_weights),
        cmocka_unit_test(test_far_away_it_is_one_mass),
        cmocka_unit_test(test_nothing_inside_a_shell),
        cmocka_unit_test(test_a_ball_swallows_lines_without_t),
        cmocka_unit_test(test_a_ball_is_filled_with_t),
    };
    return cmocka_run_group_tests_name("the flow", tests, NULL, NULL);
}
