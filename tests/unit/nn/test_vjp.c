/* Products with the network's derivative at its images: by finite differences for every kind of
 * network, alike on all instruction sets, outputs those of training's way, and an image's bits the
 * same in any company.
 *
 * The check of a product g steps along g itself: the slope there is |g| only if no component of g
 * is wrong, since along any other direction it would be less (Cauchy and Schwarz). */
#include "nn_vjp.h"
#include "nn_test.h"

#define IMAGES 11 /* more than go through at once, and no multiple of it */

struct fixture {
    const char *name;
    struct nn_arch arch;
    struct nn_vjp *v;
    struct nn_vjp_workspace *ws;
    size_t d;
    float *x, *vector, *product;
    float t[IMAGES];
    int32_t label[IMAGES];
    double value[IMAGES]; /* of the vectors with the outputs */
    int first;            /* of the call's images, among all */
};

static double take_output(void *context, int image, const float *v_x, float v_t, float *v_x_slope,
                          float *v_t_slope)
{
    struct fixture *f = context;
    const float *vector = f->vector + (size_t)(f->first + image) * (f->d + 1);
    double sum = (double)vector[f->d] * (double)v_t;
    for (size_t j = 0; j < f->d; j++)
        sum += (double)vector[j] * (double)v_x[j];
    f->value[f->first + image] = sum;
    memcpy(v_x_slope, vector, f->d * sizeof *vector);
    *v_t_slope = vector[f->d];
    return 0;
}

static void run(struct fixture *f, int first, int n)
{
    const float *x[IMAGES];
    float *product[IMAGES];
    for (int i = 0; i < n; i++) {
        x[i] = f->x + (size_t)(first + i) * f->d;
        product[i] = f->product + (size_t)(first + i) * f->d;
    }
    f->first = first;
    const struct nn_grad_batch batch = {.n = n,
                                        .x = x,
                                        .t = f->t + first,
                                        .label = f->label + first,
                                        .loss = take_output,
                                        .context = f};
    nn_vjp_run(f->v, f->ws, &batch, product);
}

static void *take(size_t count)
{
    void *p = calloc(count, sizeof(float));
    assert_non_null(p);
    return p;
}

static float *weights_of(const struct nn_arch *arch)
{
    size_t count, at = 0;
    struct err e = {0};
    struct nn_param *params = nn_arch_params(arch, &count, &e);
    float *weights = take(nn_arch_scalars(arch));
    assert_non_null(params);
    for (size_t i = 0; i < count; at += params[i++].count)
        assert_int_equal(test_weights_read(NULL, &params[i], weights + at, NULL), 0);
    free(params);
    return weights;
}

/* Vectors' points lie inside and outside of the reach of nn_mlp.h. */
static struct fixture fixture_new(const struct test_arch *test, enum nn_kernel kernel, int classes)
{
    struct fixture f = {.name = test->name, .arch = test->arch};
    struct err e = {0};
    f.arch.classes = classes;
    float *weights = weights_of(&f.arch);
    f.v = nn_vjp_new(&f.arch, weights, kernel, &e);
    free(weights);
    f.ws = f.v ? nn_vjp_workspace_new(f.v, &e) : NULL;
    if (!f.ws)
        fail_msg("%s: %s", e.at, e.text);
    assert_true(nn_vjp_bytes(f.v) > nn_arch_scalars(&f.arch) * sizeof(float));
    f.d = (size_t)f.arch.channels * (size_t)f.arch.image_size * (size_t)f.arch.image_size;
    f.x = take(IMAGES * f.d);
    f.vector = take(IMAGES * (f.d + 1));
    f.product = take(IMAGES * f.d);
    test_uniforms(910, IMAGES * f.d, f.x);
    test_uniforms(911, IMAGES * (f.d + 1), f.vector);
    for (int i = 0; i < IMAGES; i++) {
        float size = f.arch.kind == NN_ARCH_MLP && i % 3 == 0 ? 9 : 1;
        for (size_t j = 0; j < f.d; j++)
            f.x[(size_t)i * f.d + j] *= size;
        f.vector[(size_t)(i + 1) * (f.d + 1) - 1] *= 10; /* one v_t among many v_x */
        f.t[i] = 0.05f + 0.2f * (float)i;
        f.label[i] = classes > 0 ? i % (classes + 1) - 1 : NN_CLASS_NONE;
    }
    return f;
}

static void fixture_free(struct fixture *f)
{
    nn_vjp_workspace_free(f->ws);
    nn_vjp_free(f->v);
    free(f->x);
    free(f->vector);
    free(f->product);
}

static double norm_of(const float *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)v[i] * (double)v[i];
    return sqrt(sum);
}

