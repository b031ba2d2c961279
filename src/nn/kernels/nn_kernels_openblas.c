/* Products by OpenBLAS, and plain C for the rest.
 *
 * OpenBLAS gives an element other bits by its place in a matrix and by the matrix's size. So the
 * pixels of one image are cut into blocks of a fixed number, wherever the image stands in a batch
 * and whoever computes it, and a call sees one block. Where rows are images of their own, as in the
 * perceptron, a block would hold somebody else's, and plain C computes them.
 *
 * It refuses overlapping rows, so the segments of a 3×3 convolution are taken tap by tap: nine
 * products that are summed in place. That is faster than copying the pixels into one wide matrix.
 * The rows of a bordered image are taken with the border between them, so that a block may be
 * longer than a row; its sums go to the scratch, and from there without the border to the output.
 */
#include "blas.h"
#include "nn_kernels.h"
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define BLOCK 288  /* pixels of a call at most; all 16 × 16 of an image with its border fit */
#define INPUTS 48  /* from so many on a product is worth a call */
#define OUTPUTS 16 /* likewise */
#define REVISION 1 /* of the order in which blocks and taps are summed */

static const struct blas *blas;

/* ---- products ---- */

static bool by_blas(const struct nn_product_shape *shape)
{
    return shape->kind != NN_PRODUCT_LINEAR && shape->inputs >= INPUTS && shape->outputs >= OUTPUTS;
}

static void pack(const struct nn_product_shape *shape, const float *canonical, float *packed)
{
    if (by_blas(shape))
        memcpy(packed, canonical, shape->inputs * shape->outputs * sizeof *packed);
    else
        nn_kernels_c.pack(shape, canonical, packed);
}

static size_t product_scratch(const struct nn_product_shape *shape)
{
    return by_blas(shape) && shape->kind != NN_PRODUCT_POINT ? BLOCK * shape->outputs : 0;
}

/* An image as runs of positions at one distance. */
struct runs {
    size_t count, length; /* of an image; positions of a run, with the border in between */
    size_t pitch;         /* positions from row to row within a run */
    size_t blocks, block; /* of a run, and positions of one; the last may be shorter */
    bool bordered;        /* there are positions in between that are no pixels */
};

static struct runs runs_of(const struct nn_product *p)
{
    struct runs r = {.count = p->height, .length = p->width, .pitch = p->width};
    bool adjoin = p->in_step == 1 && p->in_row == p->width;
    r.bordered = p->height > 1 && p->in_step == 1 && !adjoin && p->shape.kind != NN_PRODUCT_POINT;
    if (adjoin || r.bordered)
        r = (struct runs){.count = 1,
                          .length = (p->height - 1) * p->in_row + p->width,
                          .pitch = p->in_row,
                          .bordered = r.bordered};
    r.blocks = (r.length + BLOCK - 1) / BLOCK;
    r.block = ((r.length + r.blocks - 1) / r.blocks + 15) / 16 * 16;
    return r;
}

/* out [count][outputs] = alpha · Σ_k in[position][k] · w[k][o] + beta · out. */
static void multiply(const struct nn_product *p, size_t position, size_t count, float alpha,
                     float beta, float *out)
{
    const float *w = p->packed;
    for (int s = 0; s < p->segments; s++) {
        const struct nn_segment *g = &p->segment[s];
        size_t step = p->in_step * g->stride, piece = g->length > step ? g->stride : g->length;
        for (size_t k = 0; k < g->length; k += piece, w += piece * p->shape.outputs, beta = 1.0f) {
            const struct blas_product product = {.rows = count,
                                                 .inner = piece,
                                                 .columns = p->shape.outputs,
                                                 .a = g->base + position * g->stride + k,
                                                 .a_step = step,
                                                 .b = w,
                                                 .b_step = p->shape.outputs,
                                                 .alpha = alpha,
                                                 .beta = beta,
                                                 .c = out,
                                                 .c_step = p->shape.outputs};
            blas->multiply(&product);
        }
    }
}

/* To one output pixel: `sum`, or 0 where it is NULL, with bias and residual. */
static void finish(const struct nn_product *p, size_t image, size_t pixel, const float *sum)
{
    size_t outputs = p->shape.outputs, at = pixel * outputs;
    const float *bias = p->bias + image * p->bias_step;
    for (size_t o = 0; o < outputs; o++) {
        float v = (sum ? sum[o] : 0.0f) + bias[o];
        p->out[at + o] = p->residual ? (v + p->residual[at + o]) * p->scale : v;
    }
}

/* Positions [first, first + count) of a run through the scratch, which alone has room for the
 * border. */
