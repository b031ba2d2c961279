/* The reference code's own numbers: targets, loss and every gradient of a network that it trained,
 * at the raw weights. */
#include "ckpt_description.h"
#include "import_torch.h"
#include "nn_grad.h"
#include "train_field.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct golden {
    struct ckpt_file *file;
    struct ckpt_description description;
    size_t n, points, rows;
    float *batch, *perturbed, *target, value;
    float *own; /* targets as computed here, [points][n + 1] */
};

static float *read_tensor(const struct golden *g, const char *name, size_t *count)
{
    struct err e = {0};
    const struct ckpt_tensor *t = ckpt_file_find(g->file, name);
    if (!t)
        fail_msg("no tensor %s", name);
    float *out = calloc(t->count, sizeof *out);
    assert_non_null(out);
    if (ckpt_tensor_to_f32(t, out, &e))
        fail_msg("%s: %s", e.at, e.text);
    *count = t->count;
    return out;
}

static int open_golden(void **state)
{
    struct golden *g = calloc(1, sizeof *g);
    struct err e = {0};
    size_t count;
    assert_non_null(g);
    g->file = ckpt_file_open(GOLDEN_DIR "/pfgm_digits8.golden.safetensors", &e);
    if (!g->file)
        fail_msg("%s: %s", e.at, e.text);
    const char *text = ckpt_file_metadata(g->file, "config");
    json_t *config = json_parse(text, strlen(text), "config", &e);
    assert_non_null(config);
    assert_int_equal(ckpt_description_from_config(config, "config", &g->description, &e), 0);
    json_decref(config);
    g->n = (size_t)g->description.arch.channels * (size_t)g->description.arch.image_size *
           (size_t)g->description.arch.image_size;
    g->batch = read_tensor(g, "loss.batch", &count);
    g->rows = count / g->n;
    g->perturbed = read_tensor(g, "loss.perturbed", &count);
    g->points = count / (g->n + 1);
    g->target = read_tensor(g, "loss.target", &count);
    float *value = read_tensor(g, "loss.value", &count);
    g->value = value[0];
    free(value);
    g->own = calloc(g->points * (g->n + 1), sizeof *g->own);
    assert_non_null(g->own);
    *state = g;
    return 0;
}

static int close_golden(void **state)
{
    struct golden *g = *state;
    ckpt_file_close(g->file);
    ckpt_description_clear(&g->description);
    free(g->batch);
    free(g->perturbed);
    free(g->target);
    free(g->own);
    free(g);
    return 0;
}

static void compute_targets(struct golden *g, enum nn_kernel kernel)
{
    struct err e = {0};
    struct train_field *f = train_field_new(kernel, g->n, g->rows, &e);
    const struct train_rows rows = {.values = g->batch, .count = g->rows};
    assert_non_null(f);
    for (size_t first = 0; first < g->points; first += TRAIN_BLOCK) {
        struct train_points p = {0};
        for (size_t i = first; i < g->points && p.count < TRAIN_BLOCK; i++) {
            p.x[p.count] = g->perturbed + i * (g->n + 1);
            p.t[p.count] = g->perturbed[i * (g->n + 1) + g->n];
            p.target[p.count++] = g->own + i * (g->n + 1);
        }
        train_field_targets(f, g->description.gamma, &rows, &p);
    }
    train_field_free(f);
}

static void train_golden_targets(void **state)
{
    struct golden *g = *state;
    for (int kernel = NN_KERNEL_C; kernel <= NN_KERNEL_AVX512; kernel++) {
        double apart = 0, largest = 0;
        if (!nn_kernel_available((enum nn_kernel)kernel))
            continue;
        compute_targets(g, (enum nn_kernel)kernel);
        for (size_t i = 0; i < g->points * (g->n + 1); i++) {
            assert_true(isfinite(g->own[i]));
            apart = fmax(apart, fabs((double)g->own[i] - (double)g->target[i]));
            largest = fmax(largest, fabs((double)g->target[i]));
        }
        print_message("kernel %d: targets are %.1e of the largest apart\n", kernel,
                      apart / largest);
        assert_true(apart < 1e-4 * largest);
    }
}

/* ---- gradients ---- */

struct net {
    const struct golden *g;
    struct pool *pool;
    struct nn_grad *grad;
    const struct nn_param *params;
    size_t param_count, scalars;
    float *weights, *gradient;
    double loss;
};

