/* 3×3 convolution by Winograd's F(4×4, 3×3): 36 multiplications for 16 outputs instead of 144.
 *
 * An image is cut into tiles of 4×4 outputs, each of which reads 6×6 inputs d. With the weights g
 * of one pair of channels, Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A; the sum over input channels is taken
 * between the brackets, so it is 36 matrix products [tiles][inputs] · [inputs][outputs]. The
 * interpolation points are 0, ±5/8, ±3/2 and ∞: every constant below is exact in single precision,
 * and the error is a third of that of the usual 0, ±1, ±2, ∞. The weights' transform is taken in
 * double at load and rounded once.
 *
 * One block of tiles at a time, whichever images they belong to: the input transform of all
 * channels into planes [36][tiles][inputs]; then for each block of output channels the 36 products
 * into [36][tiles][channels of the block], and from there the output transform with bias and
 * residual. So weights are read once for a block of tiles, as one stream, and all else stays in the
 * second-level cache (or near it, where a large layer's weights call for more tiles a block).
 *
 * An output element's operations and their order depend on nothing but its place in its own tile.
 * Tiles that overhang the image read zeros there, so nothing beyond it can show in the result. */
#include "nn_vector_tile.h"

/* The points ±A and ±B and what follows from them. */
#define A1 0.625f
#define B1 1.5f
#define A2 (A1 * A1)
#define B2 (B1 * B1)
#define A3 (A2 * A1)
#define B3 (B2 * B1)

#define TILE_SIDE 4
#define PATCH 6
#define PLANES (PATCH * PATCH)
#define RUN_MAX 8 /* tiles of a row that are transformed together */
#define RUN_COLUMNS (RUN_MAX * TILE_SIDE + 2)

/* ---- where it wins ---- */

/* Costs in multiply-adds of one lane, for one image; by measurement. Of a tile: its transforms, for
 * each channel. Of a weight: its way from memory, shared by the images that usually go through
 * together; it is why images of 4×4, with as many weights as multiplications, stay direct. */
#define COST_INPUT 240
#define COST_OUTPUT 200
#define COST_WEIGHT 4

bool NN_VEC(winograd)(size_t inputs, size_t outputs, size_t side)
{
    size_t across = (side + TILE_SIDE - 1) / TILE_SIDE, tiles = across * across;
    size_t direct = (side * side + COST_WEIGHT) * 9 * inputs * outputs;
    size_t product = (tiles + COST_WEIGHT) * PLANES * inputs * outputs;
    size_t transforms = tiles * (COST_INPUT * inputs + COST_OUTPUT * outputs);
    return product + transforms < direct;
}

/* ---- weights: [block of outputs][plane][input][channels of the block] ---- */

size_t NN_VEC(winograd_pack_size)(const struct nn_product_shape *shape)
{
    return shape->inputs / 9 * PLANES * shape->outputs;
}

/* G: a row a point, 1, p, p² over the product of the differences from the other points. */
static void weight_rows(double g[PATCH][3])
{
    static const double points[PATCH - 1] = {0, A1, -A1, B1, -B1};
    for (int i = 0; i < PATCH - 1; i++) {
        double norm = 1;
        for (int k = 0; k < PATCH - 1; k++)
            norm *= k == i ? 1 : points[i] - points[k];
        for (int k = 0; k < 3; k++)
            g[i][k] = (k == 0 ? 1 : k == 1 ? points[i] : points[i] * points[i]) / norm;
    }
    g[PATCH - 1][0] = g[PATCH - 1][1] = 0;
    g[PATCH - 1][2] = 1;
}

/* The 36 transformed weights of one input and `width` outputs, `step` floats between taps and
 * between planes. */
