/* The optimiser: gradient clip by the global norm, Adam (β₁ 0.9, β₂ 0.999, ε 1e-8), and the moving
 * averages of the weights, those with a ramp by the rate min(rate, (1+n)/(10+n)). Elementwise over
 * flat arrays, split over a pool in pieces of fixed size, so that the bits do not depend on the
 * number of threads. */
#ifndef TRAIN_ADAM_H
#define TRAIN_ADAM_H

#include "base_pool.h"
#include <stdbool.h>
#include <stdint.h>

/* values −= (1 − rate) (values − weights) */
struct train_average {
    float *values; /* [count], not owned */
    double rate;
    bool ramp;
};

struct train_adam {
    size_t count;
    float *weights, *mean, *square; /* [count]; not owned */
    const struct train_average *averages;
    int average_count;
};

/* √Σ g²; NaN or infinite when an element is. */
double train_gradient_norm(struct pool *pool, const float *gradient, size_t count);

/* The update number `step` (from 1): the gradient is scaled by min(1, clip / (norm + 1e-6)), as
 * torch.nn.utils.clip_grad_norm_ does. */
struct train_adam_step {
    int64_t step;
    double rate, norm, clip;
    const float *gradient;
};
void train_adam_update(struct pool *pool, struct train_adam *a, const struct train_adam_step *s);

#endif