/* The largest relative error over the fixture's images. */
static double differences(struct fixture *f)
{
    static const double steps[] = {3e-2, 1e-2, 3e-3};
    double norm[IMAGES], best[IMAGES], worst = 0;
    float *x = take(IMAGES * f->d), *product = take(IMAGES * f->d);
    run(f, 0, IMAGES);
    memcpy(x, f->x, IMAGES * f->d * sizeof *x);
    memcpy(product, f->product, IMAGES * f->d * sizeof *x);
    for (int i = 0; i < IMAGES; i++) {
        norm[i] = norm_of(product + (size_t)i * f->d, f->d);
        best[i] = INFINITY;
    }
    for (size_t k = 0; k < COUNT(steps); k++) {
        double slope[IMAGES] = {0}, step[IMAGES];
        for (int side = -1; side <= 1; side += 2) {
            for (int i = 0; i < IMAGES; i++)
                for (size_t j = (size_t)i * f->d; j < (size_t)(i + 1) * f->d; j++) {
                    step[i] = steps[k] * norm_of(x + (size_t)i * f->d, f->d) / sqrt((double)f->d);
                    f->x[j] = (float)((double)x[j] + side * step[i] * (double)product[j] / norm[i]);
                }
            run(f, 0, IMAGES);
            for (int i = 0; i < IMAGES; i++)
                slope[i] += side * f->value[i] / (2 * step[i]);
        }
        for (int i = 0; i < IMAGES; i++)
            best[i] = fmin(best[i], fabs(slope[i] - norm[i]) / norm[i]);
    }
    for (int i = 0; i < IMAGES; i++)
        worst = fmax(worst, best[i]);
    free(x);
    free(product);
    return worst;
}

static void nn_vjp_differences(void **state)
{
    (void)state;
    if (TEST_SANITIZED)
        skip();
    for (size_t a = 0; a < COUNT(test_archs); a++) {
        struct fixture f = fixture_new(&test_archs[a], NN_KERNEL_AUTO, a % 2 ? 0 : 3);
        double apart = differences(&f);
        printf("%s: products are %.1e from differences\n", f.name, apart);
        if (!(apart < 5e-3))
            fail_msg("%s: %g apart", f.name, apart);
        fixture_free(&f);
    }
}

static void nn_vjp_kernels_agree(void **state)
{
    (void)state;
    for (size_t a = 0; a < COUNT(test_archs); a++) {
        struct fixture oracle = fixture_new(&test_archs[a], NN_KERNEL_C, 2);
        run(&oracle, 0, IMAGES);
        for (int k = NN_KERNEL_C + 1; k <= LAST_KERNEL; k++) {
            if (!nn_kernel_available((enum nn_kernel)k))
                continue;
            struct fixture f = fixture_new(&test_archs[a], (enum nn_kernel)k, 2);
            run(&f, 0, IMAGES);
            double apart = test_distance(f.product, oracle.product, IMAGES * f.d);
            if (!(apart < 1e-4))
                fail_msg("%s, kernel %d: %g from the oracle", f.name, k, apart);
            fixture_free(&f);
        }
        fixture_free(&oracle);
    }
}

/* Every image alone, then groups of every size at every place. */
static void nn_vjp_bits_do_not_depend_on_company(void **state)
{
    (void)state;
    for (size_t a = 0; a < COUNT(test_archs); a++)
        for (int k = NN_KERNEL_C; k <= LAST_KERNEL; k++) {
            if (!nn_kernel_available((enum nn_kernel)k))
                continue;
            struct fixture f = fixture_new(&test_archs[a], (enum nn_kernel)k, 3);
            float *alone = take(IMAGES * f.d);
            double values[IMAGES];
            for (int i = 0; i < IMAGES; i++)
                run(&f, i, 1);
            memcpy(alone, f.product, IMAGES * f.d * sizeof *alone);
            memcpy(values, f.value, sizeof values);
            for (int n = TEST_SANITIZED ? 3 : 2; n <= IMAGES; n += n < 3 ? 1 : 4) {
                memset(f.product, 0, IMAGES * f.d * sizeof *f.product);
                for (int i = 0; i < IMAGES; i += n)
                    run(&f, i, IMAGES - i < n ? IMAGES - i : n);
                assert_memory_equal(f.product, alone, IMAGES * f.d * sizeof *alone);
                assert_memory_equal(f.value, values, sizeof values);
            }
            free(alone);
            fixture_free(&f);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nn_vjp_differences),
        cmocka_unit_test(nn_vjp_kernels_agree),
        cmocka_unit_test(nn_vjp_bits_do_not_depend_on_company),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
