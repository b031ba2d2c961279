/* Operations as test cases: what a kernel reads, what it should write by plain loops in double, and
 * a call of it. Expected outputs hold zeros wherever padding or a border lies, so writing there
 * fails too. */
#ifndef NN_WORK_H
#define NN_WORK_H

#include "base_arena.h"
#include "nn_kernels.h"
#include "nn_test.h"

enum op { CONV, WINOGRAD, CONV_STRIDE_2, POINT, NORM, RESAMPLE, ATTENTION };

struct shape {
    enum op op;
    size_t side, in, skip, out, images; /* channels without padding */
    int option; /* products: 1 adds a residual, 2 a bias an image; norm: 1 activates, 2 borders,
                   4 moves the mean far out; resample: the kind */
};

/* A case at work: what the kernels read and what they should write. */
struct work {
    struct shape s;
    size_t lanes_in, lanes_skip, lanes_out, pixels, count; /* count: floats of the output */
    float *in, *skip, *weights, *bias, *residual, *expected;
    struct nn_norm_weights norm;
};

static float *zeros(size_t n)
{
    void *p = NULL;
    if (n > (size_t)1 << 30 || posix_memalign(&p, ARENA_ALIGN, (n + 1) * sizeof(float)))
        abort();
    memset(p, 0, (n + 1) * sizeof(float));
    return p;
}

/* `pixels` random pixels of `channels` channels, the padding zero. */
static float *random_pixels(uint64_t stream, size_t pixels, size_t channels)
{
    size_t lanes = nn_lanes(channels);
    float *out = zeros(pixels * lanes), *u = zeros(pixels * channels);
    test_uniforms(stream, pixels * channels, u);
    for (size_t i = 0; i < pixels * channels; i++)
        out[i / channels * lanes + i % channels] = u[i];
    free(u);
    return out;
}

/* ---- products ---- */

static bool is_point(const struct work *w)
{
    return w->s.op == POINT;
}

/* Canonical weights: row (tap, lane of in or skip), column out; padding zero. */
static void product_setup(struct work *w)
{
    const struct shape *s = &w->s;
    size_t taps = is_point(w) ? 1 : 9, rows = w->lanes_in + w->lanes_skip;
    size_t side_out = s->op == CONV_STRIDE_2 ? (s->side - 1) / 2 : s->side;
    w->pixels = side_out * side_out;
    w->count = s->images * w->pixels * w->lanes_out;
    w->in = random_pixels(1, s->images * s->side * s->side, s->in);
    w->skip = random_pixels(2, s->images * s->side * s->side, s->skip + 1);
    float *dense = random_pixels(3, taps * (s->in + s->skip), s->out);
    w->weights = zeros(taps * rows * w->lanes_out);
    for (size_t tap = 0; tap < taps; tap++)
        for (size_t i = 0; i < s->in + s->skip; i++) {
            size_t lane = i < s->in ? i : w->lanes_in + i - s->in;
            memcpy(w->weights + (tap * rows + lane) * w->lanes_out,
                   dense + (tap * (s->in + s->skip) + i) * w->lanes_out,
                   w->lanes_out * sizeof(float));
        }
    free(dense);
    w->bias = random_pixels(4, s->images, s->out);
    w->residual = random_pixels(5, s->images * w->pixels, s->out);
}

static double input_at(const struct work *w, size_t b, long y, long x, size_t lane)
{
    long side = (long)w->s.side;
    if (y < 0 || x < 0 || y >= side || x >= side)
        return 0;
    size_t pixel = (b * w->s.side + (size_t)y) * w->s.side + (size_t)x;
    if (lane < w->lanes_in)
        return w->in[pixel * w->lanes_in + lane];
    return w->skip[pixel * nn_lanes(w->s.skip + 1) + lane - w->lanes_in];
}

static double product_sum(const struct work *w, size_t b, long y, long x, size_t o)
{
    size_t rows = w->lanes_in + w->lanes_skip;
    double sum = w->bias[(w->s.option & 2 ? b : 0) * w->lanes_out + o];
    if (is_point(w)) {
        for (size_t i = 0; i < rows; i++)
            sum += input_at(w, b, y, x, i) * w->weights[i * w->lanes_out + o];
        return sum;
    }
    long step = w->s.op == CONV_STRIDE_2 ? 2 : 1, pad = w->s.op == CONV_STRIDE_2 ? 0 : 1;
    for (size_t tap = 0; tap < 9; tap++)
        for (size_t i = 0; i < rows; i++)
            sum +=
                input_at(w, b, y * step + (long)tap / 3 - pad, x * step + (long)tap % 3 - pad, i) *
                w->weights[(tap * rows + i) * w->lanes_out + o];
    return sum;
}

