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
static void softmax_row(float *row, size_t length, size_t count, float scale)
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

/* Scratch: zeros for a bias, the keys transposed, and a block of scores. */
static void attend_image(const struct nn_attention *p, const float *image, float *out)
{
    size_t row = nn_attention_row(p->pixels), step = 3 * p->lanes;
    size_t bias = nn_attention_bias(p->pixels, p->lanes);
    float *zeros = p->scratch, *keys = zeros + bias, *scores = keys + p->lanes * row;
    float scale = 1.0f / sqrtf((float)p->channels);
    memset(zeros, 0, bias * sizeof *zeros);
    transpose_keys(p, image + p->lanes, row, keys);
    for (size_t q = 0; q < p->pixels; q += NN_ATTENTION_BLOCK) {
        size_t left = p->pixels - q, count = left < NN_ATTENTION_BLOCK ? left : NN_ATTENTION_BLOCK;
        multiply(image + q * step, step, p->lanes, count, keys, row, zeros, row, scores);
        for (size_t i = 0; i < count; i++)
            softmax_row(scores + i * row, row, p->pixels, scale);
        multiply(scores, row, p->pixels, count, image + 2 * p->lanes, step, zeros, p->lanes,
                 out + q * p->lanes);
    }
}

void NN_VEC(attention)(const struct nn_attention *p)
{
    for (size_t b = 0; b < p->images; b++)
        attend_image(p, p->qkv + b * p->pixels * 3 * p->lanes, p->out + b * p->pixels * p->lanes);
}

#if NN_VECTOR_BITS == 512
const struct nn_kernels nn_kernels_avx512 = {
    .id = "avx512.1",
#else
const struct nn_kernels nn_kernels_avx2 = {
    .id = "avx2.1",
#endif
    .pack_size = NN_VEC(pack_size),
    .pack = NN_VEC(pack),
    .product = NN_VEC(product),
    .norm = NN_VEC(norm),
    .resample = NN_VEC(resample),
    .attention = NN_VEC(attention),
    .silu = NN_VEC(silu),
};
