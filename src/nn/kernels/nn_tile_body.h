/* The tile layer: sums of a block of rows × 32 columns, and one step of 32 numbers along k, by four
 * operations (zero, load, multiply and add, store) with three bodies. nn_tile_product.c is compiled
 * once for each: NN_TILE_BODY is 0 for plain C in the order of AVX512-BF16, 1 for plain C in the
 * order of AMX, 2 for AVX512-BF16 and 3 for AMX.
 *
 * A body says how many rows a block has (ROWS, and HALF of them for what is left) and defines
 *   struct block, the sums, where they do not live in registers that have no name in C;
 *   body_begin() and body_end(), around the blocks that a thread makes in one go;
 *   block_zero, block_step and block_store for `rows` rows, ROWS or HALF, known at compile time.
 * block_step adds A · B: A's row i is the 32 numbers at a + i · stride, B is a step of packed
 * weights (nn_tile.h). block_store writes rows of 32.
 *
 * AMX's tiles 0 to 3 are the sums, 4 and 5 rows, 6 and 7 columns. Their shape is configured for
 * each go and released after it, so that a thread which does something else in between keeps no
 * tile state that the kernel would have to save. */
#ifndef NN_TILE_BODY_H
#define NN_TILE_BODY_H

#include "nn_tile.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

#if NN_TILE_BODY == 3

#include <immintrin.h>

#define TILES nn_tiles_amx
#define RATE 16
#define ROWS 32
#define HALF 16

struct block {
    int unused;
};

INLINE void body_begin(void)
{
    _tile_loadconfig(&nn_tile_shape);
}

INLINE void body_end(void)
{
    _tile_release();
}

INLINE void block_zero(struct block *b, int rows)
{
    (void)b;
    (void)rows;
    /* The intrinsics do not tell the compiler that they read memory. */
    __asm__ volatile("" ::: "memory");
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

INLINE void block_step(struct block *b, const uint16_t *a, size_t stride, const uint16_t *w,
                       int rows)
{
    (void)b;
    _tile_loadd(4, a, stride * sizeof *a);
    _tile_loadd(6, w, 64);
    _tile_loadd(7, w + NN_TILE_STEP / 2, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if (rows == ROWS) {
        _tile_loadd(5, a + 16 * stride, stride * sizeof *a);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
}

INLINE void block_store(const struct block *b, float out[][NN_TILE_PANEL], int rows)
{
    (void)b;
    _tile_stored(0, out[0], sizeof out[0]);
    _tile_stored(1, out[0] + NN_TILE_COLUMNS, sizeof out[0]);
    if (rows == ROWS) {
        _tile_stored(2, out[16], sizeof out[0]);
        _tile_stored(3, out[16] + NN_TILE_COLUMNS, sizeof out[0]);
    }
}

#elif NN_TILE_BODY == 2

#include <immintrin.h>

#define TILES nn_tiles_avx512
#define RATE 2
#define ROWS 12
#define HALF 6

/* Two numbers of a row, which begins at a multiple of four bytes. */
typedef int pair_bits __attribute__((may_alias));

struct block {
    __m512 sum[ROWS][2];
};

#define body_begin()
#define body_end()

INLINE void block_zero(struct block *b, int rows)
{
    UNROLL
    for (int i = 0; i < rows; i++)
        b->sum[i][0] = b->sum[i][1] = _mm512_setzero_ps();
}

/* The barrier keeps the compiler from holding one step's numbers for the next, which reads some of
 * them again: there is no register left for them. */
INLINE void block_step(struct block *b, const uint16_t *a, size_t stride, const uint16_t *w,
                       int rows)
{
    __asm__ volatile("" ::: "memory");
    _Pragma("GCC unroll 4") for (int k = 0; k < NN_TILE_DEPTH / 2; k++)
    {
        const uint16_t *pairs = w + k * 2 * NN_TILE_COLUMNS;
        __m512bh first = (__m512bh)_mm512_loadu_si512(pairs);
        __m512bh second = (__m512bh)_mm512_loadu_si512(pairs + NN_TILE_STEP / 2);
        UNROLL
        for (int i = 0; i < rows; i++) {
            const pair_bits *pair = (const pair_bits *)(const void *)(a + (size_t)i * stride) + k;
            __m512bh x = (__m512bh)_mm512_set1_epi32(*pair);
            b->sum[i][0] = _mm512_dpbf16_ps(b->sum[i][0], x, first);
            b->sum[i][1] = _mm512_dpbf16_ps(b->sum[i][1], x, second);
        }
    }
}

INLINE void block_store(const struct block *b, float out[][NN_TILE_PANEL], int rows)
{
    UNROLL
    for (int i = 0; i < rows; i++) {
        _mm512_storeu_ps(out[i], b->sum[i][0]);
        _mm512_storeu_ps(out[i] + NN_TILE_COLUMNS, b->sum[i][1]);
    }
}

#else /* plain C */

#define RATE 1
#if NN_TILE_BODY == 1
#define TILES nn_tiles_c_amx
#define ROWS 32
#define HALF 16
#else
#define TILES nn_tiles_c
#define ROWS 12
#define HALF 6
#endif

struct block {
    float sum[ROWS][NN_TILE_PANEL];
};

#define body_begin()
#define body_end()

INLINE void block_zero(struct block *b, int rows)
{
    memset(b->sum, 0, (size_t)rows * sizeof b->sum[0]);
}

/* The sum of one row and column, whose numbers along k these are. */
INLINE float block_dot(float sum, const float *x, const float *y)
{
#if NN_TILE_BODY == 1
    float even = 0, odd = 0;
    for (int k = 0; k < NN_TILE_DEPTH; k += 2) {
        even = nn_bf16_fma(x[k], y[k], even);
        odd = nn_bf16_fma(x[k + 1], y[k + 1], odd);
    }
    return nn_bf16_flush(sum + nn_bf16_flush(even + odd));
#else
    for (int k = 0; k < NN_TILE_DEPTH; k += 2) {
        sum = nn_bf16_fma(x[k + 1], y[k + 1], sum);
        sum = nn_bf16_fma(x[k], y[k], sum);
    }
    return sum;
#endif
}

INLINE float block_number(uint16_t b)
{
    return nn_bf16_flush(nn_bf16_value(b));
}

INLINE void block_step(struct block *b, const uint16_t *a, size_t stride, const uint16_t *w,
                       int rows)
{
    float x[ROWS][NN_TILE_DEPTH], y[NN_TILE_PANEL][NN_TILE_DEPTH];
    for (int i = 0; i < rows; i++)
        for (int k = 0; k < NN_TILE_DEPTH; k++)
            x[i][k] = block_number(a[(size_t)i * stride + (size_t)k]);
    for (int o = 0; o < NN_TILE_PANEL; o++) {
        const uint16_t *tile = w + o / NN_TILE_COLUMNS * (NN_TILE_STEP / 2);
        for (int k = 0; k < NN_TILE_DEPTH; k++)
            y[o][k] =
                block_number(tile[(k / 2 * NN_TILE_COLUMNS + o % NN_TILE_COLUMNS) * 2 + k % 2]);
    }
    for (int i = 0; i < rows; i++)
        for (int o = 0; o < NN_TILE_PANEL; o++)
            b->sum[i][o] = block_dot(b->sum[i][o], x[i], y[o]);
}

INLINE void block_store(const struct block *b, float out[][NN_TILE_PANEL], int rows)
{
    memcpy(out, b->sum, (size_t)rows * sizeof b->sum[0]);
}

#endif
#endif
