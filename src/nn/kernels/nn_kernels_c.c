/* Portable C: the oracle that every other kernel is compared with. Plain loops in the order of the
 * formulas, single precision, no fused multiply-add; group norm's statistics in double. Where an
 * inner loop runs over channels it is so that a compiler may use vectors without reordering a sum.
 */
#include "nn_bf16.h"
#include "nn_kernels.h"
#include "nn_math.h"
#include <math.h>
#include <string.h>

/* ---- product: weights as [outputs / NN_LANES][inputs][NN_LANES] ---- */

static size_t pack_size(const struct nn_product_shape *shape)
{
    return shape->inputs * shape->outputs;
}

static void pack(const struct nn_product_shape *shape, const float *canonical, float *packed)
{
    for (size_t first = 0; first < shape->outputs; first += NN_LANES)
        for (size_t k = 0; k < shape->inputs; k++, packed += NN_LANES)
            memcpy(packed, canonical + k * shape->outputs + first, NN_LANES * sizeof *packed);
}

/* Four numbers with the operators of one, element by element (a GNU extension that every target
 * has): so the order of a sum stays in the source's hands, and no compiler has to guess it. */
typedef float four __attribute__((vector_size(16), aligned(4), may_alias));
#define FOURS (NN_LANES / 4)

/* Pixels whose sums advance side by side, so that an addition need not wait for the one before. */
#define TOGETHER 4

/* NN_LANES outputs from `first` on of each pixel: the bias, then k ascending. */
static void product_block(const struct nn_product *p, const size_t position[TOGETHER], size_t first,
                          const float *bias, float out[TOGETHER][NN_LANES])
{
    const four *w = (const four *)(p->packed + first * p->shape.inputs);
    four sum[TOGETHER][FOURS];
    for (size_t i = 0; i < TOGETHER; i++)
        memcpy(sum[i], bias + first, sizeof sum[i]);
    for (int s = 0; s < p->segments; s++) {
        const struct nn_segment *g = &p->segment[s];
        const float *in[TOGETHER];
        for (size_t i = 0; i < TOGETHER; i++)
            in[i] = g->base + position[i] * g->stride;
        for (size_t k = 0; k < g->length; k++, w += FOURS)
            for (size_t i = 0; i < TOGETHER; i++)
                for (size_t o = 0; o < FOURS; o++)
                    sum[i][o] += in[i][k] * w[o];
    }
    memcpy(out, sum, sizeof sum);
}

/* Up to TOGETHER pixels of one row, `pixel` being the first one's number in the output. */
static void product_pixels(const struct nn_product *p, const size_t position[TOGETHER],
                           size_t count, size_t image, size_t pixel)
{
    size_t outputs = p->shape.outputs;
    float sum[TOGETHER][NN_LANES];
    for (size_t first = 0; first < outputs; first += NN_LANES) {
        product_block(p, position, first, p->bias + image * p->bias_step, sum);
        for (size_t i = 0; i < count; i++) {
            size_t at = (pixel + i) * outputs + first;
            for (size_t o = 0; o < NN_LANES; o++)
                p->out[at + o] =
                    p->residual ? (sum[i][o] + p->residual[at + o]) * p->scale : sum[i][o];
        }
    }
}

/* Plain sums only: they are what the others are measured by. */
static bool winograd(size_t inputs, size_t outputs, size_t side)
{
    (void)inputs;
    (void)outputs;
    (void)side;
    return false;
}

static size_t product_scratch(const struct nn_product_shape *shape)
{
    (void)shape;
    return 0;
}

static void product(const struct nn_product *p)
{
    size_t pixel = 0;
    for (size_t b = 0; b < p->images; b++)
        for (size_t y = 0; y < p->height; y++)
            for (size_t x = 0; x < p->width; x += TOGETHER) {
                size_t left = p->width - x, count = left < TOGETHER ? left : TOGETHER;
                size_t position[TOGETHER];
                for (size_t i = 0; i < TOGETHER; i++)
                    position[i] =
                        b * p->in_image + y * p->in_row + (x + (i < count ? i : 0)) * p->in_step;
                product_pixels(p, position, count, b, pixel);
                pixel += count;
            }
}

/* ---- bf16 ---- */

static void tile_put(const struct nn_tile_target *t, size_t at, float v)
{
    t->out[at] = nn_bf16_round(v);
    if (t->terms == 3)
        t->out[t->plane + at] = nn_bf16_low(v);
}

