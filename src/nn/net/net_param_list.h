/* The list of a network's parameters while it is made: what a layer adds to it. For src/nn/net
 * only. */
#ifndef NET_PARAM_LIST_H
#define NET_PARAM_LIST_H

#include "nn_arch.h"

struct net_param_list {
    struct nn_param *params;
    size_t count, capacity;
    int module;    /* N of all_modules.N that the next ones belong to */
    bool counting; /* only `count` is wanted */
    bool failed;   /* out of memory */
};

void net_param_named(struct net_param_list *l, const char *name, int rank, const int *shape);
/* The last one is not trained. */
void net_param_fixed(struct net_param_list *l);
void net_param(struct net_param_list *l, const char *tensor, int rank, const int *shape);
/* "layer.weight" and "layer.bias"; without the dot where `layer` is "", the module itself. */
void net_param_norm(struct net_param_list *l, const char *layer, int channels);
void net_param_conv(struct net_param_list *l, const char *layer, int in, int out, int kernel);
void net_param_linear(struct net_param_list *l, const char *layer, int in, int out);

#endif
