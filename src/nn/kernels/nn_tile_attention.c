/* Attention with its products in bf16, block by block of queries: scores, a product of the queries
 * with the keys as weights, [channels][pixels]; softmax in single precision; and a product of its
 * rows with the values as weights, [pixels][channels]. Keys and values are packed once an image and
 * thread, as the rows that they lie in are read.
 *
 * The scratch of a thread, in floats: scores [block][row], rows in bf16 for either product's first
 * operand and of all keys or values while they are packed, packed keys, packed values. */
#include "nn_tile.h"

struct scratch {
    float *scores;
    uint16_t *rows, *keys, *values;
};

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Keys as a product's weights: `lanes` inputs, `row` outputs; and values, the other way round. */
static struct nn_product_shape keys_shape(size_t pixels, size_t lanes)
{
    return (struct nn_product_shape){NN_PRODUCT_POINT, lanes, nn_attention_row(pixels)};
}

static struct nn_product_shape values_shape(size_t pixels, size_t lanes)
{
    return (struct nn_product_shape){NN_PRODUCT_POINT, pixels, lanes};
}

static size_t rows_room(size_t pixels, size_t lanes, int terms)
{
    return most(nn_tile_room(NN_ATTENTION_BLOCK, most(lanes, nn_attention_row(pixels)), terms),
                nn_tile_room(pixels, lanes, terms));
}

size_t nn_tile_attention_scratch(size_t pixels, size_t lanes, int terms)
{
    const struct nn_product_shape keys = keys_shape(pixels, lanes);
    const struct nn_product_shape values = values_shape(pixels, lanes);
    return NN_ATTENTION_BLOCK * nn_attention_row(pixels) + rows_room(pixels, lanes, terms) +
           (nn_tile_pack_size(&keys, terms) + nn_tile_pack_size(&values, terms)) / 2;
}

static struct scratch scratch_cut(const struct nn_tile_attention *p, float *all)
{
    const struct nn_attention *a = &p->attention;
    const struct nn_product_shape keys = keys_shape(a->pixels, a->lanes);
    float *rows = all + NN_ATTENTION_BLOCK * nn_attention_row(a->pixels);
    uint16_t *packed = (void *)(rows + rows_room(a->pixels, a->lanes, p->terms));
    return (struct scratch){all, (void *)rows, packed, packed + nn_tile_pack_size(&keys, p->terms)};
}

/* ---- packing ---- */

/* All rows of keys or values, from `src` on, in bf16; the distance of their planes. */
static size_t split_rows(const struct nn_tile_attention *p, const float *src, uint16_t *rows)
{
    const struct nn_attention *a = &p->attention;
    size_t lanes = nn_tile_lanes(a->lanes), plane = nn_tile_plane(a->pixels, a->lanes);
    const struct nn_split all = {1,         {{src, a->lanes, 3 * a->lanes}},        1, 1,
                                 a->pixels, {rows, 0, 0, 0, lanes, plane, p->terms}};
    p->kernels->split(&all);
    return plane;
}

/* One plane of a key's row as a column of the weights: pairs of channels, 32 channels a step,
 * `next` numbers from step to step. */
static void pack_key(const uint16_t *row, size_t lanes, size_t next, uint16_t *column)
{
    for (size_t k = 0; k < lanes; k += NN_TILE_DEPTH, column += next)
        for (size_t i = 0; i < NN_TILE_DEPTH; i += 2)
            memcpy(column + i * NN_TILE_COLUMNS, row + k + i, 2 * sizeof *row);
}

static void pack_keys(const struct nn_tile_attention *p, const uint16_t *rows, size_t plane,
                      uint16_t *packed)
{
    size_t lanes = nn_tile_lanes(p->attention.lanes), planes = nn_bf16_planes(p->terms);
    size_t step = NN_TILE_STEP * planes, panel = lanes / NN_TILE_DEPTH * step;
    for (size_t k = 0; k < p->attention.pixels; k++)
        for (size_t i = 0; i < planes; i++)
            pack_key(rows + i * plane + k * lanes, lanes, step,
                     packed + k / NN_TILE_PANEL * panel + i * NN_TILE_STEP +
                         k % NN_TILE_PANEL / NN_TILE_COLUMNS * (NN_TILE_STEP / 2) +
                         k % NN_TILE_COLUMNS * 2);
}

/* One plane of two pixels' values as pairs of the weights, 16 channels a tile; `panel` numbers from
 * panel to panel. */
static void pack_pair(const uint16_t *even, const uint16_t *odd, size_t lanes, size_t panel,
                      uint16_t *packed)
{
    for (size_t c = 0; c < lanes; c += NN_TILE_COLUMNS) {
        uint16_t *out = packed + c / NN_TILE_PANEL * panel +
                        c % NN_TILE_PANEL / NN_TILE_COLUMNS * (NN_TILE_STEP / 2);
        for (size_t i = 0; i < NN_TILE_COLUMNS; i++) {
            out[2 * i] = even[c + i];
            out[2 * i + 1] = odd ? odd[c + i] : 0;
        }
    }
}

