/* The network as a program: a list of steps, one a module of the reference (the head is two), with
 * the skip stack resolved and every activation given its place in memory.
 *
 * The plan is the one place where the module order is decided: the parameter list, the weights'
 * layout and the forward pass all walk it. It depends on the architecture alone, is immutable once
 * built, and belongs to whoever built it.
 *
 * Memory: an activation ("value") lives from the step that makes it to the last step that reads it,
 * which for a skip is far up the way back. Each gets an offset by first fit among the values alive
 * at that moment; a step's output never overlaps its inputs. Offsets are floats of one image; with
 * room for a batch of B images everything is multiplied by B, so that the images of a value are
 * contiguous.
 *
 * Layout of a value: [image][pixel][channel], channels rounded up to NN_LANES with zeros behind the
 * last one. */
#ifndef NN_PLAN_H
#define NN_PLAN_H

#include "nn_arch.h"
#include "nn_kernels.h"

/* What a step is. The tables of layers (net_layer.h, and grad's) have a row for each; nobody else
 * asks. The last three are the perceptron's. */
enum nn_step_kind {
    NN_STEP_STEM,
    NN_STEP_RES,
    NN_STEP_ATTENTION,
    NN_STEP_PYRAMID,
    NN_STEP_HEAD,
    NN_STEP_VECTOR_STEM,
    NN_STEP_VECTOR_BLOCK,
    NN_STEP_VECTOR_HEAD,
    NN_STEP_KINDS
};
enum nn_resampling { NN_RESAMPLE_NONE, NN_RESAMPLE_DOWN, NN_RESAMPLE_UP };

struct nn_step {
    enum nn_step_kind kind;
    enum nn_resampling resampling; /* of a residual block */
    int module;                    /* N of all_modules.N; the head's convolution is N + 1 */
    int side_in, side_out;
    int channels_in;   /* of the current activation */
    int channels_skip; /* of the popped one that is concatenated behind it; 0 without */
    int channels_out;
    bool shortcut; /* a residual block with a 1×1 convolution beside it */
    int in;        /* values; -1 where there is none */
    int other;     /* the popped skip, or what a pyramid step adds to */
    int out;
    /* A block's outputs of the time layer, which computes those of all blocks side by side. */
    size_t time_first, time_lanes; /* 0 lanes: the step does not know the time */
};

struct nn_value {
    int side, channels;
    size_t size;   /* floats of one image */
    size_t offset; /* floats, for one image */
    int last_use;  /* index of the step that reads it last */
};

struct nn_plan {
    struct nn_step *steps;
    int step_count;
    struct nn_value *values; /* value 0 is the input image */
    int value_count;
    size_t value_floats; /* of one image, all values together */
    size_t time_lanes;   /* outputs of the time layer */
    int groups_faulty;   /* channels of the first group norm that cannot be split, or 0 */
};

/* Builds the plan of an architecture whose ranges nn_arch_check has found good. nn_plan_clear on
 * success; ERR_MEMORY otherwise. */
int nn_plan_build(const struct nn_arch *arch, struct nn_plan *plan, struct err *e);
void nn_plan_clear(struct nn_plan *plan);

/* Modules before the stem: the Fourier projection if there is one, and the two linears. */
int nn_stem_module(const struct nn_arch *arch);
/* Length of the time embedding: nf, or 2 nf with Fourier features. */
int nn_embedding_length(const struct nn_arch *arch);
/* Length of a class's row in the label embedding. */
int nn_label_length(const struct nn_arch *arch);
/* Channels of the head: the image's and, but for denoisers, v_t's. */
int nn_outputs(const struct nn_arch *arch);

#endif
