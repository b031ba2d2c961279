/* Matrix products by OpenBLAS: the second opinion on our kernels, and the first where none of ours
 * has vectors.
 *
 * The library is looked for at run time, when somebody first asks. It would else be loaded by every
 * command, 36 MB of it, and start a thread per processor before main. */
#ifndef BLAS_H
#define BLAS_H

#include "base_err.h"

/* c[i][j] = alpha · Σ_k a[i][k] · b[k][j] + beta · c[i][j]; with beta 0, c is not read. `across`: b
 * lies as [columns][inner]. Steps are floats from row to row, at least a row's length. */
struct blas_product {
    size_t rows, inner, columns;
    const float *a, *b;
    size_t a_step, b_step;
    bool across;
    float alpha, beta;
    float *c;
    size_t c_step;
};

struct blas {
    /* Library, version and the core that it found, such as "openblas-0.3.21-skylakex". The bits
     * depend on all three; and on the sizes and an element's place, but on nothing else. */
    char name[64];
    /* In the calling thread alone. Any number of threads may call it. */
    void (*multiply)(const struct blas_product *p);
};

/* The one of this process, loaded by the first call, from any thread. NULL with ERR_UNSUPPORTED and
 * what is missing: in this build, or on this machine. */
const struct blas *blas_get(struct err *e);

#endif
