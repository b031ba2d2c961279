/* How images lie in memory, which all kernels agree on; and the resampling filters.
 *
 * Layouts: pixels × channels, each pixel's channels padded with zeros to a multiple of NN_LANES.
 * All channel counts here are padded ("lanes"). A 3×3 convolution reads a bordered image of pitch
 * side + 1: one zero column before each row, which is also the zero column after the row above, and
 * a zero row above each image, which is also the one below the image before. So a tap is a constant
 * distance, and the three taps of a row are one run of 3 · lanes numbers: the convolution is a
 * matrix product with three long segments a pixel. Arrays are aligned to 64 bytes at their start,
 * pixels to 32 bytes (except in the stem's input, whose pixels are not padded). */
#ifndef NN_PIXELS_H
#define NN_PIXELS_H

#include <stddef.h>
#include <stdint.h>

#define NN_CHANNELS_MAX 4096 /* of any hidden layer */
#define NN_LANES 8           /* every pixel's channels are padded to a multiple of this */

static inline size_t nn_lanes(size_t channels)
{
    return (channels + NN_LANES - 1) / NN_LANES * NN_LANES;
}

/* Numbers of bf16 along k that a tile holds, see nn_tile.h. */
#define NN_TILE_DEPTH 32

static inline size_t nn_tile_lanes(size_t channels)
{
    return (channels + NN_TILE_DEPTH - 1) / NN_TILE_DEPTH * NN_TILE_DEPTH;
}

/* Where an operation puts pixel (b,y,x): at out + (first + b · image + y · row + x) · lanes. */
struct nn_target {
    float *out;
    size_t first, row, image; /* in pixels */
    size_t lanes;
};

/* The same for numbers of bf16: at out + (…) · lanes, lanes a multiple of NN_TILE_DEPTH, and with 3
 * terms the low part `plane` numbers behind. */
struct nn_tile_target {
    uint16_t *out;
    size_t first, row, image; /* in pixels */
    size_t lanes, plane;
    int terms; /* 1 or 3 */
};

/* ---- borders ---- */

/* Pixels of a bordered image set. */
static inline size_t nn_bordered_pixels(size_t images, size_t side)
{
    return (images * (side + 1) + 1) * (side + 1) + 1;
}

static inline struct nn_target nn_plain_target(float *out, size_t side, size_t lanes)
{
    return (struct nn_target){out, 0, side, side * side, lanes};
}

/* Pixels inside a bordered image set. */
static inline struct nn_target nn_bordered_target(float *out, size_t side, size_t lanes)
{
    size_t pitch = side + 1;
    return (struct nn_target){out, pitch + 1, pitch, pitch * pitch, lanes};
}

/* Zeroes the border of such a set of n images and leaves the inside alone. */
void nn_bordered_zero(float *out, size_t n, size_t side, size_t lanes);

/* ---- resampling ---- */

/* BOX_UP repeats a pixel 2×2, BOX_DOWN takes the mean of 2×2. The FIR ones filter with the outer
 * product of (1,3,3,1), zeros outside: FIR_UP after zero stuffing, gain 4, padded (2,1); FIR_DOWN
 * padded 1 a side, every second; FIR_BLUR padded 2 a side, all side + 1 places. */
enum nn_resample_kind { NN_BOX_UP, NN_BOX_DOWN, NN_FIR_UP, NN_FIR_DOWN, NN_FIR_BLUR };

/* Output row or column `at` = Σ_i weight[i] · input[start + i], i < the result (at most 4). */
int nn_resample_taps(enum nn_resample_kind kind, size_t at, long *start, float weight[4]);

/* Side of a resampled image. */
static inline size_t nn_resample_side(enum nn_resample_kind kind, size_t side)
{
    switch (kind) {
    case NN_BOX_UP:
    case NN_FIR_UP:
        return 2 * side;
    case NN_BOX_DOWN:
    case NN_FIR_DOWN:
        return side / 2;
    case NN_FIR_BLUR:
        break;
    }
    return side + 1;
}

static inline float *nn_target_row(const struct nn_target *t, size_t image, size_t y)
{
    return t->out + (t->first + image * t->image + y * t->row) * t->lanes;
}

static inline size_t nn_tile_target_row(const struct nn_tile_target *t, size_t image, size_t y)
{
    return (t->first + image * t->image + y * t->row) * t->lanes;
}

#endif
