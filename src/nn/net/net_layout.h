/* Where a network's weights lie: what a layer lays out. For src/nn/net only. */
#ifndef NET_LAYOUT_H
#define NET_LAYOUT_H

#include "nn_layers.h"

struct net_layout {
    struct nn_net *net;
    struct arena arena;
    size_t matrix; /* floats of the largest canonical matrix */
};

/* Zeroed floats; NULL while counting. */
float *net_lay_zeros(struct net_layout *l, size_t count);
/* A layer that is in f32 whatever the network's precision is: what reads the input image or the
 * time, whose rounding would be the whole network's. */
void net_lay_dense(struct net_layout *l, struct nn_dense *d, enum nn_product_kind kind,
                   size_t inputs, size_t outputs, bool bias);
/* A layer in the network's precision. */
void net_lay_inner(struct net_layout *l, struct nn_dense *d, enum nn_product_kind kind,
                   size_t inputs, size_t outputs, bool bias);
/* A 3×3 convolution of stride 1 in the network's precision, `in` padded channels on images of
 * `side`. */
void net_lay_conv(struct net_layout *l, struct nn_dense *d, size_t side, size_t in, size_t outputs,
                  bool bias);
/* Group norm over `first` channels and, concatenated, `second` (or 0) more. */
void net_lay_norm(struct net_layout *l, struct nn_norm_weights *w, int first, int second);

#endif
