/* The way back: the training network's outputs equal the serving network's, every parameter's
 * gradient passes a finite-difference check, instruction sets agree, and neither the number of
 * threads nor a second run changes a bit.
 *
 * The check of a gradient g steps along g itself: the slope there is |g| only if no component of g
 * is wrong, since along any other direction it would be less (Cauchy and Schwarz). */
#include "nn_grad.h"
#include "nn_test.h"

#define IMAGES 6
/* Of a parameter's norm: the first leaves rounding small, the second curvature. */
static const double difference_steps[] = {0.004, 0.0008};

static double test_norm(const float *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)v[i] * v[i];
    return sqrt(sum);
}

/* One network with its inputs, and a linear loss: the slope at every output is a fixed number. */
struct fixture {
    struct nn_arch arch;
    struct pool *pool;
    struct nn_grad *g;
    size_t d, scalars;
    float *weights, *gradient, *x, *slope, *out;
    const float *images[IMAGES];
    float t[IMAGES];
    int32_t label[IMAGES];
    double losses[IMAGES];
    struct nn_grad_batch batch;
};

static double linear_loss(void *context, int image, const float *v_x, float v_t, float *v_x_slope,
                          float *v_t_slope)
{
    struct fixture *f = context;
    const float *slope = f->slope + (size_t)image * (f->d + 1);
    float *out = f->out + (size_t)image * (f->d + 1);
    double sum = 0;
    for (size_t i = 0; i < f->d; i++)
        sum += (double)slope[i] * v_x[i];
    sum += (double)slope[f->d] * v_t;
    memcpy(out, v_x, f->d * sizeof *out);
    out[f->d] = v_t;
    if (v_x_slope) {
        memcpy(v_x_slope, slope, f->d * sizeof *slope);
        *v_t_slope = slope[f->d];
    }
    return sum;
}

static void *take(size_t count, size_t size)
{
    void *p = calloc(count, size);
    assert_non_null(p);
    return p;
}

/* Weights of the net by its parameters' names; the label rows too. */
static void fill_weights(struct fixture *f)
{
    size_t count, at = 0;
    const struct nn_param *params = nn_grad_params(f->g, &count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(test_weights_read(NULL, &params[i], f->weights + at, NULL), 0);
        at += params[i].count;
    }
    assert_int_equal(at, f->scalars);
}

static struct fixture fixture_new(const struct nn_arch *arch, enum nn_kernel kernel, int threads,
                                  int classes, double dropout)
{
    struct fixture f = {.arch = *arch};
    struct err e = {0};
    const struct nn_grad_options o = {
        .kernel = kernel, .batch = IMAGES, .dropout = dropout, .seed = 5};
    f.arch.classes = classes;
    f.pool = pool_new(threads, &e);
    assert_non_null(f.pool);
    f.g = nn_grad_new(&f.arch, &o, f.pool, &e);
    if (!f.g)
        fail_msg("%s: %s", e.at, e.text);
    f.scalars = nn_grad_scalars(f.g);
    f.d = (size_t)arch->channels * (size_t)arch->image_size * (size_t)arch->image_size;
    f.weights = take(f.scalars, sizeof(float));
    f.gradient = take(f.scalars, sizeof(float));
    f.x = take(IMAGES * f.d, sizeof(float));
    f.slope = take(IMAGES * (f.d + 1), sizeof(float));
    f.out = take(IMAGES * (f.d + 1), sizeof(float));
    fill_weights(&f);
    test_uniforms(900, IMAGES * f.d, f.x);
    test_uniforms(901, IMAGES * (f.d + 1), f.slope);
    for (int i = 0; i < IMAGES; i++) {
        f.images[i] = f.x + (size_t)i * f.d;
        f.slope[(size_t)(i + 1) * (f.d + 1) - 1] *= 10; /* one v_t among many v_x */
        f.t[i] = 0.05f + 0.7f * (float)i;
        f.label[i] = classes > 0 ? i % (classes + 1) - 1 : -1;
    }
    return f;
}

/* The pointers into the fixture are set here, since it is copied about. */
static double run(struct fixture *f, bool training, float *gradient)
{
    double sum = 0;
    f->batch = (struct nn_grad_batch){.n = IMAGES,
                                      .x = f->images,
                                      .t = f->t,
                                      .label = f->label,
                                      .training = training,
                                      .step = 3,
                                      .loss = linear_loss,
                                      .context = f};
    nn_grad_weights_set(f->g, f->weights);
    nn_grad_run(f->g, &f->batch, f->losses, gradient);
    for (int i = 0; i < IMAGES; i++)
        sum += f->losses[i];
    return sum;
}

