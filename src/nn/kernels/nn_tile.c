/* What all bodies of the tile layer share: packing weights, running a product whole, and which body
 * a kernel has. */
#include "nn_tile.h"
#include "base_cpu.h"

const struct nn_tile_shape nn_tile_shape = {.palette = 1,
                                            .bytes = {64, 64, 64, 64, 64, 64, 64, 64},
                                            .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

const struct nn_tiles *nn_tiles_get(enum nn_kernel kernel)
{
#ifdef NN_HAVE_X86
    if (kernel == NN_KERNEL_AMX)
        return &nn_tiles_amx;
    if (kernel == NN_KERNEL_AVX512 && cpu_features_get().avx512_bf16)
        return &nn_tiles_avx512;
#endif
    (void)kernel;
    return &nn_tiles_c;
}

void nn_tile_product(const struct nn_tiles *tiles, const struct nn_product *p)
{
    struct nn_share all = {.last = tiles->product.units(p)};
    tiles->product.run(p, &all);
}

/* ---- weights ---- */

static size_t taps_of(const struct nn_product_shape *shape)
{
    return nn_product_taps(shape->kind);
}

size_t nn_tile_pack_size(const struct nn_product_shape *shape, int terms)
{
    size_t taps = taps_of(shape), panels = (shape->outputs + NN_TILE_PANEL - 1) / NN_TILE_PANEL;
    return panels * taps * nn_tile_lanes(shape->inputs / taps) * NN_TILE_PANEL *
           nn_bf16_planes(terms);
}

/* One step of a panel, 32 inputs from row `k` of the tap's on, `inputs` of which there are. */
static void pack_step(const struct nn_product_shape *shape, const float *tap, size_t k,
                      size_t inputs, size_t first, int terms, uint16_t *out)
{
    size_t left = shape->outputs - first, width = left < NN_TILE_PANEL ? left : NN_TILE_PANEL;
    memset(out, 0, NN_TILE_STEP * nn_bf16_planes(terms) * sizeof *out);
    for (size_t i = 0; i < NN_TILE_DEPTH && k + i < inputs; i++)
        for (size_t o = 0; o < width; o++) {
            float x = tap[(k + i) * shape->outputs + first + o];
            size_t tile = o / NN_TILE_COLUMNS * (NN_TILE_STEP / 2), column = o % NN_TILE_COLUMNS;
            size_t at = tile + (i / 2 * NN_TILE_COLUMNS + column) * 2 + i % 2;
            out[at] = nn_bf16_round(x);
            if (terms == 3)
                out[NN_TILE_STEP + at] = nn_bf16_low(x);
        }
}

void nn_tile_pack(const struct nn_product_shape *shape, int terms, const float *canonical,
                  uint16_t *packed)
{
    size_t taps = taps_of(shape), inputs = shape->inputs / taps;
    for (size_t first = 0; first < shape->outputs; first += NN_TILE_PANEL)
        for (size_t tap = 0; tap < taps; tap++)
            for (size_t k = 0; k < inputs; k += NN_TILE_DEPTH) {
                pack_step(shape, canonical + tap * inputs * shape->outputs, k, inputs, first, terms,
                          packed);
                packed += NN_TILE_STEP * nn_bf16_planes(terms);
            }
}
