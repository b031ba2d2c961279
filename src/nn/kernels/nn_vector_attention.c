/* Attention through the product kernel, and the table of the instruction set.
 *
 * A block of queries at a time: its scores against all keys are a product with the keys transposed,
 * softmax runs over each row of scores, and the result is a product with the values where they lie.
 * So the scores of a large image never exist whole. */
#include "nn_vector.h"
#include <math.h>

/* keys [pixels][3 · lanes] to [lanes][row], zeros behind the last key. */
static void transpose_keys(const struct nn_attention *p, const float *keys, size_t row, float *out)
{
    size_t step = 3 * p->lanes;
    for (size_t c = 0; c < p->lanes; c += NN_LANES)
        for (size_t k = 0; k < row; k++)
            for (size_t i = 0; i < NN_LANES; i++)
                out[(c + i) * row + k] = k < p->pixels ? keys[k * step + c + i] : 0.0f;
}

/* One row of scores to weights: exp(scale · score - max) / Σ, over a multiple of VEC_WIDTH numbers
 * of which those from `count` on are padding. Lanes' sums are added in the order of lanes. */
static void softmax_row(float *row, size_t count, size_t length, float scale)
{
    float lanes[VEC_WIDTH], max = -INFINITY, sum = 0;
    vec largest = vec_set(-INFINITY), total = vec_zero();
    for (size_t k = count; k < length; k++)
        row[k] = -INFINITY;
    for (size_t k = 0; k < length; k += VEC_WIDTH) {
        vec score = vec_mul(vec_load(row + k), vec_set(scale));
        vec_store(row + k, score);
        largest = vec_max(score, largest);
    }
    vec_store(lanes, largest);
    for (size_t i = 0; i < VEC_WIDTH; i++)
        max = lanes[i] > max ? lanes[i] : max;
    for (size_t k = 0; k < length; k += VEC_WIDTH) {
        vec weight = vec_exp(vec_sub(vec_load(row + k), vec_set(max)));
        vec_store(row + k, weight);
        total = vec_add(total, weight);
    }
    vec_store(lanes, total);
    for (size_t i = 0; i < VEC_WIDTH; i++)
        sum += lanes[i];
    for (size_t k = 0; k < length; k += VEC_WIDTH)
        vec_store(row + k, vec_div(vec_load(row + k), vec_set(sum)));
}

/* out [queries][outputs] = in [queries][inputs] · weights [inputs][row_step]. */
static void multiply(const float *in, size_t stride, size_t inputs, size_t queries,
                     const float *weights, size_t row_step, const float *zeros, size_t outputs,
                     float *out)
{
    const struct nn_product p = {.shape = {NN_PRODUCT_POINT, inputs, outputs},
                                 .bias = zeros,
                                 .segments = 1,
                                 .segment = {{in, stride, inputs}},
                                 .in_row = queries,
                                 .in_image = queries,
                                 .in_step = 1,
                                 .images = 1,
                                 .height = 1,
                                 .width = queries,
                                 .scale = 1.0f,
                                 .out = out};
    const struct nn_panels w = {weights, 1, row_step};
    NN_VEC(panels)(&p, &w);
}

static size_t query_blocks(const struct nn_attention *p)
{
    return (p->pixels + NN_ATTENTION_BLOCK - 1) / NN_ATTENTION_BLOCK;
}

/* One block of queries of an image. Scratch: zeros for a bias, the keys transposed (which stay for
 * the image's other blocks), and a block of scores. */
static void attend(const struct nn_attention *p, size_t image, size_t block, struct nn_share *share)
{
    size_t row = nn_attention_row(p->pixels), step = 3 * p->lanes;
    size_t bias = nn_attention_bias(p->pixels, p->lanes), q = block * NN_ATTENTION_BLOCK;
    size_t left = p->pixels - q, count = left < NN_ATTENTION_BLOCK ? left : NN_ATTENTION_BLOCK;
    const float *in = p->qkv + image * p->pixels * step;
    float *zeros = share->scratch, *keys = zeros + bias, *scores = keys + p->lanes * row;
    if (share->held != image + 1) {
        memset(zeros, 0, bias * sizeof *zeros);
        transpose_keys(p, in + p->lanes, row, keys);
        share->held = image + 1;
    }
    multiply(in + q * step, step, p->lanes, count, keys, row, zeros, row, scores);
    float scale = 1.0f / sqrtf((float)p->channels);
    for (size_t i = 0; i < count; i++)
        softmax_row(scores + i * row, p->pixels, row, scale);
    multiply(scores, row, p->pixels, count, in + 2 * p->lanes, step, zeros, p->lanes,
             p->out + (image * p->pixels + q) * p->lanes);
}

static size_t attention_units(const void *op)
{
    const struct nn_attention *p = op;
    return p->images * query_blocks(p);
}

static void attention_share(const void *op, struct nn_share *share)
{
    const struct nn_attention *p = op;
    size_t blocks = query_blocks(p);
    for (size_t unit = share->first; unit < share->last; unit++)
        attend(p, unit / blocks, unit % blocks, share);
}

void NN_VEC(attention)(const struct nn_attention *p)
{
    struct nn_share all = {.last = attention_units(p), .scratch = p->scratch};
    attention_share(p, &all);
}

#if NN_VECTOR_BITS == 512
const struct nn_kernels nn_kernels_avx512 = {
    .id = "avx512.3",
#else
const struct nn_kernels nn_kernels_lanes8 = {
    .id = "lanes8.3",
#endif
    .winograd = NN_VEC(winograd),
    .pack_size = NN_VEC(pack_size),
    .pack = NN_VEC(pack),
    .product_scratch = NN_VEC(product_scratch),
    .product = NN_VEC(product),
    .norm = NN_VEC(norm),
    .resample = NN_VEC(resample),
    .attention = NN_VEC(attention),
    .silu = NN_VEC(silu),
    .softmax = softmax_row,
    .split = NN_VEC(split),
    .product_sharing = {NN_VEC(product_units), NN_VEC(product_share)},
    .norm_sharing = {NN_VEC(norm_units), NN_VEC(norm_share)},
    .resample_sharing = {NN_VEC(resample_units), NN_VEC(resample_share)},
    .attention_sharing = {attention_units, attention_share},
    .split_sharing = {NN_VEC(split_units), NN_VEC(split_share)},
};
