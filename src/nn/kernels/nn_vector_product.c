/* The product: direct convolution and matrix product in one register-tiled kernel (see
 * nn_vector_tile.h for the step and the blocks).
 *
 * Every accumulator starts at the bias. Weights are packed [block][k][channels of the block], which
 * makes the inner loop's weights one sequential stream.
 *
 * The work is a grid of blocks of outputs × chunks of pixels, which may be shared out between
 * threads. Where all weights fit in the second-level cache the chunks are the outer loop, so that
 * a pixel is read once; where they do not, the blocks are, so that a block's weights come from
 * memory once a call. Where not even a block's fit, a chunk goes through it segment by segment, and
 * the sums wait in between, in single precision as in the registers.
 *
 * Pixels are taken in order through rows and images; a tile's pixels each have their own pointer,
 * so that border columns cost nothing. A tail of fewer than P pixels is computed by a smaller
 * tile, with its last pixel repeated and stored once. */
#include "nn_vector_tile.h"
#include <string.h>

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

/* Pixels in order. */
struct cursor {
    const struct nn_product *p;
    size_t image, y, x, pixel;
};

static struct cursor cursor_at(const struct nn_product *p, size_t pixel)
{
    size_t row = pixel / p->width;
    return (struct cursor){p, row / p->height, row % p->height, pixel % p->width, pixel};
}

static void cursor_move(struct cursor *c, size_t count)
{
    c->pixel += count;
    c->x += count;
    if (c->x < c->p->width)
        return;
    *c = cursor_at(c->p, c->pixel);
}

/* ---- one tile ---- */

NN_INLINE void tile_store(const struct tile *t, int pixels, int vectors, bool half,
                          vec acc[][BLOCK_VECTORS], vec8 tail[])
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
            tail[i] = vec8_mul(vec8_add(tail[i], vec8_load(residual + vectors * VEC_WIDTH)),
                               vec8_set(t->scale));
    }
    /* All residuals are read before anything is stored: repeated pixels share an output, which may
     * be the residual itself. */
    UNROLL
    for (int i = 0; i < pixels; i++) {
        UNROLL
        for (int v = 0; v < vectors; v++)
            vec_store(t->out_at[i] + v * VEC_WIDTH, acc[i][v]);
        if (half)
            vec8_store(t->out_at[i] + vectors * VEC_WIDTH, tail[i]);
    }
}

