/* What a layer of the network is: one row of functions for each kind of step, and one file for each
 * row. Architecture, loading, workspace and forward pass are loops over the plan that call them;
 * the backward pass has a row of its own in src/nn/grad, because it must not be seen from here. For
 * src/nn/net only.
 *
 * A new layer: a kind in nn_plan.h and the step that the plan makes of it, a file here with its
 * row, its name in net_layer.c, and the same in src/nn/grad. */
#ifndef NET_LAYER_H
#define NET_LAYER_H

#include "net_layout.h"
#include "net_loader.h"
#include "net_param_list.h"
#include "net_run.h"

/* Floats that the steps need in the workspace's shared arrays: the most that any of them does. */
struct net_needs {
    size_t conv_in, conv_out, dense, scratch;
};

static inline void net_need(size_t *need, size_t count)
{
    if (count > *need)
        *need = count;
}

/* Bordered images of `lanes` channels in conv_in, which in bf16 take other room. */
static inline void net_need_bordered(const struct nn_net *net, size_t side, size_t lanes,
                                     size_t batch, struct net_needs *k)
{
    size_t pixels = nn_bordered_pixels(batch, side);
    net_need(&k->conv_in, pixels * lanes);
    if (net->terms)
        net_need(&k->conv_in, nn_tile_room(pixels, lanes, net->terms));
}

/* Multiply-adds of a 3×3 convolution from a step's input to its output. */
static inline uint64_t net_conv_macs(const struct nn_step *s)
{
    return (uint64_t)s->side_out * (uint64_t)s->side_out * 9 * (uint64_t)s->channels_in *
           (uint64_t)s->channels_out;
}

struct net_layer_ops {
    /* Adds the parameters, in the reference's order. */
    void (*params)(struct net_param_list *l, const struct nn_step *s, const struct nn_arch *arch);
    /* Multiply-adds for one image, without what the time layer does for the step. */
    uint64_t (*macs)(const struct nn_step *s);
    /* Lays out the weights' arrays. */
    void (*lay)(struct net_layout *l, const struct nn_step *s, struct nn_layer *y);
    /* Reads and packs the weights: the parameters that `params` has added, in their order. */
    int (*load)(struct net_loader *l, const struct nn_step *s, const struct nn_layer *y);
    /* What it needs of a workspace for `batch` images, beside the
     * scratch of its norms and products. In range without checks: at most 4096 images of 1025²
     * pixels of 3 · 8192 lanes. */
    void (*needs)(const struct nn_net *net, const struct nn_step *s, size_t batch,
                  struct net_needs *k);
    /* From the values `in` and `other` (NULL: the step has none) to `out`. */
    void (*run)(const struct net_run *r, const float *in, const float *other, float *out);
};

extern const struct net_layer_ops net_stem, net_res, net_attention, net_pyramid, net_head;
extern const struct net_layer_ops net_vector_stem, net_vector_block, net_vector_head;

const struct net_layer_ops *net_layer_of(const struct nn_step *s);
void net_layer_params(struct net_param_list *l, const struct nn_step *s,
                      const struct nn_arch *arch);

#endif