static void pack_values(const struct nn_tile_attention *p, const uint16_t *rows, size_t plane,
                        uint16_t *packed)
{
    size_t lanes = nn_tile_lanes(p->attention.lanes), planes = nn_bf16_planes(p->terms);
    size_t step = NN_TILE_STEP * planes, pixels = p->attention.pixels;
    size_t panel = nn_tile_lanes(pixels) / NN_TILE_DEPTH * step;
    for (size_t k = 0; k < pixels; k += 2)
        for (size_t i = 0; i < planes; i++) {
            const uint16_t *even = rows + i * plane + k * lanes;
            pack_pair(even, k + 1 < pixels ? even + lanes : NULL, lanes, panel,
                      packed + k / NN_TILE_DEPTH * step + i * NN_TILE_STEP +
                          k % NN_TILE_DEPTH * NN_TILE_COLUMNS);
        }
}

static void pack_image(const struct nn_tile_attention *p, const float *qkv, const struct scratch *s)
{
    const struct nn_attention *a = &p->attention;
    const struct nn_product_shape keys = keys_shape(a->pixels, a->lanes);
    const struct nn_product_shape values = values_shape(a->pixels, a->lanes);
    memset(s->keys, 0, nn_tile_pack_size(&keys, p->terms) * sizeof *s->keys);
    memset(s->values, 0, nn_tile_pack_size(&values, p->terms) * sizeof *s->values);
    pack_keys(p, s->rows, split_rows(p, qkv + a->lanes, s->rows), s->keys);
    pack_values(p, s->rows, split_rows(p, qkv + 2 * a->lanes, s->rows), s->values);
}

/* ---- a block of queries ---- */

/* out [count][outputs] = in [count][step], of which `inputs` count, · weights. */
static void multiply(const struct nn_tile_attention *p, const struct scratch *s, const float *in,
                     size_t step, size_t inputs, size_t count, const uint16_t *weights,
                     size_t outputs, float *out)
{
    size_t lanes = nn_tile_lanes(inputs), plane = nn_tile_plane(count, inputs);
    const struct nn_split rows = {
        1, {{in, inputs, step}}, 1, 1, count, {s->rows, 0, count, count, lanes, plane, p->terms}};
    const struct nn_product product = {.shape = {NN_PRODUCT_POINT, inputs, outputs},
                                       .in_image = count,
                                       .in_row = count,
                                       .in_step = 1,
                                       .images = 1,
                                       .height = 1,
                                       .width = count,
                                       .scale = 1.0f,
                                       .out = out,
                                       .terms = p->terms,
                                       .tile = {s->rows, weights, lanes, plane, 0}};
    p->kernels->split(&rows);
    nn_tile_product(p->tiles, &product);
}

static size_t query_blocks(const struct nn_attention *a)
{
    return (a->pixels + NN_ATTENTION_BLOCK - 1) / NN_ATTENTION_BLOCK;
}

static size_t attention_units(const void *op)
{
    const struct nn_tile_attention *p = op;
    return p->attention.images * query_blocks(&p->attention);
}

static void attend(const struct nn_tile_attention *p, const struct scratch *s, const float *qkv,
                   size_t first, float *out)
{
    const struct nn_attention *a = &p->attention;
    size_t row = nn_attention_row(a->pixels), left = a->pixels - first;
    size_t count = left < NN_ATTENTION_BLOCK ? left : NN_ATTENTION_BLOCK;
    float scale = 1.0f / sqrtf((float)a->channels);
    multiply(p, s, qkv + first * 3 * a->lanes, 3 * a->lanes, a->lanes, count, s->keys, row,
             s->scores);
    for (size_t i = 0; i < count; i++)
        p->kernels->softmax(s->scores + i * row, a->pixels, row, scale);
    multiply(p, s, s->scores, row, row, count, s->values, a->lanes, out + first * a->lanes);
}

static void attention_share(const void *op, struct nn_share *share)
{
    const struct nn_tile_attention *p = op;
    const struct nn_attention *a = &p->attention;
    const struct scratch s = scratch_cut(p, share->scratch);
    size_t blocks = query_blocks(a);
    for (size_t unit = share->first; unit < share->last; unit++) {
        size_t image = unit / blocks;
        const float *qkv = a->qkv + image * a->pixels * 3 * a->lanes;
        if (share->held != image + 1)
            pack_image(p, qkv, &s);
        share->held = image + 1;
        attend(p, &s, qkv, unit % blocks * NN_ATTENTION_BLOCK,
               a->out + image * a->pixels * a->lanes);
    }
}

const struct nn_sharing nn_tile_attention_sharing = {attention_units, attention_share};
