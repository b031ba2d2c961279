/* The choice at run time: which table and which id belong to a kernel. Nothing else in the program
 * asks for an instruction set. */
#include "nn_kernels.h"
#include <string.h>

const struct nn_kernels *nn_kernels_get(enum nn_kernel kernel)
{
    const struct nn_kernels *found = NULL;
    switch (nn_kernel_resolve(kernel)) {
    case NN_KERNEL_OPENBLAS:
        found = nn_kernels_openblas();
        return found ? found : &nn_kernels_c;
#ifdef NN_HAVE_LANES8
    case NN_KERNEL_LANES8:
        return &nn_kernels_lanes8;
#endif
#ifdef NN_HAVE_X86
    case NN_KERNEL_AVX512:
    case NN_KERNEL_AMX:
        return &nn_kernels_avx512;
#endif
    default:
        return &nn_kernels_c;
    }
}

const char *nn_kernel_id(enum nn_kernel kernel)
{
    return nn_kernels_get(kernel)->id;
}

const char *nn_kernel_id_in(enum nn_kernel kernel, enum nn_precision precision)
{
    static const char *const ids[] = {[NN_KERNEL_C] = "cbf16.1",
                                      [NN_KERNEL_OPENBLAS] = "cbf16.1",
                                      [NN_KERNEL_LANES8] = "lanes8bf16.1",
                                      [NN_KERNEL_AVX512] = "avx512bf16.1",
                                      [NN_KERNEL_AMX] = "amx.1"};
    return precision == NN_PRECISION_F32 ? nn_kernel_id(kernel) : ids[nn_kernel_resolve(kernel)];
}

const char *nn_kernel_id_now(const char *id)
{
    static const struct {
        const char *before, *now;
    } renamed[] = {{"avx2.3", "lanes8.3"}, {"avx2bf16.1", "lanes8bf16.1"}};
    for (size_t i = 0; i < sizeof renamed / sizeof renamed[0]; i++)
        if (strcmp(id, renamed[i].before) == 0)
            return renamed[i].now;
    return id;
}
