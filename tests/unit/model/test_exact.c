/* The exact family: a checkpoint of the data, its slopes, classes, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "model.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const float square[8] = {1, 1, -1, 1, -1, -1, 1, -1}, weights[4] = {1, 2, 3, 4};
static const int32_t labels[4] = {0, 0, 1, -1};

/* Four points in the plane, in a file of their own. */
static void write_these(const char *path, const float *points, const char *description,
                        size_t tensors, const struct ckpt_output *extra)
{
    struct ckpt_output out[4] = {
        {.name = "sources", .dtype = CKPT_F32, .rank = 2, .shape = {4, 2}, .data = points}};
    struct err e = {0};
    json_t *metadata = json_pack("{s:s}", CKPT_DESCRIPTION_KEY, description);
    for (size_t i = 1; i < tensors; i++)
        out[i] = extra[i - 1];
    assert_int_equal(ckpt_file_write(path, out, tensors, metadata, &e), 0);
    json_decref(metadata);
}

static void write_points(const char *path, const char *description, size_t tensors,
                         const struct ckpt_output *extra)
{
    write_these(path, square, description, tensors, extra);
}

static const char *path_of(const char *name)
{
    static char path[256];
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/pfgm-exact-%d-%s", folder ? folder : "/tmp", (int)getpid(),
             name);
    return path;
}

#define PROVENANCE                                                                                 \
    "\"provenance\":{\"source_sha256\":\"\",\"source_name\":\"\",\"step\":null,"                   \
    "\"weights\":\"raw\"}"
#define PLAIN                                                                                      \
    "{\"version\":1,\"family\":\"exact\",\"shape\":[1,1,2],\"t_max\":30,\"t_min\":1e-"             \
    "3," PROVENANCE "}"
#define LABELLED                                                                                   \
    "{\"version\":1,\"family\":\"exact\",\"shape\":[1,1,2],\"t_max\":30,\"t_min\":1e-3,"           \
    "\"labels\":[\"up\",\"down\"]," PROVENANCE "}"

static const struct ckpt_output weight_tensor = {
    .name = "weights", .dtype = CKPT_F32, .rank = 1, .shape = {4}, .data = weights};
static const struct ckpt_output label_tensor = {
    .name = "labels", .dtype = CKPT_I32, .rank = 1, .shape = {4}, .data = labels};

static struct model *load(const char *path, struct err *e)
{
    struct model *m = model_load(path, &(struct model_options){0}, e);
    unlink(path);
    return m;
}

static void slope_at(const struct model *m, double x0, double x1, double t, int32_t label,
                     double *slope)
{
    struct err e = {0};
    struct model_workspace *ws = model_workspace_new(m, 1, &e);
    const double x[2] = {x0, x1};
    struct model_query q = {.x = x, .t = t, .form = ODE_SLOPE_DLNT, .label = label, .slope = slope};
    assert_non_null(ws);
    model_slopes(m, ws, 1, &q);
    model_workspace_free(ws);
}

static void test_a_model_of_points(void **state)
{
    (void)state;
    struct err e = {0};
    const char *path = path_of("plain");
    double slope[2];
    write_points(path, PLAIN, 2, &weight_tensor);
    struct model *m = load(path, &e);
    if (!m)
        fail_msg("%s: %s", e.at, e.text);
    assert_int_equal(model_dimension(m), 2);
    assert_int_equal(model_parameters(m), 8);
    assert_int_equal(model_class_count(m), 0);
    assert_string_equal(model_kernel_id(m), "exact.2-v2"); /* of vectors */
    assert_true(model_solver_default(m).ode.to_zero);
    /* far away the prediction is the centre of mass, near a source that source */
    slope_at(m, 0, 0, 1e6, MODEL_CLASS_NONE, slope);
    assert_true(fabs(-slope[0] - (1 - 2 - 3 + 4) / 10.0) < 1e-6);
    assert_true(fabs(-slope[1] - (1 + 2 - 3 - 4) / 10.0) < 1e-6);
    slope_at(m, 1.0, 1.001, 1e-3, MODEL_CLASS_NONE, slope);
    assert_true(fabs(slope[0]) < 1e-6 && fabs(slope[1] - 0.001) < 1e-6);
    model_free(m);
}

