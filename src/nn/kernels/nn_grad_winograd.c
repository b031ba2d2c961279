/* The gradient of a 3×3 convolution's weights by Winograd's F(4×4, 3×3), turned round.
 *
 * The forward pass is Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A for a tile of 4×4 outputs and its 6×6 inputs
 * d; it is linear in the weights g, so with the gradient E at Y gradient at g = Gᵀ [ Σ over tiles
 * (A E Aᵀ) ⊙ (Bᵀ d B) ] G: 36 products for a tile and pair of channels instead of 144, and Gᵀ · G
 * once for all tiles. The interpolation points are those of the forward pass
 * (nn_vector_winograd.c): 0, ±5/8, ±3/2 and ∞.
 *
 * A block of tiles at a time, of whichever images: both transforms into planes [36][tiles]
 * [channels], then the planes' outer products into [36][inputs][outputs]. The block is as large as
 * its planes fit the second-level cache. Tiles that overhang the image read zeros. */
#include "nn_grad_vector.h"
#include <string.h>

#define A1 0.625f
#define B1 1.5f
#define A2 (A1 * A1)
#define B2 (B1 * B1)

#define TILE_SIDE 4
#define PATCH 6
#define PLANES (PATCH * PATCH)
#define UNROLL _Pragma("GCC unroll 16")
#define BLOCK_FLOATS 160000 /* of the planes of a block */
#define BLOCK_MIN 16

/* Multiply-adds of a lane, for one image, as in nn_vector_winograd.c; of a pair of channels: adding
 * the block to the sums and the last transform, shared by a piece's images. */
#define COST_INPUT 220
#define COST_OUTPUT 160
#define COST_PAIR 60

static size_t tiles_across(size_t side)
{
    return (side + TILE_SIDE - 1) / TILE_SIDE;
}

static bool wins(size_t lanes, size_t outputs, size_t side)
{
    size_t tiles = tiles_across(side) * tiles_across(side);
    size_t direct = side * side * 9 * lanes * outputs;
    size_t product = (tiles * PLANES + COST_PAIR) * lanes * outputs;
    return product + tiles * (COST_INPUT * lanes + COST_OUTPUT * outputs) < direct;
}

static size_t block_tiles(size_t lanes, size_t outputs, size_t tiles)
{
    size_t fit = BLOCK_FLOATS / (PLANES * (lanes + outputs));
    fit = fit > BLOCK_MIN ? fit : BLOCK_MIN;
    return fit < tiles ? fit : tiles;
}

size_t NN_VEC(conv_outer_scratch)(size_t lanes, size_t outputs, size_t images, size_t side)
{
    size_t tiles = images * tiles_across(side) * tiles_across(side);
    if (!wins(lanes, outputs, side))
        return 0;
    return PLANES * (block_tiles(lanes, outputs, tiles) * (lanes + outputs) + lanes * outputs);
}

/* ---- transforms of one vector of channels ---- */

/* Bᵀ d along one axis. */
NN_INLINE void input_axis(const vec d[PATCH], vec out[PATCH])
{
    vec even_a = vec_fnma(d[2], vec_set(B2), d[4]), odd_a = vec_fnma(d[1], vec_set(B2), d[3]);
    vec even_b = vec_fnma(d[2], vec_set(A2), d[4]), odd_b = vec_fnma(d[1], vec_set(A2), d[3]);
    out[0] = vec_fma(d[0], vec_set(A2 * B2), vec_fnma(d[2], vec_set(A2 + B2), d[4]));
    out[1] = vec_fma(odd_a, vec_set(A1), even_a);
    out[2] = vec_fnma(odd_a, vec_set(A1), even_a);
    out[3] = vec_fma(odd_b, vec_set(B1), even_b);
    out[4] = vec_fnma(odd_b, vec_set(B1), even_b);
    out[5] = vec_fma(d[1], vec_set(A2 * B2), vec_fnma(d[3], vec_set(A2 + B2), d[5]));
}

/* A e along one axis: the powers of the points. */
NN_INLINE void slope_axis(const vec e[TILE_SIDE], vec out[PATCH])
{
    vec even_a = vec_fma(e[2], vec_set(A2), e[0]), even_b = vec_fma(e[2], vec_set(B2), e[0]);
    vec odd_a = vec_fma(e[3], vec_set(A2), e[1]), odd_b = vec_fma(e[3], vec_set(B2), e[1]);
    out[0] = e[0];
    out[1] = vec_fma(odd_a, vec_set(A1), even_a);
    out[2] = vec_fnma(odd_a, vec_set(A1), even_a);
    out[3] = vec_fma(odd_b, vec_set(B1), even_b);
    out[4] = vec_fnma(odd_b, vec_set(B1), even_b);
    out[5] = e[3];
}

