/* The gradient of attention, image by image and a block of queries at a time, so that the
 * scores of a large image never exist whole.
 *
 * With P the weights of a block's queries, O = P V, S = Q Kᵀ:
 *     dV += Pᵀ dO,   dP = dO Vᵀ,   dS = softmax's gradient,   dQ = dS K,   dK += dSᵀ Q.
 * P is computed anew from queries and keys. Products go through the product kernel, packed for each
 * image; sums over queries through the outer-product kernel. */
#include "nn_grad_net.h"
#include <math.h>
#include <string.h>

/* Scratch, all multiples of 16 floats: matrices of one image and rows of one block. */
struct scratch {
    size_t row;                         /* scores of a query, padded */
    float *canonical;                   /* a matrix before packing */
    float *keys_across, *values_across; /* packed [lanes][row] */
    float *keys;                        /* packed [row][lanes] */
    float *weights, *slopes;            /* [block][row] */
    float *queries;                     /* [block][lanes], gradients */
    float *key_slope, *value_slope;     /* [row][lanes] */
    float *zeros;                       /* [row or lanes], the products' bias */
};

/* A product's bias is as long as its row of results, which are scores of pixels or lanes. */
static size_t bias_floats(size_t row, size_t lanes)
{
    return row > lanes ? row : lanes;
}

size_t nn_grad_attention_scratch(size_t pixels, size_t lanes)
{
    size_t row = nn_attention_row(pixels);
    return row * lanes * 6 + 2 * NN_ATTENTION_BLOCK * row + NN_ATTENTION_BLOCK * lanes +
           bias_floats(row, lanes) + 10 * 16;
}

static float *cut(float **at, size_t count)
{
    float *here = *at;
    *at += (count + 15) / 16 * 16;
    return here;
}

static struct scratch lay(float *at, size_t pixels, size_t lanes)
{
    struct scratch s = {.row = nn_attention_row(pixels)};
    s.canonical = cut(&at, s.row * lanes);
    s.keys_across = cut(&at, s.row * lanes);
    s.values_across = cut(&at, s.row * lanes);
    s.keys = cut(&at, s.row * lanes);
    s.weights = cut(&at, NN_ATTENTION_BLOCK * s.row);
    s.slopes = cut(&at, NN_ATTENTION_BLOCK * s.row);
    s.queries = cut(&at, NN_ATTENTION_BLOCK * lanes);
    s.key_slope = cut(&at, s.row * lanes);
    s.value_slope = cut(&at, s.row * lanes);
    s.zeros = cut(&at, bias_floats(s.row, lanes));
    return s;
}

/* Packs pixels × lanes numbers (rows `step` apart) as [row][lanes], or across as [lanes][row]. */
static void pack_pixels(const struct nn_grad *g, const struct scratch *s, const float *src,
                        size_t step, size_t pixels, size_t lanes, bool across, float *packed)
{
    const struct nn_product_shape shape = {NN_PRODUCT_POINT, across ? lanes : s->row,
                                           across ? s->row : lanes};
    memset(s->canonical, 0, s->row * lanes * sizeof *s->canonical);
    for (size_t k = 0; k < pixels; k++)
        for (size_t c = 0; c < lanes; c++)
            s->canonical[across ? c * s->row + k : k * lanes + c] = src[k * step + c];
    g->kernels->pack(&shape, s->canonical, packed);
}

/* out [rows][outputs] = in [rows, step apart][inputs] · packed. */
static void multiply(const struct nn_grad *g, const struct scratch *s, const float *in, size_t step,
                     size_t rows, size_t inputs, size_t outputs, const float *packed, float *out)
{
    const struct nn_product p = {.shape = {NN_PRODUCT_POINT, inputs, outputs},
                                 .packed = packed,
                                 .bias = s->zeros,
                                 .segments = 1,
                                 .segment = {{in, step, inputs}},
                                 .in_image = rows,
                                 .in_row = rows,
                                 .in_step = 1,
                                 .images = 1,
                                 .height = 1,
                                 .width = rows,
                                 .scale = 1.0f,
                                 .out = out};
    g->kernels->product(&p);
}