NN_INLINE void tile_run(const struct tile *t, int pixels, int vectors, bool half)
{
    vec acc[TILE_MAX][BLOCK_VECTORS];
    vec8 tail[TILE_MAX];
    UNROLL
    for (int i = 0; i < pixels; i++) {
        UNROLL
        for (int v = 0; v < vectors; v++)
            acc[i][v] = vec_load(t->bias_at[i] + v * VEC_WIDTH);
        tail[i] = half ? vec8_load(t->bias_at[i] + vectors * VEC_WIDTH) : vec8_zero();
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
#define DEFINE_TILES(name, pixels, vectors, half)                                                  \
    static void name##_full(const struct tile *t)                                                  \
    {                                                                                              \
        tile_run(t, pixels, vectors, half);                                                        \
    }                                                                                              \
    static void name##_part(const struct tile *t)                                                  \
    {                                                                                              \
        tile_run(t, pixels / 2, vectors, half);                                                    \
    }                                                                                              \
    static void name##_one(const struct tile *t)                                                   \
    {                                                                                              \
        tile_run(t, 1, vectors, half);                                                             \
    }
#define LIST_TILES(name, pixels, vectors, half) {pixels, name##_full, name##_part, name##_one},

TILE_WIDTHS(DEFINE_TILES)

struct tiles {
    size_t pixels;
    void (*full)(const struct tile *t);
    void (*part)(const struct tile *t);
    void (*one)(const struct tile *t);
};

static const struct tiles tiles[] = {TILE_WIDTHS(LIST_TILES)};

/* ---- blocks ---- */

/* Some segments of a product, for a chunk of pixels and a block of outputs. */
struct pass {
    size_t first, width; /* the block's outputs */
    size_t pixel, left;  /* the chunk */
    bool starts, ends;   /* it has the first segment, the last */
    float *sums;         /* [pixel][width] between two passes */
};

/* Fills `count` places of a tile with the next `taken` pixels of one row and image. */
static void tile_fill_row(struct tile *t, struct cursor *c, const struct pass *s, size_t from,
                          size_t taken)
{
    float *sums = s->sums ? s->sums + (c->pixel - s->pixel) * s->width : NULL;
    size_t first = s->first;
    const struct nn_product *p = c->p;
    size_t position = c->image * p->in_image + c->y * p->in_row + c->x * p->in_step;
    size_t at = c->pixel * p->shape.outputs + first;
    const float *bias = p->bias + c->image * p->bias_step + first;
    for (size_t i = from; i < from + taken; i++, at += p->shape.outputs) {
        t->position[i] = position + (i - from) * p->in_step;
        t->bias_at[i] = s->starts ? bias : sums + (i - from) * s->width;
        t->residual_at[i] = t->residual ? p->residual + at : NULL;
        t->out_at[i] = s->ends ? p->out + at : sums + (i - from) * s->width;
    }
    cursor_move(c, taken);
}

/* Fills a tile of `count` pixels from the cursor on; past the `left` ones the last is repeated. */
static size_t tile_fill(struct tile *t, struct cursor *c, const struct pass *s, size_t count,
                        size_t left)
{
    size_t taken = count < left ? count : left;
    for (size_t i = 0; i < taken;) {
        size_t row = c->p->width - c->x, some = row < taken - i ? row : taken - i;
        tile_fill_row(t, c, s, i, some);
        i += some;
    }
    for (size_t i = taken; i < count; i++) {
        t->position[i] = t->position[taken - 1];
        t->bias_at[i] = t->bias_at[taken - 1];
        t->residual_at[i] = t->residual_at[taken - 1];
        t->out_at[i] = t->out_at[taken - 1];
    }
    return taken;
}

static void pass_run(const struct nn_product *p, struct tile *t, const struct pass *s)
{
    const struct tiles *k = &tiles[s->width / NN_LANES - 1];
    struct cursor c = cursor_at(p, s->pixel);
    for (size_t left = s->left; left > 0;) {
        size_t half = k->pixels / 2;
        size_t count = left == 1 ? 1 : left <= half ? half : k->pixels;
        left -= tile_fill(t, &c, s, count, left);
        (count == 1 ? k->one : count == half ? k->part : k->full)(t);
    }
}

#define CHUNK 96        /* pixels; a multiple of every P */
#define CHUNK_SPLIT 144 /* likewise, where the weights come from memory once a chunk */

/* A chunk segment by segment; `weights` are the block's. */
static void split_run(const struct nn_product *p, const float *weights, struct pass s)
{
    float sums[CHUNK_SPLIT * BLOCK_VECTORS * VEC_WIDTH];
    s.sums = sums;
    for (int i = 0; i < p->segments; i++) {
        s.starts = i == 0;
        s.ends = i == p->segments - 1;
        struct tile t = {.segments = 1,
                         .segment = p->segment + i,
                         .weights = weights,
                         .row_step = s.width,
                         .residual = s.ends && p->residual,
                         .scale = p->scale};
        pass_run(p, &t, &s);
        weights += p->segment[i].length * s.width;
    }
}

/* ---- the grid ---- */

/* Floats that stay in the second-level cache beside a chunk: all weights, those of a block. */
#define CACHED_WEIGHTS 140000
#define CACHED_BLOCK 120000

struct grid {
    size_t pixels, chunk, chunks, blocks;
    bool chunks_outer, split;
};

/* `packed`: the weights of a block lie together. */
static struct grid grid_of(const struct nn_product *p, bool packed)
{
    struct grid g = {.pixels = p->images * p->height * p->width,
                     .blocks = block_count(p->shape.outputs)};
    g.split = packed && p->segments > 1 &&
              p->shape.inputs * block_width(p->shape.outputs, 0) > CACHED_BLOCK;
    g.chunk = g.split ? CHUNK_SPLIT : CHUNK;
    g.chunks = (g.pixels + g.chunk - 1) / g.chunk;
    g.chunks_outer = p->shape.inputs * p->shape.outputs <= CACHED_WEIGHTS;
    return g;
}

static void grid_run(const struct nn_product *p, const struct nn_panels *w, size_t unit,
                     size_t last)
{
    const struct grid g = grid_of(p, w->row_step == 0);
    for (; unit < last; unit++) {
        size_t chunk = g.chunks_outer ? unit / g.blocks : unit % g.chunks;
        size_t block = g.chunks_outer ? unit % g.blocks : unit / g.chunks;
        struct pass s = {.first = block_first(p->shape.outputs, block),
                         .pixel = chunk * g.chunk,
                         .starts = true,
                         .ends = true};
        s.width = block_width(p->shape.outputs, s.first);
        s.left = g.pixels - s.pixel < g.chunk ? g.pixels - s.pixel : g.chunk;
        const float *weights = w->weights + s.first * w->block_step;
        struct tile t = {.segments = p->segments,
                         .segment = p->segment,
                         .weights = weights,
                         .row_step = w->row_step ? w->row_step : s.width,
                         .residual = p->residual != NULL,
                         .scale = p->scale};
        if (g.split)
            split_run(p, weights, s);
        else
            pass_run(p, &t, &s);
    }
}

void NN_VEC(panels)(const struct nn_product *p, const struct nn_panels *w)
{
    const struct grid g = grid_of(p, w->row_step == 0);
    grid_run(p, w, 0, g.blocks * g.chunks);
}

/* ---- the table's functions ---- */

size_t NN_VEC(product_units)(const void *op)
{
    const struct nn_product *p = op;
    const struct grid g = grid_of(p, true);
    if (p->shape.kind == NN_PRODUCT_WINOGRAD)
        return NN_VEC(winograd_units)(p);
    return g.blocks * g.chunks;
}

void NN_VEC(product_share)(const void *op, struct nn_share *share)
{
    const struct nn_product *p = op;
    const struct nn_panels w = {p->packed, p->shape.inputs, 0};
    if (p->shape.kind == NN_PRODUCT_WINOGRAD)
        NN_VEC(winograd_share)(p, share);
    else
        grid_run(p, &w, share->first, share->last);
}

void NN_VEC(product)(const struct nn_product *p)
{
    struct nn_share all = {.last = NN_VEC(product_units)(p), .scratch = p->scratch};
    NN_VEC(product_share)(p, &all);
}

size_t NN_VEC(pack_size)(const struct nn_product_shape *shape)
{
    if (shape->kind == NN_PRODUCT_WINOGRAD)
        return NN_VEC(winograd_pack_size)(shape);
    return shape->inputs * shape->outputs;
}

size_t NN_VEC(product_scratch)(const struct nn_product_shape *shape)
{
    return shape->kind == NN_PRODUCT_WINOGRAD ? NN_VEC(winograd_scratch)(shape) : 0;
}

void NN_VEC(pack)(const struct nn_product_shape *shape, const float *canonical, float *packed)
{
    if (shape->kind == NN_PRODUCT_WINOGRAD) {
        NN_VEC(winograd_pack)(shape, canonical, packed);
        return;
    }
    for (size_t first = 0; first < shape->outputs;) {
        size_t width = block_width(shape->outputs, first);
        for (size_t k = 0; k < shape->inputs; k++, packed += width)
            memcpy(packed, canonical + k * shape->outputs + first, width * sizeof *packed);
        first += width;
    }
}
