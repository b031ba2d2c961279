/* Batches: the order of images, targets against plain sums in double, and labels that decide which
 * images a target is taken from. */
#include "base_rng.h"
#include "train_batch.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void train_shuffle_is_a_permutation(void **state)
{
    static const size_t sizes[] = {1, 2, 3, 5, 64, 65, 1000, 4097};
    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        size_t n = sizes[s], same = 0;
        bool *seen = calloc(n, sizeof *seen);
        assert_non_null(seen);
        for (size_t k = 0; k < n; k++) {
            size_t at = train_shuffle(9, 4, n, k);
            assert_true(at < n && !seen[at]);
            seen[at] = true;
            same += at == train_shuffle(9, 5, n, k);
        }
        if (n >= 64)
            assert_true(same < n / 8); /* another epoch, another order */
        free(seen);
    }
}

/* Every pixel of every view against the rule: a move, then the border. */
static void train_views_of_a_picture(void **state)
{
    enum { SIDE = 5, CHANNELS = 2 };
    uint8_t pixels[CHANNELS * SIDE * SIDE];
    float out[CHANNELS * SIDE * SIDE];
    const struct data_set d = {.channels = CHANNELS, .side = SIDE, .count = 1, .pixels = pixels};
    (void)state;
    for (int i = 0; i < CHANNELS * SIDE * SIDE; i++)
        pixels[i] = (uint8_t)(5 * i);
    for (int down = 1 - SIDE; down < SIDE; down++)
        for (int right = 1 - SIDE; right < SIDE; right++)
            for (int flip = 0; flip < 2; flip++) {
                data_image(&d, 0, (struct data_view){flip, right, down}, out);
                for (int c = 0; c < CHANNELS; c++)
                    for (int y = 0; y < SIDE; y++)
                        for (int x = 0; x < SIDE; x++) {
                            int row = y - down, column = x - right;
                            row = row < 0 ? 0 : row >= SIDE ? SIDE - 1 : row;
                            column = column < 0 ? 0 : column >= SIDE ? SIDE - 1 : column;
                            column = flip ? SIDE - 1 - column : column;
                            const int from = 5 * ((c * SIDE + row) * SIDE + column);
                            assert_float_equal(out[(c * SIDE + y) * SIDE + x],
                                               (float)from * (2.0f / 255.0f) - 1.0f, 0);
                        }
            }
}

/* A picture is moved by each pair of -2 to 2 pixels alike, and by no other: with hardly any noise,
 * the pixel in the middle says by which. */
static void train_moves_are_drawn_alike(void **state)
{
    enum { SIDE = 8, REACH = 2, PLACES = 2 * REACH + 1, STEPS = 100, BATCH = 32 };
    static const char text[] =
        "{\"objective\": \"pfgmpp\", \"D\": 16, \"sigma_data\": 0.5, \"log_sigma_mean\": -8, "
        "\"log_sigma_deviation\": 0.01, \"shift\": 2, \"batch\": 32}";
    const double expected = STEPS * BATCH / (double)(PLACES * PLACES);
    int seen[PLACES][PLACES] = {{0}};
    uint8_t pixels[SIDE * SIDE];
    struct err e = {0};
    struct train_config c;
    struct train_batch b;
    (void)state;
    for (int i = 0; i < SIDE * SIDE; i++)
        pixels[i] = (uint8_t)(4 * i);
    const struct data_set data = {
        .channels = 1, .side = SIDE, .count = 1, .pixels = pixels, .norm = 4};
    assert_int_equal(train_config_read(text, strlen(text), "test", &c, &e), 0);
    assert_int_equal(train_config_resolve(&c, &data, "test", &e), 0);
    struct pool *pool = pool_new(2, &e);
    assert_int_equal(train_batch_init(&b, &c, &data, NN_KERNEL_AUTO, pool, &e), 0);
    for (int64_t step = 0; step < STEPS; step++) {
        train_batch_make(&b, step);
        for (int i = 0; i < b.count; i++) {
            const double middle = (double)b.x[i][SIDE / 2 * SIDE + SIDE / 2] * c.sigma_data;
            const long from = lround((middle + 1) / (2.0 / 255.0) / 4);
            const long down = SIDE / 2 - from / SIDE, right = SIDE / 2 - from % SIDE;
            assert_true(labs(down) <= REACH && labs(right) <= REACH);
            seen[down + REACH][right + REACH]++;
        }
    }
    for (int i = 0; i < PLACES * PLACES; i++) {
        const int count = seen[i / PLACES][i % PLACES];
        if (fabs(count - expected) > 5 * sqrt(expected))
            fail_msg("down %d, right %d: %d times, %g are expected", i / PLACES - REACH,
                     i % PLACES - REACH, count, expected);
    }
    train_batch_clear(&b);
    pool_free(pool);
    train_config_clear(&c);
}