static void weights_transform(const double g[PATCH][3], const float *taps, size_t tap_step,
                              size_t width, float *out, size_t plane_step)
{
    double half[PATCH][3][BLOCK_VECTORS * VEC_WIDTH];
    for (int i = 0; i < PATCH; i++)
        for (size_t x = 0; x < 3; x++)
            for (size_t o = 0; o < width; o++)
                half[i][x][o] = g[i][0] * (double)taps[x * tap_step + o] +
                                g[i][1] * (double)taps[(3 + x) * tap_step + o] +
                                g[i][2] * (double)taps[(6 + x) * tap_step + o];
    for (int i = 0; i < PATCH; i++)
        for (int j = 0; j < PATCH; j++, out += plane_step)
            for (size_t o = 0; o < width; o++)
                out[o] = (float)(g[j][0] * half[i][0][o] + g[j][1] * half[i][1][o] +
                                 g[j][2] * half[i][2][o]);
}

void NN_VEC(winograd_pack)(const struct nn_product_shape *shape, const float *canonical,
                           float *packed)
{
    size_t outputs = shape->outputs, inputs = shape->inputs / 9;
    double g[PATCH][3];
    weight_rows(g);
    for (size_t first = 0; first < outputs;) {
        size_t width = block_width(outputs, first);
        for (size_t c = 0; c < inputs; c++)
            weights_transform(g, canonical + c * outputs + first, inputs * outputs, width,
                              packed + c * width, inputs * width);
        packed += PLANES * inputs * width;
        first += width;
    }
}

/* ---- a product at work ---- */

struct work {
    const struct nn_product *p;
    size_t inputs, outputs;
    size_t across, tiles;       /* in a row of an image; in all images */
    size_t block;               /* tiles that go through together */
    size_t in_plane, out_plane; /* floats between planes */
    float *in, *out;            /* planes [tile][input] and [tile][channel of the block] */
};

/* Tiles of a block, a multiple of half of every P of TILE_WIDTHS (see multiply_planes): enough that
 * their arithmetic outweighs the weights' way from the third-level cache, and few where the weights
 * fit in the second, so that the planes stay near and a team has more units to share out. */
static size_t block_tiles(size_t inputs, size_t outputs)
{
    return inputs * outputs <= 96 * 96 ? 12 : 48;
}

/* Floats of a plane: an odd number of cache lines, so that a tile's planes lie in different sets.
 */
static size_t plane_floats(size_t tiles, size_t channels)
{
    size_t lines = (tiles * channels + 15) / 16;
    return (lines | 1) * 16;
}

size_t NN_VEC(winograd_scratch)(const struct nn_product_shape *shape)
{
    size_t inputs = shape->inputs / 9, tiles = block_tiles(inputs, shape->outputs);
    return PLANES *
           (plane_floats(tiles, inputs) + plane_floats(tiles, block_width(shape->outputs, 0)));
}

static struct work work_begin(const struct nn_product *p, float *scratch)
{
    size_t across = (p->width + TILE_SIDE - 1) / TILE_SIDE;
    struct work w = {.p = p, .inputs = p->shape.inputs / 9, .outputs = p->shape.outputs};
    w.across = across;
    w.tiles = p->images * across * across;
    w.block = block_tiles(w.inputs, w.outputs);
    w.in_plane = plane_floats(w.block, w.inputs);
    w.out_plane = plane_floats(w.block, block_width(w.outputs, 0));
    w.in = scratch;
    w.out = scratch ? scratch + PLANES * w.in_plane : NULL;
    return w;
}

/* ---- input transform ---- */

/* Bᵀ d for one column: a row a point, the polynomial of the other points. */
NN_INLINE void input_column(const vec d[PATCH], vec out[PATCH])
{
    vec a = vec_set(A1), b = vec_set(B1), a2 = vec_set(A2), b2 = vec_set(B2);
    vec sum = vec_set(A2 + B2), product = vec_set(A2 * B2);
    vec even_a = vec_fnma(b2, d[2], d[4]), odd_a = vec_fnma(b2, d[1], d[3]);
    vec even_b = vec_fnma(a2, d[2], d[4]), odd_b = vec_fnma(a2, d[1], d[3]);
    out[0] = vec_fma(product, d[0], vec_fnma(sum, d[2], d[4]));
    out[1] = vec_fma(a, odd_a, even_a);
    out[2] = vec_fnma(a, odd_a, even_a);
    out[3] = vec_fma(b, odd_b, even_b);
    out[4] = vec_fnma(b, odd_b, even_b);
    out[5] = vec_fma(product, d[1], vec_fnma(sum, d[3], d[5]));
}

