/* Inside the room: what takes the steps of a run, all of it in memory; the run's folder is
 * train.c's business. One thread drives it and a pool of its own. */
#ifndef TRAIN_WORK_H
#define TRAIN_WORK_H

#include "train_batch.h"
#include "train_state.h"
#include "train_teacher.h"

struct train_work_options {
    const struct train_config *config; /* resolved; borrowed, and so are data and teacher */
    const struct data_set *data;
    struct model *teacher; /* of a distillation; else NULL */
    enum nn_kernel kernel;
    int threads;
};

struct train_work {
    struct train_work_options o;
    struct train_state state;
    struct pool *pool;
    struct nn_grad *grad;
    const struct nn_param *params;
    size_t param_count;
    struct train_batch batch;
    struct train_teacher *targets; /* what the teacher gives */
    float *gradient;
    double *losses;
};

/* Takes all memory; the state must be allocated before. Clear after a failure, too. */
int train_work_open(struct train_work *w, const struct train_work_options *options, struct err *e);
void train_work_clear(struct train_work *w);

/* The weights that a new run begins with: drawn, or those of the file `teacher`. */
int train_work_begin(struct train_work *w, const char *teacher, struct err *e);

/* One step; ERR_NUMERIC when the loss or the gradient is not finite. */
int train_work_step(struct train_work *w, struct err *e);

#endif
