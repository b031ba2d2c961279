/* NPY and NPZ arrays: images of bytes, [n,H,W] or [n,H,W,C] with C 1 or 3, or vectors of floats,
 * [n,d] or [n]. An NPZ archive holds them as "images", "x" or "arr_0" (which `pfgm sample` writes),
 * and labels, if any, as "labels" or "y": integers [n]. A ZIP archive of PNGs comes by here too and
 * is read as a folder is. */
#include "base_size.h"
#include "archive_npy_read.h"
#include "archive_zip.h"
#include "data_source.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool data_npy_is(const void *data, size_t length)
{
    return (length >= 6 && memcmp(data, "\x93NUMPY", 6) == 0) ||
           (length >= 4 && memcmp(data, "PK\x03\x04", 4) == 0);
}

/* Labels 0 to DATA_CLASSES_MAX − 1 of any little-endian integer type, or −1 for none. */
static int read_labels(const struct archive_npy *a, size_t n, int32_t *out, int *classes,
                       const char *what, struct err *e)
{
    const size_t width = a->width;
    if ((a->type[1] != 'i' && a->type[1] != 'u') || a->type[0] == '>')
        return err_fail(e, ERR_UNSUPPORTED, what, "has labels of type %s, not integers", a->type);
    if (a->rank != 1 || a->shape[0] != n)
        return err_fail(e, ERR_INPUT, what, "has %zu labels for %zu images", a->count, n);
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = 0;
        memcpy(&bits, a->data + i * width, width);
        if (a->type[1] == 'i' && width < 8 && bits >> (8 * width - 1))
            bits |= UINT64_MAX << 8 * width;
        int64_t value = (int64_t)bits;
        if (value < -1 || value >= DATA_CLASSES_MAX)
            return err_fail(e, ERR_INPUT, what, "has the label %lld; -1 (none) to %d are possible",
                            (long long)value, DATA_CLASSES_MAX - 1);
        out[i] = (int32_t)value;
        *classes = out[i] >= *classes ? out[i] + 1 : *classes;
    }
    return 0;
}

static int add_images(struct data_draft *set, const struct archive_npy *a, const int32_t *labels,
                      const char *what, struct err *e)
{
    size_t channels = a->rank == 4 ? a->shape[3] : 1;
    if (strcmp(a->type, "|u1") != 0)
        return err_fail(
            e, ERR_UNSUPPORTED, what,
            "holds elements of type %s: images must be bytes (uint8), vectors float32 or "
            "float64",
            a->type);
    if ((a->rank != 3 && a->rank != 4) || (channels != 1 && channels != 3) ||
        a->shape[1] > IMAGE_SIDE_MAX || a->shape[2] > IMAGE_SIDE_MAX)
        return err_fail(e, ERR_INPUT, what,
                        "has %d dimensions where images need [n,H,W] or [n,H,W,C] with C 1 or 3",
                        a->rank);
    size_t size = a->shape[1] * a->shape[2] * channels;
    for (size_t i = 0; i < a->shape[0]; i++)
        if (data_draft_add(set, a->data + i * size, (int)channels, (int)a->shape[1],
                           (int)a->shape[2], labels ? labels[i] : -1, what, e) != 0)
            return -1;
    return 0;
}

static bool is_float(const struct archive_npy *a)
{
    return strcmp(a->type, "<f4") == 0 || strcmp(a->type, "<f8") == 0;
}

/* Row i of `size` floats; ERR_INPUT when a number cannot be used. */
static int read_vector(const struct archive_npy *a, size_t i, size_t size, float *out,
                       const char *what, struct err *e)
{
    for (size_t k = 0; k < size; k++) {
        const double value = archive_npy_real(a, i * size + k);
        if (!(fabs(value) <= (double)DATA_VALUE_MAX))
            return err_fail(e, ERR_INPUT, what, "vector %zu holds %g: at most ±%g can be learned",
                            i, value, (double)DATA_VALUE_MAX);
        out[k] = (float)value;
    }
    return 0;
}