static void product_expect(const struct work *w)
{
    size_t side = w->s.op == CONV_STRIDE_2 ? (w->s.side - 1) / 2 : w->s.side;
    float *e = w->expected;
    const float *residual = w->residual;
    for (size_t i = 0; i < w->count; i++) {
        size_t pixel = i / w->lanes_out, b = pixel / w->pixels, at = pixel % w->pixels;
        double sum = product_sum(w, b, (long)(at / side), (long)(at % side), i % w->lanes_out);
        e[i] = (float)(w->s.option & 1 ? (sum + residual[i]) * 0.75 : sum);
    }
}

/* The convolution's input with its border; its own copy, so that reading beyond it is caught. */
static float *bordered(const struct work *w)
{
    size_t pitch = w->s.side + 1, row = w->s.side * w->lanes_in;
    float *out = zeros(((w->s.images * pitch + 1) * pitch + 1) * w->lanes_in);
    for (size_t b = 0; b < w->s.images; b++)
        for (size_t y = 0; y < w->s.side; y++)
            memcpy(out + ((b * pitch + y + 1) * pitch + 1) * w->lanes_in,
                   w->in + (b * w->s.side + y) * row, row * sizeof(float));
    return out;
}

static void product_run(const struct nn_kernels *k, const struct work *w, float *out)
{
    const struct shape *s = &w->s;
    size_t rows = (w->lanes_in + w->lanes_skip) * (is_point(w) ? 1 : 9);
    enum nn_product_kind kind = is_point(w)         ? NN_PRODUCT_POINT
                                : s->op == WINOGRAD ? NN_PRODUCT_WINOGRAD
                                                    : NN_PRODUCT_3X3;
    struct nn_product_shape shape = {kind, rows, w->lanes_out};
    float *packed = zeros(k->pack_size(&shape)), *border = NULL;
    float *scratch = zeros(k->product_scratch(&shape));
    memset(scratch, 0xff, k->product_scratch(&shape) * sizeof *scratch); /* never read as it is */
    k->pack(&shape, w->weights, packed);
    struct nn_product p = {.shape = shape,
                           .packed = packed,
                           .bias = w->bias,
                           .bias_step = s->option & 2 ? w->lanes_out : 0,
                           .segments = 1,
                           .in_image = w->pixels,
                           .in_row = s->side,
                           .in_step = 1,
                           .images = s->images,
                           .height = s->side,
                           .width = s->side,
                           .residual = s->option & 1 ? out : NULL,
                           .scale = 0.75f,
                           .out = out,
                           .scratch = scratch};
    p.segment[0] = (struct nn_segment){w->in, w->lanes_in, w->lanes_in};
    if (is_point(w) && s->skip)
        p.segment[p.segments++] =
            (struct nn_segment){w->skip, nn_lanes(s->skip + 1), w->lanes_skip};
    if (!is_point(w)) {
        const float *base = w->in;
        size_t pitch = s->side;
        if (s->op != CONV_STRIDE_2)
            base = border = bordered(w);
        if (s->op != CONV_STRIDE_2)
            pitch = s->side + 1;
        for (size_t i = 0; i < 3; i++)
            p.segment[i] =
                (struct nn_segment){base + i * pitch * w->lanes_in, w->lanes_in, 3 * w->lanes_in};
        p.segments = 3;
        p.in_image = pitch * pitch;
        p.in_step = s->op == CONV_STRIDE_2 ? 2 : 1;
        p.in_row = pitch * p.in_step;
        p.height = p.width = s->op == CONV_STRIDE_2 ? (s->side - 1) / 2 : s->side;
    }
    if (s->option & 1) /* the residual lies where the result goes */
        memcpy(out, w->residual, w->count * sizeof *out);
    k->product(&p);
    free(packed);
    free(border);
    free(scratch);
}

/* ---- group norm ---- */

