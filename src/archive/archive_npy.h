/* NPY version 1.0 (numpy.lib.format): the magic, the header text, then little-endian values in C
 * order; NPZ: a ZIP archive of them. */
#ifndef ARCHIVE_NPY_H
#define ARCHIVE_NPY_H

#include "base_buf.h"
#include "base_file.h"
#include <stdint.h>

enum archive_npy_type {
    ARCHIVE_NPY_U8,
    ARCHIVE_NPY_F32,
    ARCHIVE_NPY_F64,
    ARCHIVE_NPY_U64,
    ARCHIVE_NPY_I64
};
size_t archive_npy_type_size(enum archive_npy_type type);

/* Appends the header (its length a multiple of 64): 1-D shapes keep their comma, digits are plain
 * in every locale. rank 0 to 8. */
int archive_npy_header(enum archive_npy_type type, int rank, const uint64_t *shape, struct buf *out,
                       struct err *e);

/* One array of an archive: its name without ".npy", and its values, not owned. */
struct image_npz_array {
    const char *name;
    enum archive_npy_type type;
    int rank;
    uint64_t shape[8];
    const void *data;
};
/* Appends an NPZ of stored members with a fixed time (1980-01-01), so equal arrays give equal
 * bytes. */
int image_npz_encode(const struct image_npz_array *arrays, size_t n, struct buf *out,
                     struct err *e);

#endif