static void test_a_class_has_its_own_field(void **state)
{
    (void)state;
    struct err e = {0};
    const char *path = path_of("labelled");
    double slope[2];
    write_points(path, LABELLED, 2, &label_tensor);
    struct model *m = load(path, &e);
    if (!m)
        fail_msg("%s: %s", e.at, e.text);
    assert_int_equal(model_class_count(m), 2);
    slope_at(m, 0, 0, 5, 0, slope); /* between its two sources, both above */
    assert_true(slope[0] == 0 && slope[1] == -1);
    slope_at(m, 0, 0, 5, 1, slope);
    assert_true(slope[0] == 1 && slope[1] == 1);
    slope_at(m, 0, 0, 5, MODEL_CLASS_NONE, slope);
    assert_true(fabs(slope[0]) < 1e-6 && fabs(slope[1]) < 1e-6);
    model_free(m);
}

/* The slope of no class and g times from there to the class's, bit for bit the same alone, among
 * others, and in a workspace too small for both of its rows. */
static void test_guidance_goes_from_no_class_to_the_class(void **state)
{
    (void)state;
    struct err e = {0};
    const char *path = path_of("guided");
    write_points(path, LABELLED, 2, &label_tensor);
    struct model *m = load(path, &e);
    assert_non_null(m);
    assert_true(model_null_class(m));
    const double x[2] = {0.4, 0.8}, t = 0.7, g = 2.5;
    double none[2], class[2], slope[6];
    slope_at(m, x[0], x[1], t, MODEL_CLASS_NONE, none);
    slope_at(m, x[0], x[1], t, 1, class);
    const struct model_query plain = {
        .x = x, .t = t, .form = ODE_SLOPE_DLNT, .label = 1, .slope = slope};
    struct model_query guided = plain;
    guided.guided = true;
    guided.guidance = g;
    for (int batch = 1; batch <= 3; batch++) {
        struct model_workspace *ws = model_workspace_new(m, batch, &e);
        struct model_query q[3] = {guided, plain, guided};
        assert_non_null(ws);
        for (int i = 0; i < 3; i++)
            q[i].slope = slope + 2 * i;
        model_slopes(m, ws, batch, q);
        for (int i = 0; i < batch; i++)
            for (int j = 0; j < 2; j++)
                assert_true(slope[2 * i + j] ==
                            (i == 1 ? class[j] : none[j] + g * (class[j] - none[j])));
        model_workspace_free(ws);
    }
    model_free(m);
}

/* Latents are joined about the prior's centre: about 0 the directions of two latents of data that
 * lie far from there are nearly one, and the path was a straight line through the data. */
static void test_latents_of_data_far_from_0_are_joined_as_those_about_0(void **state)
{
    (void)state;
    enum { FRAMES = 5 };
    struct err e = {0};
    float moved[8];
    double ends[4] = {8, 1, -2, 7}, path[2 * FRAMES], far_ends[4], far_path[2 * FRAMES];
    const char *name = path_of("near");
    write_points(name, PLAIN, 1, NULL);
    struct model *near = load(name, &e);
    for (int i = 0; i < 8; i++)
        moved[i] = square[i] + 1000;
    for (int i = 0; i < 4; i++)
        far_ends[i] = ends[i] + 1000;
    name = path_of("far");
    write_these(name, moved, PLAIN, 1, NULL);
    struct model *far = load(name, &e);
    assert_true(near && far);
    model_latents_between(near, ends, FRAMES, 1, path);
    model_latents_between(far, far_ends, FRAMES, 1, far_path);
    for (int i = 0; i < 2 * FRAMES; i++)
        assert_true(fabs(far_path[i] - 1000 - path[i]) < 1e-9);
    for (int i = 0; i < 4; i++) /* bit for bit */
        assert_true(far_path[i < 2 ? i : 2 * FRAMES - 4 + i] == far_ends[i]);
    for (int k = 0; k < FRAMES; k++) {
        const double even = sqrt(65) + k * (sqrt(53) - sqrt(65)) / (FRAMES - 1);
        assert_true(fabs(model_prior_distance(near, path + 2 * k) - even) < 1e-9);
        assert_true(fabs(model_prior_distance(far, far_path + 2 * k) - even) < 1e-9);
    }
    model_free(near);
    model_free(far);
}

/* rk45 counts from the mean, in deviations; and not below what float32 makes of a slope. */
static void test_tolerances_are_in_units_of_the_data(void **state)
{
    (void)state;
    static const float points[8] = {1003, 3, 997, 3, 997, -3, 1003, -3};
    struct err e = {0};
    const char *name = path_of("units");
    write_these(name, points, PLAIN, 1, NULL);
    struct model *m = load(name, &e);
    assert_non_null(m);
    struct model_solver s = model_solver_forward_default(m);
    assert_int_equal(model_solver_resolve(m, &s, &e), 0);
    assert_true(s.ode.centred == 2 && s.ode.centre[0] == 1000 && s.ode.centre[1] == 0);
    assert_true(fabs(s.ode.unit - 3) < 1e-12);
    s.ode.atol = 1e-9;
    assert_int_equal(model_solver_resolve(m, &s, &e), 0);
    assert_true(s.ode.unit * 1e-9 > 3e-6 && s.ode.unit * 1e-9 < 5e-6);
    model_free(m);
}

