/* The gradient of weights: a register-tiled sum of outer products, one for each pixel.
 *
 * A tile is I rows of inputs × one block of outputs, held in registers over a run of pixels: per
 * pixel one load for each vector of slopes, one broadcast for each input, and I × vectors fused
 * multiply-adds. A run is at most RUN pixels of one image, so that its inputs and slopes stay in
 * the first-level cache while all tiles pass over them; then the tile is added to the sum. So an
 * element's order of summation depends on the shapes alone. */
#include "nn_grad_vector.h"

#define RUN 128
#define ROWS_MAX 12
#define VECTORS_MAX 3
#define UNROLL _Pragma("GCC unroll 16")

NN_INLINE void tile_run(const struct nn_outer_run *t, int inputs, int vectors, bool half)
{
    vec acc[ROWS_MAX][VECTORS_MAX];
    vec8 tail[ROWS_MAX];
    UNROLL
    for (int i = 0; i < inputs; i++) {
        UNROLL
        for (int v = 0; v < vectors; v++)
            acc[i][v] = vec_zero();
        tail[i] = vec8_zero();
    }
    for (size_t y = 0; y < t->rows; y++) {
        const float *in = t->in + y * t->in_row, *slope = t->slope + y * t->slope_row;
        for (size_t x = 0; x < t->width; x++, in += t->in_step, slope += t->slope_step) {
            vec column[VECTORS_MAX];
            UNROLL
            for (int v = 0; v < vectors; v++)
                column[v] = vec_load(slope + v * VEC_WIDTH);
            vec8 last = half ? vec8_load(slope + vectors * VEC_WIDTH) : tail[0];
            UNROLL
            for (int i = 0; i < inputs; i++) {
                vec value = vec_set(in[i]);
                UNROLL
                for (int v = 0; v < vectors; v++)
                    acc[i][v] = vec_fma(value, column[v], acc[i][v]);
                if (half)
                    tail[i] = vec8_fma(vec8_of(value), last, tail[i]);
            }
        }
    }
    UNROLL
    for (int i = 0; i < inputs; i++) {
        float *row = t->sum + (size_t)i * t->sum_row;
        UNROLL
        for (int v = 0; v < vectors; v++)
            vec_store(row + v * VEC_WIDTH, vec_add(vec_load(row + v * VEC_WIDTH), acc[i][v]));
        if (half) {
            float *at = row + vectors * VEC_WIDTH;
            vec8_store(at, vec8_add(vec8_load(at), tail[i]));
        }
    }
}

#define TILE(name, inputs, vectors, half)                                                          \
    static void name(const struct nn_outer_run *t)                                                 \
    {                                                                                              \
        tile_run(t, inputs, vectors, half);                                                        \
    }
#define TILES(name, inputs, vectors, half)                                                         \
    TILE(name##_full, inputs, vectors, half)                                                       \
    TILE(name##_four, 4, vectors, half)                                                            \
    TILE(name##_one, 1, vectors, half)
#define TILE_ROW(name, inputs)                                                                     \
    {                                                                                              \
        inputs, name##_full, name##_four, name##_one                                               \
    }

/* Tiles of each width of block: full, of four inputs and of one. */
struct tiles {
    size_t inputs;
    void (*full)(const struct nn_outer_run *t);
    void (*four)(const struct nn_outer_run *t);
    void (*one)(const struct nn_outer_run *t);
};

#if NN_VECTOR_BITS == 512
TILES(tile_8, 12, 0, true)
TILES(tile_16, 12, 1, false)
TILES(tile_24, 12, 1, true)
TILES(tile_32, 12, 2, false)
TILES(tile_40, 8, 2, true)
TILES(tile_48, 8, 3, false)
static const struct tiles tiles[] = {TILE_ROW(tile_8, 12),  TILE_ROW(tile_16, 12),
                                     TILE_ROW(tile_24, 12), TILE_ROW(tile_32, 12),
                                     TILE_ROW(tile_40, 8),  TILE_ROW(tile_48, 8)};
#else
TILES(tile_8, 12, 1, false)
TILES(tile_16, 6, 2, false)
TILES(tile_24, 4, 3, false)
static const struct tiles tiles[] = {TILE_ROW(tile_8, 12), TILE_ROW(tile_16, 6),
                                     TILE_ROW(tile_24, 4)};
#endif

/* Outputs of the block that begins at `first`: whole vectors shared out evenly. */
static size_t block_width(size_t outputs, size_t first)
{
    size_t vectors = (outputs - first + VEC_WIDTH - 1) / VEC_WIDTH;
    size_t blocks = (vectors + VECTORS_MAX - 1) / VECTORS_MAX;
    size_t width = (vectors + blocks - 1) / blocks * VEC_WIDTH;
    return width < outputs - first ? width : outputs - first;
}

/* All inputs of a segment against all outputs, over one run of pixels. */
void NN_VEC(outer_run)(const struct nn_outer_run *run, size_t length, size_t outputs)
{
    struct nn_outer_run t = *run;
    const float *slope = t.slope, *in = t.in;
    float *sum = t.sum;
    for (size_t first = 0; first < outputs;) {
        size_t width = block_width(outputs, first);
        const struct tiles *k = &tiles[width / NN_LANES - 1];
        t.slope = slope + first;
        for (size_t i = 0; i < length;) {
            size_t left = length - i;
            size_t count = left >= k->inputs ? k->inputs : left >= 4 ? 4 : 1;
            t.in = in + i;
            t.sum = sum + i * outputs + first;
            (count == k->inputs ? k->full : count == 4 ? k->four : k->one)(&t);
            i += count;
        }
        first += width;
    }
}

/* Rows from y on, columns from x on, of one image. */
static void run_pixels(const struct nn_outer *p, size_t image, size_t y, size_t x, size_t rows,
                       size_t width)
{
    size_t outputs = p->slope.lanes,
           position = image * p->in_image + y * p->in_row + x * p->in_step;
    float *sum = p->sum;
    for (int s = 0; s < p->segments; s++) {
        const struct nn_segment *g = &p->segment[s];
        const struct nn_outer_run t = {.in = g->base + position * g->stride,
                                       .slope = nn_target_row(&p->slope, image, y) + x * outputs,
                                       .in_step = p->in_step * g->stride,
                                       .in_row = p->in_row * g->stride,
                                       .slope_step = outputs,
                                       .slope_row = p->slope.row * outputs,
                                       .rows = rows,
                                       .width = width,
                                       .sum = sum,
                                       .sum_row = outputs};
        NN_VEC(outer_run)(&t, g->length, outputs);
        sum += g->length * outputs;
    }
}

void NN_VEC(outer)(const struct nn_outer *p)
{
    size_t width = p->width < RUN ? p->width : RUN, rows = RUN / width;
    for (size_t b = 0; b < p->images; b++)
        for (size_t y = 0; y < p->height; y += rows)
            for (size_t x = 0; x < p->width; x += width)
                run_pixels(p, b, y, x, p->height - y < rows ? p->height - y : rows,
                           p->width - x < width ? p->width - x : width);
}