/* ---- targets ---- */

/* The formula of train_field.h in long double, without tricks. */
static void plain_target(size_t n, size_t rows, const float *y, const float *x, double t,
                         double gamma, double *out)
{
    long double *d = calloc(rows, sizeof *d), least = INFINITY, total = 0, length = 0;
    assert_non_null(d);
    for (size_t j = 0; j < rows; j++) {
        long double sum = (long double)t * t;
        for (size_t k = 0; k < n; k++)
            sum += ((long double)y[j * n + k] - x[k]) * ((long double)y[j * n + k] - x[k]);
        d[j] = sqrtl(sum);
        least = d[j] < least ? d[j] : least;
    }
    for (size_t j = 0; j < rows; j++)
        total += d[j] = powl(least / (d[j] + 1e-7L), (long double)(n + 1));
    for (size_t k = 0; k <= n; k++) {
        long double sum = 0;
        for (size_t j = 0; j < rows; j++)
            sum += d[j] / (total + 1e-7L) *
                   (k < n ? (long double)y[j * n + k] - x[k] : -(long double)t);
        out[k] = (double)sum;
        length += sum * sum;
    }
    for (size_t k = 0; k <= n; k++)
        out[k] *= sqrt((double)n) / ((double)sqrtl(length) + gamma);
    free(d);
}

static void check_targets(size_t n, size_t rows, double reach, double t)
{
    struct err e = {0};
    float *y = calloc(rows * n, sizeof *y), *x = calloc(5 * n, sizeof *x);
    float *target = calloc(5 * (n + 1), sizeof *target);
    double *right = calloc(n + 1, sizeof *right), *normals = calloc(n, sizeof *normals);
    assert_true(y && x && target && right && normals);
    for (size_t j = 0; j < rows; j++) {
        rng_normals(1, j, RNG_TEST, n, normals);
        for (size_t k = 0; k < n; k++)
            y[j * n + k] = (float)(0.5 * normals[k]);
    }
    struct train_points p = {.count = 5};
    for (size_t i = 0; i < 5; i++) {
        rng_normals(2, i, RNG_TEST, n, normals);
        for (size_t k = 0; k < n; k++)
            x[i * n + k] = (float)(y[i * n + k] + reach * normals[k]);
        p.x[i] = x + i * n;
        p.t[i] = (float)t;
        p.target[i] = target + i * (n + 1);
    }
    for (int kernel = NN_KERNEL_C; kernel <= NN_KERNEL_AVX512; kernel++) {
        if (!nn_kernel_available((enum nn_kernel)kernel))
            continue;
        struct train_field *f = train_field_new((enum nn_kernel)kernel, n, rows, &e);
        const struct train_rows set = {.values = y, .count = rows};
        assert_non_null(f);
        train_field_targets(f, 5, &set, &p);
        for (size_t i = 0; i < 5; i++) {
            double apart = 0, largest = 0;
            plain_target(n, rows, y, x + i * n, (double)p.t[i], 5, right);
            for (size_t k = 0; k <= n; k++) {
                apart = fmax(apart, fabs((double)p.target[i][k] - right[k]));
                largest = fmax(largest, fabs(right[k]));
            }
            /* The second term: Σ w Y - x cancels close to a row, in single precision. */
            if (!(apart <= 1e-4 * largest + 1e-7 * sqrt((double)n)))
                fail_msg("n %zu, rows %zu, reach %g, t %g, kernel %d: %g of %g apart", n, rows,
                         reach, t, kernel, apart, largest);
        }
        train_field_free(f);
    }
    free(y);
    free(x);
    free(target);
    free(right);
    free(normals);
}

static void train_targets_equal_plain_sums(void **state)
{
    static const size_t dimensions[] = {1, 2, 7, 64, 785};
    static const double reaches[] = {0.001, 0.05, 0.5, 5, 100};
    (void)state;
    for (size_t d = 0; d < 5; d++)
        for (size_t r = 0; r < 5; r++) {
            check_targets(dimensions[d], 300, reaches[r], reaches[r]);
            check_targets(dimensions[d], 5, reaches[r], 0.1 * reaches[r]);
        }
}

