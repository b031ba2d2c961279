/* Running one operation of a layer: from values and weights to the struct that a kernel reads. For
 * the files of src/nn/net only.
 *
 * A layer runs for a group of images at once, in the caller's thread, on the caller's workspace,
 * and allocates nothing. */
#ifndef NET_RUN_H
#define NET_RUN_H

#include "nn_layers.h"

struct net_run {
    const struct nn_net *net;
    struct nn_workspace *ws;
    const struct nn_step *step;
    const struct nn_layer *layer;
    size_t first, n;       /* images of the call, of which these are the group */
    const float *const *x; /* [n], the group's own, as `t` */
    const float *t;
};

/* Where a value begins in the workspace. */
float *nn_value_at(const struct nn_net *net, const struct nn_workspace *ws, int value);

/* Where an operation puts what a product reads: floats or, with terms, numbers of bf16. */
struct net_place {
    struct nn_target target;
    struct nn_tile_target tiles;
};

/* Pixels as tiles in a workspace's array that has nn_tile_room of them, without a border. */
static inline struct nn_tile_target nn_plain_tiles(float *out, size_t images, size_t side,
                                                   size_t lanes, int terms)
{
    return (struct nn_tile_target){(uint16_t *)(void *)out,
                                   0,
                                   side,
                                   side * side,
                                   nn_tile_lanes(lanes),
                                   nn_tile_plane(images * side * side, lanes),
                                   terms};
}

/* Makes a product of the layer's one of tiles, which `in` told where to find; `tap_row` as in
 * nn_tile_operands. */
static inline void nn_product_tiles(struct nn_product *p, const struct nn_dense *d,
                                    const struct nn_tile_target *in, size_t tap_row)
{
    p->terms = d->terms;
    p->tile = (struct nn_tile_operands){in->out, (const uint16_t *)(const void *)d->packed,
                                        in->lanes, in->plane, tap_row};
}

/* A product, shared with the workspace's team where that pays. */
void nn_product_run(const struct nn_net *net, const struct nn_workspace *ws,
                    const struct nn_product *p);
/* A linear layer over n rows of its inputs, with `residual` [n][outputs] added, or NULL. */
void nn_linear_run(const struct nn_net *net, const struct nn_workspace *ws,
                   const struct nn_dense *d, size_t n, const float *in, const float *residual,
                   float *out);

/* ---- places ---- */

/* A bordered image set in conv_in; zeroes the border, which other steps have overwritten. */
struct nn_target net_bordered_target(const struct net_run *r, size_t side, size_t lanes);
/* The same for an operation that a product with `terms` reads. */
struct net_place net_bordered_place(const struct net_run *r, size_t side, size_t lanes, int terms);
/* Pixels without a border at `out`, for the same. */
struct net_place net_plain_place(const struct net_run *r, float *out, size_t side, size_t lanes,
                                 int terms);

/* ---- operations ---- */

/* The product of a bordered 3×3 convolution over conv_in; `lanes` floats a pixel. */
struct nn_product net_conv_product(const struct net_run *r, const struct nn_dense *d, size_t side,
                                   size_t lanes, float *out);
/* A product over `pixels` unbordered pixels; the caller may append a second segment, or make it one
 * of tiles. */
struct nn_product net_point_product(const struct net_run *r, const struct nn_dense *d,
                                    size_t pixels, const float *in, size_t lanes, float *out);
/* The layer's norm `which` over one input or two that are concatenated by channel (b NULL: one). */
void net_norm(const struct net_run *r, int which, const float *a, size_t lanes_a, const float *b,
              size_t lanes_b, size_t side, bool silu, const struct net_place *to);
/* From images as large as the layer's input. */
void net_resample(const struct net_run *r, enum nn_resample_kind kind, const float *src,
                  struct nn_target target);
void net_attend(const struct net_run *r, const struct nn_attention *p);
/* One or two images (b NULL: one) side by side by channel, in bf16. */
void net_split(const struct net_run *r, const float *a, size_t lanes_a, const float *b,
               size_t lanes_b, size_t side, const struct nn_tile_target *target);

#endif
