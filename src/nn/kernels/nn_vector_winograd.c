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
 * A side that is no multiple of four ends in a tile with fewer outputs, which needs fewer points
 * and has no row in the planes of the others (see nn_vector_points.h).
 *
 * An output element's operations and their order depend on nothing but its place in its image. */
#include "base_cpu.h"
#include "nn_vector_points.h"
#include "nn_vector_rows.h"

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
    int edge;                   /* outputs of a row's last tile, 0 for a whole one */
    size_t block;               /* tiles that go through together */
    size_t in_plane, out_plane; /* floats between planes */
    float *in, *out;            /* planes [tile][input] and [tile][channel of the block] */
};

/* Tiles of a block at most, a multiple of half of every P of TILE_WIDTHS (see multiply_rows):
 * enough that their arithmetic outweighs the weights' way from the third-level cache, and few where
 * the weights fit in the second, so that the planes stay near and a team has more units to share
 * out.
 */
#define BLOCK_TILES_MAX 72
#define TILES_SHARED 48 /* of a single image, that are worth two blocks */

static size_t block_tiles(size_t inputs, size_t outputs)
{
    return inputs * outputs <= 96 * 96 ? 12 : BLOCK_TILES_MAX;
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

/* Blocks of about the same size. A single image of many tiles makes two at least: its operations
 * are those that a team shares, and threads with tiles of their own make no transform twice. */
static size_t tiles_together(size_t tiles, size_t images, size_t most)
{
    size_t blocks = (tiles + most - 1) / most;
    if (images == 1 && blocks == 1 && tiles >= TILES_SHARED)
        blocks = 2;
    size_t even = (tiles + blocks - 1) / blocks;
    return (even + TILE_MAX - 1) / TILE_MAX * TILE_MAX;
}

static struct work work_begin(const struct nn_product *p, float *scratch)
{
    size_t across = (p->width + TILE_SIDE - 1) / TILE_SIDE;
    struct work w = {.p = p, .inputs = p->shape.inputs / 9, .outputs = p->shape.outputs};
    w.across = across;
    w.edge = points_edge(p->width);
    w.tiles = p->images * across * across;
    w.block = tiles_together(w.tiles, p->images, block_tiles(w.inputs, w.outputs));
    w.in_plane = plane_floats(w.block, w.inputs);
    w.out_plane = plane_floats(w.block, block_width(w.outputs, 0));
    w.in = scratch;
    w.out = scratch ? scratch + PLANES * w.in_plane : NULL;
    return w;
}

/* ---- where a block's tiles lie in the planes ---- */

/* There are four classes of planes, since edges leave out some rows and some columns of them: a
 * tile's place among those that have a row in a plane of the class, and how many these are. */
struct spread {
    size_t place[4][BLOCK_TILES_MAX], count[4];
};

NN_INLINE int plane_class(int edge, int i, int j)
{
    return 2 * points_skip(edge, i) + points_skip(edge, j);
}

static bool last_row(const struct work *w, size_t tile)
{
    return w->edge && tile / w->across % w->across == w->across - 1;
}

static bool last_column(const struct work *w, size_t tile)
{
    return w->edge && tile % w->across == w->across - 1;
}

/* Classes that occur. */
static int class_count(const struct work *w)
{
    return w->edge ? 4 : 1;
}

static void spread_find(struct spread *s, const struct work *w, size_t first, size_t count)
{
    memset(s->count, 0, sizeof s->count);
    for (size_t t = 0; t < count; t++) {
        int edges = 2 * last_row(w, first + t) + last_column(w, first + t);
        for (int k = 0; k < class_count(w); k++) {
            s->place[k][t] = s->count[k];
            s->count[k] += (edges & k) == 0;
        }
    }
}

/* ---- input transform ---- */

/* A run of tiles of one row of tiles: where their inputs lie. */
struct run {
    const float *row[PATCH]; /* at the run's first column */
    size_t step;             /* floats between columns */
    size_t columns, inside;  /* that the tiles read; that lie in the image or on its border */
    size_t count;            /* tiles */
    size_t first;            /* the first one's number in the block */
    bool bottom, right;      /* the row is, or the last tile is, one of the image's edge */
};

/* Rows of planes of one vector of channels of one tile, from its columns; `base` has the tile's
 * place for each class. */
NN_INLINE void tile_transform(const struct work *w, vec columns[][PATCH], float *const base[4],
                              bool half, int edge, bool bottom, bool right)
{
    UNROLL
    for (int i = 0; i < PATCH; i++) {
        vec d[PATCH], v[PATCH];
        if (bottom && points_skip(edge, i))
            continue;
        UNROLL
        for (int j = 0; j < PATCH; j++)
            d[j] = columns[j][i];
        if (right)
            points_input_edge(edge, d, v);
        else
            points_input(d, v);
        UNROLL
        for (int j = 0; j < PATCH; j++)
            if (!right || !points_skip(edge, j))
                vec_store_part(base[plane_class(edge, i, j)] +
                                   (size_t)(i * PATCH + j) * w->in_plane,
                               v[j], half);
    }
}

/* One vector of channels of a run, from `c` on. */
NN_INLINE void run_transform(const struct work *w, const struct spread *s, const struct run *r,
                             size_t c, bool half, int edge)
{
    vec columns[RUN_COLUMNS][PATCH];
    for (size_t x = 0; x < r->columns; x++) {
        vec d[PATCH];
        UNROLL
        for (int i = 0; i < PATCH; i++)
            d[i] = x < r->inside ? vec_load_part(r->row[i] + x * r->step + c, half) : vec_zero();
        if (edge && r->bottom)
            points_input_edge(edge, d, columns[x]);
        else
            points_input(d, columns[x]);
    }
    for (size_t t = 0; t < r->count; t++) {
        float *base[4];
        UNROLL
        for (int k = 0; k < 4; k++)
            base[k] = w->in + (edge ? s->place[k][r->first + t] : r->first + t) * w->inputs + c;
        if (edge && r->right && t == r->count - 1)
            tile_transform(w, columns + t * TILE_SIDE, base, half, edge, r->bottom, true);
        else
            tile_transform(w, columns + t * TILE_SIDE, base, half, edge, edge && r->bottom, false);
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
    r.bottom = last_row(w, tile);
    r.right = last_column(w, tile + r.count - 1);
    for (size_t i = 0; i < PATCH; i++) {
        size_t y = ty * TILE_SIDE + i;
        r.row[i] = y < p->height + 2 ? above + (y * p->in_row + tx * TILE_SIDE) * lanes : above;
    }
    return r;
}

NN_INLINE void transform_runs(const struct work *w, const struct spread *s, size_t first,
                              size_t count, int edge)
{
    for (size_t done = 0; done < count;) {
        struct run r = run_find(w, first + done, count - done);
        size_t c = 0;
        r.first = done;
        for (; c + VEC_WIDTH <= w->inputs; c += VEC_WIDTH)
            run_transform(w, s, &r, c, false, edge);
        if (c < w->inputs)
            run_transform(w, s, &r, c, true, edge);
        done += r.count;
    }
}

static void transform_inputs(const struct work *w, const struct spread *s, size_t first,
                             size_t count)
{
    if (w->edge == 0)
        transform_runs(w, s, first, count, 0);
    else if (w->edge == 2)
        transform_runs(w, s, first, count, 2);
    else
        transform_runs(w, s, first, count, 3);
}

/* ---- the products ---- */

/* All planes of a block of tiles and of outputs. */
static void multiply_planes(const struct work *w, const struct spread *s, const float *weights,
                            size_t width)
{
    struct rows r = {.inputs = w->inputs, .width = width, .weights = weights};
    for (size_t plane = 0; plane < PLANES; plane++, r.weights += w->inputs * width) {
        r.in = w->in + plane * w->in_plane;
        r.out = w->out + plane * w->out_plane;
        multiply_rows(r,
                      s->count[plane_class(w->edge, (int)(plane / PATCH), (int)(plane % PATCH))]);
    }
}

/* ---- output transform ---- */

/* Where a tile's outputs go, and how many of its rows and columns lie in the image. */
struct place {
    size_t first, row; /* floats from the beginning of the output, and between rows */
    size_t rows, columns;
    const float *bias;
    const float *planes[4]; /* the tile's place in each class */
    size_t step;            /* floats between planes */
    bool bottom, right;
};

/* One vector of channels of one tile: from channel `o` of its block, `to` of all.
 * `edge` is the image's, and `whole` tells that the tile is not at it. */
NN_INLINE void tile_finish(const struct nn_product *p, const struct place *at, size_t o, size_t to,
                           bool half, int edge, bool whole, bool residual)
{
    vec column[PATCH][TILE_SIDE];
    UNROLL
    for (int j = 0; j < PATCH; j++) {
        bool skip = !whole && at->right && points_skip(edge, j);
        vec m[PATCH];
        UNROLL
        for (int i = 0; i < PATCH; i++) {
            const float *plane = at->planes[plane_class(edge, i, j)];
            m[i] = vec_zero();
            if (!skip && (whole || !at->bottom || !points_skip(edge, i)))
                m[i] = vec_load_part(plane + o + (size_t)(i * PATCH + j) * at->step, half);
        }
        if (!whole && at->bottom)
            points_output_edge(edge, m, column[j]);
        else
            points_output(m, column[j]);
    }
    vec bias = vec_load_part(at->bias + to, half), scale = vec_set(p->scale);
    UNROLL
    for (size_t y = 0; y < TILE_SIDE; y++) {
        vec m[PATCH], sum[TILE_SIDE];
        if (!whole && y >= at->rows)
            break;
        UNROLL
        for (int j = 0; j < PATCH; j++)
            m[j] = column[j][y];
        if (!whole && at->right)
            points_output_edge(edge, m, sum);
        else
            points_output(m, sum);
        UNROLL
        for (size_t x = 0; x < TILE_SIDE; x++) {
            size_t out = at->first + y * at->row + x * p->shape.outputs + to;
            if (!whole && x >= at->columns)
                break;
            vec v = vec_add(sum[x], bias);
            if (residual)
                v = vec_mul(vec_add(v, vec_load_part(p->residual + out, half)), scale);
            vec_store_part(p->out + out, v, half);
        }
    }
}

/* A function of each kind of tile: `edge` of the image, whether the tile is whole, half a vector.
 */
#define DEFINE_FINISH(name, half, edge, whole)                                                     \
    static void name(const struct nn_product *p, const struct place *at, size_t o, size_t to)      \
    {                                                                                              \
        if (p->residual)                                                                           \
            tile_finish(p, at, o, to, half, edge, whole, true);                                    \
        else                                                                                       \
            tile_finish(p, at, o, to, half, edge, whole, false);                                   \
    }
#define FINISH_KINDS(X, half)                                                                      \
    X(finish_0_##half, half, 0, true)                                                              \
    X(finish_2_##half, half, 2, true)                                                              \
    X(finish_3_##half, half, 3, true)                                                              \
    X(finish_2_edge_##half, half, 2, false)                                                        \
    X(finish_3_edge_##half, half, 3, false)
FINISH_KINDS(DEFINE_FINISH, false)
FINISH_KINDS(DEFINE_FINISH, true)

typedef void (*finish_function)(const struct nn_product *p, const struct place *at, size_t o,
                                size_t to);

/* By [half][edge], and [1] of a tile at the edge; there is none at edge 0. */
static const finish_function finish_functions[2][4][2] = {
    {{finish_0_false},
     {0},
     {finish_2_false, finish_2_edge_false},
     {finish_3_false, finish_3_edge_false}},
    {{finish_0_true},
     {0},
     {finish_2_true, finish_2_edge_true},
     {finish_3_true, finish_3_edge_true}},
};

static void finish_outputs(const struct work *w, const struct spread *s, size_t first, size_t width,
                           size_t tile, size_t count)
{
    const struct nn_product *p = w->p;
    for (size_t t = 0; t < count; t++, tile++) {
        size_t image = tile / (w->across * w->across), o = 0;
        size_t y = tile / w->across % w->across * TILE_SIDE, x = tile % w->across * TILE_SIDE;
        struct place at = {
            .first = ((image * p->height + y) * p->width + x) * w->outputs,
            .row = p->width * w->outputs,
            .rows = p->height - y,
            .columns = p->width - x,
            .bias = p->bias + image * p->bias_step,
            .step = w->out_plane,
            .bottom = last_row(w, tile),
            .right = last_column(w, tile),
        };
        for (int k = 0; k < class_count(w); k++)
            at.planes[k] = w->out + s->place[k][t] * width;
        finish_function whole = finish_functions[0][w->edge][at.bottom || at.right];
        for (; o + VEC_WIDTH <= width; o += VEC_WIDTH)
            whole(p, &at, o, first + o);
        if (o < width)
            finish_functions[1][w->edge][at.bottom || at.right](p, &at, o, first + o);
    }
}

/* ---- a profile's questions ---- */

/* A stage ends, which began at *from, and the next begins. */
static void stage_end(const struct nn_product *p, enum nn_stage stage, int64_t *from)
{
    if (!p->stages)
        return;
    int64_t now = clock_ns();
    p->stages->ns[stage] += now - *from;
    *from = now;
}

/* The multiply-adds of multiply_planes. */
static void count_macs(const struct work *w, const struct spread *s, size_t width)
{
    if (!w->p->stages)
        return;
    for (int plane = 0; plane < PLANES; plane++)
        w->p->stages->macs +=
            s->count[plane_class(w->edge, plane / PATCH, plane % PATCH)] * w->inputs * width;
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
    struct spread s;
    size_t blocks = block_count(w.outputs);
    for (size_t unit = share->first; unit < share->last; unit++) {
        size_t tile = unit / blocks * w.block, left = w.tiles - tile;
        size_t count = left < w.block ? left : w.block;
        size_t first = block_first(w.outputs, unit % blocks), width = block_width(w.outputs, first);
        int64_t from = p->stages ? clock_ns() : 0;
        spread_find(&s, &w, tile, count);
        if (share->held != unit / blocks + 1)
            transform_inputs(&w, &s, tile, count);
        share->held = unit / blocks + 1;
        stage_end(p, NN_STAGE_INPUTS, &from);
        multiply_planes(&w, &s, p->packed + first * PLANES * w.inputs, width);
        stage_end(p, NN_STAGE_PRODUCTS, &from);
        finish_outputs(&w, &s, first, width, tile, count);
        stage_end(p, NN_STAGE_OUTPUTS, &from);
        count_macs(&w, &s, width);
    }
}