/* A point upon a row, and rows that are all one: finite, as the reference's sums would be. */
static void train_targets_at_zero_distance(void **state)
{
    struct err e = {0};
    float y[3][4] = {{0.5f, 0, 0, 0}, {0.5f, 0, 0, 0}, {0.5f, 0, 0, 0}}, target[5];
    struct train_field *f = train_field_new(NN_KERNEL_AUTO, 4, 3, &e);
    const struct train_rows rows = {.values = y[0], .count = 3};
    const struct train_points p = {.count = 1, .x = {y[0]}, .t = {1e-10f}, .target = {target}};
    (void)state;
    assert_non_null(f);
    train_field_targets(f, 5, &rows, &p);
    for (int i = 0; i < 5; i++)
        assert_true(isfinite(target[i]));
    train_field_free(f);
}

/* ---- labels ---- */

/* Two classes, black and white: near the data a labelled target points at its own class even where
 * the other is nearer. */
static void train_targets_follow_labels(void **state)
{
    struct err e = {0};
    struct train_config c;
    static const char text[] = "{\"conditional\": true, \"label_dropout\": 0, \"batch\": 16, "
                               "\"large_batch\": 8, \"m\": 290}";
    char *names[2] = {"black", "white"};
    uint8_t pixels[40][16];
    int32_t label[40];
    (void)state;
    for (int i = 0; i < 40; i++) {
        memset(pixels[i], i % 2 ? 255 : 0, 16);
        label[i] = i % 2;
    }
    const struct data_set data = {.channels = 1,
                                  .side = 4,
                                  .count = 40,
                                  .pixels = pixels[0],
                                  .label = label,
                                  .names = names,
                                  .classes = 2,
                                  .norm = 4};
    assert_int_equal(train_config_read(text, strlen(text), "test", &c, &e), 0);
    assert_int_equal(train_config_resolve(&c, &data, "test", &e), 0);
    struct pool *pool = pool_new(2, &e);
    struct train_batch b;
    assert_int_equal(train_batch_init(&b, &c, &data, NN_KERNEL_AUTO, pool, &e), 0);
    int labelled = 0, apart = 0;
    for (int64_t step = 0; step < 20; step++) {
        train_batch_make(&b, step);
        for (int i = 0; i < b.count; i++) {
            const float *target = b.target + (size_t)i * 17;
            float clean = b.label[i] == 1 ? 1.0f : -1.0f;
            assert_true(b.label[i] == 0 || b.label[i] == 1);
            labelled++;
            for (size_t k = 0; k < 16; k++) { /* parallel to the way to the class's only image */
                double way = (double)clean - (double)b.x[i][k];
                double ratio = -(double)target[16] / (double)b.t[i];
                apart += fabs(target[k] - way * ratio) > 1e-3 * (fabs(way * ratio) + 1e-3);
            }
        }
    }
    assert_int_equal(labelled, 320);
    assert_int_equal(apart, 0);
    train_batch_clear(&b);
    pool_free(pool);
    train_config_clear(&c);
}

/* The field of the data takes the most memory of a thread, and a denoiser's target is no field. */
static void train_only_targets_that_are_fields_have_one(void **state)
{
    static const struct {
        const char *text;
        bool field;
    } cases[] = {{"{\"batch\": 8}", true},
                 {"{\"batch\": 8, \"objective\": \"direct\"}", true},
                 {"{\"batch\": 8, \"objective\": \"pfgmpp\"}", false}};
    uint8_t pixels[10][16];
    (void)state;
    for (int i = 0; i < 10; i++)
        memset(pixels[i], 20 * i, 16);
    const struct data_set data = {
        .channels = 1, .side = 4, .count = 10, .pixels = pixels[0], .norm = 4};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct train_config c;
        struct train_batch b;
        struct err e = {0};
        const char *text = cases[i].text;
        assert_int_equal(train_config_read(text, strlen(text), "test", &c, &e), 0);
        assert_int_equal(train_config_resolve(&c, &data, "test", &e), 0);
        struct pool *pool = pool_new(2, &e);
        assert_int_equal(train_batch_init(&b, &c, &data, NN_KERNEL_AUTO, pool, &e), 0);
        assert_true((b.field[0] != NULL) == cases[i].field);
        assert_true((b.field[1] != NULL) == cases[i].field);
        train_batch_make(&b, 0);
        train_batch_clear(&b);
        pool_free(pool);
        train_config_clear(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(train_shuffle_is_a_permutation),
        cmocka_unit_test(train_views_of_a_picture),
        cmocka_unit_test(train_moves_are_drawn_alike),
        cmocka_unit_test(train_targets_equal_plain_sums),
        cmocka_unit_test(train_targets_at_zero_distance),
        cmocka_unit_test(train_targets_follow_labels),
        cmocka_unit_test(train_only_targets_that_are_fields_have_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
