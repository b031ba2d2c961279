/* The product in bf16 above the tile layer; compiled once for each body of nn_tile_body.h.
 *
 * A tile's rows must lie at one distance from each other. Pixels of a row do; and in an image with
 * a shared border column the next row's follow at the same distance, with one pixel of border
 * between them, whose sums are thrown away; and so do, with a row of border between them, the next
 * image's. So the pixels are cut into runs, of a row, an image or all images, whichever costs
 * least; a run is cut into blocks, the last of which may be a half one and reach beyond the run's
 * end. A sum does not depend on what else is in its block, so the choice changes no bit.
 *
 * The work is a grid of panels of outputs × chunks of blocks, which may be shared out between
 * threads. Where all weights fit in the second-level cache the chunks are the outer loop, otherwise
 * the panels are, so that a panel's weights come from memory once a call. */
#include "nn_tile_body.h"

/* Eight numbers with the operators of one (a GNU extension that every target has). */
typedef float eight __attribute__((vector_size(32), aligned(4), may_alias));

/* ---- runs and blocks ---- */

struct runs {
    size_t count, length; /* pixels of one, with the border in between */
    size_t pitch;         /* pixels from row to row within a run, counted in steps */
    size_t rows;          /* rows from image to image within a run, or of one without a next */
    size_t per_image;     /* runs */
    size_t blocks;        /* of a run */
};

static size_t run_cost(const struct runs *r)
{
    size_t rest = r->length % ROWS;
    return r->count * (r->length / ROWS * ROWS + (rest == 0 ? 0 : rest <= HALF ? HALF : ROWS));
}

static void take_cheaper(struct runs *best, struct runs other)
{
    if (run_cost(&other) < run_cost(best))
        *best = other;
}

static struct runs runs_of(const struct nn_product *p)
{
    struct runs r = {p->images * p->height, p->width, p->width, 1, p->height, 0};
    if (p->in_row % p->in_step == 0) {
        size_t pitch = p->in_row / p->in_step, image = (p->height - 1) * pitch + p->width;
        take_cheaper(&r, (struct runs){p->images, image, pitch, p->height, 1, 0});
        if (p->in_image % p->in_row == 0) {
            size_t rows = p->in_image / p->in_row, all = (p->images - 1) * rows * pitch + image;
            take_cheaper(&r, (struct runs){1, all, pitch, rows, 1, 0});
        }
    }
    r.blocks = (r.length + ROWS - 1) / ROWS;
    return r;
}

/* ---- one block ---- */

struct job {
    const struct nn_product *p;
    struct runs runs;
    size_t first, width;     /* outputs of the panel */
    const uint16_t *weights; /* of the panel */
    size_t taps;
};

INLINE void multiply(const struct job *j, const uint16_t *a, float out[][NN_TILE_PANEL], int rows,
                     int terms)
{
    const struct nn_tile_operands *t = &j->p->tile;
    const uint16_t *w = j->weights;
    size_t stride = j->p->in_step * t->lanes;
    struct block sums;
    block_zero(&sums, rows);
    for (size_t tap = 0; tap < j->taps; tap++) {
        const uint16_t *at = a + (tap / 3 * t->tap_row + tap % 3) * t->lanes;
        for (size_t k = 0; k < t->lanes; k += NN_TILE_DEPTH, w += NN_TILE_STEP) {
            block_step(&sums, at + k, stride, w, rows);
            if (terms == 1)
                continue;
            w += NN_TILE_STEP;
            block_step(&sums, at + k, stride, w, rows);
            block_step(&sums, at + k + t->plane, stride, w - NN_TILE_STEP, rows);
        }
    }
    block_store(&sums, out, rows);
}

static void multiply_full(const struct job *j, const uint16_t *a, float out[][NN_TILE_PANEL])
{
    if (j->p->terms == 1)
        multiply(j, a, out, ROWS, 1);
    else
        multiply(j, a, out, ROWS, 3);
}

