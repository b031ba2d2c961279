/* RUN/log.csv and RUN/loss.png.
 *
 * The log has one line an interval: step, mean loss and mean gradient norm of the steps since the
 * line before, learning rate, images a second. On resuming, lines of later steps than the state's
 * are dropped, since those steps are taken again. */
#ifndef TRAIN_LOG_H
#define TRAIN_LOG_H

#include "base_err.h"
#include <stdint.h>
#include <stdio.h>

struct train_log_line {
    int64_t step;
    double loss, norm, rate, speed;
};

struct train_log {
    char *path;
    struct train_log_line *lines;
    size_t count, capacity;
    FILE *file;
};

/* Opens RUN/log.csv: anew, or (`keep_until` ≥ 0) with its lines up to that step. */
int train_log_open(struct train_log *log, const char *path, int64_t keep_until, struct err *e);
/* Writes the line at once. */
int train_log_add(struct train_log *log, struct train_log_line line, struct err *e);
void train_log_close(struct train_log *log);

/* The loss over the steps as a curve, both with their range in figures; the loss's axis is
 * logarithmic. Nothing to draw before the second line: then no file is written. */
int train_log_plot(const struct train_log *log, const char *path, struct err *e);

#endif
