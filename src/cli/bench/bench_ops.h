/* `pfgm bench ops`: every operation of the network at the sizes of real networks, on one thread,
 * for every kernel, with what it is worth beside the portable one and the multiply-add peak. */
#ifndef BENCH_OPS_H
#define BENCH_OPS_H

#include "base_err.h"

struct bench_ops_options {
    const char
        *kernel;    /* a word, or NULL for all that the machine runs; the portable one is added */
    int batch;      /* images in a call */
    double seconds; /* of measuring an operation on a kernel; 0: a default */
    bool json;
};

/* Measures and prints to standard output. Also compares each result with the portable kernel's; one
 * that is off is an error. */
int bench_ops_run(const struct bench_ops_options *o, struct err *e);

#endif
