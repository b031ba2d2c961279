/* What a search has found, in a checkpoint. */
#ifndef TUNE_STORE_H
#define TUNE_STORE_H

#include "tune_search.h"

/* Writes the searched model to `output`, which may be the model's own path: its tensors, the mean
 * where it was measured, and the description with the schedules found beside those that it had for
 * other numbers of evaluations. */
int tune_store(const struct tune_search *t, const char *output, struct err *e);

#endif
