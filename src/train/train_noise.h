/* The noise levels of the objective pfgmpp, where the configuration leaves them to the rule. For
 * src/train only. */
#ifndef TRAIN_NOISE_H
#define TRAIN_NOISE_H

#include "train_config.h"

#define TRAIN_NOISE_RULE 100.0 /* a mean of logarithms that is left to the rule */

/* sigma_data, t_max, t_min and log_sigma_mean that were not given. */
void train_noise_resolve(struct train_config *c, const struct data_set *data);

#endif
