/* A step's batch: which images, moved where, with which targets. A function of the configuration,
 * the data and the step alone; a distillation's targets are those of its teacher besides. */
#ifndef TRAIN_BATCH_H
#define TRAIN_BATCH_H

#include "nn_grad.h"
#include "train_distill.h"
#include "train_field.h"

struct train_batch {
    const struct train_config *config;
    const struct data_set *data;
    struct pool *pool;
    size_t n; /* C·H·W */
    int count;
    /* out: */
    const float **x; /* [count][N] */
    float *t;        /* [count] */
    int32_t *label;  /* [count]; -1: without */
    float *target;   /* [count][N + 1] */
    /* of a distillation, whose targets are the teacher's to fill in (train_teacher.h): */
    double *point;                   /* [count][N], in the data's scale */
    struct train_distill_span *span; /* [count] */
    /* inside: */
    float *values;              /* x's memory */
    uint32_t *image;            /* [count], the lowest bit: mirrored */
    double **scratch;           /* [threads][N + 1] */
    float **clean;              /* [threads][N] */
    struct train_field **field; /* [threads] */
    uint32_t *member;           /* images sorted by class, */
    size_t *first;              /* [classes + 1] and where each class begins */
    uint32_t **rows;            /* [groups]: large batches */
    size_t *row_count;          /* [groups] */
    int *group;                 /* [count]: of each image */
    int *label_of;              /* [groups]; -1: all data */
    int groups;
    struct train_points *blocks; /* points that share their rows, */
    int *block_group;            /* and whose */
    int block_count;
    int64_t step;
};

/* Takes all memory. A data set smaller than the batch is no error: images then come more than once.
 */
int train_batch_init(struct train_batch *b, const struct train_config *config,
                     const struct data_set *data, enum nn_kernel kernel, struct pool *pool,
                     struct err *e);
void train_batch_clear(struct train_batch *b);
void train_batch_make(struct train_batch *b, int64_t step);
/* The loss of an image of the batch for what the network gave, and unless v_x_slope is NULL its
 * gradient times `share`. */
double train_batch_loss(const struct train_batch *b, int image, const float *v_x, float v_t,
                        float share, float *v_x_slope, float *v_t_slope);

/* Place k of epoch's order of n images: a permutation for each epoch. */
size_t train_shuffle(uint64_t seed, uint64_t epoch, size_t n, size_t k);

#endif