/* Where a tile reads: rows and columns of its patch beyond these lie outside and are zero. */
struct patch {
    const float *at;
    size_t row, step; /* floats */
    size_t rows, columns;
};

/* `whole` tells that all of the patch lies inside. */
NN_INLINE vec patch_load(const struct patch *p, size_t y, size_t x, size_t c, bool whole, bool half)
{
    if (!whole && (y >= p->rows || x >= p->columns))
        return vec_zero();
    return vec_load_part(p->at + y * p->row + x * p->step + c, half);
}

NN_INLINE void planes_input(const struct patch *p, size_t c, float *out, size_t plane, bool whole,
                            bool half)
{
    vec mid[PATCH][PATCH], line[PATCH], result[PATCH];
    UNROLL
    for (size_t x = 0; x < PATCH; x++) {
        UNROLL
        for (size_t y = 0; y < PATCH; y++)
            line[y] = patch_load(p, y, x, c, whole, half);
        input_axis(line, result);
        UNROLL
        for (size_t y = 0; y < PATCH; y++)
            mid[y][x] = result[y];
    }
    UNROLL
    for (size_t y = 0; y < PATCH; y++) {
        input_axis(mid[y], result);
        UNROLL
        for (size_t x = 0; x < PATCH; x++)
            vec_store_part(out + (y * PATCH + x) * plane + c, result[x], half);
    }
}

NN_INLINE void planes_slope(const struct patch *p, size_t c, float *out, size_t plane, bool whole,
                            bool half)
{
    vec mid[PATCH][TILE_SIDE], line[TILE_SIDE], result[PATCH];
    UNROLL
    for (size_t x = 0; x < TILE_SIDE; x++) {
        UNROLL
        for (size_t y = 0; y < TILE_SIDE; y++)
            line[y] = patch_load(p, y, x, c, whole, half);
        slope_axis(line, result);
        UNROLL
        for (size_t y = 0; y < PATCH; y++)
            mid[y][x] = result[y];
    }
    UNROLL
    for (size_t y = 0; y < PATCH; y++) {
        slope_axis(mid[y], result);
        UNROLL
        for (size_t x = 0; x < PATCH; x++)
            vec_store_part(out + (y * PATCH + x) * plane + c, result[x], half);
    }
}

/* All channels of a tile to its place in every plane, `plane` floats apart. */
#define DEFINE_TRANSFORM(name, planes, whole)                                                      \
    static void name(const struct patch *p, size_t lanes, float *out, size_t plane)                \
    {                                                                                              \
        size_t c = 0;                                                                              \
        for (; c + VEC_WIDTH <= lanes; c += VEC_WIDTH)                                             \
            planes(p, c, out, plane, whole, false);                                                \
        if (c < lanes)                                                                             \
            planes(p, c, out, plane, whole, true);                                                 \
    }
DEFINE_TRANSFORM(input_whole, planes_input, true)
DEFINE_TRANSFORM(input_edge, planes_input, false)
DEFINE_TRANSFORM(slope_whole, planes_slope, true)
DEFINE_TRANSFORM(slope_edge, planes_slope, false)

static void transform_input(const struct patch *p, size_t lanes, float *out, size_t plane)
{
    bool whole = p->rows >= PATCH && p->columns >= PATCH;
    (whole ? input_whole : input_edge)(p, lanes, out, plane);
}

static void transform_slope(const struct patch *p, size_t lanes, float *out, size_t plane)
{
    bool whole = p->rows >= TILE_SIDE && p->columns >= TILE_SIDE;
    (whole ? slope_whole : slope_edge)(p, lanes, out, plane);
}

/* ---- Gᵀ · G ---- */

/* Row i of G is (1, p, p²) over the product of p's differences from the other points. */
static void weight_rows(float g[PATCH][3])
{
    static const double points[PATCH - 1] = {0, A1, -A1, B1, -B1};
    for (int i = 0; i < PATCH - 1; i++) {
        double norm = 1;
        for (int k = 0; k < PATCH - 1; k++)
            norm *= k == i ? 1 : points[i] - points[k];
        g[i][0] = (float)(1 / norm);
        g[i][1] = (float)(points[i] / norm);
        g[i][2] = (float)(points[i] * points[i] / norm);
    }
    g[PATCH - 1][0] = g[PATCH - 1][1] = 0;
    g[PATCH - 1][2] = 1;
}

