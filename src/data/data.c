/* Opening a data set: which kind it is, and what all kinds share once their images are bytes. */
#include "data.h"
#include "base_file.h"
#include "base_log.h"
#include "data_source.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int refuse_labels(const struct data_options *o, struct err *e)
{
    return err_fail(e, ERR_INPUT, o->labels,
                    "labels of a file of their own go with IDX images only, and %s is none: put "
                    "each class into a folder of PNGs",
                    o->path);
}

/* The first bytes of the file decide, not its name. */
static int read_file(const struct data_options *o, struct data_draft *set, struct err *e)
{
    struct file_map m;
    int result;
    if (file_map_open(&m, o->path, e) != 0)
        return -1;
    if (data_idx_is(m.data, m.length))
        result = data_idx_read(o, set, e);
    else if (o->labels)
        result = refuse_labels(o, e);
    else if (data_npy_is(m.data, m.length))
        result = data_npy_read(o, m.data, m.length, set, e);
    else
        result = err_fail(e, ERR_INPUT, o->path,
                          "is neither a folder of PNGs nor an IDX, NPY or NPZ file (it begins "
                          "with %s)",
                          data_kind_of(m.data, m.length));
    file_map_close(&m);
    return result;
}

static void vectors_norm(struct data_set *d)
{
    size_t size = (size_t)d->channels;
    double sum = 0;
    for (size_t i = 0; i < d->count; i++) {
        double square = 0;
        for (size_t k = 0; k < size; k++)
            square += ((double)d->values[i * size + k] - (double)d->offset[k]) *
                      ((double)d->values[i * size + k] - (double)d->offset[k]);
        sum += sqrt(square);
    }
    d->norm = sum / (double)d->count;
}

/* Mean and deviation of vectors. */
static int vectors_measure(struct data_set *d, const char *path, struct err *e)
{
    size_t size = (size_t)d->channels;
    double squares = 0, count = (double)d->count;
    d->offset = calloc(size, sizeof *d->offset);
    if (!d->offset)
        return err_fail_memory(e, size * sizeof *d->offset);
    for (size_t k = 0; k < size; k++) {
        double sum = 0, square = 0;
        for (size_t i = 0; i < d->count; i++)
            sum += (double)d->values[i * size + k];
        for (size_t i = 0; i < d->count; i++) {
            double apart = (double)d->values[i * size + k] - sum / count;
            square += apart * apart;
        }
        d->offset[k] = (float)(sum / count);
        squares += square / count;
    }
    d->scale = (float)sqrt(squares / (double)size);
    if (!(d->scale > 1e-12f))
        return err_fail(e, ERR_INPUT, path,
                        "all %zu vectors are one point as float32: nothing to learn (if they "
                        "differ, subtract the mean first)",
                        d->count);
    vectors_norm(d);
    return 0;
}

static void mean_norm(struct data_set *d)
{
    size_t size = (size_t)d->channels * (size_t)d->side * (size_t)d->side;
    double squares[256], sum = 0;
    for (int v = 0; v < 256; v++)
        squares[v] = (v / 127.5 - 1) * (v / 127.5 - 1);
    for (size_t i = 0; i < d->count; i++) {
        double square = 0;
        for (size_t k = 0; k < size; k++)
            square += squares[d->pixels[i * size + k]];
        sum += sqrt(square);
    }
    d->norm = sum / (double)d->count;
}

static int digest(struct data_set *d, struct err *e)
{
    size_t size = d->count * (size_t)d->channels * (size_t)d->side * (size_t)d->side;
    char both[2 * SHA256_HEX_SIZE] = {0};
    int result = d->values ? sha256_hex(d->values, size * sizeof *d->values, both, e)
                           : sha256_hex(d->pixels, size, both, e);
    if (result == 0 && d->label)
        result = sha256_hex(d->label, d->count * sizeof *d->label, both + SHA256_HEX_SIZE, e);
    return result != 0 ? -1 : sha256_hex(both, sizeof both, d->sha256, e);
}

/* ---- classes without an image ---- */

/* "0, 3, 7", as many as fit. */
static void list_empty(const struct data_set *d, const size_t *images, char *out, size_t size)
{
    size_t length = 0;
    for (int c = 0; c < d->classes; c++) {
        if (images[c] > 0)
            continue;
        int n = snprintf(out + length, size - length, "%s%s", length ? ", " : "", d->names[c]);
        if (n < 0 || (size_t)n >= size - length - sizeof ", …") {
            strcpy(out + length, ", …");
            return;
        }
        length += (size_t)n;
    }
}

