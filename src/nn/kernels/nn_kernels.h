/* The table of operations that an instruction set implements, over the layouts of
 * nn_pixels.h.
 *
 * nn_kernels_c.c is plain C and the oracle; nn_vector_*.c are one source compiled for eight lanes
 * (AVX2 or NEON) and for AVX-512; nn_kernels_openblas.c leaves the large products to OpenBLAS.
 * Functions of a table keep no state and may run in any thread. Products in bf16 have a table of
 * their own, nn_tile.h's, behind the same struct nn_product.
 *
 * The promise behind an image's bits: an element of an output is made by the same operations in the
 * same order whatever the number of images, whichever tile the element falls into, and whichever
 * thread of a team makes it. */

#ifndef NN_KERNELS_H
#define NN_KERNELS_H

#include "nn_kernel.h"
#include "nn_pixels.h"

#define NN_SEGMENTS_MAX 3
#define NN_NORM_EPSILON 1e-6

/* A product's kind decides how its weights are packed. The pixels of a POINT belong to their image,
 * the rows of a LINEAR one each to an image of its own, and both mean the same to most kernels.
 * WINOGRAD is a 3×3 convolution of stride 1
 * over pixels of padded channels, by transformed weights; the portable kernel has no such form and
 * takes it for 3X3. */
enum nn_product_kind { NN_PRODUCT_POINT, NN_PRODUCT_LINEAR, NN_PRODUCT_3X3, NN_PRODUCT_WINOGRAD };

static inline size_t nn_product_taps(enum nn_product_kind kind)
{
    return kind == NN_PRODUCT_POINT || kind == NN_PRODUCT_LINEAR ? 1 : 9;
}

/* A product's operands in bf16 (nn_tile.h): `lanes` numbers of each pixel, the low parts `plane`
 * numbers behind the high ones; a tap's row is `tap_row` pixels below the one before. */
struct nn_tile_operands {
    const uint16_t *in, *packed;
    size_t lanes, plane, tap_row;
};

struct nn_product_shape {
    enum nn_product_kind kind;
    size_t inputs;  /* summed over the segments */
    size_t outputs; /* a multiple of NN_LANES */
};

/* `length` numbers of each pixel at base + position · stride, in floats. */
struct nn_segment {
    const float *base;
    size_t stride;
    size_t length;
};

/* For a profile: where the time of a product by transformed weights goes, in nanoseconds of
 * clock_ns. That clock also runs while another thread has the processor, so the three tell how the
 * product's processor time is shared out, not how long it is. */
enum nn_stage { NN_STAGE_INPUTS, NN_STAGE_PRODUCTS, NN_STAGE_OUTPUTS, NN_STAGE_COUNT };
struct nn_stages {
    int64_t ns[NN_STAGE_COUNT];
    uint64_t macs; /* of the products, which edges make fewer */
};

/* out[b,y,x][o] = (bias[b][o] + Σ_k in[position(b,y,x)][k] · w[k][o] (+ residual[b,y,x][o])) ·
 * scale where k runs through the segments in order and position = b · in_image + y · in_row + x ·
 * in_step. The scale is applied only with a residual. */
struct nn_product {
    struct nn_product_shape shape;
    const float *packed;
    const float *bias;
    size_t bias_step; /* floats between images' biases; 0 for one bias for all */
    int segments;
    struct nn_segment segment[NN_SEGMENTS_MAX];
    size_t in_image, in_row, in_step; /* in pixels */
    size_t images, height, width;     /* of the output */
    const float *residual;            /* [pixels][outputs], may be `out` itself; or NULL */
    float scale;
    float *out;     /* [pixels][outputs] */
    float *scratch; /* product_scratch floats, aligned; unused by the direct kinds */
    int terms; /* 0: f32; 1, 3: bf16 and bf16x3, whose operands are `tile`, not packed and segment
                */
    struct nn_tile_operands tile;
    struct nn_stages *stages; /* added to by the thread that runs all of it; NULL: nobody asks */
};

#define NN_GROUPS_MAX 32

/* Group norm's number of groups: min(channels / 4, 32). */
static inline int nn_groups(int channels)
{
    return channels / 4 < NN_GROUPS_MAX ? channels / 4 : NN_GROUPS_MAX;
}

struct nn_norm_weights {
    size_t lanes; /* of all parts together */
    int groups;
    int group_size; /* channels in a group, without padding */
    float *gamma;   /* [lanes], 0 in the padding */
    float *beta;    /* [lanes], 0 in the padding */
    int32_t *group; /* [lanes], -1 in the padding */
};

struct nn_norm_part {
    const float *src; /* [images][pixels][lanes] */
    size_t lanes;
};

/* y = (x - mean) / sqrt(variance + eps) · gamma + beta over each group of channels and all pixels
 * of an image, then SiLU if asked; the parts are concatenated by channel. */
struct nn_norm {
    const struct nn_norm_weights *weights;
    int parts;
    struct nn_norm_part part[2];
    size_t images, side;
    bool silu;
    struct nn_target target;
    double *scratch;                    /* 2 · lanes doubles */
    const struct nn_tile_target *tiles; /* instead of the target; NULL: none */
};

