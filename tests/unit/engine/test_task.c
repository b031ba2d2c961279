/* Encoding and likelihood: the reference's figures on every instruction set, the way back to the
 * image, and orders that make no sense. */
#include "field_circle.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sanitized.h"
#include "task_test.h"

static const enum nn_kernel kernels[] = {NN_KERNEL_C, NN_KERNEL_OPENBLAS, NN_KERNEL_LANES8,
                                         NN_KERNEL_AVX512};

/* Of the reference, from the file's metadata (test_likelihood.py reads it there). */
static const int64_t golden_nfe[IMAGES] = {128, 116, 122, 122};

/* A sanitizer's time is short, and it sees plain C in the tests of its operations. */
#define SKIPS_PLAIN_C (TEST_SANITIZED && nn_kernel_available(NN_KERNEL_LANES8))

static void likelihood_is_the_reference_s(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++) {
        if (!nn_kernel_available(kernels[k]) || (kernels[k] == NN_KERNEL_C && SKIPS_PLAIN_C))
            continue;
        struct engine *g = new_engine(0, 0, kernels[k]);
        struct engine_order order = order_of(g, ENGINE_TASK_LIKELIHOOD, 0, IMAGES);
        order.solver.ode.clock = ODE_CLOCK_LINEAR;
        order.likelihood.reference_constant = true;
        order.epsilon = golden.epsilon;
        struct engine_request *r = finished(g, &order);
        for (size_t i = 0; i < IMAGES; i++) {
            const struct engine_image *image = engine_request_image(r, i);
            double apart = image->bits_per_dimension - (double)golden.bits[i], furthest = 0.0;
            for (size_t j = 0; j < D; j++)
                furthest = fmax(furthest, fabs(image->state[j] - (double)golden.latent[i * D + j]));
            printf("%s, image %zu: %.4f bits per dimension, %+.1e from the reference's; NFE %lld "
                   "(%lld); latent within %.1e\n",
                   nn_kernel_id(kernels[k]), i, image->bits_per_dimension, apart,
                   (long long)image->counts.nfe, (long long)golden_nfe[i], furthest);
            assert_true(fabs(apart) <= 0.01);
            assert_true(llabs(image->counts.nfe - golden_nfe[i]) <= 6);
            assert_true(furthest < 1.0); /* of norms about 200 */
        }
        engine_request_free(r);
        engine_free(g);
    }
}

/* The exact constant differs by a number, the log clock hardly. */
static void constants_and_clocks(void **state)
{
    (void)state;
    struct engine *g = new_engine(0, 0, NN_KERNEL_AUTO);
    struct engine_order order = order_of(g, ENGINE_TASK_LIKELIHOOD, 0, 2);
    order.epsilon = golden.epsilon;
    struct engine_request *exact = finished(g, &order);
    order.likelihood.reference_constant = true;
    struct engine_request *reference = finished(g, &order);
    order.solver.ode.clock = ODE_CLOCK_LINEAR;
    struct engine_request *linear = finished(g, &order);
    const double ln_pi = 1.1447298858494002;
    /* ln S_{d+1}(1) − ln S_d(1) */
    double between = 0.5 * ln_pi - lgamma(0.5 * (D + 1)) + lgamma(0.5 * D);
    for (size_t i = 0; i < 2; i++) {
        const struct engine_image *a = engine_request_image(exact, i);
        const struct engine_image *b = engine_request_image(reference, i);
        const struct engine_image *c = engine_request_image(linear, i);
        assert_true(fabs(b->log_likelihood - a->log_likelihood - between) < 1e-9);
        assert_true(fabs(-a->log_likelihood / (D * log(2.0)) + 7.0 - a->bits_per_dimension) < 1e-9);
        assert_true(fabs(b->bits_per_dimension - c->bits_per_dimension) < 0.01);
    }
    engine_request_free(exact);
    engine_request_free(reference);
    engine_request_free(linear);
    engine_free(g);
}

/* The mean over many probes comes near the exact trace: here of 64, within five of its deviations
 * as single probes show them. */
static void probes_average_to_the_exact_trace(void **state)
{
    (void)state;
    struct engine *g = new_engine(0, 0, NN_KERNEL_AUTO);
    struct engine_order order = order_of(g, ENGINE_TASK_LIKELIHOOD, 0, 1);
    order.solver.t_max = 2.0; /* the way is long, and its middle as good as all of it */
    order.solver.t_min = 0.8;
    order.solver.ode.rtol = order.solver.ode.atol = 1e-2;
    order.likelihood.probes = 0;
    struct engine_request *exact = finished(g, &order);
    order.likelihood.probes = 64;
    struct engine_request *many = finished(g, &order);
    double want = engine_request_image(exact, 0)->log_likelihood, square = 0.0;
    double got = engine_request_image(many, 0)->log_likelihood;
    order.likelihood.probes = 1;
    for (uint64_t seed = 0; seed < 16; seed++) {
        order.seed = seed;
        struct engine_request *one = finished(g, &order);
        double off = engine_request_image(one, 0)->log_likelihood - want;
        square += off * off / 16;
        engine_request_free(one);
    }
    printf("exact trace %.4f, 64 probes %.4f, one probe deviates by %.3f\n", want, got,
           sqrt(square));
    assert_true(square > 0.0);
    assert_true(fabs(got - want) < 5 * sqrt(square / 64));
    engine_request_free(exact);
    engine_request_free(many);
    engine_free(g);
}

