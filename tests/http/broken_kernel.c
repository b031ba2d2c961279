/* Linked in the place of the choice of a kernel (ld's --wrap): the machine's best one, whose
 * products come out wrong by a part in a hundred, as on a processor that multiplies wrong. */
#include "nn_kernels.h"

const struct nn_kernels *__real_nn_kernels_get(enum nn_kernel kernel);
const struct nn_kernels *__wrap_nn_kernels_get(enum nn_kernel kernel);

static const struct nn_kernels *good;

static void wrong_product(const struct nn_product *p)
{
    good->product(p);
    const size_t count = p->images * p->height * p->width * p->shape.outputs;
    for (size_t i = 0; i < count; i++)
        p->out[i] *= 1.01f;
}

const struct nn_kernels *__wrap_nn_kernels_get(enum nn_kernel kernel)
{
    static struct nn_kernels broken;
    good = __real_nn_kernels_get(kernel);
    broken = *good;
    broken.product = wrong_product;
    return &broken;
}