/* sum [row][lanes] += Σ over the block's queries of weights[·] · slope[·], slopes `step` apart. */
static void sum_queries(const struct nn_grad *g, const float *weights, size_t row, size_t queries,
                        const float *slope, size_t step, size_t lanes, float *copy, float *sum)
{
    for (size_t i = 0; i < queries; i++)
        memcpy(copy + i * lanes, slope + i * step, lanes * sizeof *copy);
    const struct nn_outer o = {.segments = 1,
                               .segment = {{weights, row, row}},
                               .in_image = queries,
                               .in_row = queries,
                               .in_step = 1,
                               .images = 1,
                               .height = 1,
                               .width = queries,
                               .slope = {copy, 0, queries, queries, lanes},
                               .sum = sum};
    g->grad->outer(&o);
}

static void block_back(const struct nn_grad *g, const struct nn_attention *a,
                       const struct scratch *s, const float *query, const float *slope,
                       size_t count, float *query_slope)
{
    size_t step = 3 * a->lanes, lanes = a->lanes;
    float scale = 1.0f / sqrtf((float)a->channels);
    multiply(g, s, query, step, count, lanes, s->row, s->keys_across, s->weights);
    for (size_t i = 0; i < count; i++)
        g->grad->softmax(s->weights + i * s->row, a->pixels, s->row, scale);
    sum_queries(g, s->weights, s->row, count, slope, lanes, lanes, s->queries, s->value_slope);
    multiply(g, s, slope, lanes, count, lanes, s->row, s->values_across, s->slopes);
    for (size_t i = 0; i < count; i++) /* beyond the last pixel both are zero */
        g->grad->softmax_back(s->weights + i * s->row, s->slopes + i * s->row, s->row, scale);
    sum_queries(g, s->slopes, s->row, count, query, step, lanes, s->queries, s->key_slope);
    multiply(g, s, s->slopes, s->row, count, s->row, lanes, s->keys, s->queries);
    for (size_t i = 0; i < count; i++)
        memcpy(query_slope + i * step, s->queries + i * lanes, lanes * sizeof *query_slope);
}

static void image_back(const struct nn_grad *g, const struct nn_attention *a, const float *qkv,
                       const float *slope, float *qkv_slope)
{
    size_t lanes = a->lanes, step = 3 * lanes;
    struct scratch s = lay(a->scratch, a->pixels, lanes);
    pack_pixels(g, &s, qkv + lanes, step, a->pixels, lanes, true, s.keys_across);
    pack_pixels(g, &s, qkv + lanes, step, a->pixels, lanes, false, s.keys);
    pack_pixels(g, &s, qkv + 2 * lanes, step, a->pixels, lanes, true, s.values_across);
    memset(s.zeros, 0, bias_floats(s.row, lanes) * sizeof *s.zeros);
    memset(s.key_slope, 0, s.row * lanes * sizeof *s.key_slope);
    memset(s.value_slope, 0, s.row * lanes * sizeof *s.value_slope);
    for (size_t q = 0; q < a->pixels; q += NN_ATTENTION_BLOCK) {
        size_t left = a->pixels - q, count = left < NN_ATTENTION_BLOCK ? left : NN_ATTENTION_BLOCK;
        block_back(g, a, &s, qkv + q * step, slope + q * lanes, count, qkv_slope + q * step);
    }
    for (size_t k = 0; k < a->pixels; k++) {
        memcpy(qkv_slope + k * step + lanes, s.key_slope + k * lanes, lanes * sizeof *qkv_slope);
        memcpy(qkv_slope + k * step + 2 * lanes, s.value_slope + k * lanes,
               lanes * sizeof *qkv_slope);
    }
}

/* `slope` [images][pixels][lanes] at the result, `qkv_slope` [images][pixels][3 · lanes], out. */
void nn_grad_attention_back(const struct nn_grad_pass *p, const struct nn_attention *a,
                            const float *slope, float *qkv_slope)
{
    size_t pixels = a->pixels, step = 3 * a->lanes;
    for (size_t b = 0; b < a->images; b++)
        image_back(p->g, a, a->qkv + b * pixels * step, slope + b * pixels * a->lanes,
                   qkv_slope + b * pixels * step);
}
