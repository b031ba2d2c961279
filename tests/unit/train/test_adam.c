/* The optimiser against its formulas in double, and the export's narrow numbers. */
#include "base_rng.h"
#include "base_file.h"
#include "train_adam.h"
#include "train_state.h"
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

#define COUNT 40000 /* more than two pieces */

struct arrays {
    float *weights, *mean, *square, *ema, *gradient, *target;
};

static float *take(size_t count)
{
    float *v = calloc(count, sizeof *v);
    assert_non_null(v);
    return v;
}

static double noise(size_t i, uint64_t salt)
{
    double u;
    rng_uniforms(3, i, (enum rng_purpose)(RNG_TEST + salt), 1, &u);
    return 2 * u - 1;
}

static void train_adam_formulas(void **state)
{
    struct err e = {0};
    struct arrays a = {take(COUNT), take(COUNT), take(COUNT),
                       take(COUNT), take(COUNT), take(COUNT)};
    double weight = 0, mean = 0, square = 0, ema = 0,
           target; /* of element 33000, by the formulas */
    size_t at = 33000;
    (void)state;
    struct pool *pool = pool_new(2, &e);
    const struct train_average averages[] = {{a.ema, 0.9999, true}, {a.target, 0.95, false}};
    struct train_adam adam = {COUNT, a.weights, a.mean, a.square, averages, 2};
    for (size_t i = 0; i < COUNT; i++)
        a.weights[i] = a.ema[i] = a.target[i] = (float)noise(i, 1);
    weight = ema = target = a.weights[at];
    for (int64_t step = 1; step <= 30; step++) {
        double sum = 0;
        for (size_t i = 0; i < COUNT; i++) {
            a.gradient[i] = (float)noise(i, (uint64_t)step + 1);
            sum += (double)a.gradient[i] * (double)a.gradient[i];
        }
        double norm = train_gradient_norm(pool, a.gradient, COUNT);
        assert_true(fabs(norm - sqrt(sum)) < 1e-9 * norm);
        const struct train_adam_step s = {step, 0.01, norm, 1.0, a.gradient};
        double g = a.gradient[at] / (norm + 1e-6), n = (double)step;
        train_adam_update(pool, &adam, &s);
        mean = 0.9 * mean + 0.1 * g;
        square = 0.999 * square + 0.001 * g * g;
        weight -= 0.01 * (mean / (1 - pow(0.9, n))) / (sqrt(square / (1 - pow(0.999, n))) + 1e-8);
        double keep = fmin(0.9999, (1 + n) / (10 + n));
        ema -= (1 - keep) * (ema - weight);
        assert_true(fabs(a.weights[at] - weight) < 2e-5);
        assert_true(fabs(a.ema[at] - ema) < 2e-5);
        target -= 0.05 * (target - weight);
        assert_true(fabs(a.target[at] - target) < 2e-5);
    }
    a.gradient[COUNT - 1] = NAN;
    assert_true(isnan(train_gradient_norm(pool, a.gradient, COUNT)));
    pool_free(pool);
    free(a.weights);
    free(a.mean);
    free(a.square);
    free(a.ema);
    free(a.gradient);
    free(a.target);
}

/* ---- export ---- */

static const float values[] = {0.0f,     1.0f,     -1.0f,    0.1f,       65504.0f,   1e-7f,
                               6.1e-5f,  3.14159f, 2049.0f,  2051.0f,    1.0009766f, -0.33333f,
                               5.96e-8f, 2.9e-8f,  1.00391f, 1.01171875f};
#define VALUES (sizeof values / sizeof values[0])

static void export_values(enum ckpt_dtype dtype, float out[VALUES])
{
    struct err e = {0};
    char path[] = "/tmp/pfgm-export-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    struct train_state s;
    assert_int_equal(train_state_allocate(&s, VALUES, false, 0, &e), 0);
    memcpy(s.ema, values, sizeof values);
    const struct nn_param p = {
        .name = "w", .rank = 1, .shape = {VALUES}, .count = VALUES, .trainable = true};
    struct train_config c;
    struct ckpt_description d;
    const struct data_set data = {.channels = 1, .side = 8, .norm = 5};
    assert_int_equal(train_config_read(NULL, 0, "test", &c, &e), 0);
    assert_int_equal(train_config_resolve(&c, &data, "test", &e), 0);
    assert_int_equal(train_config_describe(&c, NULL, 0, 3, "x", &d, &e), 0);
    if (train_state_export(&s, s.ema, "ema", &p, 1, &d, dtype, path, &e))
        fail_msg("%s: %s", e.at, e.text);
    struct ckpt_file *f = ckpt_file_open(path, &e);
    assert_non_null(f);
    const struct ckpt_tensor *t = ckpt_file_find(f, "w");
    assert_non_null(t);
    assert_int_equal(t->dtype, dtype);
    assert_int_equal(ckpt_tensor_to_f32(t, out, &e), 0);
    ckpt_file_close(f);
    s.ema[3] = INFINITY;
    assert_int_equal(train_state_export(&s, s.ema, "ema", &p, 1, &d, dtype, path, &e), -1);
    assert_int_equal(e.code, ERR_NUMERIC);
    ckpt_description_clear(&d);
    train_config_clear(&c);
    train_state_clear(&s);
    unlink(path);
}

/* Rounded to nearest: no neighbour in the type is nearer. */
static void train_export_rounds_to_nearest(void **state)
{
    float f32[VALUES], f16[VALUES], bf16[VALUES];
    (void)state;
    export_values(CKPT_F32, f32);
    export_values(CKPT_F16, f16);
    export_values(CKPT_BF16, bf16);
    assert_memory_equal(f32, values, sizeof values);
    for (size_t i = 0; i < VALUES; i++) {
        double v = fabs((double)values[i]), ulp = v > 0 ? exp2(floor(log2(v))) : 1;
        double half = fmax(ulp * 0x1p-10, 0x1p-24), narrow = ulp * 0x1p-7;
        assert_true(fabs((double)f16[i] - (double)values[i]) <= half / 2);
        assert_true(fabs((double)bf16[i] - (double)values[i]) <= narrow / 2);
    }
    assert_true(f16[8] == 2048.0f && f16[9] == 2052.0f); /* ties to even */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(train_adam_formulas),
        cmocka_unit_test(train_export_rounds_to_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
