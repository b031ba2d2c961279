/* The teacher of a distillation: a model that is only read, what a run takes over from it, and the
 * targets that it and the student's average give a batch (train_distill.h). One thread drives it,
 * with a pool. */
#ifndef TRAIN_TEACHER_H
#define TRAIN_TEACHER_H

#include "model.h"
#include "train_batch.h"

/* Opens the teacher. NULL where the file is no model, or none that can be distilled:
 * ERR_UNSUPPORTED. */
struct model *train_teacher_open(const char *path, enum nn_kernel kernel, struct err *e);

/* Makes the configuration that of a student of `steps` evaluations (0: as configured), before it is
 * resolved: the network, the field's constants and the classes are the teacher's. ERR_INPUT, at
 * `what`, where it says otherwise; `resumed`: it must be of this teacher already. */
int train_teacher_adopt(const struct model *teacher, int steps, bool resumed,
                        const struct data_set *data, const char *what, struct train_config *c,
                        struct err *e);

/* The teacher's weights in the order of `params`, out [scalars], from the file that it was opened
 * from. ERR_IO where that is another one by now. */
int train_teacher_weights(const struct model *teacher, const char *path,
                          const struct nn_param *params, size_t count, float *out, struct err *e);

struct train_teacher;
/* Memory for batches of the configuration; everything is borrowed. NULL on failure. */
struct train_teacher *train_teacher_new(const struct model *teacher, const struct train_config *c,
                                        struct pool *pool, struct err *e);
void train_teacher_free(struct train_teacher *t);

/* The targets of a batch that train_batch_make has moved. `average` holds the weights of the
 * student's average. ERR_NUMERIC where the teacher's path is not finite. */
int train_teacher_targets(struct train_teacher *t, struct train_batch *b, struct nn_grad *average,
                          struct err *e);

#endif
