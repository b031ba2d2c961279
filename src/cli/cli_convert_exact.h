/* `pfgm convert --exact DATA`: a checkpoint that is the data themselves. */
#ifndef CLI_CONVERT_EXACT_H
#define CLI_CONVERT_EXACT_H

#include "base_err.h"

struct cli_convert_exact {
    const char *data, *output;
    const char *labels;  /* an IDX file of labels, or NULL */
    const char *weights; /* an NPY file of a weight a source, floats [n], or NULL: all alike */
    double t_max, t_min; /* 0: from the data's radius */
    bool strict, json;
};

/* Reads the data, writes the checkpoint atomically and reports it on standard output. The error
 * names the file or option. 0 or -1. */
int cli_convert_exact(const struct cli_convert_exact *options, struct err *e);

#endif
