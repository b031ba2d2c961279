/* The network for vectors in training: its places in nn_grad_layout.c's and nn_grad_work.c's walks,
 * and its ways there and back. Internal to the room. */
#ifndef NN_MLP_GRAD_H
#define NN_MLP_GRAD_H

#include "nn_grad_net.h"

/* What a step keeps for the way back. */
void nn_mlp_grad_keep(const struct nn_grad *g, int step, struct nn_grad_saved *kept,
                      struct arena *a);
/* As nn_grad_forward and nn_grad_backward; the time embedding is theirs too. */
void nn_mlp_grad_forward(const struct nn_grad_pass *p);
void nn_mlp_grad_backward(const struct nn_grad_pass *p);

#endif
