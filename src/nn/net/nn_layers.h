/* What a net and a workspace hold; for src/nn/net and src/nn/grad only.
 *
 * A net is filled by nn_layers_load and immutable from then on: any number of threads read it. All
 * of its arrays lie in one block of memory, which gets huge pages where the kernel grants them: a
 * forward pass streams the weights once, and with small pages the translation costs more than the
 * bytes. A workspace belongs to one thread at a time. */
#ifndef NN_LAYERS_H
#define NN_LAYERS_H

#include "base_arena.h"
#include "nn_kernels.h"
#include "nn_plan.h"
#include "nn_tile.h"

/* A convolution or linear layer: shape, packed weights, bias [outputs] (NULL where the bias comes
 * from elsewhere). With terms its weights are bf16, packed as tiles (nn_tile.h). */
struct nn_dense {
    struct nn_product_shape shape;
    int terms; /* of nn_product */
    float *packed;
    float *bias;
};

/* The weights of one step. Which members are used stands in the layer's file. */
struct nn_layer {
    struct nn_norm_weights norm[2];
    struct nn_dense dense[3];
};

struct nn_net {
    struct nn_arch arch;
    enum nn_kernel kernel;
    enum nn_precision precision;
    int terms; /* of the layers that are not always in f32 */
    const struct nn_kernels *kernels;
    const struct nn_tiles *tiles; /* NULL in f32 */
    struct nn_plan plan;
    struct nn_layer *layers; /* [plan.step_count] */
    struct nn_dense linear[2];
    struct nn_dense time;  /* all blocks' Dense_0 side by side, biases Dense_0 + Conv_0 */
    float *frequencies;    /* [nf / 2], or the Fourier projection [nf] */
    float *offset, *scale; /* of an mlp: [d], [1] */
    float *label;          /* the label embedding [classes][lanes of its length] */
    unsigned char *block;
    size_t block_bytes;
};

struct nn_workspace {
    int batch;
    unsigned char *block;
    size_t block_bytes;
    float *values;   /* activations, at nn_value.offset · batch */
    float *conv_in;  /* bordered input of a 3×3 convolution; the attention's result; with terms the
                        former and that of a shortcut in bf16 */
    float *conv_out; /* output of Conv_0; query, key and value */
    float *dense;    /* unbordered: normed but not yet resampled, resampled shortcut; with terms a
                        linear layer's input in bf16 */
    float *embedding; /* [batch][lanes of the embedding] */
    float *hidden[2]; /* [batch][4 nf] */
    float *time;      /* [batch][outputs of the time layer] */
    float *scratch;   /* of whichever operation runs */
    const struct nn_net *net;
    struct nn_team *team;       /* borrowed; NULL: alone */
    struct nn_profile *profile; /* borrowed; NULL: nobody asks */
};

#define NN_HALF_ROOT 0.70710678118654752440f /* 1 / √2 after every residual add */

/* How a block that halves or doubles its image does it. */
static inline enum nn_resample_kind nn_step_resampling(const struct nn_arch *arch,
                                                       const struct nn_step *s)
{
    if (s->resampling == NN_RESAMPLE_UP)
        return arch->fir ? NN_FIR_UP : NN_BOX_UP;
    return arch->fir ? NN_FIR_DOWN : NN_BOX_DOWN;
}

/* Lays the arrays out, reads, checks and packs the weights. `net` has arch, kernel and plan. */
int nn_layers_load(struct nn_net *net, const struct nn_weights *weights, int threads,
                   struct err *e);

#endif
