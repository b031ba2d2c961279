/* The operations that layers are made of in training, forward and back: which kernel computes one,
 * on which of the workspace's arrays. For src/nn/grad only.
 *
 * A convolution's transpose is a convolution with transposed weights, its taps in the opposite
 * order, over the bordered gradient. */
#ifndef GRAD_PRODUCTS_H
#define GRAD_PRODUCTS_H

#include "nn_grad_net.h"

/* ---- products ---- */

/* A 3×3 convolution of stride 1 over a bordered image set `in`; the bias is zeros. */
struct nn_product grad_conv(const struct nn_grad_pass *p, const struct nn_product_shape *shape,
                            const float *packed, const float *in, size_t side, size_t lanes,
                            float *out);
/* A product over `pixels` pixels an image; the bias is zeros too. */
struct nn_product grad_point(const struct nn_grad_pass *p, const struct nn_product_shape *shape,
                             const float *packed, const float *in, size_t pixels, size_t lanes,
                             float *out);
/* A linear layer over n rows. */
void grad_linear(const struct nn_grad *g, const struct nn_product_shape *shape, const float *packed,
                 const float *bias, size_t n, const float *in, float *out);
/* The gradient of its weights, from that at its n outputs. */
void grad_linear_weights_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d,
                              const float *in, const float *slope);

/* A layer of vectors over the piece's rows, with its bias; the gradients of its weights and bias
 * from that at its outputs; and that at its input. */
void grad_rows(const struct nn_grad_pass *p, const struct nn_grad_dense *d, const float *in,
               float *out);
void grad_rows_weights_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d,
                            const float *in, const float *slope);
void grad_rows_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d, const float *slope,
                    float *out);

/* ---- dropout ---- */

/* Draws which of `count` elements an image stay, in keep [n][count], and applies it to the target,
 * `side` pixels a side: forward, and to a gradient back. */
void grad_dropout_draw(const struct nn_grad_pass *p, int step, size_t count, uint8_t *keep);
void grad_dropout_apply(const struct nn_grad_pass *p, const uint8_t *keep, size_t side,
                        const struct nn_target *target);

/* ---- the forward pass ---- */

/* The piece's images, planes, to pixels of the target's lanes. */
void grad_load_images(const struct nn_grad_pass *p, const struct nn_target *target);
/* The step's norm `which` over one value or two that are concatenated by channel (b NULL: one);
 * what the backward pass needs of it is kept. */
void grad_norm(const struct nn_grad_pass *p, int step, int which, const float *a, const float *b,
               size_t side, bool silu, struct nn_target target);

/* ---- the backward pass ---- */

/* Whether the gradient at a value has a part already; from now on it has. */
bool grad_reach(const struct nn_grad_pass *p, int value);
/* A bordered image set in the workspace with a zero border. */
struct nn_target grad_border(const struct nn_grad_pass *p, size_t side, size_t lanes);
/* Bias += column sums of the slopes; they stay in the workspace, [n][lanes]. */
void grad_sum_bias(const struct nn_grad_pass *p, const struct nn_target *slope, size_t side,
                   size_t bias);
/* The gradient of a convolution's weights. */
void grad_conv_weights_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d,
                            const float *in, size_t side, size_t lanes,
                            const struct nn_target *slope);
/* Weights of a 1×1 product over side² pixels; `more` is the second part of its input or NULL. */
void grad_point_weights_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d,
                             const float *in, size_t lanes, const float *more, size_t lanes_more,
                             size_t side, const struct nn_target *slope);
/* From the bordered slope to the gradient at the convolution's input, without a border. */
void grad_conv_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d, size_t side,
                    float *out);
/* From `slope` to the gradient at the input of a 1×1 product. */
void grad_point_back(const struct nn_grad_pass *p, const struct nn_grad_dense *d, size_t side,
                     const struct nn_target *slope, float *out);
/* Fills what all norms share; norm_part then says where an input's gradient goes. */
struct nn_norm_back grad_norm_back(const struct nn_grad_pass *p, int step, int which, size_t side,
                                   float *slope);
/* Part `part` of the norm's input is value `value`; its gradient gets a new part. */
void grad_norm_part(const struct nn_grad_pass *p, struct nn_norm_back *n, int part, int value,
                    size_t lanes);

#endif
