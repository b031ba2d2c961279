/* Where a trained network's weights lie: what a layer lays out, parameter by parameter in the order
 * of the list. For src/nn/grad only. */
#ifndef GRAD_LAYOUT_H
#define GRAD_LAYOUT_H

#include "nn_grad_net.h"

struct grad_layout {
    struct nn_grad *g;
    struct arena arena; /* packed weights */
    size_t next, flat;  /* parameter and its offset */
    size_t canonical;
    bool strange; /* the walk and the list of parameters disagree */
};

/* So many floats of the canonical array: where they begin. */
size_t grad_take(struct grad_layout *l, size_t count);
/* The piece of the next parameter, by its members. */
void grad_add_piece(struct grad_layout *l, enum nn_piece_kind kind, size_t at, size_t sum,
                    size_t row, size_t channels, size_t first, size_t lanes);
void grad_add_vector(struct grad_layout *l, size_t at, size_t sum, size_t first);
/* A product of `taps` · `lanes` inputs and its transpose for the backward pass, if it has one.
 * `side` above 0 is that of the images of a convolution of stride 1, which may be done by
 * transformed weights; 0 with one tap means rows that are images of their own. */
void grad_lay_dense(struct grad_layout *l, struct nn_grad_dense *d, size_t taps, size_t side,
                    size_t lanes, size_t outputs, bool back);
/* The pieces of a convolution's or linear layer's two parameters. */
void grad_add_conv(struct grad_layout *l, const struct nn_grad_dense *d, size_t channels,
                   size_t first);
/* A norm over `first` and, concatenated, `second` (or 0) more channels, with its pieces. */
void grad_lay_norm(struct grad_layout *l, struct nn_grad_layer *y, int which, int first,
                   int second);
/* The pieces of a block's part of the time layer, Dense_0. */
void grad_add_time(struct grad_layout *l, const struct nn_step *s);

#endif