/* Jᵀc of the slope in both forms against differences of the slope. */
static void test_products(void **state)
{
    (void)state;
    struct err e = {0};
    const char *path = path_of("products");
    write_points(path, LABELLED, 2, &label_tensor);
    struct model *m = load(path, &e);
    assert_non_null(m);
    assert_int_equal(model_vjp_check(m, &e), 0);
    struct model_workspace *ws = model_workspace_new(m, 2, &e);
    assert_non_null(ws);
    assert_int_equal(model_workspace_vjp(m, ws, &e), 0);
    const double x[2] = {0.4, 0.8}, c[2] = {0.3, -2.0}, t = 0.7, h = 0.01;
    double slopes[4], products[4], above[2], below[2];
    struct model_query q[2] = {
        {x, t, ODE_SLOPE_DLNT, MODEL_CLASS_NONE, slopes, c, products, false, 0},
        {x, t, ODE_SLOPE_DT, 0, slopes + 2, c, products + 2, false, 0},
    };
    model_slopes_vjp(m, ws, 2, q);
    for (int k = 0; k < 4; k++) {
        double moved[2] = {x[0], x[1]}, want;
        moved[k % 2] += h;
        slope_at(m, moved[0], moved[1], t, q[k / 2].label, above);
        moved[k % 2] -= 2 * h;
        slope_at(m, moved[0], moved[1], t, q[k / 2].label, below);
        want = (c[0] * (above[0] - below[0]) + c[1] * (above[1] - below[1])) / (2 * h);
        want *= k < 2 ? 1.0 : 1.0 / t;
        print_message("product %d: %.5f, by differences %.5f\n", k, products[k], want);
        assert_true(fabs(products[k] - want) < 1e-3);
    }
    slope_at(m, x[0], x[1], t, MODEL_CLASS_NONE, above);
    assert_true(slopes[0] == above[0] && slopes[1] == above[1]);
    model_workspace_free(ws);
    model_free(m);
}

static void refused(const char *description, size_t tensors, const struct ckpt_output *extra,
                    const char *word)
{
    struct err e = {0};
    const char *path = path_of("bad");
    write_points(path, description, tensors, extra);
    assert_null(load(path, &e));
    if (!strstr(e.text, word))
        fail_msg("\"%s\" does not say \"%s\"", e.text, word);
}

static void test_what_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const float zero[4] = {1, 0, 1, 1};
    static const int32_t beyond[4] = {0, 1, 2, 0}, empty[4] = {0, 0, 0, 0};
    struct ckpt_output t = weight_tensor;
    t.data = zero;
    refused(PLAIN, 2, &t, "weight of point 1");
    t.shape[0] = 2;
    refused(PLAIN, 2, &t, "\"weights\"");
    t = label_tensor;
    refused(PLAIN, 2, &t, "names no labels");
    refused(LABELLED, 1, NULL, "\"labels\" is missing");
    t.data = beyond;
    refused(LABELLED, 2, &t, "label 2");
    t.data = empty;
    refused(LABELLED, 2, &t, "class 1 has no point");
    t = weight_tensor;
    t.name = "more";
    refused(PLAIN, 2, &t, "do not belong");
    refused("{\"version\":1,\"family\":\"exact\",\"shape\":[1,1,3],\"t_max\":30,\"t_min\":1e-"
            "3," PROVENANCE "}",
            1, NULL, "shape [n, d]");
    refused(
        "{\"version\":1,\"family\":\"exact\",\"shape\":[1,1,2],\"t_max\":1,\"t_min\":1," PROVENANCE
        "}",
        1, NULL, "t_max");
    refused(
        "{\"version\":1,\"family\":\"exact\",\"shape\":[1,2],\"t_max\":1,\"t_min\":0.5," PROVENANCE
        "}",
        1, NULL, "shape");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_model_of_points),
        cmocka_unit_test(test_a_class_has_its_own_field),
        cmocka_unit_test(test_guidance_goes_from_no_class_to_the_class),
        cmocka_unit_test(test_latents_of_data_far_from_0_are_joined_as_those_about_0),
        cmocka_unit_test(test_tolerances_are_in_units_of_the_data),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
