/* The targets of a distillation against plain formulas: a step of Heun's in t with the teacher's
 * slopes, and the answer of another network as the student's average. */
#include "base_rng.h"
#include "train_distill.h"
#include "train_state.h"
#include "train_teacher.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N = 2, BATCH = 24, POINTS = 30 };

static const char TEACHER[] =
    "{\"network\": {\"width\": 16, \"depth\": 1}, \"objective\": \"pfgmpp\", "
    "\"D\": 4, \"batch\": 24}";
static const char STUDENT[] =
    "{\"batch\": 24, \"intervals\": 6, \"intervals_last\": 6, \"seed\": 5}";

static struct data_set points(void)
{
    static float values[POINTS * N], offset[N] = {0.5f, -0.25f};
    for (int i = 0; i < POINTS * N; i++)
        values[i] = (float)sin(i * i);
    return (struct data_set){.channels = N,
                             .side = 1,
                             .count = POINTS,
                             .values = values,
                             .offset = offset,
                             .scale = 0.7f,
                             .norm = 1};
}

static void make_file(char *path)
{
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
}

/* A teacher that has learned nothing, but bends its paths, in a way that `seed` draws. */
static void write_teacher(const struct data_set *data, uint64_t seed, const char *path)
{
    struct err e = {0};
    struct train_config c;
    struct train_state s;
    struct ckpt_description d;
    size_t count;
    assert_int_equal(train_config_read(TEACHER, strlen(TEACHER), "teacher", &c, &e), 0);
    assert_int_equal(train_config_resolve(&c, data, "teacher", &e), 0);
    struct nn_param *params = nn_arch_params(&c.arch, &count, &e);
    assert_non_null(params);
    assert_int_equal(train_state_allocate(&s, nn_arch_scalars(&c.arch), false, 0, &e), 0);
    train_state_init(&s, params, count, 3, data);
    train_state_begin_averages(&s);
    for (size_t i = N + 1; i < s.count; i++) { /* behind offset and scale */
        double normal[2];
        rng_normals(seed, i, RNG_TEST, 2, normal);
        s.ema[i] += (float)(0.1 * normal[0]);
    }
    assert_int_equal(train_config_describe(&c, NULL, 0, 0, "data", &d, &e), 0);
    assert_int_equal(train_state_export(&s, s.ema, "ema", params, count, &d, CKPT_F32, path, &e),
                     0);
    ckpt_description_clear(&d);
    train_state_clear(&s);
    train_config_clear(&c);
    free(params);
}

/* D(x, t) of the teacher. */
static void denoise(const struct model *m, struct model_workspace *ws, const double *x, double t,
                    double *out)
{
    double slope[N];
    const struct model_query q = {
        .x = x, .t = t, .form = ODE_SLOPE_DLNT, .label = MODEL_CLASS_NONE, .slope = slope};
    model_slopes(m, ws, 1, &q);
    for (int k = 0; k < N; k++)
        out[k] = x[k] - slope[k];
}

static void heun(const struct model *m, struct model_workspace *ws, double t, double to, double *x)
{
    double first[N], second[N], predicted[N];
    denoise(m, ws, x, t, first);
    for (int k = 0; k < N; k++)
        predicted[k] = x[k] + (to - t) * (x[k] - first[k]) / t;
    denoise(m, ws, predicted, to, second);
    for (int k = 0; k < N; k++)
        x[k] += (to - t) / 2 * ((x[k] - first[k]) / t + (predicted[k] - second[k]) / to);
}

/* The average is the teacher here: its answer is known by another path through the program. */
static void compare(const struct model *m, struct model_workspace *ws, const struct train_batch *b)
{
    int kinds[3] = {0};
    for (int i = 0; i < BATCH; i++) {
        const struct train_distill_span *s = &b->span[i];
        const double *start = b->point + (size_t)i * N;
        const float *target = b->target + (size_t)i * (N + 1);
        double x[N] = {start[0], start[1]}, answer[N];
        heun(m, ws, s->from, s->to, x);
        denoise(m, ws, x, s->to, answer);
        kinds[!s->arrives ? 0 : s->end > 0 ? 1 : 2]++;
        for (int k = 0; k < N; k++) {
            double z = answer[k];
            if (s->end > 0)
                z = s->arrives ? x[k] : answer[k] + s->end / s->to * (x[k] - answer[k]);
            const double right = (z - s->end / s->from * start[k]) / (1 - s->end / s->from);
            if (!(fabs(right - (double)target[k]) < 1e-4 * (1 + fabs(right) + fabs(start[k]))))
                fail_msg("image %d from %g to %g: %g is told, %g is right", i, s->from, s->to,
                         (double)target[k], right);
        }
        assert_true(fabs((double)target[N] - (1 - s->end / s->from)) < 1e-6);
    }
    assert_true(kinds[0] > 0 && kinds[1] > 0 && kinds[2] > 0);
}

