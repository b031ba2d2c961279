/* The arrays are laid out here alone, so that a file that was joined from shards has the bytes of
 * one that was written at once. */
#include "cli_npz.h"

#include "archive_npy.h"
#include "archive_npy_read.h"
#include "archive_zip_stream.h"
#include "base_file.h"
#include "base_size.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NPZ_OVERHEAD_MAX 65536

int cli_npz_check(const char *path, struct image_shape shape, uint64_t n, struct err *e)
{
    if (archive_zip_array_fits(image_shape_count(shape), n))
        return 0;
    return err_fail(e, ERR_INPUT, path,
                    "%" PRIu64 " images of %d×%d would be larger than the 4 GiB that an npz can "
                    "hold: write a folder DIR/ or a .npy, or fewer images per file",
                    n, shape.width, shape.height);
}

int cli_npz_write(const char *path, const struct cli_npz *z, struct err *e)
{
    struct image_npz_array arrays[5] = {
        {"arr_0",
         ARCHIVE_NPY_U8,
         4,
         {z->n, (uint64_t)z->shape.height, (uint64_t)z->shape.width, (uint64_t)z->shape.channels},
         z->pixels},
        {"seed", ARCHIVE_NPY_U64, 1, {1}, &z->seed},
        {"index", ARCHIVE_NPY_U64, 1, {z->n}, NULL}};
    size_t count = 3, bytes;
    uint64_t *index = calloc(z->n ? z->n : 1, sizeof *index);
    struct buf out;
    int result = -1;
    if (!index)
        return err_fail_memory(e, z->n * sizeof *index);
    for (size_t i = 0; i < z->n; i++)
        index[i] = z->first_index + i;
    arrays[2].data = index;
    if (z->classes)
        arrays[count++] = (struct image_npz_array){"class", ARCHIVE_NPY_I64, 1, {z->n}, z->classes};
    if (z->manifest)
        arrays[count++] = (struct image_npz_array){
            "manifest", ARCHIVE_NPY_U8, 1, {z->manifest_length}, z->manifest};
    if (!size_mul(image_shape_count(z->shape) + sizeof(uint64_t) + sizeof(int64_t), z->n, &bytes)) {
        err_fail(e, ERR_LIMIT, path, "%zu images are too many for one file", z->n);
    } else {
        buf_init(&out, bytes + z->manifest_length + NPZ_OVERHEAD_MAX);
        result = image_npz_encode(arrays, count, &out, e);
        if (result == 0)
            result = file_write_atomic(path, out.data, out.length, e);
        buf_clear(&out);
    }
    free(index);
    return result;
}

/* ---- reading ---- */

struct cli_npz_file {
    const char *path;
    struct file_map map;
    struct archive_zip *zip;
};

struct cli_npz_file *cli_npz_open(const char *path, struct err *e)
{
    struct cli_npz_file *f = calloc(1, sizeof *f);
    if (!f) {
        err_fail_memory(e, sizeof *f);
        return NULL;
    }
    f->path = path;
    if (file_map_open(&f->map, path, e) == 0)
        f->zip = archive_zip_open(f->map.data, f->map.length, path, e);
    if (f->zip)
        return f;
    cli_npz_close(f);
    return NULL;
}

void cli_npz_close(struct cli_npz_file *f)
{
    if (!f)
        return;
    archive_zip_close(f->zip);
    file_map_close(&f->map);
    free(f);
}

unsigned char *cli_npz_bytes(struct cli_npz_file *f, const char *name, size_t *length,
                             struct err *e)
{
    char member[80];
    struct archive_npy array;
    unsigned char *bytes = NULL;
    snprintf(member, sizeof member, "%s.npy", name);
    const int64_t at = archive_zip_find(f->zip, member);
    const uint64_t size = at >= 0 ? archive_zip_size(f->zip, (size_t)at) : 0;
    /* pfgm stores them as they are, so that none is larger than its file. */
    if (at < 0 || size > f->map.length) {
        err_fail(e, ERR_INPUT, f->path, "has no array \"%s\" of a shard", name);
        return NULL;
    }
    bytes = malloc(size ? (size_t)size : 1);
    if (!bytes) {
        err_fail_memory(e, (size_t)size);
        return NULL;
    }
    if (archive_zip_read(f->zip, (size_t)at, bytes, (size_t)size, e) != 0 ||
        archive_npy_read(bytes, (size_t)size, (size_t)size, f->path, &array, e) != 0 ||
        (array.width != 1 &&
         err_fail(e, ERR_INPUT, f->path, "has \"%s\" of another type than uint8", name) != 0)) {
        free(bytes);
        return NULL;
    }
    *length = array.count;
    memmove(bytes, array.data, array.count); /* the header goes */
    return bytes;
}
