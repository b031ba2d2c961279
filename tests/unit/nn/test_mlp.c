/* The network for vectors against a second writing of it in plain double, and what its output
 * promises whatever the weights: a vector of length √d whose slope leads from afar to the data, and
 * from nearby nowhere. */
#include "nn_test.h"

#define POINTS 7

struct reference {
    const struct nn_arch *arch;
    struct nn_param *params;
    size_t count;
    float **values;
    int32_t label;
};

static const float *named(const struct reference *r, const char *name)
{
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->params[i].name, name) == 0)
            return r->values[i];
    fail_msg("no parameter %s", name);
    return NULL;
}

static double silu(double x)
{
    return x / (1 + exp(-x));
}

/* out [outputs] = W in + b of module.layer. */
static void linear(const struct reference *r, int module, const char *layer, const double *in,
                   size_t inputs, size_t outputs, double *out)
{
    char name[NN_NAME_MAX];
    const char *dot = *layer ? "." : "";
    snprintf(name, sizeof name, "all_modules.%d.%s%sweight", module, layer, dot);
    const float *w = named(r, name);
    snprintf(name, sizeof name, "all_modules.%d.%s%sbias", module, layer, dot);
    const float *b = named(r, name);
    for (size_t o = 0; o < outputs; o++) {
        out[o] = b[o];
        for (size_t i = 0; i < inputs; i++)
            out[o] += (double)w[o * inputs + i] * in[i];
    }
}

static void activate(double *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        v[i] = silu(v[i]);
}

static void embed(const struct reference *r, double tau, double *temb)
{
    size_t half = (size_t)r->arch->nf / 2, width = 8 * half;
    double waves[64] = {0}, inner[256];
    for (size_t i = 0; i < half; i++) {
        double frequency = 4 * pow(1.0 / 64, (double)i / (double)(half - 1));
        waves[i] = sin(log(tau) * frequency);
        waves[half + i] = cos(log(tau) * frequency);
    }
    linear(r, 1, "", waves, 2 * half, width, inner);
    activate(inner, width);
    linear(r, 2, "", inner, width, width, temb);
    if (r->label >= 0)
        for (size_t i = 0; i < width; i++)
            temb[i] += named(r, NN_LABEL_EMBEDDING)[(size_t)r->label * width + i];
    activate(temb, width);
}

/* F of the layers. */
static void layers(const struct reference *r, const double *z, double tau, double *f)
{
    size_t d = (size_t)r->arch->channels, width = 4 * (size_t)r->arch->nf;
    double temb[256], hidden[256], a[256], b[256], c[256], features[32], square = 0;
    embed(r, tau, temb);
    for (size_t i = 0; i < d; i++)
        square += z[i] * z[i] / (double)d;
    double radius = sqrt(1 + tau * tau + square);
    for (size_t i = 0; i < d; i++)
        features[i] = z[i] / radius;
    features[d] = tau / radius;
    features[d + 1] = 1 / radius;
    linear(r, 3, "", features, d + 2, width, hidden);
    int module = 4;
    for (; module < 4 + r->arch->num_res_blocks; module++) {
        memcpy(a, hidden, sizeof a);
        activate(a, width);
        linear(r, module, "Linear_0", a, width, width, b);
        linear(r, module, "Dense_0", temb, width, width, c);
        for (size_t i = 0; i < width; i++)
            b[i] += c[i];
        activate(b, width);
        linear(r, module, "Linear_1", b, width, width, a);
        for (size_t i = 0; i < width; i++)
            hidden[i] += a[i];
    }
    activate(hidden, width);
    linear(r, module, "", hidden, width, d, f);
}

/* v [d + 1] by the centre of pull, as it is told. */
static void field(const struct reference *r, const float *x, float t, float *v)
{
    size_t d = (size_t)r->arch->channels;
    double z[32], f[32], scale = named(r, NN_MLP_SCALE)[0], tau = t / scale, square = 0, sum = 1;
    for (size_t i = 0; i < d; i++) {
        z[i] = ((double)x[i] - (double)named(r, NN_MLP_OFFSET)[i]) / scale;
        square += z[i] * z[i] / (double)d;
    }
    layers(r, z, tau, f);
    double k = square > 16 ? 16 / square : 1;
    for (size_t i = 0; i < d; i++) {
        double centre = k * z[i] / (1 + tau * tau) + tau * f[i] / sqrt(1 + tau * tau);
        f[i] = (z[i] - centre) / tau; /* G */
        sum += f[i] * f[i];
    }
    for (size_t i = 0; i < d; i++)
        v[i] = (float)(-sqrt((double)d / sum) * f[i]);
    v[d] = (float)-sqrt((double)d / sum);
}

static struct reference reference_new(const struct nn_arch *arch)
{
    struct reference r = {.arch = arch};
    struct err e = {0};
    r.params = nn_arch_params(arch, &r.count, &e);
    assert_non_null(r.params);
    r.values = calloc(r.count, sizeof *r.values);
    assert_non_null(r.values);
    for (size_t i = 0; i < r.count; i++) {
        r.values[i] = calloc(r.params[i].count, sizeof(float));
        assert_non_null(r.values[i]);
        test_weights_read(NULL, &r.params[i], r.values[i], &e);
    }
    return r;
}

static void reference_free(struct reference *r)
{
    for (size_t i = 0; i < r->count; i++)
        free(r->values[i]);
    free(r->values);
    free(r->params);
}

/* Points inside and outside of the reach, heights from 0.001 to 300. */
static void make_point(int i, size_t d, float *x, float *t)
{
    static const float size[POINTS] = {1, 0.1f, 3, 10, 1, 100, 1e4f};
    static const float height[POINTS] = {1, 0.001f, 0.05f, 0.4f, 300, 20, 30};
    test_uniforms((uint64_t)(300 + i), d, x);
    for (size_t k = 0; k < d; k++)
        x[k] *= size[i];
    *t = height[i];
}

