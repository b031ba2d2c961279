/* The objective of PFGM++: where a datum is moved, what the network is to say there, and the loss
 * of a vector's field with its gradient. */
#include "base_rng.h"
#include "field_denoise.h"
#include "train_denoise.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DRAWS 20000

static struct train_config config_of(double added, enum nn_arch_kind kind)
{
    struct train_config c = {.objective = TRAIN_OBJECTIVE_PFGMPP,
                             .added = added,
                             .sigma_data = 0.5,
                             .log_sigma_mean = -1.2,
                             .log_sigma_deviation = 1.2,
                             .seed = 7};
    c.arch.kind = kind;
    return c;
}

/* ln σ is normal, and (x − y)/σ is Student's t of D degrees: of its squares' ratio |·|/√(D + ·²)
 * the mean is known for D = 1 (Cauchy: 2/π) and for D = ∞ the square's is 1. */
static void train_denoise_draws_have_their_laws(void **state)
{
    (void)state;
    static const double added[] = {1, INFINITY};
    for (int k = 0; k < 2; k++) {
        const struct train_config c = config_of(added[k], NN_ARCH_MLP);
        double mean = 0, square = 0, moment = 0, scratch[2];
        for (int i = 0; i < DRAWS; i++) {
            const float y = 0.3f;
            float x, t, target[2];
            train_denoise_perturb(&c, i, 0, 1, &y, scratch, &x, &t, target);
            double log_sigma = log((double)t), u = ((double)x - 0.3) / (double)t;
            mean += log_sigma / DRAWS;
            square += (log_sigma + 1.2) * (log_sigma + 1.2) / DRAWS;
            moment += (k == 0 ? fabs(u) / sqrt(1 + u * u) : u * u) / DRAWS;
            assert_true(target[0] == y && target[1] == 0);
        }
        print_message("D = %g: mean of ln sigma %.3f, deviation %.3f, moment %.4f\n", added[k],
                      mean, sqrt(square), moment);
        assert_true(fabs(mean + 1.2) < 0.03 && fabs(sqrt(square) - 1.2) < 0.03);
        assert_true(fabs(moment - (k == 0 ? 2 / M_PI : 1)) < 0.04);
    }
}

/* A network that says a picture's target exactly denoises to the clean picture. */
static void train_denoise_targets_are_the_clean_picture(void **state)
{
    (void)state;
    enum { N = 48 };
    const struct train_config c = config_of(128, NN_ARCH_UNET);
    double scratch[N + 1];
    float y[N], x[N], target[N + 1], t;
    for (int i = 0; i < N; i++)
        y[i] = (float)sin(i);
    for (int64_t step = 0; step < 50; step++) {
        train_denoise_perturb(&c, step, 3, N, y, scratch, x, &t, target);
        const struct field_denoise around = field_denoise_at(exp(4 * (double)t), 0.5, false);
        assert_true(target[N] == 0);
        for (int i = 0; i < N; i++) {
            double clean =
                around.skip * ((double)x[i] / around.in) + around.out * (double)target[i];
            if (!(fabs(clean - (double)y[i]) < 1e-5 * (1 + fabs((double)x[i] / around.in))))
                fail_msg("step %d: %g is not %g", (int)step, clean, (double)y[i]);
        }
    }
}

static void train_denoise_loss_has_its_gradient(void **state)
{
    (void)state;
    enum { N = 3 };
    const float x[N] = {0.7f, -1.1f, 0.2f}, target[N + 1] = {0.5f, -0.9f, 0.1f, 0};
    float v[N + 1] = {-0.4f, 0.3f, 0.2f, -1.4f}, slope[N + 1], other[N], other_t;
    double loss = train_denoise_loss(0.5, N, x, 0.8f, target, v, v[N], 2, slope, &slope[N]);
    double weight = (0.64 + 0.25) / (0.16), sum = 0;
    for (int i = 0; i < N; i++) {
        double clean = (double)x[i] - (double)0.8f * (double)v[i] / (double)v[N];
        sum += (clean - (double)target[i]) * (clean - (double)target[i]);
    }
    assert_true(fabs(loss - 0.5 * weight * sum) < 1e-5 * loss);
    for (int i = 0; i <= N; i++) {
        float kept = v[i];
        v[i] = kept + 1e-2f;
        double above = train_denoise_loss(0.5, N, x, 0.8f, target, v, v[N], 2, other, &other_t);
        v[i] = kept - 1e-2f;
        double below = train_denoise_loss(0.5, N, x, 0.8f, target, v, v[N], 2, NULL, NULL);
        v[i] = kept;
        double difference = 2 * (above - below) / 2e-2; /* share 2 */
        if (!(fabs(difference - (double)slope[i]) < 1e-3 * (1 + fabs(difference))))
            fail_msg("component %d: %g by differences, %g told", i, difference, (double)slope[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(train_denoise_draws_have_their_laws),
        cmocka_unit_test(train_denoise_targets_are_the_clean_picture),
        cmocka_unit_test(train_denoise_loss_has_its_gradient),
    };
    return cmocka_run_group_tests_name("denoise", tests, NULL, NULL);
}
