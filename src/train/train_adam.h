/* The optimiser: gradient clip by the global norm, Adam (β₁ 0.9, β₂ 0.999, ε 1e-8), and the moving
 * average of the weights with its ramp min(rate, (1+n)/(10+n)). Elementwise over flat arrays, split
 * over a pool in pieces of fixed size, so that the bits do not depend on the number of threads. */
#ifndef TRAIN_ADAM_H
#define TRAIN_ADAM_H

#include "base_pool.h"
#include <stdint.h>

struct train_adam {
    size_t count;
    float *weights, *mean, *square, *ema; /* [count]; not owned */
    float *target;                        /* [count], another average, or NULL; not owned */
};

/* √Σ g²; NaN or infinite when an element is. */
double train_gradient_norm(struct pool *pool, const float *gradient, size_t count);

/* The update number `step` (from 1): the gradient is scaled by min(1, clip / (norm + 1e-6)), as
 * torch.nn.utils.clip_grad_norm_ does. */
struct train_adam_step {
    int64_t step;
    double rate, norm, clip, ema;
    const float *gradient;
    double target_ema; /* rate of the other average, which has no ramp */
};
void train_adam_update(struct pool *pool, struct train_adam *a, const struct train_adam_step *s);

#endif
