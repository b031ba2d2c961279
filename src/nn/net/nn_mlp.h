/* The network for vectors: a multilayer perceptron that says where a point is pulled to.
 *
 * With μ and s the offset and scale of the data that the checkpoint holds (its two parameters that
 * are not trained), everything below is in z = (x − μ) / s and τ = t / s, so that samples stay in
 * the data's own coordinates. The layers (stem, residual blocks, head; the time embedding enters
 * every block) map features of (z, τ) to F [d]. At a point the field of charges is
 *     E ∝ (c − x, −t),   c their mean, weighted by distance,
 * and F is c, in the manner of preconditioned denoisers: c = k z / (1 + τ²) + τ F / √(1 + τ²),
 * where k is 1 within K deviations and falls with the square beyond. So near the data an error of F
 * moves nothing (c → z as τ → 0), and far from them F is their mean. The output is √d times the
 * unit vector of E: with G = (z − c) / τ, which is the slope of the flow,
 *     v_x = −√d G / √(‖G‖² + 1),   v_t = −√d / √(‖G‖² + 1).
 *
 * A vector of d numbers is an image of d channels and one pixel here, and the plan has three kinds
 * of steps for it: stem, block and head. For src/nn/net and src/nn/grad only. */
#ifndef NN_MLP_H
#define NN_MLP_H

#include "nn_layers.h"

#define NN_MLP_REACH 4.0 /* K */
#define NN_MLP_EXTRA 2   /* features beside z's own */

/* Features [d + NN_MLP_EXTRA]: z, τ and 1 divided by √(1 + τ² + ‖z‖²/d), a point of a sphere for
 * whatever size of z and τ. Sums in double, in order. */
void nn_mlp_features(const struct nn_net *net, const float *x, float t, float *out);
/* F [d] to (v_x, v_t) [d + 1], which may be the same memory. */
void nn_mlp_field(const struct nn_net *net, const float *x, float t, const float *f, float *v);
/* The gradient at (v_x, v_t) [d + 1] to that at F [d], in place. */
void nn_mlp_field_back(const struct nn_net *net, const float *x, float t, const float *f,
                       float *slope);

/* The gradient at x [d] along the paths that lead past F and the features: from that at (v_x, v_t)
 * [d + 1], written; and from that at the features [d + NN_MLP_EXTRA], added. */
void nn_mlp_field_input_back(const struct nn_net *net, const float *x, float t, const float *f,
                             const float *slope, float *out);
void nn_mlp_features_back(const struct nn_net *net, const float *x, float t, const float *slope,
                          float *out);

#endif
