/* Loading: a checkpoint is taken whole or refused by the name of what is wrong. Slopes: the t
 * substitution, the two forms, and independence from company. The checkpoint is the bundled
 * digits8. */
#include "model.h"

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

static char folder[] = "/tmp/pfgm-test-model-XXXXXX";
static char damaged[64];

static const struct model_options plain = {NN_KERNEL_AUTO, NN_PRECISION_AUTO};

static struct model *digits(void)
{
    struct err e = {0};
    struct model *m = model_load(DIGITS, &plain, &e);
    if (!m)
        fail_msg("%s: %s", e.at, e.text);
    return m;
}

/* A copy of digits8 after `change` has had its way with the list of tensors (one more place is
 * free). */
static void write_damaged(void (*change)(struct ckpt_output *tensors, size_t *n))
{
    struct err e = {0};
    struct ckpt_file *f = ckpt_file_open(DIGITS, &e);
    assert_non_null(f);
    size_t n = ckpt_file_count(f);
    void *data = NULL;
    struct ckpt_output *tensors = ckpt_file_outputs(f, 1, &data, &e);
    assert_non_null(tensors);
    change(tensors, &n);
    json_t *metadata =
        json_pack("{s:s}", CKPT_DESCRIPTION_KEY, ckpt_file_metadata(f, CKPT_DESCRIPTION_KEY));
    assert_non_null(metadata);
    if (ckpt_file_write(damaged, tensors, n, metadata, &e) != 0)
        fail_msg("%s: %s", e.at, e.text);
    json_decref(metadata);
    free(tensors);
    free(data);
    ckpt_file_close(f);
}

static float values[1 << 20];

static void drop_one(struct ckpt_output *tensors, size_t *n)
{
    assert_non_null(strstr(tensors[*n - 1].name, "all_modules."));
    --*n;
}

static void add_one(struct ckpt_output *tensors, size_t *n)
{
    tensors[*n] = tensors[0];
    tensors[*n].name = "all_modules.99.surplus";
    ++*n;
}

static void transpose_shape(struct ckpt_output *tensors, size_t *n)
{
    for (size_t i = 0; i < *n; i++)
        if (tensors[i].rank == 2 && tensors[i].shape[0] != tensors[i].shape[1]) {
            uint64_t first = tensors[i].shape[0];
            tensors[i].shape[0] = tensors[i].shape[1];
            tensors[i].shape[1] = first;
            return;
        }
    fail();
}

static void set_first(struct ckpt_output *tensor, float value)
{
    size_t count = 1;
    for (int i = 0; i < tensor->rank; i++)
        count *= tensor->shape[i];
    assert_true(count <= sizeof values / sizeof *values);
    memcpy(values, tensor->data, count * sizeof *values);
    values[0] = value;
    tensor->data = values;
}

static void make_nan(struct ckpt_output *tensors, size_t *n)
{
    set_first(&tensors[*n / 2], NAN);
}

static void make_infinite(struct ckpt_output *tensors, size_t *n)
{
    set_first(&tensors[*n / 2], INFINITY);
}

static void damaged_checkpoints_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        void (*change)(struct ckpt_output *, size_t *);
        const char *says;
    } cases[] = {
        {drop_one, "missing"},
        {add_one, "all_modules.99.surplus"},
        {transpose_shape, "wrong shape"},
        {make_nan, "finite"},
        {make_infinite, "finite"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_damaged(cases[i].change);
        struct err e = {0};
        assert_null(model_load(damaged, &plain, &e));
        assert_int_equal(err_exit_code(&e), 2);
        assert_non_null(strstr(e.text, cases[i].says));
        assert_non_null(strstr(e.text, "all_modules."));
        assert_non_null(strstr(e.at, damaged));
    }
    struct err e = {0};
    assert_null(model_load(MODELS_DIR "/absent.safetensors", &plain, &e));
    assert_int_equal(e.code, ERR_INPUT);
}

