/* NPY and NPZ arrays: images of bytes, [n,H,W] or [n,H,W,C] with C 1 or 3, or vectors of floats,
 * [n,d] or [n]. An NPZ archive holds them as "images", "x" or "arr_0" (which `pfgm sample` writes),
 * and labels, if any, as "labels" or "y": integers [n]. The header is parsed strictly, for it comes
 * from strangers. */
#include "base_size.h"
#include "image_zip.h"
#include "nn_arch.h"
#include "train_source.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RANK_MAX 8

struct array {
    char type[8]; /* "|u1", "<i8", … */
    int rank;
    size_t shape[RANK_MAX], count;
    const unsigned char *data;
};

bool train_npy_is(const void *data, size_t length)
{
    return (length >= 6 && memcmp(data, "\x93NUMPY", 6) == 0) ||
           (length >= 4 && memcmp(data, "PK\x03\x04", 4) == 0);
}

/* What follows `key` and a colon in the header, or NULL. */
static const char *member(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    if (!at)
        return NULL;
    at += strlen(key);
    at += strspn(at, " ");
    return *at == ':' ? at + 1 + strspn(at + 1, " ") : NULL;
}

static int parse_shape(const char *text, struct array *out, const char *what, struct err *e)
{
    out->rank = 0;
    out->count = 1;
    if (!text || *text++ != '(')
        return err_fail(e, ERR_INPUT, what, "has no shape in its NPY header");
    for (;;) {
        size_t value = 0, digits;
        text += strspn(text, " ,");
        if (*text == ')')
            return 0;
        digits = strspn(text, "0123456789");
        if (digits == 0 || digits > 12 || out->rank == RANK_MAX)
            return err_fail(e, ERR_INPUT, what,
                            "has a shape in its NPY header that cannot be read");
        for (size_t i = 0; i < digits; i++)
            value = value * 10 + (size_t)(*text++ - '0');
        out->shape[out->rank++] = value;
        if (!size_mul(out->count, value, &out->count) || out->count > TRAIN_BYTES_MAX)
            return err_fail(e, ERR_LIMIT, what, "declares too many values");
    }
}

static int parse_header(const char *header, struct array *out, const char *what, struct err *e)
{
    const char *type = member(header, "'descr'"), *order = member(header, "'fortran_order'");
    const char *end = type && *type == '\'' ? strchr(type + 1, '\'') : NULL;
    if (!end || (size_t)(end - type) > sizeof out->type)
        return err_fail(e, ERR_INPUT, what, "has no simple type in its NPY header");
    memcpy(out->type, type + 1, (size_t)(end - type - 1));
    out->type[end - type - 1] = '\0';
    if (!order || strncmp(order, "False", 5) != 0)
        return err_fail(e, ERR_UNSUPPORTED, what,
                        "is in Fortran order: save it with numpy.ascontiguousarray");
    return parse_shape(member(header, "'shape'"), out, what, e);
}

static int parse(const unsigned char *data, size_t length, struct array *out, const char *what,
                 struct err *e)
{
    size_t prefix = length > 6 && data[6] >= 2 ? 12 : 10, header, width;
    char text[1024];
    if (length < prefix || memcmp(data, "\x93NUMPY", 6) != 0)
        return err_fail(e, ERR_INPUT, what, "is no NPY array");
    header = data[8] | (size_t)data[9] << 8;
    if (prefix == 12)
        header |= (size_t)data[10] << 16 | (size_t)data[11] << 24;
    if (header >= sizeof text || header > length - prefix)
        return err_fail(e, ERR_INPUT, what, "has an NPY header of %zu bytes", header);
    memcpy(text, data + prefix, header);
    text[header] = '\0';
    if (parse_header(text, out, what, e))
        return -1;
    width = (size_t)(out->type[strlen(out->type) - 1] - '0');
    if (width != 1 && width != 2 && width != 4 && width != 8)
        return err_fail(e, ERR_UNSUPPORTED, what, "has elements of type %s", out->type);
    out->data = data + prefix + header;
    if (length - prefix - header != out->count * width)
        return err_fail(e, ERR_INPUT, what, "holds %zu bytes where its shape needs %zu",
                        length - prefix - header, out->count * width);
    return 0;
}

/* Labels 0 to TRAIN_CLASSES_MAX − 1 of any little-endian integer type, or −1 for none. */
static int read_labels(const struct array *a, size_t n, int32_t *out, int *classes,
                       const char *what, struct err *e)
{
    size_t width = (size_t)(a->type[strlen(a->type) - 1] - '0');
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
        if (value < -1 || value >= TRAIN_CLASSES_MAX)
            return err_fail(e, ERR_INPUT, what, "has the label %lld; -1 (none) to %d are possible",
                            (long long)value, TRAIN_CLASSES_MAX - 1);
        out[i] = (int32_t)value;
        *classes = out[i] >= *classes ? out[i] + 1 : *classes;
    }
    return 0;
}

static int add_images(struct train_set *set, const struct array *a, const int32_t *labels,
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
        if (train_set_add(set, a->data + i * size, (int)channels, (int)a->shape[1],
                          (int)a->shape[2], labels ? labels[i] : -1, what, e))
            return -1;
    return 0;
}

static bool is_float(const struct array *a)
{
    return strcmp(a->type, "<f4") == 0 || strcmp(a->type, "<f8") == 0;
}

