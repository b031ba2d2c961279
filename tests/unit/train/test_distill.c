/* The objective of a distillation: its grid, where an example leads, and its loss with gradient.
 * That a teacher with one datum, whose paths are known, gives the targets that they have is checked
 * by the formulas of train_distill.h. */
#include "field_denoise.h"
#include "train_distill.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct train_config config_of(int64_t steps, enum nn_arch_kind kind)
{
    struct train_config c = {.objective = TRAIN_OBJECTIVE_DISTILL,
                             .added = 128,
                             .sigma_data = 0.5,
                             .t_max = 80,
                             .t_min = 0.002,
                             .student_steps = steps,
                             .intervals = 10,
                             .intervals_last = 80,
                             .steps = 1000,
                             .seed = 7};
    c.arch.kind = kind;
    return c;
}

static void train_distill_grid_grows_finer(void **state)
{
    (void)state;
    const struct train_config c = config_of(1, NN_ARCH_UNET);
    static const int64_t want[] = {10, 10, 20, 40, 80, 80}, at[] = {0, 249, 250, 500, 750, 999};
    for (int i = 0; i < 6; i++)
        assert_int_equal(train_distill_intervals(&c, at[i]), want[i]);
    const struct train_config four = config_of(4, NN_ARCH_UNET);
    assert_int_equal(train_distill_intervals(&four, 0), 3); /* 10 and a bit, in each of four */
    assert_int_equal(train_distill_intervals(&four, 100000), 20);
}

static void train_distill_nodes_fall_to_the_end(void **state)
{
    (void)state;
    for (int64_t k = 1; k <= 4; k *= 2) {
        const struct train_config c = config_of(k, NN_ARCH_UNET);
        double nodes[TRAIN_STUDENT_STEPS_MAX + 1];
        train_distill_nodes(&c, nodes);
        assert_true(nodes[0] == 80 && nodes[k] == 1e-6);
        for (int64_t j = 1; j <= k; j++)
            assert_true(nodes[j] < nodes[j - 1]);
        if (k == 2) /* the middle of t^(1/7) */
            assert_true(fabs(nodes[1] - 2.515) < 0.01);
    }
}

/* An example's interval is one of its segment, whose end is a node; arriving is its last. */
static void train_distill_spans_lie_in_segments(void **state)
{
    (void)state;
    enum { N = 4, K = 2 };
    const struct train_config c = config_of(K, NN_ARCH_UNET);
    double nodes[TRAIN_STUDENT_STEPS_MAX + 1], scratch[N], x[N];
    const float y[N] = {0.1f, -0.2f, 0.3f, 0};
    float in[N], t;
    int arrived = 0, segment[K] = {0};
    train_distill_nodes(&c, nodes);
    for (int i = 0; i < 2000; i++) {
        struct train_distill_span s;
        train_distill_perturb(&c, 0, i, N, y, scratch, &s, x, in, &t);
        const int j = s.end == 0 ? 1 : 0;
        assert_true(s.end == (j == 1 ? 0 : nodes[1]));
        assert_true(s.from <= nodes[j] && s.to < s.from && s.to >= s.end);
        assert_true(s.arrives == (s.to == (j == 1 ? c.t_min : nodes[1])));
        arrived += s.arrives;
        segment[j]++;
        const struct field_denoise around = field_denoise_at(s.from, 0.5, false);
        assert_true(t == (float)around.time);
        for (int k = 0; k < N; k++)
            assert_true(in[k] == (float)(around.in * x[k]));
    }
    assert_true(abs(arrived - 400) < 80); /* one of five */
    assert_true(abs(segment[0] - 1000) < 120);
}

/* A step of Euler's with the target f* leads from x to z*. */
static void train_distill_target_leads_to_its_point(void **state)
{
    (void)state;
    enum { N = 3 };
    const struct train_distill_span span = {.from = 5, .to = 4, .end = 2};
    const double x[N] = {4, -3, 0.5}, z[N] = {1.5, -1, 0.25};
    float target[N + 1];
    train_distill_target(&span, N, x, z, target);
    for (int i = 0; i < N; i++)
        assert_true(fabs((double)target[i] + 0.4 * (x[i] - (double)target[i]) - z[i]) < 1e-6);
    assert_true(fabs((double)target[N] - 0.6) < 1e-6);
}

static void check_gradient(enum nn_arch_kind kind)
{
    enum { N = 3 };
    const struct train_config c = config_of(2, kind);
    const double sigma = 0.8, x[N] = {0.7, -1.1, 0.2};
    const struct field_denoise around = field_denoise_at(sigma, 0.5, kind == NN_ARCH_MLP);
    const float target[N + 1] = {0.5f, -0.9f, 0.1f, 0.6f};
    float in[N], v[N + 1] = {-0.4f, 0.3f, 0.2f, -1.4f}, slope[N + 1], other[N], other_t;
    const float t = (float)around.time;
    double f[N], sum = 0;
    for (int i = 0; i < N; i++)
        in[i] = (float)(around.in * x[i]);
    double loss = train_distill_loss(&c, N, in, t, target, v, v[N], 2, slope, &slope[N]);
    train_distill_answer(&c, N, sigma, x, v, v[N], f);
    for (int i = 0; i < N; i++)
        sum += 0.36 * (f[i] - (double)target[i]) * (f[i] - (double)target[i]);
    const double huber = 0.00108 * 0.5 * sqrt(3);
    assert_true(fabs(loss - (sqrt(sum + huber * huber) - huber)) < 1e-5 * loss);
    for (int i = 0; i <= N; i++) {
        float kept = v[i];
        v[i] = kept + 1e-2f;
        double above = train_distill_loss(&c, N, in, t, target, v, v[N], 2, other, &other_t);
        v[i] = kept - 1e-2f;
        double below = train_distill_loss(&c, N, in, t, target, v, v[N], 2, NULL, NULL);
        v[i] = kept;
        double difference = 2 * (above - below) / 2e-2; /* share 2 */
        if (!(fabs(difference - (double)slope[i]) < 2e-3 * (1 + fabs(difference))))
            fail_msg("component %d: %g by differences, %g told", i, difference, (double)slope[i]);
    }
}

static void train_distill_loss_has_its_gradient(void **state)
{
    (void)state;
    check_gradient(NN_ARCH_UNET);
    check_gradient(NN_ARCH_MLP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(train_distill_grid_grows_finer),
        cmocka_unit_test(train_distill_nodes_fall_to_the_end),
        cmocka_unit_test(train_distill_spans_lie_in_segments),
        cmocka_unit_test(train_distill_target_leads_to_its_point),
        cmocka_unit_test(train_distill_loss_has_its_gradient),
    };
    return cmocka_run_group_tests_name("distill", tests, NULL, NULL);
}