/* A run of tiles of one row of tiles: where their inputs lie. */
struct run {
    const float *row[PATCH]; /* at the run's first column */
    size_t step;             /* floats between columns */
    size_t columns, inside;  /* that the tiles read; that lie in the image or on its border */
    size_t count;            /* tiles */
    size_t first;            /* the first one's place in the block */
};

/* One vector of channels of a run, from `c` on. */
NN_INLINE void run_transform(const struct work *w, const struct run *r, size_t c, bool half)
{
    vec columns[RUN_COLUMNS][PATCH];
    for (size_t x = 0; x < r->columns; x++) {
        vec d[PATCH];
        UNROLL
        for (int i = 0; i < PATCH; i++)
            d[i] = x < r->inside ? vec_load_part(r->row[i] + x * r->step + c, half) : vec_zero();
        input_column(d, columns[x]);
    }
    for (size_t t = 0; t < r->count; t++) {
        float *out = w->in + (r->first + t) * w->inputs + c;
        UNROLL
        for (int i = 0; i < PATCH; i++) {
            vec d[PATCH], v[PATCH];
            UNROLL
            for (size_t j = 0; j < PATCH; j++)
                d[j] = columns[t * TILE_SIDE + j][i];
            input_column(d, v);
            UNROLL
            for (int j = 0; j < PATCH; j++, out += w->in_plane)
                vec_store_part(out, v[j], half);
        }
    }
}

/* Finds the run of up to `left` tiles that begins with tile `tile` of the call. Rows below the
 * border are read from the border above the image, which is zero too. */
static struct run run_find(const struct work *w, size_t tile, size_t left)
{
    const struct nn_product *p = w->p;
    size_t image = tile / (w->across * w->across), ty = tile / w->across % w->across;
    size_t tx = tile % w->across, lanes = p->segment[0].stride;
    const float *above = p->segment[0].base + image * p->in_image * lanes;
    struct run r = {.step = lanes, .count = w->across - tx};
    if (r.count > left)
        r.count = left;
    if (r.count > RUN_MAX)
        r.count = RUN_MAX;
    r.columns = r.count * TILE_SIDE + 2;
    r.inside = p->width + 2 - tx * TILE_SIDE;
    for (size_t i = 0; i < PATCH; i++) {
        size_t y = ty * TILE_SIDE + i;
        r.row[i] = y < p->height + 2 ? above + (y * p->in_row + tx * TILE_SIDE) * lanes : above;
    }
    return r;
}

static void transform_inputs(const struct work *w, size_t first, size_t count)
{
    for (size_t done = 0; done < count;) {
        struct run r = run_find(w, first + done, count - done);
        size_t c = 0;
        r.first = done;
        for (; c + VEC_WIDTH <= w->inputs; c += VEC_WIDTH)
            run_transform(w, &r, c, false);
        if (c < w->inputs)
            run_transform(w, &r, c, true);
        done += r.count;
    }
}

/* ---- the products ---- */

/* Rows of a plane: in [count][inputs] · weights [inputs][width] to out [count][width]. */
struct rows {
    const float *in, *weights;
    float *out;
    size_t inputs, width;
};

NN_INLINE void rows_multiply(const struct rows *r, int pixels, int vectors, bool half)
{
    vec acc[TILE_MAX][BLOCK_VECTORS];
    __m256 tail[TILE_MAX];
    const float *in[TILE_MAX], *w = r->weights;
    UNROLL
    for (int i = 0; i < pixels; i++) {
        UNROLL
        for (int v = 0; v < vectors; v++)
            acc[i][v] = vec_zero();
        tail[i] = _mm256_setzero_ps();
        in[i] = r->in + (size_t)i * r->inputs;
    }
    for (size_t k = 0; k < r->inputs; k += 4, w += 4 * r->width) {
        UNROLL
        for (size_t j = 0; j < 4; j++)
            tile_step(pixels, vectors, half, in, k + j, w + j * r->width, acc, tail);
    }
    UNROLL
    for (int i = 0; i < pixels; i++) {
        float *out = r->out + (size_t)i * r->width;
        UNROLL
        for (int v = 0; v < vectors; v++)
            vec_store(out + v * VEC_WIDTH, acc[i][v]);
        if (half)
            _mm256_storeu_ps(out + vectors * VEC_WIDTH, tail[i]);
    }
}