static void a_slope_does_not_depend_on_company(void **state)
{
    (void)state;
    enum { B = 5 };
    struct model *m = digits();
    const size_t d = model_dimension(m);
    struct model_workspace *ws = model_workspace_new(m, B, NULL);
    assert_non_null(ws);
    struct model_solver solver = model_solver_default(m);
    double x[B][64], alone[B][64], together[B][64];
    assert_int_equal(d, 64);
    const double t[B] = {20.0, 3.0, 1.0, 0.5, 1e-3};
    struct model_query queries[B];
    for (int i = 0; i < B; i++) {
        model_prior_draw(m, &solver, 1.0, 5, (uint64_t)i, x[i]);
        queries[i] = (struct model_query){.x = x[i],
                                          .t = t[i],
                                          .form = ODE_SLOPE_DLNT,
                                          .label = MODEL_CLASS_NONE,
                                          .slope = alone[i]};
        model_slopes(m, ws, 1, &queries[i]);
    }
    for (int turn = 0; turn < B; turn++) {
        for (int i = 0; i < B; i++) {
            int from = (i + turn) % B;
            queries[i] = (struct model_query){.x = x[from],
                                              .t = t[from],
                                              .form = ODE_SLOPE_DLNT,
                                              .label = MODEL_CLASS_NONE,
                                              .slope = together[from]};
        }
        memset(together, 0, sizeof together);
        model_slopes(m, ws, B, queries);
        assert_memory_equal(together, alone, sizeof alone);
    }
    model_workspace_free(ws);
    model_free(m);
}

/* What the reference does with v_x and v_t, from the network's own output. */
static void slopes_follow_the_substitution_below_its_threshold(void **state)
{
    (void)state;
    struct model *m = digits();
    struct model_workspace *ws = model_workspace_new(m, 1, NULL);
    assert_non_null(ws);
    const struct ckpt_description *description = model_description(m);
    assert_true(description->t_substitution == 1.0);
    struct model_solver solver = model_solver_default(m);
    const double times[] = {10.0, 1.0, 0.999, 0.01};
    for (int k = 0; k < 4; k++) {
        double x[64], slope[64], slope_dt[64];
        float xf[64], v_x[64], v_t, t = (float)times[k];
        model_prior_draw(m, &solver, 1.0, 11, (uint64_t)k, x);
        for (int i = 0; i < 64; i++) {
            x[i] *= times[k] / solver.t_max;
            xf[i] = (float)x[i];
        }
        const float *in = xf;
        float *out = v_x;
        model_field(m, ws, 1, &in, &t, NULL, &out, &v_t);
        double divisor = (double)v_t;
        if (times[k] < 1.0) {
            double square = 0;
            for (int i = 0; i < 64; i++)
                square += (double)v_x[i] * (double)v_x[i];
            double a = fmin(sqrt(square / 64.0), 1.0 - 1e-6), e = 5.0 * a / (1.0 - a);
            divisor = -8.0 * times[k] / (sqrt(e * e + times[k] * times[k]) + 5.0);
        }
        divisor += 1e-5;
        struct model_query q = {.x = x,
                                .t = times[k],
                                .form = ODE_SLOPE_DLNT,
                                .label = MODEL_CLASS_NONE,
                                .slope = slope};
        model_slopes(m, ws, 1, &q);
        q.form = ODE_SLOPE_DT;
        q.slope = slope_dt;
        model_slopes(m, ws, 1, &q);
        for (int i = 0; i < 64; i++) {
            double exact = times[k] * (double)v_x[i] / divisor;
            assert_true(fabs(slope[i] - exact) <= 2e-7 * (1.0 + fabs(exact)));
            assert_true(fabs(slope_dt[i] * times[k] - exact) <= 2e-7 * (1.0 + fabs(exact)));
        }
    }
    model_workspace_free(ws);
    model_free(m);
}

static void solver_options_are_checked_by_name(void **state)
{
    (void)state;
    struct model *m = digits();
    struct err e = {0};
    struct model_solver good = model_solver_default(m), s = good;
    assert_int_equal(model_solver_check(m, &s, &e), 0);
    s.t_min = 0.0;
    assert_int_equal(model_solver_check(m, &s, &e), -1);
    assert_string_equal(e.at, "t_min");
    s = good;
    s.t_max = 1e38;
    assert_int_equal(model_solver_check(m, &s, &e), -1);
    assert_string_equal(e.at, "t_max");
    s.t_max = NAN;
    assert_int_equal(model_solver_check(m, &s, &e), -1);
    s = good;
    s.t_max = s.t_min;
    assert_int_equal(model_solver_check(m, &s, &e), -1);
    s = good;
    s.ode.method = ODE_EULER;
    s.ode.steps = 0;
    assert_int_equal(model_solver_check(m, &s, &e), -1);
    assert_string_equal(e.at, "steps");
    model_free(m);
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(damaged, sizeof damaged, "%s/damaged.safetensors", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(damaged);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_checkpoints_are_refused_by_name),
        cmocka_unit_test(a_slope_does_not_depend_on_company),
        cmocka_unit_test(slopes_follow_the_substitution_below_its_threshold),
        cmocka_unit_test(solver_options_are_checked_by_name),
    };
    return cmocka_run_group_tests_name("model", tests, make_folder, remove_folder);
}
