/* What a gradient is asked for: the options for its life, and one batch. */
#ifndef NN_GRAD_BATCH_H
#define NN_GRAD_BATCH_H

#include "nn_net.h"

/* Images of a batch, so that every dropout draw has a counter of its own. */
#define NN_GRAD_BATCH_MAX 65536

struct nn_grad_options {
    enum nn_kernel kernel;
    int batch;      /* the most images of a call */
    double dropout; /* probability, 0 ≤ p < 1 */
    uint64_t seed;  /* of dropout */
    bool inputs;    /* gradients of the images instead of the parameters: nn_vjp.h */
};

struct nn_grad_batch {
    int n;
    const float *const *x; /* [n][C,H,W] */
    const float *t;        /* [n] > 0 */
    const int32_t *label;  /* [n], as in nn_net_forward */
    bool training;         /* with dropout */
    uint64_t step;         /* of training: which dropout draws */
    /* What becomes of one image's output, called in any thread: returns its loss and, unless
     * v_x_slope is NULL, fills the loss's gradient at v_x [C,H,W] and v_t. */
    double (*loss)(void *context, int image, const float *v_x, float v_t, float *v_x_slope,
                   float *v_t_slope);
    void *context;
};

#endif
