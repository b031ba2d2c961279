/* Reading NPY arrays from strangers: the header is parsed strictly, and every size is checked
 * before a value is looked at. Pure; any thread. */
#ifndef ARCHIVE_NPY_READ_H
#define ARCHIVE_NPY_READ_H

#include "base_err.h"
#include <stdint.h>

#define ARCHIVE_NPY_RANK_MAX 8

struct archive_npy {
    char type[8]; /* "|u1", "<f4", … as NumPy writes it; its last character is the width */
    size_t width; /* bytes of an element: 1, 2, 4 or 8 */
    int rank;
    size_t shape[ARCHIVE_NPY_RANK_MAX], count; /* the product, 1 for rank 0 */
    const unsigned char *data; /* count elements in C order, in the bytes read, of any alignment */
};

/* Reads the array that takes all of `length` bytes, versions 1 and 2 of the format. ERR_INPUT,
 * ERR_UNSUPPORTED (Fortran order, types of no fixed width) or ERR_LIMIT (more than count_max
 * elements), with `what` and the reason. Whether the type is one that can be used is the caller's
 * to say. */
int archive_npy_read(const void *data, size_t length, size_t count_max, const char *what,
                     struct archive_npy *out, struct err *e);

/* Element i of an array of "<f4" or "<f8"; NAN of another type. */
double archive_npy_real(const struct archive_npy *a, size_t i);

#endif
