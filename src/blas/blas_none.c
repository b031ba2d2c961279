/* A build without OpenBLAS says so. */
#include "blas.h"

const struct blas *blas_get(struct err *e)
{
    err_fail(e, ERR_UNSUPPORTED, "openblas",
             "this build is without OpenBLAS: install libopenblas-dev and build again, with "
             "-Dblas=enabled");
    return NULL;
}