NN_INLINE void weights_back(const float g[PATCH][3], const float *planes, size_t plane, float *sum,
                            size_t tap, bool half)
{
    vec mid[3][PATCH];
    for (size_t x = 0; x < PATCH; x++)
        for (size_t k = 0; k < 3; k++) {
            vec line = vec_zero();
            for (size_t y = 0; y < PATCH; y++)
                line = vec_fma(vec_load_part(planes + (y * PATCH + x) * plane, half),
                               vec_set(g[y][k]), line);
            mid[k][x] = line;
        }
    for (size_t k = 0; k < 3; k++)
        for (size_t l = 0; l < 3; l++) {
            float *at = sum + (3 * k + l) * tap;
            vec line = vec_load_part(at, half);
            for (size_t x = 0; x < PATCH; x++)
                line = vec_fma(mid[k][x], vec_set(g[x][l]), line);
            vec_store_part(at, line, half);
        }
}

/* planes [36][pairs] to sum [9][pairs], added. */
static void transform_weights(const float *planes, size_t pairs, float *sum)
{
    float g[PATCH][3];
    size_t i = 0;
    weight_rows(g);
    for (; i + VEC_WIDTH <= pairs; i += VEC_WIDTH)
        weights_back(g, planes + i, pairs, sum + i, pairs, false);
    if (i < pairs)
        weights_back(g, planes + i, pairs, sum + i, pairs, true);
}

/* ---- the whole ---- */

/* Patches of tile number t: its inputs (from one pixel up and left of it on) and its slopes. */
static void tile_patches(const struct nn_conv_outer *p, size_t t, struct patch *in,
                         struct patch *slope)
{
    size_t across = tiles_across(p->side), image = t / (across * across), pitch = p->side + 1;
    size_t y = t / across % across * TILE_SIDE, x = t % across * TILE_SIDE;
    size_t below = p->side - y, right = p->side - x;
    /* The bordered image has its zeros above and to the left; what overhangs below and to the right
     * must not be read. */
    *in = (struct patch){.at = p->in + (image * pitch * pitch + y * pitch + x) * p->lanes,
                         .row = pitch * p->lanes,
                         .step = p->lanes,
                         .rows = below + 1,
                         .columns = right + 1};
    *slope = (struct patch){.at = nn_target_row(&p->slope, image, y) + x * p->slope.lanes,
                            .row = p->slope.row * p->slope.lanes,
                            .step = p->slope.lanes,
                            .rows = below,
                            .columns = right};
}

static void block_run(const struct nn_conv_outer *p, size_t first, size_t count, float *in,
                      float *slope, float *planes)
{
    size_t lanes = p->lanes, outputs = p->slope.lanes;
    for (size_t t = 0; t < count; t++) {
        struct patch a, b;
        tile_patches(p, first + t, &a, &b);
        transform_input(&a, lanes, in + t * lanes, count * lanes);
        transform_slope(&b, outputs, slope + t * outputs, count * outputs);
    }
    for (size_t k = 0; k < PLANES; k++) {
        const struct nn_outer_run run = {.in = in + k * count * lanes,
                                         .slope = slope + k * count * outputs,
                                         .in_step = lanes,
                                         .slope_step = outputs,
                                         .rows = 1,
                                         .width = count,
                                         .sum = planes + k * lanes * outputs,
                                         .sum_row = outputs};
        NN_VEC(outer_run)(&run, lanes, outputs);
    }
}

void NN_VEC(conv_outer)(const struct nn_conv_outer *p)
{
    size_t lanes = p->lanes, outputs = p->slope.lanes;
    size_t tiles = p->images * tiles_across(p->side) * tiles_across(p->side);
    if (!wins(lanes, outputs, p->side)) {
        const struct nn_outer o = nn_conv_outer_direct(p);
        NN_VEC(outer)(&o);
        return;
    }
    size_t block = block_tiles(lanes, outputs, tiles);
    float *planes = p->scratch, *in = planes + PLANES * lanes * outputs;
    float *slope = in + PLANES * block * lanes;
    memset(planes, 0, PLANES * lanes * outputs * sizeof *planes);
    for (size_t t = 0; t < tiles; t += block)
        block_run(p, t, tiles - t < block ? tiles - t : block, in, slope, planes);
    transform_weights(planes, lanes * outputs, p->sum);
}