static void test_mlp_is_the_described_one(void **state)
{
    (void)state;
    for (size_t a = 0; a < COUNT(test_archs); a++) {
        struct nn_arch arch = test_archs[a].arch;
        size_t d = (size_t)arch.channels;
        if (arch.kind != NN_ARCH_MLP)
            continue;
        arch.classes = 2;
        struct reference r = reference_new(&arch);
        for (const struct test_variant *w = test_variants; w < test_variants + COUNT(test_variants);
             w++) {
            static const double tolerances[] = {[NN_PRECISION_F32] = 2e-5,
                                                [NN_PRECISION_BF16X3] = 1e-4,
                                                [NN_PRECISION_BF16] = 3e-2};
            if (!nn_kernel_available(w->kernel))
                continue;
            struct nn_net *net = test_net_by(&arch, w);
            struct nn_workspace *ws = test_workspace_of(net, 1);
            for (int i = 0; i < POINTS; i++) {
                float x[32], v[33], right[33], t, *v_x = v;
                const float *in = x;
                r.label = i % 3 - 1;
                make_point(i, d, x, &t);
                field(&r, x, t, right);
                nn_net_forward(net, ws, 1, &in, &t, &r.label, &v_x, v + d);
                double apart = test_distance(v, right, d + 1), length = 0;
                for (size_t j = 0; j <= d; j++)
                    length += (double)v[j] * v[j];
                if (!(apart < tolerances[w->precision]))
                    fail_msg("%s, %s, point %d: %g apart", test_archs[a].name, w->name, i, apart);
                assert_true(fabs(length / (double)d - 1) < 1e-5);
                assert_true(v[d] < 0);
            }
            nn_workspace_free(ws);
            nn_net_free(net);
        }
        reference_free(&r);
    }
}

/* Far away the slope is that of one mass near the data: x / t to the ratio of the sizes. */
static void test_mlp_from_afar(void **state)
{
    (void)state;
    const struct nn_arch arch = {
        .kind = NN_ARCH_MLP, .image_size = 1, .channels = 2, .nf = 16, .num_res_blocks = 3};
    struct nn_net *net = test_net_of(&arch, NN_KERNEL_AUTO);
    struct nn_workspace *ws = test_workspace_of(net, 1);
    float x[2] = {3e5f, -4e5f}, t = 1e4f, v[2], *v_x = v, v_t;
    const float *in = x;
    nn_net_forward(net, ws, 1, &in, &t, NULL, &v_x, &v_t);
    assert_true(fabs(v[0] / v_t / (x[0] / t) - 1) < 1e-3);
    assert_true(fabs(v[1] / v_t / (x[1] / t) - 1) < 1e-3);
    nn_workspace_free(ws);
    nn_net_free(net);
}

static int read_scale(void *context, const struct nn_param *p, float *out, struct err *e)
{
    test_weights_read(NULL, p, out, e);
    if (strcmp(p->name, NN_MLP_SCALE) == 0)
        out[0] = *(const float *)context;
    return 0;
}

/* Its plan had room for six blocks, and was written behind. */
static void test_mlp_of_every_depth_has_a_plan(void **state)
{
    (void)state;
    struct nn_arch arch = {.kind = NN_ARCH_MLP, .image_size = 1, .channels = 2, .nf = 16};
    struct err e = {0};
    for (arch.num_res_blocks = 1; arch.num_res_blocks <= NN_RES_BLOCKS_MAX; arch.num_res_blocks++)
        assert_int_equal(nn_arch_check(&arch, &e), 0);
    arch.num_res_blocks = NN_RES_BLOCKS_MAX + 1;
    assert_int_equal(nn_arch_check(&arch, &e), -1);
    assert_string_equal(e.at, "depth");
}

static void test_mlp_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *at;
        struct nn_arch arch;
    } bad[] = {
        {"dimension", {.kind = NN_ARCH_MLP, .image_size = 1, .nf = 16, .num_res_blocks = 3}},
        {"dimension",
         {.kind = NN_ARCH_MLP, .image_size = 1, .channels = 4097, .nf = 16, .num_res_blocks = 3}},
        {"width", {.kind = NN_ARCH_MLP, .image_size = 1, .channels = 2, .num_res_blocks = 3}},
        {"width",
         {.kind = NN_ARCH_MLP, .image_size = 1, .channels = 2, .nf = 5, .num_res_blocks = 3}},
        {"width",
         {.kind = NN_ARCH_MLP, .image_size = 1, .channels = 2, .nf = 4096, .num_res_blocks = 3}},
        {"depth", {.kind = NN_ARCH_MLP, .image_size = 1, .channels = 2, .nf = 16}},
    };
    const struct nn_arch arch = {
        .kind = NN_ARCH_MLP, .image_size = 1, .channels = 2, .nf = 16, .num_res_blocks = 1};
    struct err e = {0};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(nn_arch_check(&bad[i].arch, &e), -1);
        assert_string_equal(e.at, bad[i].at);
    }
    static const float scales[] = {0, -1, INFINITY};
    for (size_t i = 0; i < COUNT(scales); i++) {
        float scale = scales[i];
        const struct nn_weights weights = {read_scale, &scale};
        assert_null(nn_net_new(&arch, &weights, NN_KERNEL_C, &e));
        assert_int_equal(e.code, ERR_INPUT);
        assert_string_equal(e.at, NN_MLP_SCALE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mlp_is_the_described_one),
        cmocka_unit_test(test_mlp_from_afar),
        cmocka_unit_test(test_mlp_of_every_depth_has_a_plan),
        cmocka_unit_test(test_mlp_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
