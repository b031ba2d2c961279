/* OpenBLAS, loaded once. Our workers are the threads, so it is to have one: it takes as many as the
 * processors that the loading thread may use, and starts them while it is loaded, so for that
 * moment the thread may use one only. Its build without threads keeps its buffers without a lock
 * and computes wrong numbers when two threads call it, so that one is refused. */
#include "blas.h"
#include <cblas.h>
#include <ctype.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define LIBRARY "libopenblas.so.0"
#define SEQUENTIAL 0 /* what openblas_get_parallel says of such a build */

static struct {
    struct blas blas;
    struct err why; /* with a code: it cannot be used */
    __typeof__(cblas_sgemm) *sgemm;
} loaded;

static void multiply(const struct blas_product *p)
{
    loaded.sgemm(CblasRowMajor, CblasNoTrans, p->across ? CblasTrans : CblasNoTrans,
                 (blasint)p->rows, (blasint)p->columns, (blasint)p->inner, p->alpha, p->a,
                 (blasint)p->a_step, p->b, (blasint)p->b_step, p->beta, p->c, (blasint)p->c_step);
}

/* The library, which may be loaded already by a program that we are a library of. */
static void *open_alone(void)
{
    cpu_set_t mine, one;
    bool known = sched_getaffinity(0, sizeof mine, &mine) == 0;
    CPU_ZERO(&one);
    for (size_t i = 0; known && i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &mine))
            CPU_SET(i, &one);
    bool held = known && sched_setaffinity(0, sizeof one, &one) == 0;
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (held)
        sched_setaffinity(0, sizeof mine, &mine);
    return library;
}

/* "OpenBLAS 0.3.21 NO_LAPACKE …" and "SkylakeX" to openblas-0.3.21-skylakex. */
static void name_it(const char *config, const char *core)
{
    char version[24] = "unknown", *name = loaded.blas.name;
    if (sscanf(config, "%*s %23s", version) != 1)
        snprintf(version, sizeof version, "unknown");
    snprintf(name, sizeof loaded.blas.name, "openblas-%s-%.24s", version, core);
    for (; *name; name++)
        *name = isalnum((unsigned char)*name) || strchr(".-", *name)
                    ? (char)tolower((unsigned char)*name)
                    : '_';
}

static void load(void)
{
    struct err *why = &loaded.why;
    void *library = open_alone();
    if (!library) {
        err_fail(why, ERR_UNSUPPORTED, "openblas",
                 "%s cannot be loaded: install Debian's libopenblas0-pthread", LIBRARY);
        return;
    }
    __typeof__(openblas_get_parallel) *parallel = dlsym(library, "openblas_get_parallel");
    __typeof__(openblas_set_num_threads) *threads = dlsym(library, "openblas_set_num_threads");
    __typeof__(openblas_get_config) *config = dlsym(library, "openblas_get_config");
    __typeof__(openblas_get_corename) *core = dlsym(library, "openblas_get_corename");
    loaded.sgemm = dlsym(library, "cblas_sgemm");
    if (!parallel || !threads || !config || !core || !loaded.sgemm) {
        err_fail(why, ERR_UNSUPPORTED, "openblas", "%s lacks cblas_sgemm or what describes it",
                 LIBRARY);
    } else if (parallel() == SEQUENTIAL) {
        err_fail(why, ERR_UNSUPPORTED, "openblas",
                 "%s is the build without threads, which computes wrong in several: install "
                 "Debian's libopenblas0-pthread",
                 LIBRARY);
    } else {
        threads(1);
        name_it(config(), core());
        loaded.blas.multiply = multiply;
    }
}

const struct blas *blas_get(struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    if (loaded.blas.multiply)
        return &loaded.blas;
    err_pass(e, &loaded.why);
    return NULL;
}
