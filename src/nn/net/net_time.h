/* The time embedding: what the network makes of t before its two first linear layers. For
 * src/nn/net and src/nn/grad. */
#ifndef NET_TIME_H
#define NET_TIME_H

#include "nn_layers.h"

struct net_layout;
struct net_loader;
struct net_param_list;

/* The parameters before the steps, in the reference's order: what the embedding needs, and the two
 * linear layers. */
void net_time_params(struct net_param_list *l, const struct nn_arch *arch);
void net_time_lay(struct net_layout *l);
int net_time_load(struct net_loader *l);
/* The frequencies where they are not learned, [nf / 2]. */
void net_time_frequencies(const struct nn_arch *arch, float *out);
/* The input of the first linear layer for one t > 0: sines, then cosines, of t · frequencies or of
 * 2π W ln t or, of vectors, of ln τ · frequencies from 4 to 1/16, in `out` [nn_embedding_length].
 */
void net_time_embed(const struct nn_net *net, float t, float *out);

#endif