static void encode_then_decode_returns_the_image(void **state)
{
    (void)state;
    struct engine *g = new_engine(0, 0, NN_KERNEL_AUTO);
    struct engine_order order = order_of(g, ENGINE_TASK_ENCODE, 0, IMAGES);
    struct engine_request *up = finished(g, &order);
    double latents[IMAGES * D], sum = 0.0;
    for (size_t i = 0; i < IMAGES; i++)
        memcpy(latents + i * D, engine_request_image(up, i)->state, D * sizeof *latents);
    struct engine_order back = {.model = order.model,
                                .n = IMAGES,
                                .solver = order.solver,
                                .latents = latents,
                                .output = ENGINE_OUTPUT_SAMPLE};
    struct engine_request *down = finished(g, &back);
    for (size_t i = 0; i < IMAGES; i++)
        for (size_t j = 0; j < D; j++)
            sum += fabs((double)engine_request_image(down, i)->sample[j] - golden.x[i * D + j]);
    sum /= 2 * IMAGES * D; /* in [0, 1] */
    printf("encode, then decode at 1e-5: mean |difference| %.2g of 255\n", 255 * sum);
    assert_true(sum <= 1.0 / 255);
    engine_request_free(up);
    engine_request_free(down);
    engine_free(g);
}

static void ten_steps_between_two_images_are_images(void **state)
{
    (void)state;
    enum { STEPS = 10 };
    struct engine *g = new_engine(0, 0, NN_KERNEL_AUTO);
    struct engine_order order = order_of(g, ENGINE_TASK_ENCODE, 0, 2);
    struct engine_request *up = finished(g, &order);
    double between[STEPS * D];
    for (int k = 0; k < STEPS; k++)
        field_circle_between(D, engine_request_image(up, 0)->state,
                             engine_request_image(up, 1)->state, (double)k / (STEPS - 1), 0,
                             between + k * D);
    struct engine_order back = {.model = order.model,
                                .n = STEPS,
                                .solver = order.solver,
                                .latents = between,
                                .output = ENGINE_OUTPUT_SAMPLE};
    struct engine_request *down = finished(g, &back);
    for (size_t k = 0; k < STEPS; k++) {
        const float *sample = engine_request_image(down, k)->sample;
        double step = 0.0;
        for (size_t j = 0; j < D; j++) {
            assert_true(isfinite(sample[j]) && sample[j] > -1.5f && sample[j] < 1.5f);
            if (k > 0) {
                double off =
                    (double)sample[j] - (double)engine_request_image(down, k - 1)->sample[j];
                step += off * off / D;
            }
        }
        assert_true(k == 0 ||
                    (step > 0.0 && sqrt(step) < 1.0)); /* of images that change, no leap */
    }
    engine_request_free(up);
    engine_request_free(down);
    engine_free(g);
}

static void refused(struct engine *g, const struct engine_order *order, const char *at)
{
    struct engine_request *r = NULL;
    struct err e = {0};
    assert_int_equal(engine_submit(g, order, &r, &e), -1);
    if (strcmp(e.at, at) != 0)
        fail_msg("refused for %s (%s), not for %s", e.at, e.text, at);
}

static void orders_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct engine *g = new_engine(1, 1, NN_KERNEL_AUTO);
    const struct engine_order good = order_of(g, ENGINE_TASK_LIKELIHOOD, 0, 1);
    const struct engine_order encode = order_of(g, ENGINE_TASK_ENCODE, 0, 1);
    struct engine_order o = good;
    double bad[D] = {0};
    float bad_epsilon[D] = {0};
    bad[7] = NAN;
    bad_epsilon[63] = INFINITY;
    o.points = NULL;
    refused(g, &o, "points");
    o.points = bad;
    refused(g, &o, "points");
    o = good;
    o.epsilon = bad_epsilon;
    refused(g, &o, "epsilon");
    o = encode;
    o.epsilon = golden.epsilon;
    refused(g, &o, "epsilon");
    o = good;
    o.temperature = 0.5;
    refused(g, &o, "temperature");
    o = encode;
    o.latents = golden.x;
    refused(g, &o, "latents");
    o = good;
    o.likelihood.probes = -1;
    refused(g, &o, "probes");
    o.likelihood.probes = MODEL_PROBES_MAX + 1;
    refused(g, &o, "probes");
    o = good;
    o.solver.ode.method = ODE_EULER;
    o.solver.ode.steps = 10;
    refused(g, &o, "method");
    o = encode;
    o.solver.ode.to_zero = true;
    refused(g, &o, "schedule");
    o = encode; /* the latent would be noise, and another by the image's place in the request */
    o.solver.ode.method = ODE_HEUN;
    o.solver.ode.steps = 10;
    o.solver.ode.churn.amount = 4.0;
    refused(g, &o, "churn");
    o = encode;
    o.preview_every = 1;
    refused(g, &o, "preview_every");
    o = encode;
    o.class.rule = ENGINE_CLASS_GIVEN;
    refused(g, &o, "class");
    o = encode;
    o.task = ENGINE_TASK_SAMPLE;
    refused(g, &o, "points");
    o.points = NULL;
    o.latents = golden.x;
    o.temperature = 0.5;
    refused(g, &o, "temperature");
    engine_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(likelihood_is_the_reference_s),
        cmocka_unit_test(constants_and_clocks),
        cmocka_unit_test(probes_average_to_the_exact_trace),
        cmocka_unit_test(encode_then_decode_returns_the_image),
        cmocka_unit_test(ten_steps_between_two_images_are_images),
        cmocka_unit_test(orders_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests_name("tasks", tests, read_golden, NULL);
}
