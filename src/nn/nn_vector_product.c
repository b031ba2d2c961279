/* The product: direct convolution and matrix product in one register-tiled kernel.
 *
 * A tile is P pixels × one block of output channels, held in registers while k runs through all
 * inputs: per k, one load for each vector of weights, one broadcast for each pixel, and P × vectors
 * fused multiply-adds. Every accumulator starts at the bias and takes k in ascending order, one
 * fused multiply-add each, so an element's bits do not depend on P or on its neighbours.
 *
 * Output channels are cut into blocks of up to BLOCK_VECTORS vectors, as even as possible; on
 * AVX-512 the last vector of the last block may be half one, in 256-bit registers, so that 24
 * channels cost 24 lanes and not 32 where the processor splits its units. Weights are packed
 * [block][k][channels of the block], which makes the inner loop's weights one sequential stream.
 * The outer loop runs over blocks, the inner one over all pixels of all images: a block's weights
 * come from memory once a call and stay in the second-level cache.
 *
 * Pixels are taken in order through rows and images; a tile's pixels each have their own pointer,
 * so that border columns cost nothing. A tail of fewer than P pixels is computed by a smaller
 * tile, with its last pixel repeated and stored once. */
#include "nn_vector.h"
#include <string.h>

#define TILE_MAX 12
#if NN_VECTOR_BITS == 512
#define BLOCK_VECTORS 4
#else
#define BLOCK_VECTORS 3
#endif

/* What a tile computes from; `position`, `bias`, `residual` and `out` of each of its pixels. */
struct tile {
    int segments;
    const struct nn_segment *segment;
    const float *weights;
    size_t row_step;
    bool residual;
    float scale;
    size_t position[TILE_MAX];
    const float *bias_at[TILE_MAX];
    const float *residual_at[TILE_MAX];
    float *out_at[TILE_MAX];
};

/* The pixels of a block of outputs, in order. */
struct cursor {
    const struct nn_product *p;
    size_t image, y, x, pixel;
};

static void cursor_next(struct cursor *c)
{
    c->pixel++;
    if (++c->x < c->p->width)
        return;
    c->x = 0;
    if (++c->y < c->p->height)
        return;
    c->y = 0;
    c->image++;
}

/* ---- one tile ---- */

#define UNROLL _Pragma("GCC unroll 16")

/* acc += in[·][k] · weights[k][·] for one k. */
NN_INLINE void tile_step(int pixels, int vectors, bool half, const float *const in[], size_t k,
                         const float *w, vec acc[][BLOCK_VECTORS], __m256 tail[])
{
    vec column[BLOCK_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++)
        column[v] = vec_load(w + v * VEC_WIDTH);
    __m256 column_tail = half ? _mm256_loadu_ps(w + vectors * VEC_WIDTH) : _mm256_setzero_ps();
    UNROLL
    for (int i = 0; i < pixels; i++) {
        vec x = vec_set(in[i][k]);
        UNROLL
        for (int v = 0; v < vectors; v++)
            acc[i][v] = vec_fma(x, column[v], acc[i][v]);
        if (half)
            tail[i] = _mm256_fmadd_ps(_mm256_set1_ps(in[i][k]), column_tail, tail[i]);
    }
}

NN_INLINE void tile_store(const struct tile *t, int pixels, int vectors, bool half,
                          vec acc[][BLOCK_VECTORS], __m256 tail[])
{
    UNROLL
    for (int i = 0; i < pixels; i++) {
        const float *residual = t->residual_at[i];
        UNROLL
        for (int v = 0; v < vectors; v++) {
            vec sum = acc[i][v];
            if (t->residual)
                sum = vec_mul(vec_add(sum, vec_load(residual + v * VEC_WIDTH)), vec_set(t->scale));
            acc[i][v] = sum;
        }
        if (half && t->residual)
            tail[i] = _mm256_mul_ps(
                _mm256_add_ps(tail[i], _mm256_loadu_ps(residual + vectors * VEC_WIDTH)),
                _mm256_set1_ps(t->scale));
    }
    /* All residuals are read before anything is stored: repeated pixels share an output, which may
     * be the residual itself. */
    UNROLL
    for (int i = 0; i < pixels; i++) {
        UNROLL
        for (int v = 0; v < vectors; v++)
            vec_store(t->out_at[i] + v * VEC_WIDTH, acc[i][v]);
        if (half)
            _mm256_storeu_ps(t->out_at[i] + vectors * VEC_WIDTH, tail[i]);
    }
}

NN_INLINE void tile_run(const struct tile *t, int pixels, int vectors, bool half)
{
    vec acc[TILE_MAX][BLOCK_VECTORS];
    __m256 tail[TILE_MAX];
    UNROLL
    for (int i = 0; i < pixels; i++) {
        UNROLL
        for (int v = 0; v < vectors; v++)
            acc[i][v] = vec_load(t->bias_at[i] + v * VEC_WIDTH);
        tail[i] = half ? _mm256_loadu_ps(t->bias_at[i] + vectors * VEC_WIDTH) : _mm256_setzero_ps();
    }
    const float *w = t->weights;
    for (int s = 0; s < t->segments; s++) {
        const struct nn_segment *g = &t->segment[s];
        const float *in[TILE_MAX];
        UNROLL
        for (int i = 0; i < pixels; i++)
            in[i] = g->base + t->position[i] * g->stride;
        size_t k = 0;
        for (; k + 4 <= g->length; k += 4) {
            UNROLL
            for (size_t j = 0; j < 4; j++)
                tile_step(pixels, vectors, half, in, k + j, w + j * t->row_step, acc, tail);
            w += 4 * t->row_step;
        }
        for (; k < g->length; k++, w += t->row_step)
            tile_step(pixels, vectors, half, in, k, w, acc, tail);
    }
    tile_store(t, pixels, vectors, half, acc, tail);
}

