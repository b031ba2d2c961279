/* What the network is to say: perturbed points and the normalised field of the data at them.
 *
 * An image y is moved to x = y + ‖ε_x‖ (1+τ)^m u, t = |ε_t| (1+τ)^m with (ε_x, ε_t) ~ N(0, σ²I) and
 * m ~ U[0, M). With the rows Y_j of a large batch, d_j = ‖(x − Y_j, t)‖ and N = C·H·W,
 *     w_j ∝ (min d / (d_j + 1e-7))^(N+1),   E = Σ w_j (Y_j − x, −t) / (Σ w + 1e-7),
 *     target = √N E / (‖E‖ + γ),
 * as the reference computes it (the powers of N+1 overflow any float: weights are in logarithms).
 * That is the objective "pfgm". "direct" asks for less work and learns the field itself, from
 * single data: for a row y that is drawn independently of the point, with r = ‖(x − y, t)‖, target
 * = √N (y − x, −t) / s · (s / r)^(N+1),   s = min d, over the large batch and y, whose mean over y
 * is E up to a factor of (x, t) alone: s takes the scale out, in logarithms. So it is where the
 * large batch has all of y's group (train_config_resolve). In a part of it y itself may be what s
 * is, and a y that is nearer than that part counts too little. The expectation is over the points'
 * own group: all data for images without a label, the images of its class for a labelled one, or
 * else the target would ignore the label. */
#ifndef TRAIN_FIELD_H
#define TRAIN_FIELD_H

#include "nn_net.h"
#include "base_pool.h"
#include "train_config.h"
#include "data.h"

/* Moves an image y [N] to x [N] and *t by the draws of (seed, step, image); `scratch` [N + 1]. */
void train_perturb(const struct train_config *c, int64_t step, int image, size_t n, const float *y,
                   double *scratch, float *x, float *t);

/* Rows of a large batch, in data scale: either images of a data set, or given ones. */
struct train_rows {
    const struct data_set *data; /* rows are images of it … */
    const uint32_t *index;       /* [count], the lowest bit: mirrored */
    const float *values;         /* … or, with data NULL, these [count][N] */
    size_t count;
};

/* Up to TRAIN_BLOCK points that share their rows. */
#define TRAIN_BLOCK 16
struct train_points {
    int count;
    const float *x[TRAIN_BLOCK];
    float t[TRAIN_BLOCK];
    float *target[TRAIN_BLOCK];    /* [N + 1], out */
    uint32_t partner[TRAIN_BLOCK]; /* y of "direct", as an index of rows */
};

struct train_field;
/* Scratch for one thread, for up to `rows` rows of N numbers; NULL on failure. */
struct train_field *train_field_new(enum nn_kernel kernel, size_t n, size_t rows, struct err *e);
void train_field_free(struct train_field *f);
void train_field_targets(struct train_field *f, double gamma, const struct train_rows *rows,
                         const struct train_points *points);
/* The same for the objective "direct". */
void train_field_direct(struct train_field *f, const struct train_rows *rows,
                        const struct train_points *points);

/* Half the squared distance of a prediction (v_x [N], v_t) from its target [N + 1], and unless
 * v_x_slope is NULL its gradient times `share`. */
double train_loss(size_t n, const float *target, const float *v_x, float v_t, float share,
                  float *v_x_slope, float *v_t_slope);

#endif
