/* How good a field is, in numbers: its loss on held-out images by the height t, how far its samples
 * are from held-out images (beside how far held-out images are from each other), and each sample's
 * nearest training image, to see copying.
 *
 * Sets of images are rows of floats in data scale. Everything is a function of its inputs. */
#ifndef TRAIN_EVAL_H
#define TRAIN_EVAL_H

#include "model.h"
#include "base_pool.h"
#include "data.h"

/* A set of `count` rows of n floats, not owned. */
struct train_rows_view {
    const float *values;
    size_t count, n;
};

/* Energy distance 2 E|X − Y| − E|X − X'| − E|Y − Y'| of two sets, over pairs of different rows: so
 * that of two sets from one distribution is 0 in the mean, and may be negative. NaN of a single
 * row, which has no pair. ERR_MEMORY. */
int train_energy_distance(struct pool *pool, struct train_rows_view a, struct train_rows_view b,
                          double *out, struct err *e);

/* Sliced Wasserstein distance: the mean over `directions` random directions of the area between the
 * distribution functions of both projections. The sets have equal counts. ERR_MEMORY. */
int train_sliced_distance(struct pool *pool, struct train_rows_view a, struct train_rows_view b,
                          int directions, uint64_t seed, double *out, struct err *e);

/* For each row of a: the nearest row of b (Euclidean), and its distance. */
void train_nearest(struct pool *pool, struct train_rows_view a, struct train_rows_view b,
                   size_t *index, double *distance);

/* n ≤ data->count different images, drawn by the seed: of each class, and of the images without
 * one, its share of n to within one, in both of the halves at even and at odd places too. `out` [n]
 * numbers of images. ERR_MEMORY. */
int train_eval_choose(const struct data_set *data, size_t n, uint64_t seed, size_t *out,
                      struct err *e);

/* Mean loss (train_loss) of the model on `points` held-out images, with large batches of held-out
 * images that are drawn; in bins of equal width in ln t between t_min and t_max. A description does
 * not say by which law its run drew perturbations, so they are those of a run that leaves
 * "restrict_m", "log_sigma_mean" and "log_sigma_deviation" out: restricted, ln σ ~ N(
 * train_config_noise_mean(sigma_data), 1.2²). The model has a loss:
 * train_eval_no_loss is NULL. */
#define TRAIN_EVAL_BINS 8
struct train_eval_loss {
    double mean;
    struct {
        double t_low, t_high, loss; /* loss NaN in an empty bin */
        size_t count;
    } bin[TRAIN_EVAL_BINS];
};
/* Why a model has no such loss, in words that follow "no loss: "; or NULL. */
const char *train_eval_no_loss(const struct model *m);
int train_eval_loss(const struct model *m, struct pool *pool, const struct data_set *held_out,
                    size_t points, uint64_t seed, struct train_eval_loss *out, struct err *e);

#endif
