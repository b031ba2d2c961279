/* A run's state on disk, and the checkpoint that it hands out.
 *
 * RUN/state.safetensors holds what the next step needs: weights, Adam's moments, the average, the
 * step, and what the log has summed since its last line; all random draws are functions of the
 * step. Both files are written beside the old one and renamed over it, and neither is written when
 * a value is not finite; so at any moment the newest state on disk is whole and good. */
#ifndef TRAIN_STATE_H
#define TRAIN_STATE_H

#include "nn_grad.h"
#include "train_config.h"

struct train_state {
    size_t count;
    float *weights, *mean, *square, *ema; /* [count], owned */
    float *target; /* [count], owned: a distillation's average for its targets; else NULL */
    float *others[TRAIN_AVERAGES_MAX]; /* [other_count][count], owned: further averages */
    int other_count;
    int64_t step;              /* steps taken */
    double loss_sum, norm_sum; /* since the last line of the log */
    int64_t sum_count;
};

/* Zeroed arrays, of a distillation (`distils`) one more, and `others` further averages. Clear with
 * train_state_clear. */
int train_state_allocate(struct train_state *s, size_t count, bool distils, int others,
                         struct err *e);
void train_state_clear(struct train_state *s);

/* Initial weights, as the reference draws them: variance scaling, fan average, uniform; scale 0.1
 * for queries, keys and values, 1e-10 for Conv_1, NIN_3 and the head's convolution; biases 0, norms
 * 1 and 0; the Fourier projection 16 N(0, 1); label rows N(0, 0.02²). An mlp's coordinates are
 * those of the data, its stem's weights have deviation 3 a feature. */
void train_state_init(struct train_state *s, const struct nn_param *params, size_t param_count,
                      uint64_t seed, const struct data_set *data);

/* Every average begins as the weights are. */
void train_state_begin_averages(struct train_state *s);

/* ERR_NUMERIC and the old file unharmed when a value is not finite. `data_sha256` and the resolved
 * configuration's digest are stored and must be the same when it is read; or the configuration must
 * have been `continued` (an array as train_config_change makes, or NULL) from the stored one at the
 * state's own step. */
int train_state_save(const struct train_state *s, const char *path, const char *config_sha256,
                     const char *data_sha256, struct err *e);
int train_state_load(struct train_state *s, const char *path, const char *config_sha256,
                     const json_t *continued, const char *data_sha256, struct err *e);

/* One of the averages, which errors call `what`, as a checkpoint that can be served, in f32, f16 or
 * bf16. */
int train_state_export(const struct train_state *s, const float *average, const char *what,
                       const struct nn_param *params, size_t param_count,
                       const struct ckpt_description *description, enum ckpt_dtype dtype,
                       const char *path, struct err *e);

#endif
