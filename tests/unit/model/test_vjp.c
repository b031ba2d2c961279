/* The derivative of a learned model's slope, which a likelihood follows: by finite differences on
 * both sides of the t substitution and in both forms, alike in any company, and refused when the
 * checkpoint is no longer the one that was loaded. The checkpoint is the bundled digits8. */
#include "model.h"

#include "base_file.h"
#include "base_rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define DIGITS MODELS_DIR "/digits8.safetensors"
#define D 64
#define POINTS 5

static const double times[POINTS] = {20.0, 3.0, 1.0, 0.5, 0.01};

static const struct model_options plain = {0};

static struct model *open_model(const char *path)
{
    struct err e = {0};
    struct model *m = model_load(path, &plain, &e);
    if (!m)
        fail_msg("%s: %s", e.at, e.text);
    return m;
}

/* Points on the way of one sample, a cotangent each. */
struct asked {
    double x[POINTS][D], cotangent[POINTS][D], slope[POINTS][D], product[POINTS][D];
    struct model_query queries[POINTS];
};

static void ask_about(const struct model *m, enum ode_form form, struct asked *a)
{
    const struct model_solver solver = model_solver_default(m);
    for (int i = 0; i < POINTS; i++) {
        model_prior_draw(m, &solver, times[i] / solver.t_max, 5, (uint64_t)i, a->x[i]);
        rng_normals(9, (uint64_t)i, RNG_TEST, D, a->cotangent[i]);
        a->queries[i] = (struct model_query){.x = a->x[i],
                                             .t = times[i],
                                             .form = form,
                                             .label = MODEL_CLASS_NONE,
                                             .slope = a->slope[i],
                                             .cotangent = a->cotangent[i],
                                             .product = a->product[i]};
    }
}

static struct model_workspace *ready_workspace(const struct model *m, int batch)
{
    struct err e = {0};
    struct model_workspace *ws = model_workspace_new(m, batch, &e);
    if (!ws || model_workspace_vjp(m, ws, &e) != 0)
        fail_msg("%s: %s", e.at, e.text);
    assert_int_equal(model_workspace_vjp(m, ws, &e), 0); /* once is enough, twice no harm */
    return ws;
}

static double norm_of(const double *v)
{
    double square = 0.0;
    for (int j = 0; j < D; j++)
        square += v[j] * v[j];
    return sqrt(square);
}

/* The derivative of cotangent · slope along the product is the product's length, if no component of
 * it is wrong. */
static double along(const struct model *m, struct model_workspace *ws, const struct asked *a, int i,
                    double step)
{
    double x[D], slope[D], product[D], norm = norm_of(a->product[i]), difference = 0.0;
    struct model_query q = a->queries[i];
    q.x = x;
    q.slope = slope;
    q.product = product;
    for (int side = -1; side <= 1; side += 2) {
        for (int j = 0; j < D; j++)
            x[j] = a->x[i][j] + side * step * a->product[i][j] / norm;
        model_slopes_vjp(m, ws, 1, &q);
        for (int j = 0; j < D; j++)
            difference += side * a->cotangent[i][j] * slope[j] / (2 * step);
    }
    return fabs(difference - norm) / norm;
}

static void products_by_differences(void **state)
{
    (void)state;
    static const double steps[] = {0.1, 0.03, 0.01, 0.003, 0.001};
    struct model *m = open_model(DIGITS);
    struct model_workspace *ws = ready_workspace(m, POINTS), *other = ready_workspace(m, POINTS);
    for (int form = ODE_SLOPE_DLNT; form <= ODE_SLOPE_DT; form++) {
        struct asked a;
        ask_about(m, (enum ode_form)form, &a);
        model_slopes_vjp(m, ws, POINTS, a.queries);
        for (int i = 0; i < POINTS; i++) {
            double apart = INFINITY, slope[D];
            for (size_t k = 0; k < sizeof steps / sizeof *steps; k++)
                apart = fmin(apart, along(m, ws, &a, i, steps[k] * fmax(1.0, times[i])));
            printf("t = %5g: product is %.1e from differences\n", times[i], apart);
            assert_true(apart < 3e-3);
            /* the slope is model_slopes', but for rounding */
            struct model_query q = a.queries[i];
            q.slope = slope;
            model_slopes(m, other, 1, &q);
            for (int j = 0; j < D; j++)
                assert_true(fabs(slope[j] - a.slope[i][j]) <= 1e-4 * norm_of(slope));
        }
    }
    model_workspace_free(ws);
    model_workspace_free(other);
    model_free(m);
}

static void products_do_not_depend_on_company(void **state)
{
    (void)state;
    struct model *m = open_model(DIGITS);
    struct model_workspace *ws = ready_workspace(m, POINTS);
    struct asked together, alone;
    ask_about(m, ODE_SLOPE_DLNT, &together);
    ask_about(m, ODE_SLOPE_DLNT, &alone);
    model_slopes_vjp(m, ws, POINTS, together.queries);
    for (int i = POINTS - 1; i >= 0; i--)
        model_slopes_vjp(m, ws, 1, &alone.queries[i]);
    assert_memory_equal(together.slope, alone.slope, sizeof alone.slope);
    assert_memory_equal(together.product, alone.product, sizeof alone.product);
    model_workspace_free(ws);
    model_free(m);
}

static void another_checkpoint_in_its_place_is_refused(void **state)
{
    (void)state;
    char path[] = "/tmp/pfgm-test-vjp-XXXXXX";
    int fd = mkstemp(path);
    struct buf file;
    struct err e = {0};
    assert_true(fd >= 0);
    close(fd);
    buf_init(&file, (size_t)64 << 20);
    assert_int_equal(file_read(DIGITS, &file, &e), 0);
    assert_int_equal(file_write_atomic(path, file.data, file.length, &e), 0);
    struct model *m = open_model(path);
    struct model_workspace *ws = model_workspace_new(m, 1, &e);
    assert_non_null(ws);
    file.data[file.length - 1] ^= 1;
    assert_int_equal(file_write_atomic(path, file.data, file.length, &e), 0);
    assert_int_equal(model_workspace_vjp(m, ws, &e), -1);
    assert_int_equal(e.code, ERR_IO);
    assert_string_equal(e.at, path);
    assert_non_null(strstr(e.text, "load the model anew"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(model_workspace_vjp(m, ws, &e), -1);
    file.data[file.length - 1] ^= 1;
    assert_int_equal(file_write_atomic(path, file.data, file.length, &e), 0);
    assert_int_equal(model_workspace_vjp(m, ws, &e), 0);
    buf_clear(&file);
    model_workspace_free(ws);
    model_free(m);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_by_differences),
        cmocka_unit_test(products_do_not_depend_on_company),
        cmocka_unit_test(another_checkpoint_in_its_place_is_refused),
    };
    return cmocka_run_group_tests_name("products", tests, NULL, NULL);
}