#define DEFINE_ROWS(name, pixels, vectors, half)                                                   \
    static void name##_full(const struct rows *r)                                                  \
    {                                                                                              \
        rows_multiply(r, pixels, vectors, half);                                                   \
    }                                                                                              \
    static void name##_part(const struct rows *r)                                                  \
    {                                                                                              \
        rows_multiply(r, pixels / 2, vectors, half);                                               \
    }                                                                                              \
    static void name##_one(const struct rows *r)                                                   \
    {                                                                                              \
        rows_multiply(r, 1, vectors, half);                                                        \
    }
#define LIST_ROWS(name, pixels, vectors, half) {pixels, name##_full, name##_part, name##_one},

TILE_WIDTHS(DEFINE_ROWS)

static const struct {
    size_t pixels;
    void (*full)(const struct rows *r);
    void (*part)(const struct rows *r);
    void (*one)(const struct rows *r);
} widths[] = {TILE_WIDTHS(LIST_ROWS)};

/* All planes of a block of `count` tiles and of outputs, by P, P / 2 or one row at a time. What is
 * left is rounded up to one of these: the planes have the room, since a block is a multiple of
 * P / 2, and what a row beyond the last holds reaches no other row. */
static void multiply_planes(const struct work *w, const float *weights, size_t width, size_t count)
{
    struct rows r = {.inputs = w->inputs, .width = width, .weights = weights};
    size_t pixels = widths[width / NN_LANES - 1].pixels;
    for (size_t plane = 0; plane < PLANES; plane++, r.weights += w->inputs * width) {
        r.in = w->in + plane * w->in_plane;
        r.out = w->out + plane * w->out_plane;
        for (size_t left = count; left > 0;) {
            size_t step = left == 1 ? 1 : left <= pixels / 2 ? pixels / 2 : pixels;
            (step == 1        ? widths[width / NN_LANES - 1].one
             : step == pixels ? widths[width / NN_LANES - 1].full
                              : widths[width / NN_LANES - 1].part)(&r);
            r.in += step * w->inputs;
            r.out += step * width;
            left -= step < left ? step : left;
        }
    }
}

/* ---- output transform ---- */

/* Aᵀ m for one column. */
NN_INLINE void output_column(const vec m[PATCH], vec out[TILE_SIDE])
{
    vec sum_a = vec_add(m[1], m[2]), apart_a = vec_sub(m[1], m[2]);
    vec sum_b = vec_add(m[3], m[4]), apart_b = vec_sub(m[3], m[4]);
    out[0] = vec_add(m[0], vec_add(sum_a, sum_b));
    out[1] = vec_fma(vec_set(B1), apart_b, vec_mul(vec_set(A1), apart_a));
    out[2] = vec_fma(vec_set(B2), sum_b, vec_mul(vec_set(A2), sum_a));
    out[3] = vec_fma(vec_set(B3), apart_b, vec_fma(vec_set(A3), apart_a, m[5]));
}

/* Where a tile's outputs go, and how many of its rows and columns lie in the image. */
struct place {
    size_t first, row; /* floats from the beginning of the output, and between rows */
    size_t rows, columns;
    const float *bias;
};

