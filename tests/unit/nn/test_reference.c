/* The whole network against a second writing of it: plain loops in double over planes, straight
 * from the description of the architecture, with its own walk over the modules. Shares no code with
 * the network but the parameters' names. */
#include "nn_test.h"

struct plane_set {
    int channels, side;
    double *at; /* [channels][side][side] */
};

struct reference {
    const struct nn_arch *arch;
    struct nn_param *params;
    size_t count;
    float **values;
    int module;
    double *temb; /* [4 nf] */
    struct plane_set stack[64];
    int depth;
};

static struct plane_set planes(int channels, int side)
{
    struct plane_set p = {channels, side, calloc((size_t)(channels * side * side), sizeof(double))};
    assert_non_null(p.at);
    return p;
}

static double *pixel(const struct plane_set *p, int c, int y, int x)
{
    return &p->at[(c * p->side + y) * p->side + x];
}

static const float *weights(const struct reference *r, const char *tensor)
{
    char name[NN_NAME_MAX];
    snprintf(name, sizeof name, "all_modules.%d.%s", r->module, tensor);
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

/* ---- layers; each frees its input unless it is told to keep it ---- */

static struct plane_set conv(const struct reference *r, struct plane_set in, int out, int kernel,
                             int stride, int pad, const char *weight, const char *bias)
{
    const float *w = weights(r, weight), *b = weights(r, bias);
    int side = (in.side + 2 * pad - kernel) / stride + 1;
    struct plane_set p = planes(out, side);
    for (int o = 0; o < out; o++)
        for (int y = 0; y < side; y++)
            for (int x = 0; x < side; x++) {
                double sum = b[o];
                for (int i = 0; i < in.channels; i++)
                    for (int ky = 0; ky < kernel; ky++)
                        for (int kx = 0; kx < kernel; kx++) {
                            int yy = y * stride + ky - pad, xx = x * stride + kx - pad;
                            if (yy >= 0 && yy < in.side && xx >= 0 && xx < in.side)
                                sum += *pixel(&in, i, yy, xx) *
                                       w[((o * in.channels + i) * kernel + ky) * kernel + kx];
                        }
                *pixel(&p, o, y, x) = sum;
            }
    return p;
}

static struct plane_set norm(const struct reference *r, struct plane_set in, const char *weight,
                             const char *bias, bool activate)
{
    const float *w = weights(r, weight), *b = weights(r, bias);
    int groups = in.channels / 4 < 32 ? in.channels / 4 : 32, size = in.channels / groups;
    int count = size * in.side * in.side;
    struct plane_set p = planes(in.channels, in.side);
    for (int g = 0; g < groups; g++) {
        const double *x = in.at + g * count;
        double mean = 0, variance = 0;
        for (int i = 0; i < count; i++)
            mean += x[i] / count;
        for (int i = 0; i < count; i++)
            variance += (x[i] - mean) * (x[i] - mean) / count;
        for (int i = 0; i < count; i++) {
            int c = g * size + i / (in.side * in.side);
            double y = (x[i] - mean) / sqrt(variance + 1e-6) * w[c] + b[c];
            p.at[g * count + i] = activate ? silu(y) : y;
        }
    }
    return p;
}

/* Zero stuffing by `up`, padding (before, after), correlation with the outer product of `filter`,
 * every `down`-th result. */
static struct plane_set filtered(struct plane_set in, const double *filter, int taps, int up,
                                 int down, int before, int after)
{
    int wide = in.side * up + before + after, side = (wide - taps) / down + 1;
    struct plane_set p = planes(in.channels, side);
    for (int c = 0; c < in.channels; c++)
        for (int y = 0; y < side; y++)
            for (int x = 0; x < side; x++)
                for (int i = 0; i < taps; i++)
                    for (int j = 0; j < taps; j++) {
                        int yy = y * down + i - before, xx = x * down + j - before;
                        if (yy >= 0 && xx >= 0 && yy < in.side * up && xx < in.side * up &&
                            yy % up == 0 && xx % up == 0)
                            *pixel(&p, c, y, x) +=
                                filter[i] * filter[j] * *pixel(&in, c, yy / up, xx / up);
                    }
    return p;
}

static struct plane_set resampled(const struct reference *r, struct plane_set in, int direction)
{
    static const double fir[4] = {1 / 8., 3 / 8., 3 / 8., 1 / 8.}, fir_up[4] = {.25, .75, .75, .25};
    static const double half[2] = {.5, .5}, repeat[2] = {1, 1};
    if (r->arch->fir)
        return direction > 0 ? filtered(in, fir_up, 4, 2, 1, 2, 1)
                             : filtered(in, fir, 4, 1, 2, 1, 1);
    return direction > 0 ? filtered(in, repeat, 2, 2, 1, 1, 0) : filtered(in, half, 2, 1, 2, 0, 0);
}

static void add_scaled(struct plane_set to, struct plane_set from)
{
    for (int i = 0; i < to.channels * to.side * to.side; i++)
        to.at[i] = (to.at[i] + from.at[i]) / sqrt(2);
}

/* direction: -1 down, 1 up, 0 none. Frees its input. */
static struct plane_set res(struct reference *r, struct plane_set in, int out, int direction)
{
    struct plane_set u = norm(r, in, "GroupNorm_0.weight", "GroupNorm_0.bias", true), v, x = in;
    if (direction) {
        v = resampled(r, u, direction);
        free(u.at);
        u = v;
        x = resampled(r, in, direction);
        free(in.at);
    }
    v = conv(r, u, out, 3, 1, 1, "Conv_0.weight", "Conv_0.bias");
    free(u.at);
    const float *w = weights(r, "Dense_0.weight"), *b = weights(r, "Dense_0.bias");
    int wide = 4 * r->arch->nf, pixels = v.side * v.side;
    for (int o = 0; o < out; o++) {
        double sum = b[o];
        for (int i = 0; i < wide; i++)
            sum += silu(r->temb[i]) * w[o * wide + i];
        for (int i = 0; i < pixels; i++)
            v.at[o * pixels + i] += sum;
    }
    u = norm(r, v, "GroupNorm_1.weight", "GroupNorm_1.bias", true);
    free(v.at);
    v = conv(r, u, out, 3, 1, 1, "Conv_1.weight", "Conv_1.bias");
    free(u.at);
    if (x.channels != out || direction) {
        u = conv(r, x, out, 1, 1, 0, "Conv_2.weight", "Conv_2.bias");
        free(x.at);
        x = u;
    }
    add_scaled(v, x);
    free(x.at);
    r->module++;
    return v;
}

static struct plane_set nin(const struct reference *r, struct plane_set in, int number)
{
    char name[2][24];
    snprintf(name[0], sizeof name[0], "NIN_%d.W", number);
    snprintf(name[1], sizeof name[1], "NIN_%d.b", number);
    const float *w = weights(r, name[0]), *b = weights(r, name[1]);
    struct plane_set p = planes(in.channels, in.side);
    int pixels = in.side * in.side;
    for (int o = 0; o < in.channels; o++)
        for (int k = 0; k < pixels; k++) {
            double sum = b[o];
            for (int i = 0; i < in.channels; i++)
                sum += in.at[i * pixels + k] * w[i * in.channels + o];
            p.at[o * pixels + k] = sum;
        }
    return p;
}

static struct plane_set attention(struct reference *r, struct plane_set in)
{
    struct plane_set h = norm(r, in, "GroupNorm_0.weight", "GroupNorm_0.bias", false);
    struct plane_set q = nin(r, h, 0), k = nin(r, h, 1), v = nin(r, h, 2);
    int pixels = in.side * in.side, channels = in.channels;
    double *weight = calloc((size_t)pixels, sizeof *weight);
    assert_non_null(weight);
    memset(h.at, 0, (size_t)(channels * pixels) * sizeof *h.at);
    for (int i = 0; i < pixels; i++) {
        double sum = 0;
        for (int j = 0; j < pixels; j++) {
            double dot = 0;
            for (int c = 0; c < channels; c++)
                dot += q.at[c * pixels + i] * k.at[c * pixels + j];
            sum += weight[j] = exp(dot / sqrt(channels));
        }
        for (int c = 0; c < channels; c++)
            for (int j = 0; j < pixels; j++)
                h.at[c * pixels + i] += weight[j] / sum * v.at[c * pixels + j];
    }
    struct plane_set out = nin(r, h, 3);
    add_scaled(out, in);
    free(weight);
    free(h.at);
    free(q.at);
    free(k.at);
    free(v.at);
    free(in.at);
    r->module++;
    return out;
}

/* p becomes (PyramidDown(p) + h) / √2; frees the old p, keeps h. */
static struct plane_set pyramid(struct reference *r, struct plane_set p, struct plane_set h)
{
    static const double fir[4] = {1 / 8., 3 / 8., 3 / 8., 1 / 8.};
    struct plane_set blurred = filtered(p, fir, 4, 1, 1, 2, 2);
    struct plane_set out =
        conv(r, blurred, h.channels, 3, 2, 0, "Conv2d_0.weight", "Conv2d_0.bias");
    add_scaled(out, h);
    free(blurred.at);
    free(p.at);
    r->module++;
    return out;
}

static struct plane_set copy(struct plane_set p)
{
    struct plane_set c = planes(p.channels, p.side);
    memcpy(c.at, p.at, (size_t)(p.channels * p.side * p.side) * sizeof *p.at);
    return c;
}

static struct plane_set concatenated(struct plane_set a, struct plane_set b)
{
    struct plane_set p = planes(a.channels + b.channels, a.side);
    size_t first = (size_t)(a.channels * a.side * a.side);
    memcpy(p.at, a.at, first * sizeof *p.at);
    memcpy(p.at + first, b.at, (size_t)(b.channels * b.side * b.side) * sizeof *p.at);
    free(a.at);
    free(b.at);
    return p;
}

/* ---- the network ---- */

static double *linear(struct reference *r, const double *in, int inputs, int outputs)
{
    const float *w = weights(r, "weight"), *b = weights(r, "bias");
    double *out = calloc((size_t)outputs, sizeof *out);
    assert_non_null(out);
    for (int o = 0; o < outputs; o++) {
        out[o] = b[o];
        for (int i = 0; i < inputs; i++)
            out[o] += in[i] * w[o * inputs + i];
    }
    r->module++;
    return out;
}

static void embed(struct reference *r, double t)
{
    int nf = r->arch->nf, wide = 4 * nf;
    bool fourier = r->arch->embedding == NN_EMBEDDING_FOURIER;
    int half = fourier ? nf : nf / 2;
    r->module = 0;
    double *e = calloc((size_t)(2 * half), sizeof *e);
    assert_non_null(e);
    const float *w = fourier ? weights(r, "W") : NULL;
    for (int i = 0; i < half; i++) {
        double angle =
            fourier ? (r->arch->denoiser ? t : log(t)) * (double)w[i] * 2 * 3.14159265358979323846
                    : t * exp(-log(10000.0) * i / (half - 1));
        e[i] = sin(angle);
        e[half + i] = cos(angle);
    }
    r->module = fourier ? 1 : 0;
    double *hidden = linear(r, e, 2 * half, wide);
    for (int i = 0; i < wide; i++)
        hidden[i] = silu(hidden[i]);
    r->temb = linear(r, hidden, wide, wide);
    free(hidden);
    free(e);
}

static bool attends(const struct nn_arch *a, int side)
{
    for (int i = 0; i < a->attn_count; i++)
        if (a->attn_resolutions[i] == side)
            return true;
    return false;
}

static struct plane_set walk_down(struct reference *r, struct plane_set x)
{
    const struct nn_arch *a = r->arch;
    struct plane_set h = conv(r, x, a->nf, 3, 1, 1, "weight", "bias"), p = copy(x);
    r->module++;
    r->stack[r->depth++] = copy(h);
    for (int l = 0; l < a->levels; l++) {
        for (int i = 0; i < a->num_res_blocks; i++) {
            h = res(r, h, a->nf * a->ch_mult[l], 0);
            if (attends(a, h.side))
                h = attention(r, h);
            r->stack[r->depth++] = copy(h);
        }
        if (l + 1 == a->levels)
            break;
        h = res(r, h, h.channels, -1);
        if (a->pyramid == NN_PYRAMID_RESIDUAL) {
            p = pyramid(r, p, h);
            free(h.at);
            h = copy(p);
        }
        r->stack[r->depth++] = copy(h);
    }
    free(p.at);
    return h;
}

static struct plane_set walk(struct reference *r, struct plane_set x)
{
    const struct nn_arch *a = r->arch;
    struct plane_set h = walk_down(r, x), y;
    h = res(r, h, h.channels, 0);
    h = attention(r, h);
    h = res(r, h, h.channels, 0);
    for (int l = a->levels - 1; l >= 0; l--) {
        for (int i = 0; i <= a->num_res_blocks; i++)
            h = res(r, concatenated(h, r->stack[--r->depth]), a->nf * a->ch_mult[l], 0);
        if (attends(a, h.side))
            h = attention(r, h);
        if (l > 0)
            h = res(r, h, h.channels, 1);
    }
    assert_int_equal(r->depth, 0);
    y = norm(r, h, "weight", "bias", true);
    free(h.at);
    r->module++;
    h = conv(r, y, a->denoiser ? a->channels : a->channels + 1, 3, 1, 1, "weight", "bias");
    free(y.at);
    return h;
}

static void reference_field(struct reference *r, const float *x, float t, float *v_x, float *v_t)
{
    int side = r->arch->image_size, channels = r->arch->channels, pixels = side * side;
    struct plane_set in = planes(channels, side);
    for (int i = 0; i < channels * pixels; i++)
        in.at[i] = x[i];
    embed(r, t);
    struct plane_set out = walk(r, in);
    double sum = 0;
    for (int i = 0; i < channels * pixels; i++)
        v_x[i] = (float)out.at[i];
    for (int i = 0; i < pixels && !r->arch->denoiser; i++)
        sum += out.at[channels * pixels + i] / pixels;
    *v_t = (float)sum;
    free(r->temb);
    free(in.at);
    free(out.at);
}

static void reference_load(struct reference *r, const struct nn_arch *arch)
{
    *r = (struct reference){.arch = arch};
    r->params = nn_arch_params(arch, &r->count, NULL);
    r->values = calloc(r->count, sizeof *r->values);
    assert_true(r->params && r->values);
    for (size_t i = 0; i < r->count; i++) {
        r->values[i] = calloc(r->params[i].count, sizeof(float));
        assert_non_null(r->values[i]);
        test_weights_read(NULL, &r->params[i], r->values[i], NULL);
    }
}

static void reference_free(struct reference *r)
{
    for (size_t i = 0; i < r->count; i++)
        free(r->values[i]);
    free(r->values);
    free(r->params);
}

/* ---- the comparison ---- */

#define POINTS 3

/* What a network may be off, of the largest number. */
static double tolerance(const struct test_variant *variant)
{
    return variant->precision == NN_PRECISION_BF16 ? 3e-2 : 1e-4;
}

static void compare(const struct test_arch *c, const struct test_variant *variant,
                    float *const expected_x[], const float expected_t[], float *const x[],
                    const float t[])
{
    size_t n = (size_t)(c->arch.image_size * c->arch.image_size * c->arch.channels);
    const float *in[POINTS] = {x[0], x[1], x[2]};
    float *v_x[POINTS], v_t[POINTS];
    double worst = 0;
    struct nn_net *net = test_net_by(&c->arch, variant);
    struct nn_workspace *ws = test_workspace_of(net, POINTS);
    for (int i = 0; i < POINTS; i++)
        v_x[i] = calloc(n, sizeof(float));
    nn_net_forward(net, ws, POINTS, in, t, NULL, v_x, v_t);
    for (int i = 0; i < POINTS; i++)
        worst = fmax(worst, test_distance(v_x[i], expected_x[i], n));
    double apart = c->arch.denoiser ? 0 : test_distance(v_t, expected_t, POINTS);
    for (int i = 0; i < POINTS && c->arch.denoiser; i++)
        assert_true(v_t[i] == 0 && expected_t[i] == 0);
    print_message("%s, %s: v_x %.1e, v_t %.1e\n", c->name, variant->name, worst, apart);
    assert_true(worst < tolerance(variant) && apart < tolerance(variant));
    for (int i = 0; i < POINTS; i++)
        free(v_x[i]);
    nn_workspace_free(ws);
    nn_net_free(net);
}

static void test_network_is_the_described_one(void **state)
{
    (void)state;
    const float t[POINTS] = {40.0f, 1.7f, 0.003f};
    for (size_t a = 0; a < COUNT(test_archs); a++) {
        const struct test_arch *c = &test_archs[a];
        if (c->arch.kind == NN_ARCH_MLP) /* test_mlp.c */
            continue;
        size_t n = (size_t)(c->arch.image_size * c->arch.image_size * c->arch.channels);
        float *x[POINTS], *v_x[POINTS], v_t[POINTS];
        struct reference r;
        reference_load(&r, &c->arch);
        for (size_t i = 0; i < POINTS; i++) {
            x[i] = calloc(n, sizeof(float));
            v_x[i] = calloc(n, sizeof(float));
            assert_true(x[i] && v_x[i]);
            test_uniforms(100 + i, n, x[i]);
            for (size_t k = 0; k < n; k++)
                x[i][k] *= 1 + 2 * t[i];
            reference_field(&r, x[i], t[i], v_x[i], &v_t[i]);
        }
        for (const struct test_variant *w = test_variants; w < test_variants + COUNT(test_variants);
             w++)
            if ((c->arch.image_size <= 8 || !test_variant_is_slow(w)) && test_variant_runs(w))
                compare(c, w, v_x, v_t, x, t);
        for (size_t i = 0; i < POINTS; i++) {
            free(x[i]);
            free(v_x[i]);
        }
        reference_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_network_is_the_described_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
