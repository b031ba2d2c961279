/* What the C code says of one exact field in the plane, as JSON on standard output: for the test
 * that holds the page's own sums to it. Each of POINTS rows has a point x at a height t, the force
 * there in the plane alone and with the added dimension, the data prediction, and a start of the
 * prior on t = T with where rk45 has it on t = END. */
#include "field_exact.h"
#include "field_prior.h"
#include "ode_solver.h"

#include <math.h>
#include <stdio.h>

enum { POINTS = 1000, SOURCES = 9 };
static const double T = 8.0, END = 0.02;
static const double places[2 * SOURCES] = {-1.0, 0.7, 0.8,  1.0, 1.1, -0.8, -0.6, -1.0, 0.1,
                                           0.2,  0.3, -1.3, 1.4, 0.3, -1.5, -0.2, 0.0,  1.6};
static const double weights[SOURCES] = {1.0, 2.0, 3.0, 0.5, 1.5, 0.2, 2.5, 1.0, 4.0};
static const struct field_sources sources = {SOURCES, 2, places, weights};

static void print(const char *name, const double *x, int n, const char *end)
{
    printf("\"%s\":[", name);
    for (int i = 0; i < n; i++)
        printf("%s%.17g", i > 0 ? "," : "", x[i]);
    printf("]%s", end);
}

/* Follows the flow from the start x on t = T; 0 and the state on t = END in x, or -1. */
static int come_down(struct ode_solver *solver, double *x)
{
    double log_weights[SOURCES], slope[2];
    struct err e = {0};
    if (ode_solver_start(solver, x, T, END, &e) != 0)
        return -1;
    while (ode_solver_status(solver) == ODE_WANTS_SLOPE) {
        const double *at = ode_solver_point(solver);
        field_exact_prediction(&sources, at, ode_solver_time(solver), log_weights, slope);
        for (int j = 0; j < 2; j++)
            slope[j] = at[j] - slope[j];
        ode_solver_feed(solver, slope);
    }
    for (int j = 0; j < 2; j++)
        x[j] = ode_solver_state(solver)[j];
    return ode_solver_status(solver) == ODE_DONE ? 0 : -1;
}

static void print_field(uint64_t i, double t)
{
    const struct field_prior prior = {
        .d = 2, .t_max = t + 1.0, .norm_min = 0, .norm_max = INFINITY};
    double x[2], plane[2], lifted[3], prediction[2], log_weights[SOURCES], scale;
    field_prior_draw(&prior, 11, i, x);
    print("x", x, 2, ",");
    print("t", &t, 1, ",");
    field_exact_force(&sources, x, NULL, log_weights, plane, &scale);
    for (int j = 0; j < 2; j++)
        plane[j] *= exp(scale);
    print("plane", plane, 2, ",");
    field_exact_force(&sources, x, &t, log_weights, lifted, &scale);
    for (int j = 0; j < 3; j++)
        lifted[j] *= exp(scale);
    print("lifted", lifted, 3, ",");
    field_exact_prediction(&sources, x, t, log_weights, prediction);
    print("prediction", prediction, 2, ",");
}

int main(void)
{
    const struct field_prior prior = {.d = 2, .t_max = T, .norm_min = 0, .norm_max = INFINITY};
    const struct ode_options options = {
        .method = ODE_RK45, .clock = ODE_CLOCK_LOG, .rtol = 1e-10, .atol = 1e-10};
    struct err e = {0};
    struct ode_solver *solver = ode_solver_new(&options, 2, &e);
    int result = solver == NULL ? -1 : 0;
    printf("{\"T\":%.17g,\"end\":%.17g,", T, END);
    print("places", places, 2 * SOURCES, ",");
    print("weights", weights, SOURCES, ",\"rows\":[");
    for (uint64_t i = 0; result == 0 && i < POINTS; i++) {
        double x[2], density;
        printf("%s{", i > 0 ? "," : "");
        print_field(i, T * pow(1e-3, (double)i / POINTS));
        field_prior_draw(&prior, 12, i, x);
        density = exp(field_prior_log_density(2, T, hypot(x[0], x[1])));
        print("start", x, 2, ",");
        print("density", &density, 1, ",");
        result = come_down(solver, x);
        print("end", x, 2, "}");
    }
    printf("]}\n");
    ode_solver_free(solver);
    return result == 0 ? 0 : 1;
}
