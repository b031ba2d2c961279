/* What an operation's case (nn_case.h) should write, by plain loops in double. Expected outputs
 * hold zeros wherever padding or a border lies, so writing there fails too. */
#ifndef NN_WORK_H
#define NN_WORK_H

#include "nn_case.h"
#include "nn_test.h"

static inline float *zeros(size_t n)
{
    void *p = NULL;
    if (n > (size_t)1 << 30 || posix_memalign(&p, 64, (n + 1) * sizeof(float)))
        abort();
    memset(p, 0, (n + 1) * sizeof(float));
    return p;
}

static inline void case_open(struct nn_case *c, const struct nn_case_shape *shape)
{
    struct err e = {0};
    if (nn_case_open(c, shape, &e))
        fail_msg("%s: %s", e.at, e.text);
    if (c->count == 0 || c->count > (size_t)1 << 29)
        abort();
}

/* Under a sanitizer shapes of more than 2·10⁷ multiplications are left out, as their code runs for
 * smaller ones too. */
static inline bool case_is_too_large(const struct nn_case *c)
{
    size_t terms = (c->lanes_in + c->lanes_skip) * (c->shape.op >= NN_CASE_POINT ? 1 : 9);
    return TEST_SANITIZED && nn_case_is_product(c) && c->count * terms > 20000000;
}

/* Prepares and runs it; `tiles` NULL: in f32. */
static inline void case_run(struct nn_case *c, const struct nn_kernels *k,
                            const struct nn_tiles *tiles, int terms, float *out)
{
    struct err e = {0};
    if (nn_case_prepare(c, k, terms, &e))
        fail_msg("%s: %s", e.at, e.text);
    nn_case_run(c, k, tiles, out);
}

/* ---- products ---- */

/* A number of either input at a place, 0 outside of the image. */
static double input_at(const struct nn_case *c, size_t b, long y, long x, size_t lane)
{
    long side = (long)c->shape.side;
    if (y < 0 || x < 0 || y >= side || x >= side)
        return 0;
    size_t row = (size_t)y, column = (size_t)x, pixel = (b * c->shape.side + row) * c->shape.side;
    if (lane >= c->lanes_in)
        return c->skip[(pixel + column) * c->step_skip + lane - c->lanes_in];
    if (c->shape.op > NN_CASE_WINOGRAD)
        return c->in[(pixel + column) * c->lanes_in + lane];
    const struct nn_target inside = nn_bordered_target(NULL, c->shape.side, c->lanes_in);
    pixel = inside.first + b * inside.image + row * inside.row + column;
    return c->in[pixel * c->lanes_in + lane];
}

/* All numbers of the input that an output pixel is a sum of, as the rows of the weights lie. */
static void product_gather(const struct nn_case *c, size_t b, long y, long x, double *taken)
{
    size_t rows = c->lanes_in + c->lanes_skip;
    bool is_point = c->shape.op >= NN_CASE_POINT;
    long step = c->shape.op == NN_CASE_CONV_STRIDE_2 ? 2 : 1,
         pad = is_point || c->shape.op == NN_CASE_CONV_STRIDE_2 ? 0 : 1;
    for (size_t tap = 0; tap < (is_point ? 1 : 9); tap++)
        for (size_t i = 0; i < rows; i++)
            taken[tap * rows + i] =
                input_at(c, b, y * step + (long)tap / 3 - pad, x * step + (long)tap % 3 - pad, i);
}

static void product_expect(const struct nn_case *c, float *out)
{
    size_t pixels = c->side_out * c->side_out;
    size_t terms = (c->lanes_in + c->lanes_skip) * (c->shape.op >= NN_CASE_POINT ? 1 : 9);
    double *taken = calloc(terms, sizeof *taken), *sum = calloc(c->lanes_out, sizeof *sum);
    assert_non_null(taken);
    assert_non_null(sum);
    for (size_t row = 0; row < c->count / c->lanes_out; row++) {
        size_t b = row / pixels, at = row % pixels, first = row * c->lanes_out;
        product_gather(c, b, (long)(at / c->side_out), (long)(at % c->side_out), taken);
        for (size_t o = 0; o < c->lanes_out; o++)
            sum[o] = c->bias[(c->shape.option & NN_CASE_BIASES ? b : 0) * c->lanes_out + o];
        for (size_t k = 0; k < terms; k++)
            for (size_t o = 0; o < c->lanes_out; o++)
                sum[o] += taken[k] * c->weights[k * c->lanes_out + o];
        for (size_t o = 0; o < c->lanes_out; o++)
            out[first + o] = (float)(c->shape.option & NN_CASE_RESIDUAL
                                         ? (sum[o] + c->residual[first + o]) * c->product.scale
                                         : sum[o]);
    }
    free(taken);
    free(sum);
}

/* ---- group norm ---- */

