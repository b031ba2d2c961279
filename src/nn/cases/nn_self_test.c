/* A faulty processor, hypervisor or build may compute wrong without a trap, and what it computes
 * looks like noise or, worse, like a picture. So before a kernel is used for a network it does a
 * few operations whose results plain C knows. Sizes are small but leave tails: 5 × 5 pixels, two
 * images, 24 channels, which neither fill a tile of 6 rows nor a vector of 16; and as many of two
 * parts as OpenBLAS is asked for. */
#include "nn_self_test.h"
#include "base_arena.h"
#include "nn_case.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#define TOLERANCE 1e-4

static const struct trial {
    const char *word;
    struct nn_case_shape shape;
} trials[] = {{"product", {NN_CASE_POINT, 5, 24, 0, 24, 2, 0}},
              {"product with a residual", {NN_CASE_POINT, 5, 48, 24, 24, 2, NN_CASE_RESIDUAL}},
              {"convolution", {NN_CASE_CONV, 5, 24, 0, 24, 2, 0}},
              {"convolution by Winograd", {NN_CASE_WINOGRAD, 5, 24, 0, 24, 2, 0}},
              {"norm", {NN_CASE_NORM, 5, 24, 0, 0, 2, NN_CASE_SILU}},
              {"attention", {NN_CASE_ATTENTION, 5, 24, 0, 0, 2, 0}}};
static const struct trial in_bf16 = {"product in bf16", {NN_CASE_POINT, 5, 24, 0, 24, 2, 0}};

/* What computes an operation, and where the result goes. */
struct candidate {
    const struct nn_kernels *kernels;
    const struct nn_tiles *tiles; /* with terms */
    float *out;
};

static int compute(struct nn_case *c, const struct candidate *by, int terms, struct err *e)
{
    if (nn_case_prepare(c, by->kernels, terms, e) != 0)
        return -1;
    nn_case_run(c, by->kernels, by->tiles, by->out);
    return 0;
}

static int compare(const float *known, const float *out, size_t count, const char *id,
                   const char *what, struct err *e)
{
    double largest = 0.0, off = 0.0;
    for (size_t i = 0; i < count; i++) {
        const double difference = fabs((double)out[i] - (double)known[i]);
        largest = fmax(largest, fabs((double)known[i]));
        off = isfinite(difference) ? fmax(off, difference) : INFINITY;
    }
    if (off <= TOLERANCE * largest)
        return 0;
    return err_fail(e, ERR_INTERNAL, id,
                    "this kernel computes a %s wrong on this machine, off by %.2g of the largest "
                    "number: the processor, its virtual machine or the build is at fault; choose "
                    "another with --kernel",
                    what, off / largest);
}

/* One operation by plain C and by the kernel. */
static int try_one(const struct trial *t, const struct nn_kernels *kernels,
                   const struct nn_tiles *tiles, int terms, const char *id, struct err *e)
{
    struct nn_case c;
    if (nn_case_open(&c, &t->shape, e) != 0)
        return -1;
    float *memory = (void *)arena_memory(2 * c.count * sizeof *memory, e);
    int result = -1;
    if (memory) {
        const struct candidate plain = {&nn_kernels_c, &nn_tiles_c, memory};
        const struct candidate kernel = {kernels, tiles, memory + c.count};
        if (compute(&c, &plain, terms, e) == 0 && compute(&c, &kernel, terms, e) == 0)
            result = compare(plain.out, kernel.out, c.count, id, t->word, e);
    }
    free(memory);
    nn_case_clear(&c);
    return result;
}

int nn_self_test(const struct nn_kernels *kernels, const struct nn_tiles *tiles, int terms,
                 const char *id, struct err *e)
{
    for (size_t i = 0; i < sizeof trials / sizeof trials[0]; i++)
        if (try_one(&trials[i], kernels, NULL, 0, id, e) != 0)
            return -1;
    return tiles ? try_one(&in_bf16, kernels, tiles, terms, id, e) : 0;
}

int nn_self_test_once(enum nn_kernel kernel, enum nn_precision precision, struct err *e)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool passed[NN_KERNEL_AMX + 1][NN_PRECISION_BF16 + 1];
    const int terms = precision == NN_PRECISION_BF16X3 ? 3 : precision == NN_PRECISION_BF16 ? 1 : 0;
    pthread_mutex_lock(&lock);
    int result = passed[kernel][precision]
                     ? 0
                     : nn_self_test(nn_kernels_get(kernel), terms ? nn_tiles_get(kernel) : NULL,
                                    terms, nn_kernel_id_in(kernel, precision), e);
    passed[kernel][precision] = result == 0;
    pthread_mutex_unlock(&lock);
    return result;
}
