/* What a layer is in training: one row of functions for each kind of step, and one file for each
 * row, beside the row of src/nn/net (net_layer.h) that serves. A gradient's sums, the workspace and
 * both passes are loops over the plan that call them. For src/nn/grad only. */
#ifndef GRAD_LAYER_H
#define GRAD_LAYER_H

#include "grad_layout.h"

/* Floats that the steps need in each of the workspace's shared arrays for one piece of a batch, and
 * the most channels of any. */
struct grad_needs {
    size_t bordered, plain, attention, outer, lanes;
};

static inline void grad_need(size_t *need, size_t count)
{
    if (count > *need)
        *need = count;
}

/* Gradients of images of `side` with and without a border. */
static inline void grad_need_images(struct grad_needs *k, size_t side, size_t lanes)
{
    grad_need(&k->lanes, lanes);
    grad_need(&k->bordered, nn_bordered_pixels(NN_GRAD_MICRO, side) * lanes);
    grad_need(&k->plain, NN_GRAD_MICRO * side * side * lanes);
}

/* What is kept for the backward pass. */
static inline float *grad_keep(struct arena *a, size_t count)
{
    return arena_take(a, count, sizeof(float));
}

static inline void grad_keep_norm(const struct nn_grad_layer *y, int which,
                                  struct nn_grad_saved *kept, struct arena *a)
{
    kept->mean[which] = grad_keep(a, NN_GRAD_MICRO * y->norm[which].lanes);
    kept->inverse[which] = grad_keep(a, NN_GRAD_MICRO * y->norm[which].lanes);
}

struct grad_layer_ops {
    /* Lays out the weights, and the pieces of its parameters in the order of the list. */
    void (*lay)(struct grad_layout *l, const struct nn_step *s, struct nn_grad_layer *y);
    /* Lays out what the forward pass keeps for the backward pass. */
    void (*keep)(const struct nn_grad *g, int step, struct nn_grad_saved *kept, struct arena *a);
    void (*needs)(const struct nn_grad *g, const struct nn_step *s, struct grad_needs *k);
    /* From the values `in` and `other` (NULL: the step has none) to `out`. */
    void (*forward)(const struct nn_grad_pass *p, int step, const float *in, const float *other,
                    float *out);
    /* From the gradient at its output, which it may overwrite, to those at its inputs and, if the
     * pass has sums, to those of its parameters. */
    void (*backward)(const struct nn_grad_pass *p, int step, float *slope);
};

extern const struct grad_layer_ops grad_stem, grad_res, grad_attention, grad_pyramid, grad_head;
extern const struct grad_layer_ops grad_vector_stem, grad_vector_block, grad_vector_head;

const struct grad_layer_ops *grad_layer_of(const struct nn_step *s);

#endif
