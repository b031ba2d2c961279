/* Reading a network's weights: what a layer calls to take its parameters, one after the other in
 * the order of the list. All return 0, or -1 with the error set. For src/nn/net only.
 *
 * A tensor becomes a canonical matrix [input][output] with padded channels, which is then packed.
 */
#ifndef NET_LOADER_H
#define NET_LOADER_H

#include "nn_layers.h"

/* A thread's view; what it shares with the others is constant, except `time`, of which each step
 * has columns of its own. */
struct net_loader {
    struct nn_net *net;
    const struct nn_weights *weights;
    struct nn_param *params;
    size_t count, next;
    float *tensor; /* the parameter last read */
    float *matrix; /* canonical */
    float *time;   /* canonical, of the time layer */
    struct err *e;
    struct err own; /* of a thread */
    size_t failed;  /* the task that failed; SIZE_MAX: none */
};

/* How a tensor's inputs map to the matrix: `first` channels, then after padding the rest. */
struct net_inputs {
    size_t channels, first, lanes;
};

/* As many as there are, padded. */
static inline struct net_inputs net_inputs_of(size_t channels)
{
    return (struct net_inputs){channels, channels, nn_lanes(channels)};
}

/* Reads the next parameter, whose name must end in `suffix`; NULL on failure. */
const float *net_load_tensor(struct net_loader *l, const char *suffix);
/* Adds a vector to `out`: two biases may share a place. The first `first` numbers, and after
 * padding the rest. */
int net_load_vector(struct net_loader *l, const char *suffix, float *out, size_t first);
/* The loader's matrix: zeroes as much of it as the layer has, and packs it. */
void net_load_zero(struct net_loader *l, const struct nn_dense *d);
void net_load_pack(struct net_loader *l, const struct nn_dense *d, const float *matrix);
/* A whole convolution or linear layer: its weight and, if it has one of its own, its bias. */
int net_load_conv(struct net_loader *l, const struct nn_dense *d, const struct net_inputs *in);
/* A norm's weight and bias, whose first part has `first` channels. */
int net_load_norm(struct net_loader *l, const struct nn_norm_weights *w, int first);
/* A block's part of the time layer, Dense_0; `bias` is the tensor before it that is added to its
 * bias, or NULL. */
int net_load_time(struct net_loader *l, const struct nn_step *s, const char *bias);

#endif