static double on_loss(void *context, int image, const float *v_x, float v_t, float *v_x_slope,
                      float *v_t_slope)
{
    const struct net *net = context;
    const struct golden *g = net->g;
    return train_loss(g->n, g->own + (size_t)image * (g->n + 1), v_x, v_t, 1.0f / (float)g->points,
                      v_x_slope, v_t_slope);
}

static void read_raw_weights(struct net *net)
{
    struct err e = {0};
    struct import_torch *t = import_torch_open(GOLDEN_DIR "/pfgm_digits8.pth", &e);
    size_t at = 0;
    if (!t)
        fail_msg("%s: %s", e.at, e.text);
    for (size_t i = 0; i < net->param_count; at += net->params[i++].count) {
        int64_t index = import_torch_find(t, net->params[i].name);
        if (index < 0)
            fail_msg("no tensor %s", net->params[i].name);
        assert_int_equal(import_torch_read(t, (size_t)index, net->weights + at, &e), 0);
    }
    import_torch_close(t);
}

static void run_net(struct net *net)
{
    const struct golden *g = net->g;
    const float **x = calloc(g->points, sizeof *x);
    float *t = calloc(g->points, sizeof *t);
    double *losses = calloc(g->points, sizeof *losses);
    assert_true(x && t && losses);
    for (size_t i = 0; i < g->points; i++) {
        x[i] = g->perturbed + i * (g->n + 1);
        t[i] = fmaxf(x[i][g->n], 1e-10f);
    }
    const struct nn_grad_batch batch = {
        .n = (int)g->points, .x = x, .t = t, .training = true, .loss = on_loss, .context = net};
    nn_grad_weights_set(net->grad, net->weights);
    nn_grad_run(net->grad, &batch, losses, net->gradient);
    for (size_t i = 0; i < g->points; i++)
        net->loss += losses[i] / (double)g->points;
    free(x);
    free(t);
    free(losses);
}

static struct net new_net(const struct golden *g, enum nn_kernel kernel)
{
    struct err e = {0};
    struct net net = {.g = g, .pool = pool_new(2, &e)};
    const struct nn_grad_options o = {.kernel = kernel, .batch = (int)g->points};
    assert_non_null(net.pool);
    net.grad = nn_grad_new(&g->description.arch, &o, net.pool, &e);
    assert_non_null(net.grad);
    net.params = nn_grad_params(net.grad, &net.param_count);
    net.scalars = nn_grad_scalars(net.grad);
    net.weights = calloc(net.scalars, sizeof *net.weights);
    net.gradient = calloc(net.scalars, sizeof *net.gradient);
    assert_true(net.weights && net.gradient);
    return net;
}

/* Each parameter's gradient to 1e-3 of the larger of its norm and 1e-5 of the whole's. */
static double compare_gradients(const struct net *net)
{
    size_t count, at = 0;
    float *total = read_tensor(net->g, "grad_norm", &count);
    double worst = 0;
    for (size_t i = 0; i < net->param_count; at += net->params[i++].count) {
        char name[NN_NAME_MAX + 8];
        double own = 0, apart = 0;
        snprintf(name, sizeof name, "grad.%s", net->params[i].name);
        float *right = read_tensor(net->g, name, &count);
        assert_int_equal(count, net->params[i].count);
        for (size_t k = 0; k < count; k++) {
            double d = (double)net->gradient[at + k] - (double)right[k];
            own += (double)right[k] * (double)right[k];
            apart += d * d;
        }
        double share = sqrt(apart) / fmax(sqrt(own), 1e-5 * (double)total[0]);
        worst = fmax(worst, share);
        if (!(share < 1e-3))
            fail_msg("%s: %g of its norm apart", name, share);
        free(right);
    }
    free(total);
    return worst;
}

static void train_golden_gradients(void **state)
{
    struct golden *g = *state;
    for (int kernel = NN_KERNEL_C; kernel <= NN_KERNEL_AVX512; kernel++) {
        if (!nn_kernel_available((enum nn_kernel)kernel))
            continue;
        compute_targets(g, (enum nn_kernel)kernel);
        struct net net = new_net(g, (enum nn_kernel)kernel);
        read_raw_weights(&net);
        run_net(&net);
        double apart = fabs(net.loss - (double)g->value) / (double)g->value;
        double worst = compare_gradients(&net);
        print_message("kernel %d: loss %.1e apart, gradients at most %.1e\n", kernel, apart, worst);
        assert_true(apart < 1e-4);
        nn_grad_free(net.grad);
        pool_free(net.pool);
        free(net.weights);
        free(net.gradient);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(train_golden_targets),
        cmocka_unit_test(train_golden_gradients),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