/* One vector of channels of one tile, from channel `o` of the block that begins at `first` on. */
NN_INLINE void tile_finish(const struct nn_product *p, const struct place *at, const float *planes,
                           size_t step, size_t o, bool half, bool whole, bool residual)
{
    vec column[PATCH][TILE_SIDE];
    UNROLL
    for (size_t j = 0; j < PATCH; j++) {
        vec m[PATCH];
        UNROLL
        for (size_t i = 0; i < PATCH; i++)
            m[i] = vec_load_part(planes + (i * PATCH + j) * step, half);
        output_column(m, column[j]);
    }
    vec bias = vec_load_part(at->bias + o, half), scale = vec_set(p->scale);
    UNROLL
    for (size_t y = 0; y < TILE_SIDE; y++) {
        vec m[PATCH], sum[TILE_SIDE];
        if (!whole && y >= at->rows)
            break;
        UNROLL
        for (int j = 0; j < PATCH; j++)
            m[j] = column[j][y];
        output_column(m, sum);
        UNROLL
        for (size_t x = 0; x < TILE_SIDE; x++) {
            size_t to = at->first + y * at->row + x * p->shape.outputs + o;
            if (!whole && x >= at->columns)
                break;
            vec v = vec_add(sum[x], bias);
            if (residual)
                v = vec_mul(vec_add(v, vec_load_part(p->residual + to, half)), scale);
            vec_store_part(p->out + to, v, half);
        }
    }
}

#define FINISH(half)                                                                               \
    if (at->rows == TILE_SIDE && at->columns == TILE_SIDE && p->residual)                          \
        tile_finish(p, at, planes, step, o, half, true, true);                                     \
    else if (at->rows == TILE_SIDE && at->columns == TILE_SIDE)                                    \
        tile_finish(p, at, planes, step, o, half, true, false);                                    \
    else                                                                                           \
        tile_finish(p, at, planes, step, o, half, false, p->residual != NULL);

static void tile_finish_whole(const struct nn_product *p, const struct place *at,
                              const float *planes, size_t step, size_t o)
{
    FINISH(false)
}

static void tile_finish_half(const struct nn_product *p, const struct place *at,
                             const float *planes, size_t step, size_t o)
{
    FINISH(true)
}

static void finish_outputs(const struct work *w, size_t first, size_t width, size_t tile,
                           size_t count)
{
    const struct nn_product *p = w->p;
    for (size_t t = 0; t < count; t++, tile++) {
        size_t image = tile / (w->across * w->across);
        size_t y = tile / w->across % w->across * TILE_SIDE, x = tile % w->across * TILE_SIDE,
               o = 0;
        const struct place at = {
            .first = ((image * p->height + y) * p->width + x) * w->outputs,
            .row = p->width * w->outputs,
            .rows = p->height - y < TILE_SIDE ? p->height - y : TILE_SIDE,
            .columns = p->width - x < TILE_SIDE ? p->width - x : TILE_SIDE,
            .bias = p->bias + image * p->bias_step,
        };
        for (; o + VEC_WIDTH <= width; o += VEC_WIDTH)
            tile_finish_whole(p, &at, w->out + t * width + o, w->out_plane, first + o);
        if (o < width)
            tile_finish_half(p, &at, w->out + t * width + o, w->out_plane, first + o);
    }
}

/* ---- the product ---- */

/* Blocks of tiles × blocks of outputs, the outputs' inside. */
size_t NN_VEC(winograd_units)(const struct nn_product *p)
{
    const struct work w = work_begin(p, NULL);
    return (w.tiles + w.block - 1) / w.block * block_count(w.outputs);
}

/* Whoever has a unit of a block of tiles makes that block's input transform, unless it holds it
 * from the unit before. So no thread waits for another's transform, which costs less than one
 * product. */
void NN_VEC(winograd_share)(const struct nn_product *p, struct nn_share *share)
{
    const struct work w = work_begin(p, share->scratch);
    size_t blocks = block_count(w.outputs);
    for (size_t unit = share->first; unit < share->last; unit++) {
        size_t tile = unit / blocks * w.block, left = w.tiles - tile;
        size_t count = left < w.block ? left : w.block;
        size_t first = block_first(w.outputs, unit % blocks), width = block_width(w.outputs, first);
        if (share->held != unit / blocks + 1)
            transform_inputs(&w, tile, count);
        share->held = unit / blocks + 1;
        multiply_planes(&w, p->packed + first * PLANES * w.inputs, width, count);
        finish_outputs(&w, first, width, tile, count);
    }
}
