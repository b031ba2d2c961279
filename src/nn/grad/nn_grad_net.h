/* What an nn_grad holds; for src/nn/grad only.
 *
 * Weights live three times: flat as the caller has them, "canonical" as matrices [input][output]
 * with padded channels, and packed as the product kernel likes them, once for the forward pass
 * and once, transposed, for the backward pass. Sums of gradients have the canonical layout. A
 * "piece" says where one parameter lies in it.
 *
 * A workspace belongs to one thread and holds what the backward pass needs of NN_GRAD_MICRO images.
 * Its gradients of activations use the plan's own places: a value is alive in the backward pass
 * exactly between the steps between which it is alive in the forward pass. */
#ifndef NN_GRAD_NET_H
#define NN_GRAD_NET_H

#include "nn_grad_batch.h"
#include "nn_grad_kernels.h"
#include "nn_layers.h"

#define NN_GRAD_MICRO 8
#define NN_GRAD_SHARDS 8
#define NN_NOWHERE SIZE_MAX

/* A product and its transpose. Offsets are into the canonical array. */
struct nn_grad_dense {
    struct nn_product_shape shape, back; /* back.outputs 0: none */
    size_t taps;
    size_t at, bias; /* bias NN_NOWHERE: none of its own */
    float *packed, *packed_back;
};

struct nn_grad_layer {
    struct nn_norm_weights norm[2];
    size_t gamma[2], beta[2];      /* offsets */
    struct nn_grad_dense dense[3]; /* as in nn_layer */
};

enum nn_piece_kind { NN_PIECE_MATRIX, NN_PIECE_NIN, NN_PIECE_VECTOR };

struct nn_piece {
    enum nn_piece_kind kind;
    const struct nn_param *param;
    size_t flat;            /* offset of the parameter in the flat arrays */
    size_t at, sum;         /* canonical: first element of its values and of its gradient's sum */
    size_t row;             /* floats between the matrix's rows */
    size_t channels, first; /* inputs; the first so many, then padding, then the rest */
    size_t lanes;           /* inputs of one tap, with padding */
};

/* What one step keeps for the backward pass; see the layer's file. */
struct nn_grad_saved {
    float *input;    /* of the first product: bordered, except for attention */
    float *middle;   /* Conv_0's output; query, key and value */
    float *second;   /* bordered input of Conv_1; the attention's result */
    float *shortcut; /* resampled input */
    uint8_t *keep;   /* dropout */
    float *mean[2], *inverse[2];
};

struct nn_grad_work {
    unsigned char *block;
    size_t block_bytes;
    struct nn_grad_saved *saved; /* [steps] */
    float *values;               /* every one at its own place */
    size_t *value_at;            /* offsets for NN_GRAD_MICRO images */
    float *slopes;               /* gradients at values, at the plan's places */
    bool *reached;               /* whether a value's gradient has its first part */
    float *bordered;             /* a gradient with a border */
    float *plain[3];             /* gradients without */
    float *attention;
    float *product; /* the product kernel's scratch */
    float *outer;   /* conv_outer's */
    float *sums;    /* column sums [micro][lanes] */
    double *norm;
    float *embedding, *hidden[4], *time; /* hidden: before and after each SiLU */
    float *time_slope, *hidden_slope[2];
    float *v_x, *v_x_slope; /* one image */
};

struct nn_grad {
    struct nn_grad_options options;
    struct nn_net net; /* arch, plan and frequencies only */
    const struct nn_kernels *kernels;
    const struct nn_grad_kernels *grad;
    struct pool *pool;
    struct nn_param *params;
    size_t param_count, scalars;
    struct nn_piece *pieces; /* one a parameter */
    struct nn_grad_layer *layers;
    struct nn_grad_dense linear[2], time;
    struct nn_grad_dense **denses; /* all that are packed */
    size_t dense_count;
    size_t conv_bias; /* the blocks' Conv_0 biases, which the time layer's product adds too */
    size_t label;     /* [classes][wide] */
    float *canonical;
    size_t canonical_count, matrix; /* floats: of all; of the largest matrix */
    size_t product_scratch;         /* floats: the most of any product */
    float *time_bias;               /* Dense_0 + Conv_0 */
    float *zeros;                   /* a bias of none */
    float *transposed;              /* [threads][matrix], of packing */
    unsigned char *block;
    size_t block_bytes;
    float *sums[NN_GRAD_SHARDS];
    unsigned char *sums_block;
    struct nn_grad_work *work; /* [threads] */
};

/* A pass of a piece of a batch, in one thread. */
struct nn_grad_pass {
    const struct nn_grad *g;
    struct nn_grad_work *w;
    const struct nn_grad_batch *batch;
    size_t first, n;       /* of the batch's images */
    float *sum;            /* canonical gradients, added to; NULL: those of the images are wanted */
    float *const *x_slope; /* [n][C,H,W], which they go to then */
};

int nn_grad_lay(struct nn_grad *g, struct err *e);
int nn_grad_work_lay(const struct nn_grad *g, struct nn_grad_work *w, struct err *e);
void nn_grad_pack(struct nn_grad *g, const float *weights);
/* The loss, and where the backward pass begins: the head's output of image `image` of the piece
 * goes through the batch's loss, whose gradient goes to the head's slope if `back`. */
double nn_grad_loss(const struct nn_grad_pass *p, size_t image, bool back);
void nn_grad_work_clear(struct nn_grad_work *w);
void nn_grad_gather(struct nn_grad *g, size_t shards, float *gradient);

/* A piece forward, and back after its loss; without sums the gradients go to the images. */
void nn_grad_forward(const struct nn_grad_pass *p);
void nn_grad_backward(const struct nn_grad_pass *p);
void nn_grad_attention_back(const struct nn_grad_pass *p, const struct nn_attention *a,
                            const float *slope, float *qkv_slope);
size_t nn_grad_attention_scratch(size_t pixels, size_t lanes);

static inline float *nn_grad_value(const struct nn_grad_pass *p, int value)
{
    return p->w->values + p->w->value_at[value];
}

/* The gradient at a value. */
static inline float *nn_grad_slope(const struct nn_grad_pass *p, int value)
{
    return p->w->slopes + p->g->net.plan.values[value].offset * NN_GRAD_MICRO;
}

#endif
