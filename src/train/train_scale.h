/* Whether a run with data of this scale can be read again, and is anything but rounding. For
 * src/train only. */
#ifndef TRAIN_SCALE_H
#define TRAIN_SCALE_H

#include "train_config.h"

/* ERR_INPUT at `what` where the constants that follow from the scale are beyond what a checkpoint
 * or a configuration may say, or where float32 does not tell vectors apart
 * (data_resolution_check). The configuration has its constants, but neither M nor t_max;
 * `denoise`: train_config_denoises. */
int train_scale_check(const struct train_config *c, bool denoise, const struct data_set *data,
                      const char *what, struct err *e);

/* A warning where float32 still tells vectors apart, but not from the nearest points that they are
 * moved to. `path`: of the data. */
void train_scale_warn(const struct train_config *c, bool denoise, const struct data_set *data,
                      const char *path);

#endif
