/* What a configuration settles for vectors, how the learning rate goes, what may change on the way,
 * and the objective of single data: its mean is the field. */
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

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define ROWS 40

/* Points of a plane, far from 0. */
static float plane[ROWS][2];
static float plane_offset[2];

static struct data_set plane_data(void)
{
    for (int i = 0; i < ROWS; i++) {
        plane[i][0] = 300 + (float)(i % 7) * 0.3f;
        plane[i][1] = -200 + (float)(i % 5) * 0.4f;
        plane_offset[0] += plane[i][0] / ROWS;
        plane_offset[1] += plane[i][1] / ROWS;
    }
    return (struct data_set){.channels = 2,
                             .side = 1,
                             .count = ROWS,
                             .values = plane[0],
                             .offset = plane_offset,
                             .scale = 0.6f,
                             .norm = 0.8};
}

static int resolve(const char *text, const struct data_set *data, struct train_config *c,
                   struct err *e)
{
    if (train_config_read(text, strlen(text), "test", c, e))
        return -1;
    int result = train_config_resolve(c, data, "test", e);
    if (result)
        train_config_clear(c);
    return result;
}

static void train_vectors_are_resolved_by_their_size(void **state)
{
    (void)state;
    plane_offset[0] = plane_offset[1] = 0;
    const struct data_set data = plane_data();
    struct train_config c;
    struct err e = {0};
    assert_int_equal(resolve("{}", &data, &c, &e), 0);
    assert_int_equal(c.arch.kind, NN_ARCH_MLP);
    assert_true(fabs(c.sigma - 0.006) < 1e-6 && fabs(c.t_min - 0.0006) < 1e-7);
    assert_true(c.t_max >= 40 * data.norm && c.t_max < 1.04 * 40 * data.norm);
    assert_true(c.gamma == 0 && c.t_substitution == 0 && c.dropout == 0);
    assert_true(c.norm_max == 1e6 * c.t_max);
    train_config_clear(&c);
}

static void train_what_does_not_fit_is_refused(void **state)
{
    (void)state;
    const struct data_set vectors = plane_data();
    const struct data_set pictures = {.channels = 1, .side = 28, .norm = 20};
    const struct {
        const char *text, *word;
        const struct data_set *data;
    } cases[] = {
        {"{\"objective\": \"direct\"}", "at most 64 dimensions", &pictures},
        {"{\"objective\": \"direct\", \"gamma\": 5}", "no normalisation", &vectors},
        {"{\"gamma\": 5}", "pfgm of vectors has no normalisation", &vectors},
        {"{\"t_substitution\": 1}", "no normalisation", &vectors},
        {"{\"objective\": \"other\"}", "one of pfgm, direct", &vectors},
        {"{\"decay\": \"fast\"}", "one of none, linear, cosine", &vectors},
        {"{\"flip\": true}", "the data are vectors", &vectors},
        {"{\"network\": {\"kind\": \"mlp\", \"dimension\": 784, \"width\": 64, \"depth\": 2}}",
         "image_size", &pictures},
        {"{\"network\": {\"width\": 20}}", "multiple of 8", &vectors},
        {"{\"network\": {\"dimension\": 3}}", "3 channels", &vectors},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct train_config c;
        struct err e = {0};
        assert_int_equal(resolve(cases[i].text, cases[i].data, &c, &e), -1);
        if (!strstr(e.text, cases[i].word))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].text, e.text, cases[i].word);
    }
}

/* With a part of the data the nearest one depends on the datum that is drawn, and the mean of the
 * targets is not the field. What a run was given stays. And a field of any length has nothing added
 * to its divisor. */
static void train_direct_has_all_data_in_its_large_batch(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t count;
        int64_t large;
    } cases[] = {
        {"{\"objective\": \"direct\"}", 3000, 3000},
        {"{\"objective\": \"direct\"}", 40, 1024},
        {"{\"objective\": \"direct\"}", TRAIN_LARGE_BATCH_MAX + 1, TRAIN_LARGE_BATCH_MAX},
        {"{\"objective\": \"direct\", \"flip\": true}", 3000, 6000},
        {"{\"objective\": \"direct\", \"large_batch\": 100}", 3000, 100},
        {"{}", 3000, 1024},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct data_set data = {.channels = 1, .side = 8, .count = cases[i].count, .norm = 4};
        struct train_config c;
        struct err e = {0};
        assert_int_equal(resolve(cases[i].text, &data, &c, &e), 0);
        assert_int_equal(c.large_batch, cases[i].large);
        assert_true(train_config_offset(&c) ==
                    (c.objective == TRAIN_OBJECTIVE_DIRECT ? 0 : TRAIN_DIVISOR_OFFSET));
        train_config_clear(&c);
    }
}