/* One pixel, whose place is `at`. */
static void split_pixel(const struct nn_split *p, size_t pixel, size_t at)
{
    size_t end = at + p->target.lanes;
    for (int k = 0; k < p->parts; k++) {
        const float *src = p->part[k].src + pixel * p->part[k].step;
        for (size_t c = 0; c < p->part[k].lanes; c++)
            tile_put(&p->target, at++, src[c]);
    }
    while (at < end)
        tile_put(&p->target, at++, 0.0f);
}

static size_t split_units(const void *op)
{
    const struct nn_split *p = op;
    return p->images * p->height;
}

/* A unit is a row of an image. */
static void split_share(const void *op, struct nn_share *share)
{
    const struct nn_split *p = op;
    for (size_t unit = share->first; unit < share->last; unit++) {
        size_t at = nn_tile_target_row(&p->target, unit / p->height, unit % p->height);
        for (size_t x = 0; x < p->width; x++)
            split_pixel(p, unit * p->width + x, at + x * p->target.lanes);
    }
}

static void split(const struct nn_split *p)
{
    struct nn_share all = {.last = split_units(p)};
    split_share(p, &all);
}

/* ---- group norm ---- */

void nn_group_sums(const struct nn_norm_weights *weights, const struct nn_norm_part *part,
                   int parts, size_t pixels, size_t image, const double *mean, double *sum)
{
    const int32_t *group = weights->group;
    size_t first = 0;
    memset(sum, 0, NN_GROUPS_MAX * sizeof *sum);
    for (int k = 0; k < parts; k++) {
        size_t lanes = part[k].lanes;
        const float *src = part[k].src + image * pixels * lanes;
        for (size_t i = 0; i < pixels; i++, src += lanes)
            for (size_t c = 0; c < lanes; c++) {
                int32_t g = group[first + c];
                if (g >= 0)
                    sum[g] += mean ? (src[c] - mean[g]) * (src[c] - mean[g]) : src[c];
            }
        first += lanes;
    }
}

/* What takes x to (x - mean) / sqrt(variance + eps) · gamma + beta: x · scale + shift. */
static void norm_affine(const struct nn_norm *p, size_t image, double *scale, double *shift)
{
    const struct nn_norm_weights *w = p->weights;
    double mean[NN_GROUPS_MAX], squares[NN_GROUPS_MAX];
    double count = (double)(p->side * p->side) * w->group_size;
    nn_group_sums(w, p->part, p->parts, p->side * p->side, image, NULL, mean);
    for (int g = 0; g < w->groups; g++)
        mean[g] /= count;
    nn_group_sums(w, p->part, p->parts, p->side * p->side, image, mean, squares);
    for (size_t c = 0; c < w->lanes; c++) {
        int32_t g = w->group[c];
        scale[c] = g < 0 ? 0 : w->gamma[c] / sqrt(squares[g] / count + NN_NORM_EPSILON);
        shift[c] = g < 0 ? 0 : w->beta[c] - mean[g] * scale[c];
    }
}

/* Channels that are normalised at once, so that a compiler may use vectors for them. */
#define AT_ONCE 64

/* out[c] = in[c] · scale[c] + shift[c], or its SiLU; up to AT_ONCE numbers, out another array. */
static void norm_channels(size_t count, const float *in, const double *scale, const double *shift,
                          bool with_silu, float out[AT_ONCE])
{
    for (size_t c = 0; c < count; c++)
        out[c] = in[c] * (float)scale[c] + (float)shift[c];
    for (size_t c = 0; with_silu && c < count; c++)
        out[c] = nn_silu(out[c]);
}

/* One part of one image, normalised by scale[c] x + shift[c]. */
static void norm_apply(const struct nn_norm *p, int part, size_t image, size_t first,
                       const double *scale, const double *shift)
{
    const struct nn_tile_target *tiles = p->tiles;
    size_t lanes = p->part[part].lanes, next = tiles ? tiles->lanes : p->target.lanes;
    const float *src = p->part[part].src + image * p->side * p->side * lanes;
    for (size_t y = 0; y < p->side; y++) {
        float *row = tiles ? NULL : nn_target_row(&p->target, image, y) + first;
        size_t at = tiles ? nn_tile_target_row(tiles, image, y) + first : 0;
        for (size_t x = 0; x < p->side; x++, src += lanes, at += next)
            for (size_t c = 0; c < lanes; c += AT_ONCE) {
                size_t count = lanes - c < AT_ONCE ? lanes - c : AT_ONCE;
                float v[AT_ONCE];
                norm_channels(count, src + c, scale + first + c, shift + first + c, p->silu, v);
                for (size_t i = 0; tiles && i < count; i++)
                    tile_put(tiles, at + c + i, v[i]);
                if (row)
                    memcpy(row + x * next + c, v, count * sizeof *v);
            }
    }
}