static void norm_setup(struct work *w)
{
    const struct shape *s = &w->s;
    size_t lanes = w->lanes_in + w->lanes_skip, channels = s->in + s->skip;
    int groups = nn_groups((int)channels), size = (int)channels / groups;
    w->pixels = s->side * s->side;
    w->count = s->option & 2 ? ((s->images * (s->side + 1) + 1) * (s->side + 1) + 1) * lanes
                             : s->images * w->pixels * lanes;
    w->in = random_pixels(6, s->images * w->pixels, s->in);
    w->skip = random_pixels(7, s->images * w->pixels, s->skip ? s->skip : 1);
    if (s->option & 4)
        for (size_t i = 0; i < s->images * w->pixels * w->lanes_in; i++)
            w->in[i] += i % w->lanes_in < s->in ? 60.0f : 0.0f;
    w->weights = zeros(lanes);
    w->bias = zeros(lanes);
    int32_t *group = calloc(lanes, sizeof *group);
    assert_non_null(group);
    w->norm = (struct nn_norm_weights){lanes, groups, size, w->weights, w->bias, group};
    for (size_t c = 0; c < lanes; c++)
        group[c] = -1;
    for (size_t c = 0; c < channels; c++) {
        size_t lane = c < s->in ? c : w->lanes_in + c - s->in;
        group[lane] = (int32_t)c / size;
        test_uniforms(900 + c, 1, &w->weights[lane]);
        test_uniforms(5000 + c, 1, &w->bias[lane]);
    }
}

static struct nn_target norm_target(const struct work *w, float *out)
{
    size_t side = w->s.side, lanes = w->lanes_in + w->lanes_skip, pitch = side + 1;
    if (w->s.option & 2)
        return (struct nn_target){out, pitch + 1, pitch, pitch * pitch, lanes};
    return (struct nn_target){out, 0, side, side * side, lanes};
}

static double norm_input(const struct work *w, size_t b, size_t pixel, size_t lane)
{
    size_t at = b * w->pixels + pixel;
    return lane < w->lanes_in ? w->in[at * w->lanes_in + lane]
                              : w->skip[at * w->lanes_skip + lane - w->lanes_in];
}

static void norm_expect_group(const struct work *w, size_t b, int group)
{
    const struct nn_norm_weights *n = &w->norm;
    double count = (double)w->pixels * n->group_size, mean = 0, variance = 0;
    for (int pass = 0; pass < 3; pass++)
        for (size_t i = 0; i < w->pixels * n->lanes; i++) {
            size_t lane = i % n->lanes, pixel = i / n->lanes;
            if (n->group[lane] != group)
                continue;
            double x = norm_input(w, b, pixel, lane);
            if (pass == 0)
                mean += x / count;
            else if (pass == 1)
                variance += (x - mean) * (x - mean) / count;
            else {
                const struct nn_target t = norm_target(w, w->expected);
                double y = (x - mean) / sqrt(variance + 1e-6) * n->gamma[lane] + n->beta[lane];
                float *row = nn_target_row(&t, b, pixel / w->s.side);
                row[pixel % w->s.side * n->lanes + lane] =
                    (float)(w->s.option & 1 ? y / (1 + exp(-y)) : y);
            }
        }
}

static void norm_run(const struct nn_kernels *k, const struct work *w, float *out)
{
    double *scratch = calloc(2 * w->norm.lanes, sizeof *scratch);
    assert_non_null(scratch);
    const struct nn_norm p = {&w->norm,
                              w->s.skip ? 2 : 1,
                              {{w->in, w->lanes_in}, {w->skip, w->lanes_skip}},
                              w->s.images,
                              w->s.side,
                              (w->s.option & 1) != 0,
                              norm_target(w, out),
                              scratch,
                              NULL};
    k->norm(&p);
    free(scratch);
}

/* ---- resampling ---- */

static void resample_setup(struct work *w)
{
    size_t side = nn_resample_side((enum nn_resample_kind)w->s.option, w->s.side);
    w->in = random_pixels(8, w->s.images * w->s.side * w->s.side, w->s.in);
    w->count = w->s.images * side * side * w->lanes_in;
}

/* By zero stuffing, padding, correlation and decimation, one after the other. */
static void resample_expect(const struct work *w)
{
    static const struct {
        int taps, up, down, before;
        double filter[4];
    } kinds[] = {[NN_BOX_UP] = {2, 2, 1, 1, {1, 1}},
                 [NN_BOX_DOWN] = {2, 1, 2, 0, {.5, .5}},
                 [NN_FIR_UP] = {4, 2, 1, 2, {.25, .75, .75, .25}},
                 [NN_FIR_DOWN] = {4, 1, 2, 1, {.125, .375, .375, .125}},
                 [NN_FIR_BLUR] = {4, 1, 1, 2, {.125, .375, .375, .125}}};
    long side = (long)nn_resample_side((enum nn_resample_kind)w->s.option, w->s.side);
    int taps = kinds[w->s.option].taps, up = kinds[w->s.option].up;
    int down = kinds[w->s.option].down, before = kinds[w->s.option].before;
    const double *f = kinds[w->s.option].filter;
    for (size_t i = 0; i < w->count; i++) {
        long pixel = (long)(i / w->lanes_in), y = pixel / side % side, x = pixel % side;
        size_t b = (size_t)(pixel / side / side), lane = i % w->lanes_in;
        double sum = 0;
        for (int j = 0; j < taps; j++)
            for (int k = 0; k < taps; k++) {
                long yy = y * down + j - before, xx = x * down + k - before;
                if (yy >= 0 && xx >= 0 && yy % up == 0 && xx % up == 0)
                    sum += f[j] * f[k] * input_at(w, b, yy / up, xx / up, lane);
            }
        w->expected[i] = (float)sum;
    }
}

