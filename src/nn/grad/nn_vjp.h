/* Vector–Jacobian products of the network with respect to its images: what a likelihood needs.
 *
 * The passes are training's (nn_grad.h) without the parameters' gradients: its packed
 * weights are a second copy beside those that serve, so a net for products is made only where they
 * are asked for. It is read-only after creation and shared; each thread brings its own workspace.
 * An image's products depend on itself alone, bit for bit, whatever its neighbours in a call. */
#ifndef NN_VJP_H
#define NN_VJP_H

#include "nn_grad.h"

struct nn_vjp;
/* Weights [nn_arch_scalars] as in nn_grad_weights_set; they may go afterwards. NULL on failure. */
struct nn_vjp *nn_vjp_new(const struct nn_arch *arch, const float *weights, enum nn_kernel kernel,
                          struct err *e);
void nn_vjp_free(struct nn_vjp *v);
size_t nn_vjp_bytes(const struct nn_vjp *v);

struct nn_vjp_workspace;
/* For any number of images in a call, some of which go through at once. */
struct nn_vjp_workspace *nn_vjp_workspace_new(const struct nn_vjp *v, struct err *e);
void nn_vjp_workspace_free(struct nn_vjp_workspace *ws);

/* The batch as in nn_grad_run, not training: its loss is called once an image with the output, and
 * its slopes are the vectors (its result is not looked at). x_slope [n][C,H,W]: the products. */
void nn_vjp_run(const struct nn_vjp *v, struct nn_vjp_workspace *ws,
                const struct nn_grad_batch *batch, float *const x_slope[]);

#endif
