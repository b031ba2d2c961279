/* Which kernels this build holds and this machine runs, and what the words for them
 * resolve to. */
#include "nn_kernel.h"
#include "base_cpu.h"
#include "blas.h"
#include <stdlib.h>
#include <string.h>

static const char *const words[] = {"auto", "c", "openblas", "lanes8", "avx512", "amx"};
/* The instruction sets whose kernel is lanes8, by name; each is understood on every machine. */
static const char *const lanes8_words[] = {"avx2", "neon"};
static const char *const precisions[] = {"auto", "f32", "bf16x3", "bf16"};

int nn_kernel_parse(const char *word, enum nn_kernel *out, struct err *e)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(word, words[i]) == 0) {
            *out = (enum nn_kernel)i;
            return 0;
        }
    for (size_t i = 0; i < sizeof lanes8_words / sizeof lanes8_words[0]; i++)
        if (strcmp(word, lanes8_words[i]) == 0) {
            *out = NN_KERNEL_LANES8;
            return 0;
        }
    return err_fail(e, ERR_INPUT, "kernel",
                    "is auto, c, openblas, lanes8, avx2, neon, avx512 or amx, not \"%s\"", word);
}

int nn_precision_parse(const char *word, enum nn_precision *out, struct err *e)
{
    for (size_t i = 0; i < sizeof precisions / sizeof precisions[0]; i++)
        if (strcmp(word, precisions[i]) == 0) {
            *out = (enum nn_precision)i;
            return 0;
        }
    return err_fail(e, ERR_INPUT, "precision", "is auto, f32, bf16x3 or bf16, not \"%s\"", word);
}

const char *nn_precision_name(enum nn_precision precision)
{
    return precisions[precision];
}

bool nn_kernel_available(enum nn_kernel kernel)
{
#ifdef NN_HAVE_LANES8
    if (kernel == NN_KERNEL_LANES8)
        return cpu_features_get().avx2_fma || cpu_features_get().asimd;
#endif
#ifdef NN_HAVE_X86
    if (kernel == NN_KERNEL_AVX512)
        return cpu_features_get().avx512;
    if (kernel == NN_KERNEL_AMX)
        return cpu_features_get().amx_bf16;
#endif
    if (kernel == NN_KERNEL_OPENBLAS)
        return blas_get(NULL) != NULL;
    return kernel == NN_KERNEL_AUTO || kernel == NN_KERNEL_C;
}

int nn_kernel_require(enum nn_kernel kernel, struct err *e)
{
    struct err why = {0};
    if (nn_kernel_available(kernel))
        return 0;
    if (kernel != NN_KERNEL_OPENBLAS || blas_get(&why))
        return err_fail(e, ERR_UNSUPPORTED, "kernel", "this machine cannot run %s: use auto",
                        words[kernel]);
    return err_fail(e, ERR_UNSUPPORTED, "kernel", "this machine cannot run openblas: %s", why.text);
}

int nn_kernel_environment(enum nn_kernel *out, struct err *e)
{
    const char *word = getenv(NN_KERNEL_VARIABLE);
    struct err why = {0};
    *out = NN_KERNEL_AUTO;
    if (!word || !*word ||
        (nn_kernel_parse(word, out, &why) == 0 && nn_kernel_require(*out, &why) == 0))
        return 0;
    *out = NN_KERNEL_AUTO;
    return err_rename(e, &why, NN_KERNEL_VARIABLE);
}

enum nn_kernel nn_kernel_resolve(enum nn_kernel kernel)
{
    if (kernel == NN_KERNEL_AUTO)
        nn_kernel_environment(&kernel, NULL); /* stays AUTO where nn_net_new will complain */
    if (kernel != NN_KERNEL_AUTO)
        return kernel;
    if (nn_kernel_available(NN_KERNEL_AVX512))
        return NN_KERNEL_AVX512;
    if (nn_kernel_available(NN_KERNEL_LANES8))
        return NN_KERNEL_LANES8;
    return nn_kernel_available(NN_KERNEL_OPENBLAS) ? NN_KERNEL_OPENBLAS : NN_KERNEL_C;
}

int nn_precision_resolve(enum nn_kernel *kernel, enum nn_precision *precision, struct err *e)
{
    if (*kernel == NN_KERNEL_AUTO && nn_kernel_environment(kernel, e) != 0)
        return -1;
    if (nn_kernel_require(*kernel, e) != 0)
        return -1;
    bool amx = *kernel == NN_KERNEL_AMX ||
               (*kernel == NN_KERNEL_AUTO && nn_kernel_available(NN_KERNEL_AMX));
    if (*precision == NN_PRECISION_AUTO)
        *precision = amx ? NN_PRECISION_BF16X3 : NN_PRECISION_F32;
    if (*precision == NN_PRECISION_F32)
        *kernel = *kernel == NN_KERNEL_AMX ? NN_KERNEL_AVX512 : nn_kernel_resolve(*kernel);
    else if (*kernel == NN_KERNEL_OPENBLAS)
        *kernel = NN_KERNEL_C;
    else if (*kernel == NN_KERNEL_AUTO && amx)
        *kernel = NN_KERNEL_AMX;
    else if (*kernel == NN_KERNEL_AUTO && cpu_features_get().avx512_bf16)
        *kernel = NN_KERNEL_AVX512;
    else if (*kernel == NN_KERNEL_AUTO)
        return err_fail(e, ERR_UNSUPPORTED, "precision",
                        "%s needs AMX or AVX512-BF16, which this machine lacks: use f32, or name a "
                        "kernel that is to compute it slowly",
                        precisions[*precision]);
    return 0;
}
