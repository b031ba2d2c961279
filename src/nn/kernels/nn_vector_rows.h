/* The products between Winograd's transforms: one plane's rows by that plane's weights, for
 * nn_vector_winograd.c, compiled once for each body like it.
 *
 * The weights are a stream from far away, of which each number is used for a block of tiles and not
 * again. A processor's own prefetching ends with a page of 4 KiB, so what comes next is asked for
 * here. */
#ifndef NN_VECTOR_ROWS_H
#define NN_VECTOR_ROWS_H

#include "nn_vector_tile.h"

#define CACHE_LINE 64
/* Bytes of one plane's weights, below which those of all planes stay near. */
#define FETCH_MIN 16384

/* Rows of a plane: in [count][inputs] · weights [inputs][width] to out [count][width]. What comes
 * next is asked for meanwhile: the weights of the next plane, `lines` cache lines for every four
 * inputs, and the rows behind these. A processor does so by itself within a page of 4 KiB alone. */
struct rows {
    const float *in, *weights;
    float *out;
    size_t inputs, width;
    const char *next;
    size_t lines; /* 0: all is near */
};

NN_INLINE void rows_fetch(const struct rows *r, int pixels, size_t k)
{
    const char *next = r->next + k / 4 * r->lines * CACHE_LINE;
    const char *in = (const char *)(r->in + (size_t)pixels * (r->inputs + k));
    for (size_t i = 0; i < r->lines; i++)
        __builtin_prefetch(next + i * CACHE_LINE, 0, 2);
    for (int i = 0; i < 4 * pixels; i += CACHE_LINE / 4)
        __builtin_prefetch(in + i * 4, 0, 3);
}

NN_INLINE void rows_multiply(const struct rows *r, int pixels, int vectors, bool half)
{
    vec acc[TILE_MAX][BLOCK_VECTORS];
    vec8 tail[TILE_MAX];
    const float *in[TILE_MAX], *w = r->weights;
    UNROLL
    for (int i = 0; i < pixels; i++) {
        UNROLL
        for (int v = 0; v < vectors; v++)
            acc[i][v] = vec_zero();
        tail[i] = vec8_zero();
        in[i] = r->in + (size_t)i * r->inputs;
    }
    for (size_t k = 0; k < r->inputs; k += 4, w += 4 * r->width) {
        if (r->lines > 0)
            rows_fetch(r, pixels, k);
        UNROLL
        for (size_t j = 0; j < 4; j++)
            tile_step(pixels, vectors, half, in, k + j, w + j * r->width, acc, tail);
    }
    UNROLL
    for (int i = 0; i < pixels; i++) {
        float *out = r->out + (size_t)i * r->width;
        UNROLL
        for (int v = 0; v < vectors; v++)
            vec_store(out + v * VEC_WIDTH, acc[i][v]);
        if (half)
            vec8_store(out + vectors * VEC_WIDTH, tail[i]);
    }
}

#define DEFINE_ROWS(name, pixels, vectors, half)                                                   \
    static void name##_full(const struct rows *r)                                                  \
    {                                                                                              \
        rows_multiply(r, pixels, vectors, half);                                                   \
    }                                                                                              \
    static void name##_part(const struct rows *r)                                                  \
    {                                                                                              \
        rows_multiply(r, pixels / 2, vectors, half);                                               \
    }                                                                                              \
    static void name##_one(const struct rows *r)                                                   \
    {                                                                                              \
        rows_multiply(r, 1, vectors, half);                                                        \
    }
#define LIST_ROWS(name, pixels, vectors, half) {pixels, name##_full, name##_part, name##_one},

TILE_WIDTHS(DEFINE_ROWS)

static const struct {
    size_t pixels;
    void (*full)(const struct rows *r);
    void (*part)(const struct rows *r);
    void (*one)(const struct rows *r);
} widths[] = {TILE_WIDTHS(LIST_ROWS)};

/* `left` rows, by P, P / 2 or one at a time. What is left is rounded up to one of these: the
 * planes have the room, since a block is a multiple of P / 2, and what a row beyond the last holds
 * reaches no other row. */
static void multiply_rows(struct rows r, size_t left)
{
    size_t which = r.width / NN_LANES - 1, pixels = widths[which].pixels;
    size_t lines = r.inputs * r.width * sizeof(float) / CACHE_LINE;
    size_t steps = (left + pixels - 1) / pixels * (r.inputs / 4);
    r.next = (const char *)(r.weights + r.inputs * r.width);
    bool far = steps > 0 && lines * CACHE_LINE >= FETCH_MIN;
    r.lines = far ? (lines + steps - 1) / steps : 0;
    while (left > 0) {
        size_t step = left == 1 ? 1 : left <= pixels / 2 ? pixels / 2 : pixels;
        (step == 1        ? widths[which].one
         : step == pixels ? widths[which].full
                          : widths[which].part)(&r);
        r.next += r.inputs / 4 * r.lines * CACHE_LINE;
        r.in += step * r.inputs;
        r.out += step * r.width;
        left -= step < left ? step : left;
    }
}

#endif