static void multiply_half(const struct job *j, const uint16_t *a, float out[][NN_TILE_PANEL])
{
    if (j->p->terms == 1)
        multiply(j, a, out, HALF, 1);
    else
        multiply(j, a, out, HALF, 3);
}

/* Bias, residual and scale of one pixel's outputs. */
INLINE void finish_pixel(const struct job *j, const float *sum, size_t image, size_t pixel)
{
    const struct nn_product *p = j->p;
    size_t at = pixel * p->shape.outputs + j->first;
    const float *bias = p->bias ? p->bias + image * p->bias_step + j->first : NULL;
    for (size_t o = 0; o < j->width; o += 8) {
        eight v = *(const eight *)(sum + o);
        if (bias)
            v += *(const eight *)(bias + o);
        if (p->residual)
            v = (v + *(const eight *)(p->residual + at + o)) * p->scale;
        *(eight *)(p->out + at + o) = v;
    }
}

static void run_block(const struct job *j, size_t block)
{
    const struct nn_product *p = j->p;
    const struct runs *r = &j->runs;
    _Alignas(64) float sums[ROWS][NN_TILE_PANEL];
    size_t run = block / r->blocks, first = block % r->blocks * ROWS;
    size_t count = r->length - first < ROWS ? r->length - first : ROWS;
    size_t row = first / r->pitch, x = first % r->pitch;
    size_t image = run / r->per_image, y = run % r->per_image;
    size_t position = image * p->in_image + y * p->in_row + first * p->in_step;
    (count <= HALF ? multiply_half : multiply_full)(j, p->tile.in + position * p->tile.lanes, sums);
    image += row / r->rows;
    y += row % r->rows;
    for (size_t i = 0; i < count; i++) {
        if (x < p->width && y < p->height)
            finish_pixel(j, sums[i], image, (image * p->height + y) * p->width + x);
        if (++x < r->pitch)
            continue;
        x = 0;
        if (++y < r->rows)
            continue;
        y = 0;
        image++;
    }
}

/* ---- the grid ---- */

#define CHUNK_ROWS 96         /* a multiple of every ROWS */
#define CACHED_WEIGHTS 300000 /* numbers that stay in the second-level cache beside a chunk */

static size_t chunk_count(const struct runs *r)
{
    size_t blocks = CHUNK_ROWS / ROWS;
    return (r->count * r->blocks + blocks - 1) / blocks;
}

static size_t panel_count(const struct nn_product *p)
{
    return (p->shape.outputs + NN_TILE_PANEL - 1) / NN_TILE_PANEL;
}

static size_t units(const void *op)
{
    const struct runs r = runs_of(op);
    return chunk_count(&r) * panel_count(op);
}

static void share(const void *op, struct nn_share *s)
{
    const struct nn_product *p = op;
    struct job j = {.p = p, .runs = runs_of(p), .taps = nn_product_taps(p->shape.kind)};
    size_t chunks = chunk_count(&j.runs), panels = panel_count(p);
    size_t panel_size = j.taps * p->tile.lanes * NN_TILE_PANEL * nn_bf16_planes(p->terms);
    size_t all = j.runs.count * j.runs.blocks;
    bool chunks_outer = panels * panel_size <= CACHED_WEIGHTS;
    body_begin();
    for (size_t unit = s->first; unit < s->last; unit++) {
        size_t panel = chunks_outer ? unit % panels : unit / chunks;
        size_t block = (chunks_outer ? unit / panels : unit % chunks) * (CHUNK_ROWS / ROWS);
        size_t last = block + CHUNK_ROWS / ROWS < all ? block + CHUNK_ROWS / ROWS : all;
        size_t left = p->shape.outputs - panel * NN_TILE_PANEL;
        j.first = panel * NN_TILE_PANEL;
        j.width = left < NN_TILE_PANEL ? left : NN_TILE_PANEL;
        j.weights = p->tile.packed + panel * panel_size;
        for (; block < last; block++)
            run_block(&j, block);
    }
    body_end();
}

const struct nn_tiles TILES = {RATE, {units, share}};