static void bordered_block(const struct nn_product *p, const struct runs *r, size_t image,
                           size_t first, size_t count, float *scratch)
{
    multiply(p, image * p->in_image + first, count, 1.0f, 0.0f, scratch);
    for (size_t i = 0; i < count; i++) {
        size_t y = (first + i) / r->pitch, x = (first + i) % r->pitch;
        if (x < p->width)
            finish(p, image, (image * p->height + y) * p->width + x,
                   scratch + i * p->shape.outputs);
    }
}

/* The same in place, where pixel follows pixel. */
static void plain_block(const struct nn_product *p, size_t image, size_t run, size_t first,
                        size_t count)
{
    size_t pixel = (image * p->height + run) * p->width + first;
    for (size_t i = 0; i < count; i++)
        finish(p, image, pixel + i, NULL);
    multiply(p, image * p->in_image + run * p->in_row + first * p->in_step, count,
             p->residual ? p->scale : 1.0f, 1.0f, p->out + pixel * p->shape.outputs);
}

/* A unit is a block of a run, where OpenBLAS computes it; in plain C, which computes what is small,
 * all is one. */
static size_t product_units(const void *op)
{
    const struct nn_product *p = op;
    const struct runs r = runs_of(p);
    return by_blas(&p->shape) ? p->images * r.count * r.blocks : 1;
}

static void product_share(const void *op, struct nn_share *share)
{
    const struct nn_product *p = op;
    const struct runs r = runs_of(p);
    for (size_t unit = share->first; unit < share->last; unit++) {
        size_t run = unit / r.blocks, first = unit % r.blocks * r.block, left = r.length - first;
        size_t count = left < r.block ? left : r.block;
        if (!by_blas(&p->shape))
            nn_kernels_c.product(p);
        else if (r.bordered)
            bordered_block(p, &r, run, first, count, share->scratch);
        else
            plain_block(p, run / r.count, run % r.count, first, count);
    }
}

static void product(const struct nn_product *p)
{
    struct nn_share all = {.last = product_units(p), .scratch = p->scratch};
    product_share(p, &all);
}

/* ---- attention: a block of queries at a time, as in nn_vector_attention.c ---- */

static size_t query_blocks(const struct nn_attention *p)
{
    return (p->pixels + NN_ATTENTION_BLOCK - 1) / NN_ATTENTION_BLOCK;
}

static void attend(const struct nn_attention *p, size_t image, size_t first, float *scores)
{
    size_t row = nn_attention_row(p->pixels), step = 3 * p->lanes, left = p->pixels - first;
    size_t count = left < NN_ATTENTION_BLOCK ? left : NN_ATTENTION_BLOCK;
    const float *in = p->qkv + image * p->pixels * step;
    const struct blas_product score = {.rows = count,
                                       .inner = p->lanes,
                                       .columns = p->pixels,
                                       .a = in + first * step,
                                       .a_step = step,
                                       .b = in + p->lanes,
                                       .b_step = step,
                                       .across = true,
                                       .alpha = 1.0f,
                                       .c = scores,
                                       .c_step = row};
    const struct blas_product value = {.rows = count,
                                       .inner = p->pixels,
                                       .columns = p->lanes,
                                       .a = scores,
                                       .a_step = row,
                                       .b = in + 2 * p->lanes,
                                       .b_step = step,
                                       .alpha = 1.0f,
                                       .c = p->out + (image * p->pixels + first) * p->lanes,
                                       .c_step = p->lanes};
    blas->multiply(&score);
    for (size_t i = 0; i < count; i++)
        nn_softmax(scores + i * row, p->pixels, p->pixels, 1.0f / sqrtf((float)p->channels));
    blas->multiply(&value);
}

static size_t attention_units(const void *op)
{
    const struct nn_attention *p = op;
    return p->images * query_blocks(p);
}

static void attention_share(const void *op, struct nn_share *share)
{
    const struct nn_attention *p = op;
    size_t blocks = query_blocks(p);
    for (size_t unit = share->first; unit < share->last; unit++)
        attend(p, unit / blocks, unit % blocks * NN_ATTENTION_BLOCK, share->scratch);
}

static void attention(const struct nn_attention *p)
{
    struct nn_share all = {.last = attention_units(p), .scratch = p->scratch};
    attention_share(p, &all);
}

/* ---- the table ---- */

static struct nn_kernels table;
static char id[sizeof blas->name + 8];

static void fill(void)
{
    blas = blas_get(NULL);
    if (!blas)
        return;
    snprintf(id, sizeof id, "%s.%d", blas->name, REVISION);
    table = nn_kernels_c;
    table.id = id;
    table.pack = pack;
    table.product_scratch = product_scratch;
    table.product = product;
    table.attention = attention;
    table.product_sharing = (struct nn_sharing){product_units, product_share};
    table.attention_sharing = (struct nn_sharing){attention_units, attention_share};
}

const struct nn_kernels *nn_kernels_openblas(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill);
    return blas ? &table : NULL;
}
