/* Products in bf16: the layouts that they agree on, and the table of what computes them.
 *
 * All is cut into tiles as AMX has them: 16 rows (pixels) or 16 columns (outputs) of 32 numbers
 * along k, and sums of 16 × 16 in single precision. Above that layer everything is one source for
 * three kinds of processors, nn_tile_product.c, compiled once for each body of nn_tile_body.h:
 * AMX's tile registers, AVX512-BF16's dot products of pairs, and plain C that computes what either
 * does, bit for bit. The latter is the oracle, and what runs where a machine has neither.
 *
 * Activations: [plane][pixel][lanes], lanes a multiple of NN_TILE_DEPTH with zeros behind the last
 * channel, the planes being the high and, for bf16x3, the low parts. Behind a plane's last pixel
 * there is room for NN_TILE_SLACK more, which may be read, but what comes of it is thrown away.
 * Weights: [panel of 32 outputs][tap][32 inputs][plane][tile of 16 outputs][pair of inputs][output]
 * [2], one stream for a panel; inputs and outputs that do not exist are zeros.
 *
 * Order of a sum, which is part of a kernel's id: taps, then inputs by 32, of these high · high,
 * high · low, low · high; inside, AVX512-BF16 takes pair by pair, of each the odd number first,
 * every step a fused multiply-add; AMX sums even and odd numbers of the 32 apart, adds the two
 * sums, and that to the total. Bias, residual and scale come last. Numbers below the normal range
 * are zero at every step. */
#ifndef NN_TILE_H
#define NN_TILE_H

#include "nn_bf16.h"
#include "nn_kernels.h"

#define NN_TILE_SLACK 64
#define NN_TILE_COLUMNS 16
#define NN_TILE_PANEL (2 * NN_TILE_COLUMNS)
/* Numbers of bf16 in a step of a panel's weights, of one plane. */
#define NN_TILE_STEP (NN_TILE_DEPTH * NN_TILE_PANEL)

struct nn_tiles {
    int rate;                  /* about how many multiply-adds it does in the time of one of f32 */
    struct nn_sharing product; /* of nn_product with terms */
};

extern const struct nn_tiles nn_tiles_c; /* what AVX512-BF16 computes */
extern const struct nn_tiles nn_tiles_c_amx;
extern const struct nn_tiles nn_tiles_avx512;
extern const struct nn_tiles nn_tiles_amx;

/* AMX's configuration, as its instruction reads it: eight tiles of 16 rows of 64 bytes. */
struct nn_tile_shape {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
};
extern const struct nn_tile_shape nn_tile_shape;

/* Who multiplies for a kernel: plain C where the kernel has no instruction for it. */
const struct nn_tiles *nn_tiles_get(enum nn_kernel kernel);

/* All units of a product by the caller. */
void nn_tile_product(const struct nn_tiles *tiles, const struct nn_product *p);

/* Packed weights: how many numbers, and from canonical order [inputs][outputs] to them. */
size_t nn_tile_pack_size(const struct nn_product_shape *shape, int terms);
void nn_tile_pack(const struct nn_product_shape *shape, int terms, const float *canonical,
                  uint16_t *packed);

/* Floats that hold `pixels` pixels of `lanes` channels in bf16, slack included; and the distance of
 * their planes, in numbers of bf16. */
static inline size_t nn_tile_plane(size_t pixels, size_t lanes)
{
    return (pixels + NN_TILE_SLACK) * nn_tile_lanes(lanes);
}

static inline size_t nn_tile_room(size_t pixels, size_t lanes, int terms)
{
    return nn_tile_plane(pixels, lanes) * nn_bf16_planes(terms) / 2;
}

/* nn_attention with both of its products in bf16; softmax between them is the kernel's own. */
struct nn_tile_attention {
    struct nn_attention attention; /* the scratch has nn_tile_attention_scratch floats */
    const struct nn_kernels *kernels;
    const struct nn_tiles *tiles;
    int terms;
};
extern const struct nn_sharing nn_tile_attention_sharing;
size_t nn_tile_attention_scratch(size_t pixels, size_t lanes, int terms);

#endif
