/* Gradients of a network's parameters, for training.
 *
 * A batch is cut into a fixed number of shards of consecutive images, a shard into pieces of a few
 * images that go forward and back together. Each shard sums its gradients for itself; the shards'
 * sums are then added in their order. Which thread takes which shard changes nothing, so gradients
 * depend on the batch alone, bit for bit, whatever the number of threads.
 *
 * Parameters and gradients are flat arrays in the order of nn_arch_params, PyTorch layout.
 *
 * One thread drives an nn_grad; it brings its own pool. */
#ifndef NN_GRAD_H
#define NN_GRAD_H

#include "nn_grad_batch.h"
#include "base_pool.h"

struct nn_grad;
/* Plans the workspace of every thread of the pool; the pool is borrowed. NULL on failure. */
struct nn_grad *nn_grad_new(const struct nn_arch *arch, const struct nn_grad_options *options,
                            struct pool *pool, struct err *e);
void nn_grad_free(struct nn_grad *g);

/* The parameters that the flat arrays hold, and how many scalars they are. */
const struct nn_param *nn_grad_params(const struct nn_grad *g, size_t *count);
size_t nn_grad_scalars(const struct nn_grad *g);
size_t nn_grad_bytes(const struct nn_grad *g); /* memory of weights, sums and workspaces */

/* Of an mlp the offset of the data [d], as the weights have it; else NULL. */
const float *nn_grad_offset(const struct nn_grad *g);

/* Takes new weights [scalars]. */
void nn_grad_weights_set(struct nn_grad *g, const float *weights);

/* Losses [n] of the batch's images and the gradient [scalars] of their sum; `gradient` NULL: only
 * the losses. Non-finite values are passed on for the caller to see. */
void nn_grad_run(struct nn_grad *g, const struct nn_grad_batch *batch, double *losses,
                 float *gradient);

#endif
