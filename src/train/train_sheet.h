/* Sample sheets in the middle of a run, drawn with the averaged weights through the training
 * network itself, so that labels work and nothing has to be loaded. */
#ifndef TRAIN_SHEET_H
#define TRAIN_SHEET_H

#include "nn_grad.h"
#include "train_config.h"

struct train_sheet {
    const struct train_config *config;
    struct nn_grad *grad; /* holds the weights to sample with */
    int columns, rows;    /* with classes, a row of images a class */
};

/* Draws columns × rows images of the run's seed and writes them as a PNG, or vectors as an NPY
 * array, atomically. A sample that is not finite becomes black: early in a run that is no error. */
int train_sheet_write(const struct train_sheet *s, const char *path, struct err *e);

#endif