/* Pixels as numbers of bf16, the parts concatenated by channel and zeros behind them. */
struct nn_split_part {
    const float *src; /* [images][height][width][step], of which the first `lanes` count */
    size_t lanes, step;
};

struct nn_split {
    int parts;
    struct nn_split_part part[2];
    size_t images, height, width;
    struct nn_tile_target target;
};

/* The oracle's sums of image `image`, in double: per group Σ x, or with the means Σ (x - mean)²;
 * pixels outermost. sum [NN_GROUPS_MAX]. */
void nn_group_sums(const struct nn_norm_weights *weights, const struct nn_norm_part *part,
                   int parts, size_t pixels, size_t image, const double *mean, double *sum);

/* The oracle's softmax of the table below; padding becomes 0. */
void nn_softmax(float *row, size_t count, size_t length, float scale);

struct nn_resample {
    enum nn_resample_kind kind;
    const float *src; /* [images][side][side][target.lanes] */
    size_t images, side;
    struct nn_target target;
};

/* out[q] = Σ_k softmax_k(query[q] · key[k] / sqrt(channels)) value[k] for each image. */
struct nn_attention {
    const float *qkv; /* [images][pixels][3 · lanes] */
    size_t images, pixels;
    size_t channels; /* without padding */
    size_t lanes;
    float *out;     /* [images][pixels][lanes] */
    float *scratch; /* nn_attention_scratch floats, aligned */
};

/* A share of an operation that a team works on together: some of its units, by one thread. Each
 * output element belongs to one unit, which computes it as if it were alone; so it makes no
 * difference who takes which. */
struct nn_share {
    size_t first, last; /* units [first, last) */
    float *scratch;     /* the thread's own, as large as the operation's, aligned */
    size_t held; /* the kernel's note of what the scratch holds; 0 when the operation begins */
};

/* How an operation is shared out: `op` is an nn_product, nn_norm, … */
struct nn_sharing {
    size_t (*units)(const void *op);
    void (*run)(const void *op, struct nn_share *share);
};

struct nn_kernels {
    const char *id;
    /* Whether a layer of stride 1 on images of that side is faster as NN_PRODUCT_WINOGRAD. The
     * answer is taken once, when a network is laid out: not by the number of images, on which no
     * bit may depend. `inputs` and `outputs` are of a pixel. */
    bool (*winograd)(size_t inputs, size_t outputs, size_t side);
    /* Floats that the packed weights take. */
    size_t (*pack_size)(const struct nn_product_shape *shape);
    /* From canonical order [inputs][outputs] (padding included, zero) to the packed one. */
    void (*pack)(const struct nn_product_shape *shape, const float *canonical, float *packed);
    size_t (*product_scratch)(const struct nn_product_shape *shape);
    void (*product)(const struct nn_product *p);
    void (*norm)(const struct nn_norm *p);
    void (*resample)(const struct nn_resample *p);
    void (*attention)(const struct nn_attention *p);
    void (*silu)(size_t count, const float *in, float *out); /* count a multiple of NN_LANES */
    /* One row of attention's scores to weights, exp(scale · score - max) / Σ, in place; of `length`
     * numbers, a multiple of 16, those from `count` on are padding, which becomes less than 2e-38.
     */
    void (*softmax)(float *row, size_t count, size_t length, float scale);
    void (*split)(const struct nn_split *p);
    /* For a team; `units` is NULL in a kernel that does not share. */
    struct nn_sharing product_sharing, norm_sharing, resample_sharing, attention_sharing;
    struct nn_sharing split_sharing;
};

/* Queries that share one block of scores. */
#define NN_ATTENTION_BLOCK 64

/* Floats of a row of scores, a multiple of the widest vector. */
static inline size_t nn_attention_row(size_t pixels)
{
    return (pixels + 15) / 16 * 16;
}

static inline size_t nn_attention_bias(size_t pixels, size_t lanes)
{
    size_t row = nn_attention_row(pixels), wide = (lanes + 15) / 16 * 16;
    return row > wide ? row : wide;
}

/* A bias of zeros, the keys transposed [lanes][row], and a block of scores [block][row]. */
static inline size_t nn_attention_scratch(size_t pixels, size_t lanes)
{
    return nn_attention_bias(pixels, lanes) +
           nn_attention_row(pixels) * (lanes + NN_ATTENTION_BLOCK);
}

/* The table of a kernel that this machine can run; AUTO is resolved first. AMX's is AVX-512's,
 * which does everything but its products in bf16. */
const struct nn_kernels *nn_kernels_get(enum nn_kernel kernel);

extern const struct nn_kernels nn_kernels_c;
/* OpenBLAS's, or NULL where blas.h has none. */
const struct nn_kernels *nn_kernels_openblas(void);
extern const struct nn_kernels nn_kernels_lanes8;
extern const struct nn_kernels nn_kernels_avx512;

#endif
