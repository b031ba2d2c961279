/* A profile's other side, for the forward pass. For src/nn/net only. */
#ifndef NN_PROFILE_WORK_H
#define NN_PROFILE_WORK_H

#include "nn_layers.h"
#include "nn_profile.h"

/* The time at which an operation begins, for nn_profile_add; 0 without a profile. */
int64_t nn_profile_begin(const struct nn_workspace *ws);
/* What an operation took since `begin`, computed and moved. */
void nn_profile_add(const struct nn_workspace *ws, int64_t begin, enum nn_profile_kind kind,
                    double flop, double bytes);
/* Around an evaluation: what no operation took is the rest. */
void nn_profile_evaluation(const struct nn_workspace *ws, int64_t begin);
/* Runs a product by a kernel and adds it, by stages where it has some. The workspace has a profile.
 */
void nn_profile_product(const struct nn_workspace *ws, const struct nn_product *p);

#endif
