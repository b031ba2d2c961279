/* The network in use: weights packed for one instruction set, a workspace planned once, and the
 * forward pass (x, t, label) → (v_x, v_t) of pfgm's normalised field, or → F of a PFGM++ denoiser.
 *
 * What the result of an image depends on: its own x, t and label, the weights, the kernel id and
 * the precision. Nothing else: not on how many images share the call, nor on its place among them.
 * Every kernel keeps one fixed order of summation for an output element, whatever tile it falls
 * into.
 *
 * Threads: a net is read-only after creation and shared; each thread brings its own workspace. */
#ifndef NN_NET_H
#define NN_NET_H

#include "nn_arch.h"
#include "nn_kernel.h"

struct nn_net;
/* Reads every parameter in the order of nn_arch_params, refuses non-finite ones by name, packs
 * them. NULL on failure, which a bad word in PFGM_KERNEL is too if the kernel is AUTO. */
struct nn_net *nn_net_new(const struct nn_arch *arch, const struct nn_weights *weights,
                          enum nn_kernel kernel, struct err *e);
/* The same by up to `threads` ≥ 1 threads, the caller included: with more than one, `read` is
 * called by several at once and in any order, once for each param. Bits and errors are those of
 * one. */
struct nn_net *nn_net_new_threads(const struct nn_arch *arch, const struct nn_weights *weights,
                                  enum nn_kernel kernel, enum nn_precision precision, int threads,
                                  struct err *e);
void nn_net_free(struct nn_net *net);
const struct nn_arch *nn_net_arch(const struct nn_net *net);
enum nn_kernel nn_net_kernel(const struct nn_net *net);
enum nn_precision nn_net_precision(const struct nn_net *net);
const char *nn_net_kernel_id(const struct nn_net *net); /* nn_kernel_id_in of the two */
size_t nn_net_bytes(const struct nn_net *net);          /* memory of the packed weights */

/* Scratch for up to `batch` images at once; the only allocation, none happens in a forward pass. */
struct nn_workspace;
struct nn_workspace *nn_workspace_new(const struct nn_net *net, int batch, struct err *e);
void nn_workspace_free(struct nn_workspace *ws);
size_t nn_workspace_bytes(const struct nn_workspace *ws);
int nn_workspace_batch(const struct nn_workspace *ws);

#define NN_CLASS_NONE (-1)
/* v_x [n][C,H,W], v_t [n] of n images x [n][C,H,W] at t [n] > 0, 1 ≤ n ≤ batch. The arrays of
 * pointers let images lie anywhere. label [n]: classes below nn_arch.classes, or NN_CLASS_NONE;
 * NULL: none at all. A denoiser (nn_arch.denoiser) takes c_in·x as x and c_noise, of any sign, as
 * t, and gives F as v_x and 0 as v_t. Raw network output, no substitution; non-finite values are
 * passed on for the caller to see. */
void nn_net_forward(const struct nn_net *net, struct nn_workspace *ws, int n,
                    const float *const x[], const float t[], const int32_t label[],
                    float *const v_x[], float v_t[]);

#endif
