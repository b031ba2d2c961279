/* Gradients by several threads at once, for the thread sanitizer to look at. */
#include "nn_grad.h"
#include "nn_test.h"

static double plain_loss(void *context, int image, const float *v_x, float v_t, float *v_x_slope,
                         float *v_t_slope)
{
    const size_t *n = context;
    (void)image;
    for (size_t i = 0; i < *n && v_x_slope; i++)
        v_x_slope[i] = v_x[i];
    *v_t_slope = v_t;
    return v_t;
}

/* Twice with four threads: equal bits, and nothing for the sanitizer to say. */
static void nn_grad_by_many_threads(void **state)
{
    const struct nn_arch *arch = &test_archs[0].arch;
    const struct nn_grad_options o = {.batch = 16, .dropout = 0.1};
    struct err e = {0};
    (void)state;
    struct pool *pool = pool_new(4, &e);
    assert_non_null(pool);
    struct nn_grad *g = nn_grad_new(arch, &o, pool, &e);
    assert_non_null(g);
    size_t scalars = nn_grad_scalars(g), n = 3 * 16 * 16;
    float *weights = calloc(scalars, sizeof *weights), *x = calloc(n, sizeof *x);
    float *gradient[2] = {calloc(scalars, sizeof(float)), calloc(scalars, sizeof(float))};
    assert_true(weights && x && gradient[0] && gradient[1]);
    test_uniforms(3, scalars, weights);
    test_uniforms(4, n, x);
    const float *images[16];
    float t[16];
    double losses[16];
    for (int i = 0; i < 16; i++) {
        images[i] = x;
        t[i] = 1.0f + (float)i;
    }
    const struct nn_grad_batch batch = {
        .n = 16, .x = images, .t = t, .training = true, .loss = plain_loss, .context = &n};
    for (int k = 0; k < 2; k++) {
        nn_grad_weights_set(g, weights);
        nn_grad_run(g, &batch, losses, gradient[k]);
    }
    assert_memory_equal(gradient[0], gradient[1], scalars * sizeof(float));
    nn_grad_free(g);
    pool_free(pool);
    free(weights);
    free(x);
    free(gradient[0]);
    free(gradient[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nn_grad_by_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