static void fixture_free(struct fixture *f)
{
    nn_grad_free(f->g);
    pool_free(f->pool);
    free(f->weights);
    free(f->gradient);
    free(f->x);
    free(f->slope);
    free(f->out);
}

static void nn_grad_forward_equals_serving(void **state)
{
    (void)state;
    for (size_t a = 0; a < COUNT(test_archs); a++)
        for (int k = NN_KERNEL_C; k <= LAST_KERNEL; k++) {
            struct err e = {0};
            if (!nn_kernel_available((enum nn_kernel)k))
                continue;
            /* every other network knows classes, and the images have all of them and none */
            struct fixture f =
                fixture_new(&test_archs[a].arch, (enum nn_kernel)k, 1, a % 2 ? 0 : 3, 0);
            run(&f, true, NULL);
            struct nn_net *net = nn_net_new(&f.arch, &test_weights, (enum nn_kernel)k, &e);
            assert_non_null(net);
            struct nn_workspace *ws = nn_workspace_new(net, IMAGES, &e);
            assert_non_null(ws);
            float *out = take(IMAGES * (f.d + 1), sizeof *out), *v_x[IMAGES], v_t[IMAGES];
            for (int i = 0; i < IMAGES; i++)
                v_x[i] = out + (size_t)i * (f.d + 1);
            nn_net_forward(net, ws, IMAGES, f.images, f.t, f.label, v_x, v_t);
            for (int i = 0; i < IMAGES; i++)
                v_x[i][f.d] = v_t[i];
            double apart = test_distance(f.out, out, IMAGES * (f.d + 1));
            if (!(apart < 2e-5))
                fail_msg("%s, kernel %d: outputs are %g apart", test_archs[a].name, k, apart);
            nn_workspace_free(ws);
            nn_net_free(net);
            free(out);
            fixture_free(&f);
        }
}

/* The slope along the claimed gradient of one parameter, by central differences. */
static double slope_along(struct fixture *f, size_t at, size_t count, double norm, double step,
                          bool training)
{
    static const double places[] = {-1, 1};
    float *kept = take(count, sizeof *kept);
    double slope = 0;
    memcpy(kept, f->weights + at, count * sizeof *kept);
    for (size_t k = 0; k < COUNT(places); k++) {
        for (size_t i = 0; i < count; i++)
            f->weights[at + i] = (float)(kept[i] + places[k] * step * f->gradient[at + i] / norm);
        slope += places[k] * run(f, training, NULL) / (2 * step);
    }
    memcpy(f->weights + at, kept, count * sizeof *kept);
    free(kept);
    return slope;
}

static void check_differences(struct fixture *f, const char *name, bool training)
{
    size_t count, at = 0;
    const struct nn_param *params = nn_grad_params(f->g, &count);
    run(f, training, f->gradient);
    double total = test_norm(f->gradient, f->scalars);
    for (size_t i = 0; i < count; at += params[i++].count) {
        double norm = test_norm(f->gradient + at, params[i].count);
        double size = test_norm(f->weights + at, params[i].count);
        if (!params[i].trainable) {
            assert_true(norm == 0);
            continue;
        }
        if (norm < 1e-5 * total) /* zero in exact arithmetic, as the bias of keys */
            continue;
        double slope = 0, apart = 1;
        for (size_t k = 0; k < COUNT(difference_steps) && !(apart < 5e-3); k++) {
            slope = slope_along(f, at, params[i].count, norm, difference_steps[k] * fmax(size, 0.3),
                                training);
            apart = fabs(slope - norm) / fmax(norm, 3e-3 * total);
        }
        if (!(apart < 5e-3))
            fail_msg("%s: %s: gradient %g, by differences %g", name, params[i].name, norm, slope);
    }
}

static void nn_grad_differences(void **state)
{
    (void)state;
    if (TEST_SANITIZED)
        skip();
    for (size_t a = 0; a < COUNT(test_archs); a++) {
        struct fixture f = fixture_new(&test_archs[a].arch, NN_KERNEL_AUTO, 2, 0, 0);
        check_differences(&f, test_archs[a].name, true);
        fixture_free(&f);
    }
}