/* What a run of such data would leave can be read again, or it does not begin. */
static void train_data_of_a_scale_that_no_model_has_are_refused(void **state)
{
    (void)state;
    static float values[] = {-2e9f, 2e9f};
    static const struct {
        const char *text, *word;
    } cases[] = {{"{}", "\"sigma\" is"},
                 {"{\"objective\": \"direct\"}", "\"sigma\" is"},
                 {"{\"objective\": \"pfgmpp\"}", "\"sigma_data\" is"},
                 {"{\"objective\": \"pfgmpp\", \"sigma_data\": 1e5}", NULL},
                 {"{\"sigma\": 1e5}", NULL}};
    float offset = 0;
    const struct data_set data = {.channels = 1,
                                  .side = 1,
                                  .count = 2,
                                  .values = values,
                                  .offset = &offset,
                                  .scale = 2e9f,
                                  .norm = 2e9};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct train_config c, again;
        struct err e = {0};
        assert_int_equal(resolve(cases[i].text, &data, &c, &e), cases[i].word ? -1 : 0);
        if (cases[i].word) {
            if (!strstr(e.text, cases[i].word) || !strstr(e.text, "scale the data down"))
                fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].text, e.text, cases[i].word);
            continue;
        }
        json_t *root = train_config_json(&c, &e);
        char *text = json_dumps(root, 0);
        if (resolve(text, &data, &again, &e) != 0)
            fail_msg("%s: its configuration cannot be read: %s", cases[i].text, e.text);
        free(text);
        json_decref(root);
        train_config_clear(&again);
        train_config_clear(&c);
    }
}

/* Floats near 16,777,216 are 2 apart. */
static void train_vectors_that_are_rounded_away_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        float middle, apart;
        bool refused;
    } cases[] = {{"{}", 0, 10, false},
                 {"{}", 16777216, 10, true},
                 {"{}", -16777216, 10, true},
                 {"{}", 16777216, 100, false},
                 {"{\"sigma\": 3}", 16777216, 10, true},
                 {"{\"objective\": \"pfgmpp\"}", 16777216, 10, true},
                 {"{\"objective\": \"pfgmpp\"}", 16777216, 100, false},
                 {"{\"sigma\": 1e-5, \"t_min\": 1e-5}", 0, 10, false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        float offset = cases[i].middle, apart = cases[i].apart;
        float values[2] = {offset - apart, offset + apart};
        const struct data_set data = {.channels = 1,
                                      .side = 1,
                                      .count = 2,
                                      .values = values,
                                      .offset = &offset,
                                      .scale = apart,
                                      .norm = (double)apart};
        struct train_config c;
        struct err e = {0};
        if (resolve(cases[i].text, &data, &c, &e) != (cases[i].refused ? -1 : 0))
            fail_msg("case %zu: %s", i, e.text);
        if (cases[i].refused)
            assert_non_null(strstr(e.text, "subtract the mean first"));
        else
            train_config_clear(&c);
    }
}

static void train_rate_rises_and_falls(void **state)
{
    (void)state;
    struct train_config c = {.steps = 100, .warmup = 10, .learning_rate = 2};
    assert_true(train_config_rate(&c, 0) == 0 && train_config_rate(&c, 5) == 1);
    assert_true(train_config_rate(&c, 10) == 2 && train_config_rate(&c, 99) == 2);
    c.decay = TRAIN_DECAY_LINEAR;
    c.decay_steps = 40;
    assert_true(train_config_rate(&c, 60) == 2);
    assert_true(fabs(train_config_rate(&c, 80) - 1) < 1e-12);
    assert_true(fabs(train_config_rate(&c, 99) - 0.05) < 1e-12);
    c.decay = TRAIN_DECAY_COSINE;
    assert_true(train_config_rate(&c, 60) == 2);
    assert_true(fabs(train_config_rate(&c, 80) - 1) < 1e-12);
    assert_true(fabs(train_config_rate(&c, 70) - (1 + sqrt(0.5))) < 1e-12);
    assert_true(train_config_rate(&c, 99) > 0);
    c.decay_steps = 0; /* a fifth */
    assert_true(train_config_rate(&c, 80) == 2 && train_config_rate(&c, 81) < 2);
}