static double norm_input(const struct nn_case *c, size_t b, size_t pixel, size_t lane)
{
    size_t at = b * c->shape.side * c->shape.side + pixel;
    return lane < c->lanes_in ? c->in[at * c->lanes_in + lane]
                              : c->skip[at * c->lanes_skip + lane - c->lanes_in];
}

static void norm_expect_group(const struct nn_case *c, size_t b, int group, float *out)
{
    const struct nn_norm_weights *n = &c->norm_weights;
    size_t pixels = c->shape.side * c->shape.side;
    double count = (double)pixels * n->group_size, mean = 0, variance = 0;
    for (int pass = 0; pass < 3; pass++)
        for (size_t i = 0; i < pixels * n->lanes; i++) {
            size_t lane = i % n->lanes, pixel = i / n->lanes;
            if (n->group[lane] != group)
                continue;
            double x = norm_input(c, b, pixel, lane);
            if (pass == 0)
                mean += x / count;
            else if (pass == 1)
                variance += (x - mean) * (x - mean) / count;
            else {
                const struct nn_target t = c->shape.option & NN_CASE_BORDER
                                               ? nn_bordered_target(out, c->shape.side, n->lanes)
                                               : nn_plain_target(out, c->shape.side, n->lanes);
                double y = (x - mean) / sqrt(variance + 1e-6) * n->gamma[lane] + n->beta[lane];
                float *row = nn_target_row(&t, b, pixel / c->shape.side);
                row[pixel % c->shape.side * n->lanes + lane] =
                    (float)(c->shape.option & NN_CASE_SILU ? y / (1 + exp(-y)) : y);
            }
        }
}

/* ---- resampling ---- */

/* By zero stuffing, padding, correlation and decimation, one after the other. */
static void resample_expect(const struct nn_case *c, float *out)
{
    static const struct {
        int taps, up, down, before;
        double filter[4];
    } kinds[] = {[NN_BOX_UP] = {2, 2, 1, 1, {1, 1}},
                 [NN_BOX_DOWN] = {2, 1, 2, 0, {.5, .5}},
                 [NN_FIR_UP] = {4, 2, 1, 2, {.25, .75, .75, .25}},
                 [NN_FIR_DOWN] = {4, 1, 2, 1, {.125, .375, .375, .125}},
                 [NN_FIR_BLUR] = {4, 1, 1, 2, {.125, .375, .375, .125}}};
    long side = (long)c->side_out;
    int taps = kinds[c->shape.option].taps, up = kinds[c->shape.option].up;
    int down = kinds[c->shape.option].down, before = kinds[c->shape.option].before;
    const double *f = kinds[c->shape.option].filter;
    for (size_t i = 0; i < c->count; i++) {
        long pixel = (long)(i / c->lanes_in), y = pixel / side % side, x = pixel % side;
        size_t b = (size_t)(pixel / side / side), lane = i % c->lanes_in;
        double sum = 0;
        for (int j = 0; j < taps; j++)
            for (int k = 0; k < taps; k++) {
                long yy = y * down + j - before, xx = x * down + k - before;
                if (yy >= 0 && xx >= 0 && yy % up == 0 && xx % up == 0)
                    sum += f[j] * f[k] * input_at(c, b, yy / up, xx / up, lane);
            }
        out[i] = (float)sum;
    }
}

/* ---- attention ---- */

static void attention_expect(const struct nn_case *c, float *out)
{
    size_t lanes = c->lanes_in, step = 3 * lanes, pixels = c->attention.pixels;
    double *weight = calloc(pixels, sizeof *weight);
    assert_non_null(weight);
    for (size_t q = 0; q < c->shape.images * pixels; q++) {
        const float *image = c->in + q / pixels * pixels * step, *query = c->in + q * step;
        double sum = 0;
        for (size_t k = 0; k < pixels; k++) {
            double dot = 0;
            for (size_t i = 0; i < lanes; i++)
                dot += (double)query[i] * image[k * step + lanes + i];
            sum += weight[k] = exp(dot / sqrt((double)c->shape.in));
        }
        for (size_t i = 0; i < lanes; i++) {
            double value = 0;
            for (size_t k = 0; k < pixels; k++)
                value += weight[k] / sum * image[k * step + 2 * lanes + i];
            out[q * lanes + i] = (float)value;
        }
    }
    free(weight);
}

/* ---- any of them ---- */

/* What it should write; the caller frees it. */
static inline float *case_expect(const struct nn_case *c)
{
    float *out = zeros(c->count);
    if (nn_case_is_product(c))
        product_expect(c, out);
    for (size_t b = 0; c->shape.op == NN_CASE_NORM && b < c->shape.images; b++)
        for (int g = 0; g < c->norm_weights.groups; g++)
            norm_expect_group(c, b, g, out);
    if (c->shape.op == NN_CASE_RESAMPLE)
        resample_expect(c, out);
    if (c->shape.op == NN_CASE_ATTENTION)
        attention_expect(c, out);
    return out;
}

#endif
