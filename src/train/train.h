/* Training a field: the run from data to checkpoint.
 *
 * A run is a folder: config.json (resolved), state.safetensors (what the next step needs),
 * model.safetensors (the averaged weights, to be served), log.csv, loss.png, samples/. Its bytes
 * follow from configuration, data and kernel; not from the number of threads, nor from how often it
 * was interrupted. One thread drives it and a pool of its own. */
#ifndef TRAIN_H
#define TRAIN_H

#include "nn_net.h"
#include "train_config.h"
#include "data.h"
#include "train_log.h"
#include "train_plan.h"
#include <signal.h>

struct train_progress {
    int64_t step, steps;
    double loss, norm; /* means since the last report of the log */
    double speed;      /* images a second, of this process */
    double seconds_left;
    bool logged; /* a line of the log was written just now: */
    struct train_log_line line;
};

struct train_options {
    struct data_options data;
    const char *run;
    const char *config; /* file, or NULL: defaults */
    bool resume;
    const char *changes; /* file, when resuming: see train_config_change; or NULL */
    int64_t steps;       /* instead of the configuration's, where they stay; -1: as configured */
    double minutes;      /* that a new run shall take, see train_plan.h; 0: as configured */
    const char *teacher; /* of a distillation: the model to learn from; else NULL */
    int student_steps;   /* evaluations of the student; 0: as configured */
    int threads;
    enum nn_kernel kernel;
    enum ckpt_dtype export_dtype;
    const volatile sig_atomic_t *stop; /* when it becomes true the run saves and ends */
    void (*plan)(void *context, const struct train_plan *p, const struct train_config *c,
                 const struct data_set *d); /* of minutes */
    void (*begin)(void *context, const struct train_config *c, const struct data_set *d,
                  size_t parameters, int64_t step);
    void (*progress)(void *context, const struct train_progress *p); /* after every step */
    void *context;
};

struct train_result {
    int64_t step;
    bool stopped; /* before the last step, by `stop` */
    double loss;  /* of the last line of the log; NaN without one */
    char model_sha256[SHA256_HEX_SIZE];
};

/* Begins or continues a run and takes it to its end. On failure the last saved state stays. A loss
 * or gradient that is not finite is ERR_NUMERIC. */
int train_run(const struct train_options *options, struct train_result *out, struct err *e);

#endif
