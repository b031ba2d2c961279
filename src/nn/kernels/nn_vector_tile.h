/* The multiply-add step that the products share, and how output channels are cut into blocks: for
 * nn_vector_product.c and nn_vector_winograd.c, compiled twice like them.
 *
 * A tile is P rows of the input × one block of output channels, held in registers while k runs
 * through all inputs: per k, one load for each vector of weights, one broadcast for each row, and
 * P × vectors fused multiply-adds. Every accumulator takes k in ascending order, one fused
 * multiply-add each, so an element's bits do not depend on P or on its neighbours.
 *
 * Output channels are cut into blocks of up to BLOCK_VECTORS vectors, as even as possible; on
 * AVX-512 the last vector of the last block may be half one, in 256-bit registers, so that 24
 * channels cost 24 lanes and not 32 where the processor splits its units. */
#ifndef NN_VECTOR_TILE_H
#define NN_VECTOR_TILE_H

#include "nn_vector.h"

#define TILE_MAX 12
#if NN_VECTOR_BITS == 512
#define BLOCK_VECTORS 4
#else
#define BLOCK_VECTORS 3
#endif
#define UNROLL _Pragma("GCC unroll 16")

/* One function of each block width by X(name, pixels, vectors, half), in ascending order of width:
 * `pixels` rows of so many vectors and a half one. The accumulators fill the registers. */
#if NN_VECTOR_BITS == 512
#define TILE_WIDTHS(X)                                                                             \
    X(tile_8, 12, 0, true)                                                                         \
    X(tile_16, 12, 1, false)                                                                       \
    X(tile_24, 12, 1, true)                                                                        \
    X(tile_32, 12, 2, false)                                                                       \
    X(tile_40, 8, 2, true)                                                                         \
    X(tile_48, 8, 3, false)                                                                        \
    X(tile_56, 6, 3, true)                                                                         \
    X(tile_64, 6, 4, false)
#else
#define TILE_WIDTHS(X)                                                                             \
    X(tile_8, 12, 1, false)                                                                        \
    X(tile_16, 6, 2, false)                                                                        \
    X(tile_24, 4, 3, false)
#endif

static inline size_t block_count(size_t outputs)
{
    size_t vectors = (outputs + VEC_WIDTH - 1) / VEC_WIDTH;
    return (vectors + BLOCK_VECTORS - 1) / BLOCK_VECTORS;
}

/* Where a block begins: whole vectors shared out evenly, the wider blocks first. */
static inline size_t block_first(size_t outputs, size_t block)
{
    size_t vectors = (outputs + VEC_WIDTH - 1) / VEC_WIDTH, blocks = block_count(outputs);
    size_t wider = vectors % blocks;
    return (vectors / blocks * block + (block < wider ? block : wider)) * VEC_WIDTH;
}

/* Channels of the block that begins at `first` of `outputs`. */
static inline size_t block_width(size_t outputs, size_t first)
{
    size_t vectors = (outputs - first + VEC_WIDTH - 1) / VEC_WIDTH;
    size_t blocks = (vectors + BLOCK_VECTORS - 1) / BLOCK_VECTORS;
    size_t width = (vectors + blocks - 1) / blocks * VEC_WIDTH;
    return width < outputs - first ? width : outputs - first;
}

/* acc += in[·][k] · weights[k][·] for one k. */
NN_INLINE void tile_step(int pixels, int vectors, bool half, const float *const in[], size_t k,
                         const float *w, vec acc[][BLOCK_VECTORS], vec8 tail[])
{
    vec column[BLOCK_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++)
        column[v] = vec_load(w + v * VEC_WIDTH);
    vec8 column_tail = half ? vec8_load(w + vectors * VEC_WIDTH) : vec8_zero();
    UNROLL
    for (int i = 0; i < pixels; i++) {
        vec x = vec_set(in[i][k]);
        UNROLL
        for (int v = 0; v < vectors; v++)
            acc[i][v] = vec_fma(x, column[v], acc[i][v]);
        if (half)
            tail[i] = vec8_fma(vec8_of(x), column_tail, tail[i]);
    }
}

#endif