/* Tiles of each width of block: full, for a tail of up to half, and of one pixel. */
#define TILE(name, pixels, vectors, half)                                                          \
    static void name(const struct tile *t)                                                         \
    {                                                                                              \
        tile_run(t, pixels, vectors, half);                                                        \
    }
#define TILES(name, pixels, vectors, half)                                                         \
    TILE(name##_full, pixels, vectors, half)                                                       \
    TILE(name##_part, pixels / 2, vectors, half)                                                   \
    TILE(name##_one, 1, vectors, half)
#define TILE_ROW(name, pixels)                                                                     \
    {                                                                                              \
        pixels, name##_full, name##_part, name##_one                                               \
    }

struct tiles {
    size_t pixels;
    void (*full)(const struct tile *t);
    void (*part)(const struct tile *t);
    void (*one)(const struct tile *t);
};

#if NN_VECTOR_BITS == 512
TILES(tile_8, 12, 0, true)
TILES(tile_16, 12, 1, false)
TILES(tile_24, 12, 1, true)
TILES(tile_32, 12, 2, false)
TILES(tile_40, 8, 2, true)
TILES(tile_48, 8, 3, false)
TILES(tile_56, 6, 3, true)
TILES(tile_64, 6, 4, false)
static const struct tiles tiles[] = {
    TILE_ROW(tile_8, 12), TILE_ROW(tile_16, 12), TILE_ROW(tile_24, 12), TILE_ROW(tile_32, 12),
    TILE_ROW(tile_40, 8), TILE_ROW(tile_48, 8),  TILE_ROW(tile_56, 6),  TILE_ROW(tile_64, 6)};
#else
TILES(tile_8, 12, 1, false)
TILES(tile_16, 6, 2, false)
TILES(tile_24, 4, 3, false)
static const struct tiles tiles[] = {TILE_ROW(tile_8, 12), TILE_ROW(tile_16, 6),
                                     TILE_ROW(tile_24, 4)};
#endif

/* ---- blocks ---- */

/* Channels of the block that begins at `first` of `outputs`: whole vectors shared out evenly. */
static size_t block_width(size_t outputs, size_t first)
{
    size_t vectors = (outputs - first + VEC_WIDTH - 1) / VEC_WIDTH;
    size_t blocks = (vectors + BLOCK_VECTORS - 1) / BLOCK_VECTORS;
    size_t width = (vectors + blocks - 1) / blocks * VEC_WIDTH;
    return width < outputs - first ? width : outputs - first;
}

/* Fills pixels `from` the cursor on; past the last pixel the last one is repeated. */
static size_t tile_fill(struct tile *t, struct cursor *c, size_t first, size_t count, size_t left)
{
    const struct nn_product *p = c->p;
    size_t outputs = p->shape.outputs, taken = count < left ? count : left;
    for (size_t i = 0; i < count; i++) {
        if (i < taken) {
            size_t at = c->pixel * outputs + first;
            t->position[i] = c->image * p->in_image + c->y * p->in_row + c->x * p->in_step;
            t->bias_at[i] = p->bias + c->image * p->bias_step + first;
            t->residual_at[i] = p->residual ? p->residual + at : NULL;
            t->out_at[i] = p->out + at;
            cursor_next(c);
        } else {
            t->position[i] = t->position[taken - 1];
            t->bias_at[i] = t->bias_at[taken - 1];
            t->residual_at[i] = t->residual_at[taken - 1];
            t->out_at[i] = t->out_at[taken - 1];
        }
    }
    return taken;
}

static void block_run(const struct nn_product *p, struct tile *t, size_t first, size_t width)
{
    const struct tiles *k = &tiles[width / NN_LANES - 1];
    size_t left = p->images * p->height * p->width;
    struct cursor c = {.p = p};
    while (left > 0) {
        size_t half = k->pixels / 2;
        size_t count = left == 1 ? 1 : left <= half ? half : k->pixels;
        left -= tile_fill(t, &c, first, count, left);
        (count == 1 ? k->one : count == half ? k->part : k->full)(t);
    }
}

void NN_VEC(panels)(const struct nn_product *p, const struct nn_panels *w)
{
    struct tile t = {.segments = p->segments,
                     .segment = p->segment,
                     .residual = p->residual != NULL,
                     .scale = p->scale};
    size_t outputs = p->shape.outputs;
    for (size_t first = 0; first < outputs;) {
        size_t width = block_width(outputs, first);
        t.weights = w->weights + first * w->block_step;
        t.row_step = w->row_step ? w->row_step : width;
        block_run(p, &t, first, width);
        first += width;
    }
}

/* ---- the table's functions ---- */

void NN_VEC(product)(const struct nn_product *p)
{
    const struct nn_panels w = {p->packed, p->shape.inputs, 0};
    NN_VEC(panels)(p, &w);
}

size_t NN_VEC(pack_size)(const struct nn_product_shape *shape)
{
    return shape->inputs * shape->outputs;
}

void NN_VEC(pack)(const struct nn_product_shape *shape, const float *canonical, float *packed)
{
    for (size_t first = 0; first < shape->outputs;) {
        size_t width = block_width(shape->outputs, first);
        for (size_t k = 0; k < shape->inputs; k++, packed += width)
            memcpy(packed, canonical + k * shape->outputs + first, width * sizeof *packed);
        first += width;
    }
}