static void train_teacher_gives_the_targets_of_the_formulas(void **state)
{
    (void)state;
    struct err e = {0};
    const struct data_set data = points();
    char path[] = "/tmp/pfgm-teacher-XXXXXX";
    make_file(path);
    write_teacher(&data, 3, path);
    struct model *m = train_teacher_open(path, NN_KERNEL_AUTO, &e);
    assert_non_null(m);
    struct train_config c;
    assert_int_equal(train_config_read(STUDENT, strlen(STUDENT), "student", &c, &e), 0);
    assert_int_equal(train_teacher_adopt(m, 2, false, &data, "student", &c, &e), 0);
    assert_int_equal(train_config_resolve(&c, &data, "student", &e), 0);
    struct pool *pool = pool_new(2, &e);
    const struct nn_grad_options options = {.kernel = NN_KERNEL_AUTO, .batch = BATCH};
    struct nn_grad *grad = nn_grad_new(&c.arch, &options, pool, &e);
    struct train_batch b;
    assert_non_null(grad);
    assert_int_equal(train_batch_init(&b, &c, &data, NN_KERNEL_AUTO, pool, &e), 0);
    assert_null(b.field[0]); /* nothing asks for the field of the data */
    struct train_teacher *t = train_teacher_new(m, &c, pool, &e);
    assert_non_null(t);
    size_t count;
    const struct nn_param *params = nn_grad_params(grad, &count);
    float *weights = calloc(nn_grad_scalars(grad), sizeof *weights);
    assert_int_equal(train_teacher_weights(m, path, params, count, weights, &e), 0);
    nn_grad_weights_set(grad, weights);
    struct model_workspace *ws = model_workspace_new(m, 1, &e);
    for (int64_t step = 0; step < 3; step++) {
        train_batch_make(&b, step);
        assert_int_equal(train_teacher_targets(t, &b, grad, &e), 0);
        compare(m, ws, &b);
    }
    model_workspace_free(ws);
    free(weights);
    train_teacher_free(t);
    train_batch_clear(&b);
    nn_grad_free(grad);
    pool_free(pool);
    train_config_clear(&c);
    model_free(m);
    unlink(path);
}

/* A student begins with the weights of the model whose digest it records, or not at all. */
static void train_teacher_that_was_replaced_gives_no_weights(void **state)
{
    (void)state;
    struct err e = {0};
    const struct data_set data = points();
    char path[] = "/tmp/pfgm-teacher-XXXXXX";
    make_file(path);
    write_teacher(&data, 3, path);
    struct model *m = train_teacher_open(path, NN_KERNEL_AUTO, &e);
    assert_non_null(m);
    const struct nn_arch *arch = &model_description(m)->arch;
    size_t count;
    struct nn_param *params = nn_arch_params(arch, &count, &e);
    float *weights = calloc(nn_arch_scalars(arch), sizeof *weights);
    assert_true(params && weights);
    assert_int_equal(train_teacher_weights(m, path, params, count, weights, &e), 0);
    write_teacher(&data, 4, path);
    assert_int_equal(train_teacher_weights(m, path, params, count, weights, &e), -1);
    assert_int_equal(e.code, ERR_IO);
    assert_non_null(strstr(e.text, "not the checkpoint that was loaded"));
    unlink(path);
    assert_int_equal(train_teacher_weights(m, path, params, count, weights, &e), -1);
    assert_int_equal(e.code, ERR_IO);
    free(weights);
    free(params);
    model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(train_teacher_gives_the_targets_of_the_formulas),
        cmocka_unit_test(train_teacher_that_was_replaced_gives_no_weights),
    };
    return cmocka_run_group_tests_name("teacher", tests, NULL, NULL);
}