static void nn_grad_differences_with_labels_and_dropout(void **state)
{
    (void)state;
    if (TEST_SANITIZED)
        skip();
    struct fixture f = fixture_new(&test_archs[0].arch, NN_KERNEL_AUTO, 2, 3, 0.25);
    check_differences(&f, "labels and dropout", true);
    fixture_free(&f);
}

/* Dropout changes a loss in training only, another step draws others, and about the stated share is
 * dropped: seen in the mean of many outputs, which it leaves alone. */
static void nn_grad_dropout_only_in_training(void **state)
{
    (void)state;
    struct fixture f = fixture_new(&test_archs[0].arch, NN_KERNEL_AUTO, 1, 0, 0.5);
    struct fixture plain = fixture_new(&test_archs[0].arch, NN_KERNEL_AUTO, 1, 0, 0);
    double with = run(&f, true, NULL);
    assert_true(with == run(&f, true, NULL));
    assert_true(run(&f, false, NULL) == run(&plain, true, NULL));
    assert_true(with != run(&f, false, NULL));
    fixture_free(&f);
    fixture_free(&plain);
}

static void nn_grad_kernels_agree(void **state)
{
    (void)state;
    for (size_t a = 0; a < COUNT(test_archs); a++) {
        struct fixture oracle = fixture_new(&test_archs[a].arch, NN_KERNEL_C, 2, 2, 0.1);
        run(&oracle, true, oracle.gradient);
        for (int k = NN_KERNEL_C + 1; k <= LAST_KERNEL; k++) {
            size_t count, at = 0;
            if (!nn_kernel_available((enum nn_kernel)k))
                continue;
            struct fixture f = fixture_new(&test_archs[a].arch, (enum nn_kernel)k, 2, 2, 0.1);
            const struct nn_param *params = nn_grad_params(f.g, &count);
            run(&f, true, f.gradient);
            double total = test_norm(oracle.gradient, oracle.scalars);
            for (size_t i = 0; i < count; at += params[i++].count) {
                const float *mine = f.gradient + at, *right = oracle.gradient + at;
                double own = test_norm(right, params[i].count), apart = 0;
                for (size_t j = 0; j < params[i].count; j++)
                    apart += ((double)mine[j] - right[j]) * ((double)mine[j] - right[j]);
                if (!(sqrt(apart) < 1e-4 * fmax(own, 1e-3 * total)))
                    fail_msg("%s, kernel %d: %s is %g from the oracle's, whose norm is %g",
                             test_archs[a].name, k, params[i].name, sqrt(apart), own);
            }
            fixture_free(&f);
        }
        fixture_free(&oracle);
    }
}

static void nn_grad_bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    struct fixture one = fixture_new(&test_archs[0].arch, NN_KERNEL_AUTO, 1, 3, 0.2);
    run(&one, true, one.gradient);
    for (int threads = 2; threads <= 5; threads++) {
        struct fixture many = fixture_new(&test_archs[0].arch, NN_KERNEL_AUTO, threads, 3, 0.2);
        run(&many, true, many.gradient);
        assert_memory_equal(one.losses, many.losses, sizeof one.losses);
        assert_memory_equal(one.gradient, many.gradient, one.scalars * sizeof *one.gradient);
        fixture_free(&many);
    }
    fixture_free(&one);
}

static void nn_grad_refuses_bad_options(void **state)
{
    (void)state;
    static const struct nn_grad_options bad[] = {{.batch = 0},
                                                 {.batch = NN_GRAD_BATCH_MAX + 1},
                                                 {.batch = 1, .dropout = 1.0},
                                                 {.batch = 1, .dropout = -0.1}};
    struct err e = {0};
    struct pool *pool = pool_new(1, &e);
    for (size_t i = 0; i < COUNT(bad); i++) {
        e = (struct err){0};
        assert_null(nn_grad_new(&test_archs[3].arch, &bad[i], pool, &e));
        assert_int_equal(e.code, ERR_INPUT);
    }
    pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nn_grad_forward_equals_serving),
        cmocka_unit_test(nn_grad_kernels_agree),
        cmocka_unit_test(nn_grad_differences),
        cmocka_unit_test(nn_grad_differences_with_labels_and_dropout),
        cmocka_unit_test(nn_grad_dropout_only_in_training),
        cmocka_unit_test(nn_grad_bits_do_not_depend_on_threads),
        cmocka_unit_test(nn_grad_refuses_bad_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