/* Only some settings change on the way; the digest tells what decides the bytes. */
static void train_changes_on_the_way(void **state)
{
    (void)state;
    const struct data_set data = plane_data();
    static const char right[] = "{\"steps\": 9, \"decay\": \"linear\", \"ema\": 0.5}";
    static const char wrong[] = "{\"batch\": 9}";
    static const char report[] = "{\"log_every\": 9}";
    char before[SHA256_HEX_SIZE], after[SHA256_HEX_SIZE];
    struct train_config c, again;
    struct err e = {0};
    assert_int_equal(resolve("{}", &data, &c, &e), 0);
    assert_int_equal(train_config_digest(&c, before, &e), 0);
    assert_int_equal(train_config_change(&c, wrong, strlen(wrong), 5, "test", &e), -1);
    assert_non_null(strstr(e.text, "batch"));
    assert_int_equal(train_config_change(&c, report, strlen(report), 5, "test", &e), 0);
    assert_int_equal(train_config_digest(&c, after, &e), 0);
    assert_string_equal(before, after);
    assert_int_equal(train_config_change(&c, right, strlen(right), 5, "test", &e), 0);
    assert_true(c.steps == 9 && c.decay == TRAIN_DECAY_LINEAR && c.ema == 0.5);
    assert_int_equal(train_config_digest(&c, after, &e), 0);
    assert_string_not_equal(before, after);
    json_t *root = train_config_json(&c, &e);
    char *text = json_dumps(root, 0);
    assert_int_equal(resolve(text, &data, &again, &e), 0);
    assert_int_equal(json_array_size(again.continued), 2);
    assert_int_equal(train_config_digest(&again, before, &e), 0);
    assert_string_equal(before, after);
    free(text);
    json_decref(root);
    train_config_clear(&again);
    train_config_clear(&c);
}

/* Targets by single data, averaged over all of them, point along the target of all; and that is the
 * plain sum in double, far from 0 as it may lie. */
static void train_direct_means_the_field(void **state)
{
    (void)state;
    plane_offset[0] = plane_offset[1] = 0;
    const struct data_set data = plane_data();
    uint32_t index[ROWS];
    struct err e = {0};
    struct train_field *f = train_field_new(NN_KERNEL_AUTO, 2, ROWS, &e);
    const struct train_rows rows = {.data = &data, .index = index, .count = ROWS};
    assert_non_null(f);
    for (uint32_t i = 0; i < ROWS; i++)
        index[i] = i << 1;
    for (int k = 0; k < 12; k++) {
        float x[2] = {300.3f + 0.37f * (float)k, -199.1f - 0.2f * (float)k},
              t = 0.01f * (float)(1 << k), target[3], single[3];
        double mean[3] = {0}, sum[3] = {0}, a = 0, b = 0, along = 0, plain = 0, right = 0;
        struct train_points p = {.count = 1, .x = {x}, .t = {t}, .target = {target}};
        train_field_targets(f, 0, &rows, &p);
        p.target[0] = single;
        for (size_t i = 0; i < ROWS; i++) {
            double apart[3] = {(double)plane[i][0] - (double)x[0],
                               (double)plane[i][1] - (double)x[1], -(double)t};
            double r = sqrt(apart[0] * apart[0] + apart[1] * apart[1] + apart[2] * apart[2]);
            p.partner[0] = index[i];
            train_field_direct(f, &rows, &p);
            for (int j = 0; j < 3; j++) {
                mean[j] += (double)single[j];
                sum[j] += apart[j] / (r * r * r);
            }
        }
        for (int j = 0; j < 3; j++) {
            along += mean[j] * (double)target[j];
            a += mean[j] * mean[j];
            b += (double)target[j] * (double)target[j];
            plain += sum[j] * (double)target[j];
            right += sum[j] * sum[j];
        }
        assert_true(along / sqrt(a * b) > 1 - 1e-6);
        assert_true(plain / sqrt(right * b) > 1 - 1e-6);
        assert_true(fabs(b / 2 - 1) < 1e-4); /* its length is √d */
    }
    train_field_free(f);
}

/* The constants for a deviation of 0.5, scaled to the pictures that are there or as given. */
static void noise_by_the_data(void **state)
{
    static const struct {
        const char *text;
        double deviation;
    } cases[] = {{"{\"objective\": \"pfgmpp\"}", 20.0 / 28},
                 {"{\"objective\": \"pfgmpp\", \"sigma_data\": 0.5}", 0.5}};
    const struct data_set data = {.channels = 1, .side = 28, .count = 1, .norm = 20};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct train_config c;
        struct err e = {0};
        const double scale = cases[i].deviation / 0.5;
        assert_int_equal(train_config_read(cases[i].text, strlen(cases[i].text), "test", &c, &e),
                         0);
        assert_int_equal(train_config_resolve(&c, &data, "test", &e), 0);
        assert_true(fabs(c.sigma_data - cases[i].deviation) < 1e-12);
        assert_true(fabs(c.t_max - 80 * scale) < 1e-9);
        assert_true(fabs(c.t_min - 0.002 * scale) < 1e-12);
        assert_true(fabs(c.log_sigma_mean - (-1.2 + log(scale))) < 1e-12);
        train_config_clear(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_by_the_data),
        cmocka_unit_test(train_vectors_are_resolved_by_their_size),
        cmocka_unit_test(train_what_does_not_fit_is_refused),
        cmocka_unit_test(train_data_of_a_scale_that_no_model_has_are_refused),
        cmocka_unit_test(train_vectors_that_are_rounded_away_are_refused),
        cmocka_unit_test(train_rate_rises_and_falls),
        cmocka_unit_test(train_changes_on_the_way),
        cmocka_unit_test(train_direct_has_all_data_in_its_large_batch),
        cmocka_unit_test(train_direct_means_the_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
