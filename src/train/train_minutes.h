/* Inside the room: the configuration of a run that was given minutes instead of steps. */
#ifndef TRAIN_MINUTES_H
#define TRAIN_MINUTES_H

#include "nn_kernel.h"
#include "train_config.h"
#include "train_plan.h"

struct train_minutes_options {
    const struct data_set *data;
    const char *path; /* of the data, and */
    const char *what; /* of the given configuration, for errors */
    enum nn_kernel kernel;
    int threads;
    double total;     /* seconds of the whole run, */
    int64_t begun_ns; /* which began here */
    int sheet_images; /* of a sheet of samples; 0: it takes no time */
};

/* Measures this machine for a few seconds with steps that are thrown away, and decides. `text`: the
 * given configuration [length], or NULL. Free `out` with train_config_clear after success; it is
 * not resolved yet. */
int train_minutes_plan(const struct train_minutes_options *o, const char *text, size_t length,
                       struct train_plan *plan, struct train_config *out, struct err *e);

#endif