/* Takes them out: nothing could be learned for them, and they would be drawn. */
static int drop_empty_classes(struct data_set *d, const char *path, struct err *e)
{
    char empty[256];
    int kept = 0, classes = d->classes;
    size_t *images = calloc((size_t)classes + 1, sizeof *images);
    int32_t *place = calloc((size_t)classes + 1, sizeof *place);
    int32_t *number = calloc((size_t)classes + 1, sizeof *number);
    int result =
        images && place && number ? 0 : err_fail_memory(e, (size_t)classes * sizeof *images);
    for (size_t i = 0; i < d->count && result == 0; i++)
        if (d->label[i] >= 0)
            images[d->label[i]]++;
    for (int c = 0; c < classes && result == 0; c++)
        kept += images[c] > 0;
    if (result == 0 && kept < classes) {
        list_empty(d, images, empty, sizeof empty);
        log_line(LOG_WARN, "%s: no image is of class %s: left out", path, empty);
        kept = 0;
        for (int c = 0; c < classes; c++) {
            place[c] = kept;
            number[kept] = c;
            if (images[c] > 0)
                d->names[kept++] = d->names[c];
            else
                free(d->names[c]);
        }
        for (size_t i = 0; i < d->count; i++)
            if (d->label[i] >= 0)
                d->label[i] = place[d->label[i]];
        d->classes = kept;
        d->numbers = classes;
        d->number = number;
        number = NULL;
    }
    free(images);
    free(place);
    free(number);
    return result;
}

int data_open(const struct data_options *options, struct data_set *out, struct err *e)
{
    struct data_draft set = {.options = options};
    struct stat st;
    bool there;
    int result;
    *out = (struct data_set){0};
    if (file_look(options->path, true, &there, &st, e) != 0)
        return -1;
    if (!there)
        return err_fail(e, ERR_INPUT, *options->path ? options->path : "\"\"", "%s",
                        strerror(ENOENT));
    if (S_ISDIR(st.st_mode))
        result = options->labels ? refuse_labels(options, e) : data_folder_read(options, &set, e);
    else
        result = read_file(options, &set, e);
    if (result == 0 && set.data.count == 0)
        result = err_fail(e, ERR_INPUT, options->path,
                          "no usable images or vectors (%zu were skipped; each is named above)",
                          set.data.skipped);
    if (result == 0 && set.data.side > DATA_SIDE_MAX)
        result = err_fail(e, ERR_LIMIT, options->path,
                          "images of %d pixels a side are too large: at most %d, use --resize",
                          set.data.side, DATA_SIDE_MAX);
    if (result == 0 && set.data.values)
        result = vectors_measure(&set.data, options->path, e);
    if (result == 0 && set.data.classes > 0)
        result = drop_empty_classes(&set.data, options->path, e);
    if (result == 0)
        result = digest(&set.data, e);
    if (result) {
        data_clear(&set.data);
        return -1;
    }
    if (!set.data.values)
        mean_norm(&set.data);
    *out = set.data;
    return 0;
}

void data_clear(struct data_set *d)
{
    for (int i = 0; i < d->classes; i++)
        free(d->names[i]);
    free(d->names);
    free(d->number);
    free(d->label);
    free(d->pixels);
    free(d->values);
    free(d->offset);
    *d = (struct data_set){0};
}

/* A byte in [−1, 1]. */
static float data_scale(uint8_t byte)
{
    return (float)byte * (2.0f / 255.0f) - 1.0f;
}

/* The place that comes to `at` by a move, or the border nearest to it. */
static size_t within(size_t at, int moved, size_t side)
{
    const ptrdiff_t place = (ptrdiff_t)at - moved, last = (ptrdiff_t)side - 1;
    return (size_t)(place < 0 ? 0 : place > last ? last : place);
}

void data_image(const struct data_set *d, size_t i, struct data_view view, float *out)
{
    size_t side = (size_t)d->side, rows = (size_t)d->channels * side;
    if (d->values) {
        memcpy(out, d->values + i * rows, rows * sizeof *out);
        return;
    }
    const uint8_t *from = d->pixels + i * rows * side;
    if (!view.flip && view.right == 0 && view.down == 0) {
        for (size_t k = 0; k < rows * side; k++)
            out[k] = data_scale(from[k]);
        return;
    }
    for (size_t row = 0; row < rows; row++) {
        const size_t plane = row / side * side;
        const uint8_t *line = from + (plane + within(row - plane, view.down, side)) * side;
        for (size_t x = 0; x < side; x++) {
            const size_t column = within(x, view.right, side);
            out[row * side + x] = data_scale(line[view.flip ? side - 1 - column : column]);
        }
    }
}