static void resample_run(const struct nn_kernels *k, const struct work *w, float *out)
{
    size_t side = nn_resample_side((enum nn_resample_kind)w->s.option, w->s.side);
    const struct nn_resample p = {(enum nn_resample_kind)w->s.option,
                                  w->in,
                                  w->s.images,
                                  w->s.side,
                                  {out, 0, side, side * side, w->lanes_in}};
    k->resample(&p);
}

/* ---- attention ---- */

static void attention_setup(struct work *w)
{
    w->pixels = w->s.side * w->s.side;
    w->count = w->s.images * w->pixels * w->lanes_in;
    w->in = random_pixels(9, 3 * w->s.images * w->pixels, w->s.in);
    for (size_t i = 0; i < 3 * w->count; i++)
        w->in[i] *= 2; /* uneven weights */
}

static void attention_expect(const struct work *w)
{
    size_t lanes = w->lanes_in, step = 3 * lanes;
    double *weight = calloc(w->pixels, sizeof *weight);
    assert_non_null(weight);
    for (size_t q = 0; q < w->s.images * w->pixels; q++) {
        const float *image = w->in + q / w->pixels * w->pixels * step, *query = w->in + q * step;
        double sum = 0;
        for (size_t k = 0; k < w->pixels; k++) {
            double dot = 0;
            for (size_t c = 0; c < lanes; c++)
                dot += (double)query[c] * image[k * step + lanes + c];
            sum += weight[k] = exp(dot / sqrt((double)w->s.in));
        }
        for (size_t c = 0; c < lanes; c++) {
            double value = 0;
            for (size_t k = 0; k < w->pixels; k++)
                value += weight[k] / sum * image[k * step + 2 * lanes + c];
            w->expected[q * lanes + c] = (float)value;
        }
    }
    free(weight);
}

static void attention_run(const struct nn_kernels *k, const struct work *w, float *out)
{
    float *scratch = zeros(nn_attention_scratch(w->pixels, w->lanes_in));
    const struct nn_attention p = {w->in,       w->s.images, w->pixels, w->s.in,
                                   w->lanes_in, out,         scratch};
    k->attention(&p);
    free(scratch);
}

/* ---- any of them ---- */

static void setup(struct work *w)
{
    w->lanes_in = nn_lanes(w->s.in);
    w->lanes_skip = nn_lanes(w->s.skip);
    w->lanes_out = nn_lanes(w->s.out);
    switch (w->s.op) {
    case CONV:
    case WINOGRAD:
    case CONV_STRIDE_2:
    case POINT:
        product_setup(w);
        break;
    case NORM:
        norm_setup(w);
        break;
    case RESAMPLE:
        resample_setup(w);
        break;
    case ATTENTION:
        attention_setup(w);
        break;
    }
    w->expected = zeros(w->count);
}

static void expect(const struct work *w)
{
    switch (w->s.op) {
    case CONV:
    case WINOGRAD:
    case CONV_STRIDE_2:
    case POINT:
        product_expect(w);
        break;
    case NORM:
        for (size_t b = 0; b < w->s.images; b++)
            for (int g = 0; g < w->norm.groups; g++)
                norm_expect_group(w, b, g);
        break;
    case RESAMPLE:
        resample_expect(w);
        break;
    case ATTENTION:
        attention_expect(w);
        break;
    }
}

static void run(const struct nn_kernels *k, const struct work *w, float *out)
{
    switch (w->s.op) {
    case CONV:
    case WINOGRAD:
    case CONV_STRIDE_2:
    case POINT:
        product_run(k, w, out);
        break;
    case NORM:
        norm_run(k, w, out);
        break;
    case RESAMPLE:
        resample_run(k, w, out);
        break;
    case ATTENTION:
        attention_run(k, w, out);
        break;
    }
}

#endif
