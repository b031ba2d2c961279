/* The small operations of training and the table of the instruction set. The plain loops here are
 * element by element, so a compiler may widen them without touching a sum. */
#include "nn_grad_vector.h"
#include <math.h>
#include <string.h>

static void columns(const struct nn_target *src, size_t images, size_t side, float *out)
{
    for (size_t b = 0; b < images; b++, out += src->lanes)
        for (size_t c = 0; c < src->lanes; c += NN_LANES) {
            double sum[NN_LANES] = {0}, total[NN_LANES];
            float lanes[NN_LANES];
            for (size_t y = 0; y < side; y++) {
                const float *row = nn_target_row(src, b, y) + c;
                vec8 line = vec8_zero();
                for (size_t x = 0; x < side; x++, row += src->lanes)
                    line = vec8_add(line, vec8_load(row));
                vec8_store(lanes, line);
                for (size_t i = 0; i < NN_LANES; i++)
                    sum[i] += (double)lanes[i];
            }
            memcpy(total, sum, sizeof total);
            for (size_t i = 0; i < NN_LANES; i++)
                out[c + i] = (float)total[i];
        }
}

static void place(const float *src, float scale, size_t images, size_t side,
                  const struct nn_target *dst)
{
    size_t count = side * dst->lanes;
    for (size_t b = 0; b < images; b++)
        for (size_t y = 0; y < side; y++, src += count) {
            float *row = nn_target_row(dst, b, y);
            size_t i = 0;
            for (; i + VEC_WIDTH <= count; i += VEC_WIDTH)
                vec_store(row + i, vec_mul(vec_load(src + i), vec_set(scale)));
            if (i < count)
                vec_store_half(row + i, vec_mul(vec_load_half(src + i), vec_set(scale)));
        }
}

static void add(const float *src, float scale, size_t count, float *dst)
{
    for (size_t i = 0; i < count; i += VEC_WIDTH) {
        bool half = count - i < VEC_WIDTH;
        vec v = vec_fma(vec_load_part(src + i, half), vec_set(scale), vec_load_part(dst + i, half));
        vec_store_part(dst + i, v, half);
    }
}

static void dropout(const uint8_t *keep, float scale, size_t images, size_t side,
                    const struct nn_target *dst)
{
    size_t count = side * dst->lanes;
    for (size_t b = 0; b < images; b++)
        for (size_t y = 0; y < side; y++, keep += count) {
            float *row = nn_target_row(dst, b, y);
            for (size_t i = 0; i < count; i++)
                row[i] *= scale * (float)keep[i];
        }
}

static void silu_back(size_t count, const float *x, float *slope)
{
    for (size_t i = 0; i < count; i += VEC_WIDTH) {
        bool half = count - i < VEC_WIDTH;
        vec d = vec_silu_slope(vec_load_part(x + i, half));
        vec_store_part(slope + i, vec_mul(d, vec_load_part(slope + i, half)), half);
    }
}

/* Rows are padded to whole vectors, so the loops run over `length`. */
static void softmax(float *row, size_t count, size_t length, float scale)
{
    float lanes[VEC_WIDTH], max = -INFINITY, sum = 0;
    vec total = vec_zero();
    for (size_t k = 0; k < count; k++) {
        row[k] *= scale;
        max = row[k] > max ? row[k] : max;
    }
    for (size_t k = count; k < length; k++)
        row[k] = 0.0f;
    for (size_t k = 0; k < length; k += VEC_WIDTH)
        vec_store(row + k, vec_exp(vec_sub(vec_load(row + k), vec_set(max))));
    for (size_t k = count; k < length; k++)
        row[k] = 0.0f;
    for (size_t k = 0; k < length; k += VEC_WIDTH)
        total = vec_add(total, vec_load(row + k));
    vec_store(lanes, total);
    for (size_t i = 0; i < VEC_WIDTH; i++)
        sum += lanes[i];
    for (size_t k = 0; k < length; k += VEC_WIDTH)
        vec_store(row + k, vec_div(vec_load(row + k), vec_set(sum)));
}

static void softmax_back(const float *weights, float *slope, size_t count, float scale)
{
    double dot = 0;
    for (size_t k = 0; k < count; k++)
        dot += (double)weights[k] * (double)slope[k];
    for (size_t k = 0; k < count; k++)
        slope[k] = scale * weights[k] * (slope[k] - (float)dot);
}

#if NN_VECTOR_BITS == 512
const struct nn_grad_kernels nn_grad_kernels_avx512 = {
#else
const struct nn_grad_kernels nn_grad_kernels_lanes8 = {
#endif
    .outer = NN_VEC(outer),
    .conv_outer_scratch = NN_VEC(conv_outer_scratch),
    .conv_outer = NN_VEC(conv_outer),
    .norm = NN_VEC(norm_train),
    .norm_back = NN_VEC(norm_back),
    .columns = columns,
    .place = place,
    .add = add,
    .dropout = dropout,
    .silu_back = silu_back,
    .softmax = softmax,
    .softmax_back = softmax_back,
};
