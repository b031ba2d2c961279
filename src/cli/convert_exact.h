/* `pfgm convert --exact DATA`: a checkpoint that is the data themselves. */
#ifndef CONVERT_EXACT_H
#define CONVERT_EXACT_H

#include "base_err.h"

struct convert_exact {
    const char *data, *output;
    const char *labels;  /* an IDX file of labels, or NULL */
    const char *weights; /* an NPY file of a weight a source, floats [n], or NULL: all alike */
    double t_max, t_min; /* 0: from the data's radius */
    bool strict, json;
};

/* Reads the data, writes the checkpoint atomically and tells about it on stdout. The error names
 * the file or option. 0 or -1. */
int convert_exact(const struct convert_exact *options, struct err *e);

#endif