/* Zeros behind the last channel. */
static void norm_pad(const struct nn_norm *p, size_t image)
{
    for (size_t i = 0; i < p->side * p->side; i++) {
        size_t at =
            nn_tile_target_row(p->tiles, image, i / p->side) + i % p->side * p->tiles->lanes;
        for (size_t c = p->weights->lanes; c < p->tiles->lanes; c++)
            tile_put(p->tiles, at + c, 0.0f);
    }
}

static void norm(const struct nn_norm *p)
{
    double *scale = p->scratch, *shift = p->scratch + p->weights->lanes;
    for (size_t b = 0; b < p->images; b++) {
        norm_affine(p, b, scale, shift);
        size_t first = 0;
        for (int k = 0; k < p->parts; k++) {
            norm_apply(p, k, b, first, scale, shift);
            first += p->part[k].lanes;
        }
        if (p->tiles)
            norm_pad(p, b);
    }
}

/* ---- resampling ---- */

/* Pixel (y,x) of an image, or zeros outside it. */
static const float *pixel_at(const struct nn_resample *p, size_t image, long y, long x)
{
    static const float zeros[2 * NN_CHANNELS_MAX];
    long side = (long)p->side;
    if (y < 0 || x < 0 || y >= side || x >= side)
        return zeros;
    return p->src + ((image * p->side + (size_t)y) * p->side + (size_t)x) * p->target.lanes;
}

static void resample_pixel(const struct nn_resample *p, size_t image, size_t y, size_t x,
                           float *out)
{
    float wy[4], wx[4];
    long y0, x0;
    int ny = nn_resample_taps(p->kind, y, &y0, wy), nx = nn_resample_taps(p->kind, x, &x0, wx);
    for (size_t c = 0; c < p->target.lanes; c++) {
        float sum = 0;
        for (int i = 0; i < ny; i++)
            for (int j = 0; j < nx; j++)
                sum += wy[i] * wx[j] * pixel_at(p, image, y0 + i, x0 + j)[c];
        out[c] = sum;
    }
}

static void resample(const struct nn_resample *p)
{
    size_t side = nn_resample_side(p->kind, p->side);
    for (size_t b = 0; b < p->images; b++)
        for (size_t y = 0; y < side; y++) {
            float *row = nn_target_row(&p->target, b, y);
            for (size_t x = 0; x < side; x++)
                resample_pixel(p, b, y, x, row + x * p->target.lanes);
        }
}

/* ---- attention ---- */

void nn_softmax(float *row, size_t count, size_t length, float scale)
{
    float max = -INFINITY, sum = 0;
    for (size_t k = 0; k < count; k++) {
        row[k] *= scale;
        max = row[k] > max ? row[k] : max;
    }
    for (size_t k = 0; k < count; k++)
        row[k] = nn_exp(row[k] - max);
    for (size_t k = 0; k < count; k++)
        sum += row[k];
    for (size_t k = 0; k < length; k++)
        row[k] = k < count ? row[k] / sum : 0.0f;
}

/* One query against all keys of its image: softmax(q · k / sqrt(channels)) v. */
static void attend(const struct nn_attention *p, const float *query, const float *image,
                   float *weights, float *out)
{
    size_t lanes = p->lanes, step = 3 * lanes;
    for (size_t k = 0; k < p->pixels; k++) {
        const float *key = image + k * step + lanes;
        float dot = 0;
        for (size_t c = 0; c < lanes; c++)
            dot += query[c] * key[c];
        weights[k] = dot;
    }
    nn_softmax(weights, p->pixels, p->pixels, 1.0f / sqrtf((float)p->channels));
    memset(out, 0, lanes * sizeof *out);
    for (size_t k = 0; k < p->pixels; k++) {
        const float *value = image + k * step + 2 * lanes;
        for (size_t c = 0; c < lanes; c++)
            out[c] += weights[k] * value[c];
    }
}

static void attention(const struct nn_attention *p)
{
    size_t step = 3 * p->lanes;
    for (size_t b = 0; b < p->images; b++) {
        const float *image = p->qkv + b * p->pixels * step;
        for (size_t q = 0; q < p->pixels; q++)
            attend(p, image + q * step, image, p->scratch, p->out + (b * p->pixels + q) * p->lanes);
    }
}

static void silu(size_t count, const float *in, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = nn_silu(in[i]);
}

const struct nn_kernels nn_kernels_c = {
    .id = "c.1",
    .winograd = winograd,
    .pack_size = pack_size,
    .pack = pack,
    .product_scratch = product_scratch,
    .product = product,
    .norm = norm,
    .resample = resample,
    .attention = attention,
    .silu = silu,
    .softmax = nn_softmax,
    .split = split,
    .split_sharing = {split_units, split_share},
};