/* Row i of `size` floats; ERR_INPUT when a number cannot be used. */
static int read_vector(const struct array *a, size_t i, size_t size, float *out, const char *what,
                       struct err *e)
{
    bool wide = strcmp(a->type, "<f8") == 0;
    for (size_t k = 0; k < size; k++) {
        double value;
        float narrow;
        if (wide) {
            memcpy(&value, a->data + (i * size + k) * sizeof value, sizeof value);
        } else {
            memcpy(&narrow, a->data + (i * size + k) * sizeof narrow, sizeof narrow);
            value = (double)narrow;
        }
        if (!(fabs(value) <= (double)TRAIN_VALUE_MAX))
            return err_fail(e, ERR_INPUT, what, "vector %zu holds %g: at most ±%g can be learned",
                            i, value, (double)TRAIN_VALUE_MAX);
        out[k] = (float)value;
    }
    return 0;
}

static int add_vectors(struct train_set *set, const struct array *a, const int32_t *labels,
                       const char *what, struct err *e)
{
    struct train_data *d = &set->data;
    size_t n = a->rank > 0 ? a->shape[0] : 0, size = a->rank == 2 ? a->shape[1] : 1, bytes;
    if (a->rank < 1 || a->rank > 2 || size < 1 || size > NN_CHANNELS_MAX)
        return err_fail(e, ERR_INPUT, what,
                        "holds floats of %d dimensions: vectors are [n,d] with d from 1 to %d, "
                        "images are bytes (uint8)",
                        a->rank, NN_CHANNELS_MAX);
    if (set->options->center_crop > 0 || set->options->resize > 0)
        return err_fail(e, ERR_INPUT, what,
                        "holds vectors: --center-crop and --resize are for "
                        "pictures");
    if (!size_mul(n, size * sizeof(float), &bytes) || bytes > TRAIN_BYTES_MAX)
        return err_fail(e, ERR_LIMIT, what, "%zu vectors of %zu numbers are too many", n, size);
    d->channels = (int)size;
    d->side = 1;
    d->values = calloc(n + 1, size * sizeof(float));
    d->label = calloc(n + 1, sizeof *d->label);
    if (!d->values || !d->label)
        return err_fail_memory(e, bytes);
    for (size_t i = 0; i < n; i++) {
        struct err why = {0};
        if (read_vector(a, i, size, d->values + d->count * size, what, &why)) {
            if (train_set_skip(set, &why, e))
                return -1;
            continue;
        }
        d->label[d->count++] = labels ? labels[i] : -1;
    }
    return 0;
}

static int add_array(struct train_set *set, const struct array *a, const int32_t *labels,
                     const char *what, struct err *e)
{
    return is_float(a) ? add_vectors(set, a, labels, what, e) : add_images(set, a, labels, what, e);
}

/* The first member of the archive with one of two names, unpacked; NULL and no error without. */
static unsigned char *unpack(struct image_zip *z, const char *const names[3], size_t *length,
                             int *result, struct err *e)
{
    for (size_t i = 0; i < 3 && names[i]; i++) {
        int64_t at = image_zip_find(z, names[i]);
        if (at < 0)
            continue;
        uint64_t size = image_zip_size(z, (size_t)at);
        unsigned char *data = size <= TRAIN_BYTES_MAX ? malloc((size_t)size + 1) : NULL;
        *length = (size_t)size;
        if (!data)
            *result = err_fail(e, ERR_LIMIT, names[i], "has %llu bytes", (unsigned long long)size);
        else
            *result = image_zip_read(z, (size_t)at, data, (size_t)size, e);
        if (*result == 0)
            return data;
        free(data);
        return NULL;
    }
    return NULL;
}

static int read_archive(struct train_set *set, struct image_zip *z, const char *path, struct err *e)
{
    static const char *const image_names[3] = {"images.npy", "x.npy", "arr_0.npy"};
    static const char *const label_names[3] = {"labels.npy", "y.npy", NULL};
    struct array a, l;
    size_t length = 0, label_length = 0;
    int result = 0, classes = 0;
    int32_t *labels = NULL;
    unsigned char *images = unpack(z, image_names, &length, &result, e), *data = NULL;
    if (result == 0 && !images)
        result = err_fail(e, ERR_INPUT, path, "holds no array \"images\", \"x\" or \"arr_0\"");
    if (result == 0)
        result = parse(images, length, &a, path, e);
    if (result == 0)
        data = unpack(z, label_names, &label_length, &result, e);
    if (result == 0 && data) {
        size_t n = a.rank > 0 ? a.shape[0] : 0;
        labels = calloc(n + 1, sizeof *labels);
        result = labels ? parse(data, label_length, &l, path, e) : err_fail_memory(e, n);
        if (result == 0)
            result = read_labels(&l, n, labels, &classes, path, e);
    }
    if (result == 0)
        result = add_array(set, &a, labels, path, e);
    if (result == 0 && classes > 0)
        result = train_set_number_classes(set, classes, e);
    free(images);
    free(data);
    free(labels);
    return result;
}

int train_npy_read(const struct train_data_options *o, const void *data, size_t length,
                   struct train_set *set, struct err *e)
{
    struct array a;
    if (memcmp(data, "\x93NUMPY", 6) == 0)
        return parse(data, length, &a, o->path, e) ? -1 : add_array(set, &a, NULL, o->path, e);
    struct image_zip *z = image_zip_open(data, length, o->path, e);
    if (!z)
        return -1;
    int result = read_archive(set, z, o->path, e);
    image_zip_close(z);
    return result;
}