static int add_vectors(struct data_draft *set, const struct archive_npy *a, const int32_t *labels,
                       const char *what, struct err *e)
{
    struct data_set *d = &set->data;
    size_t n = a->rank > 0 ? a->shape[0] : 0, size = a->rank == 2 ? a->shape[1] : 1, bytes;
    if (a->rank < 1 || a->rank > 2 || size < 1 || size > DATA_NUMBERS_MAX)
        return err_fail(e, ERR_INPUT, what,
                        "holds floats of %d dimensions: vectors are [n,d] with d from 1 to %d, "
                        "images are bytes (uint8)",
                        a->rank, DATA_NUMBERS_MAX);
    if (set->options->center_crop > 0 || set->options->resize > 0)
        return err_fail(e, ERR_INPUT, what,
                        "holds vectors: --center-crop and --resize are for "
                        "pictures");
    if (!size_mul(n, size * sizeof(float), &bytes) || bytes > DATA_BYTES_MAX)
        return err_fail(e, ERR_LIMIT, what, "%zu vectors of %zu numbers are too many", n, size);
    d->channels = (int)size;
    d->side = 1;
    d->values = calloc(n + 1, size * sizeof(float));
    d->label = calloc(n + 1, sizeof *d->label);
    if (!d->values || !d->label)
        return err_fail_memory(e, bytes);
    for (size_t i = 0; i < n; i++) {
        struct err why = {0};
        if (read_vector(a, i, size, d->values + d->count * size, what, &why) != 0) {
            if (data_draft_skip(set, &why, e) != 0)
                return -1;
            continue;
        }
        d->label[d->count++] = labels ? labels[i] : -1;
    }
    return 0;
}

static int add_array(struct data_draft *set, const struct archive_npy *a, const int32_t *labels,
                     const char *what, struct err *e)
{
    return is_float(a) ? add_vectors(set, a, labels, what, e) : add_images(set, a, labels, what, e);
}

/* The first member of the archive with one of two names, unpacked; NULL and no error without. */
static unsigned char *unpack(struct archive_zip *z, const char *const names[3], size_t *length,
                             int *result, struct err *e)
{
    for (size_t i = 0; i < 3 && names[i]; i++) {
        int64_t at = archive_zip_find(z, names[i]);
        if (at < 0)
            continue;
        uint64_t size = archive_zip_size(z, (size_t)at);
        unsigned char *data = size <= DATA_BYTES_MAX ? malloc((size_t)size + 1) : NULL;
        *length = (size_t)size;
        if (!data)
            *result = err_fail(e, ERR_LIMIT, names[i], "has %llu bytes", (unsigned long long)size);
        else
            *result = archive_zip_read(z, (size_t)at, data, (size_t)size, e);
        if (*result == 0)
            return data;
        free(data);
        return NULL;
    }
    return NULL;
}

static int read_archive(struct data_draft *set, struct archive_zip *z, const char *path,
                        struct err *e)
{
    static const char *const image_names[3] = {"images.npy", "x.npy", "arr_0.npy"};
    static const char *const label_names[3] = {"labels.npy", "y.npy", NULL};
    struct archive_npy a, l;
    size_t length = 0, label_length = 0;
    int result = 0, classes = 0;
    int32_t *labels = NULL;
    unsigned char *images = unpack(z, image_names, &length, &result, e), *data = NULL;
    if (result == 0 && !images)
        result = err_fail(e, ERR_INPUT, path,
                          "holds no PNG files and no array \"images\", \"x\" or \"arr_0\"");
    if (result == 0)
        result = archive_npy_read(images, length, DATA_BYTES_MAX, path, &a, e);
    if (result == 0)
        data = unpack(z, label_names, &label_length, &result, e);
    if (result == 0 && data) {
        size_t n = a.rank > 0 ? a.shape[0] : 0;
        result = archive_npy_read(data, label_length, DATA_BYTES_MAX, path, &l, e);
        if (result == 0 && !(labels = calloc(l.count + 1, sizeof *labels)))
            result = err_fail_memory(e, l.count);
        if (result == 0)
            result = read_labels(&l, n, labels, &classes, path, e);
    }
    if (result == 0)
        result = add_array(set, &a, labels, path, e);
    if (result == 0 && classes > 0)
        result = data_draft_number_classes(set, classes, e);
    free(images);
    free(data);
    free(labels);
    return result;
}

int data_npy_read(const struct data_options *o, const void *data, size_t length,
                  struct data_draft *set, struct err *e)
{
    struct archive_npy a;
    if (memcmp(data, "\x93NUMPY", 6) == 0)
        return archive_npy_read(data, length, DATA_BYTES_MAX, o->path, &a, e) != 0
                   ? -1
                   : add_array(set, &a, NULL, o->path, e);
    struct archive_zip *z = archive_zip_open(data, length, o->path, e);
    if (!z)
        return -1;
    int result =
        data_archive_is(z) ? data_archive_read(o, z, set, e) : read_archive(set, z, o->path, e);
    archive_zip_close(z);
    return result;
}
