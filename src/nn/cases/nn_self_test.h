/* Whether a kernel computes on this machine what plain C computes: small operations, compared. */
#ifndef NN_SELF_TEST_H
#define NN_SELF_TEST_H

#include "nn_tile.h"

/* A product, a convolution (direct and by Winograd's transform), a norm and an attention of
 * `kernels`, and with `terms` 1 or 3 a product in bf16 of `tiles` (else NULL), against plain C. 0,
 * or -1 with ERR_INTERNAL: `id` and the operation that is off by more than 1e-4 of its largest
 * number, or not finite. Takes about a millisecond. */
int nn_self_test(const struct nn_kernels *kernels, const struct nn_tiles *tiles, int terms,
                 const char *id, struct err *e);

/* The same of a kernel, resolved, once in the life of the process; a failure is tried again.
 */
int nn_self_test_once(enum nn_kernel kernel, enum nn_precision precision, struct err *e);

#endif
