/* Looking up and checking tensors of a user's file; shapes are printed in full, because a wrong one
 * is the commonest mistake. */
#include "cli_tensors.h"
#include <inttypes.h>
#include <stdlib.h>

const struct ckpt_tensor *cli_tensor_find(const struct ckpt_file *f, const char *name,
                                          const char *other, struct err *e)
{
    const struct ckpt_tensor *t = ckpt_file_find(f, name);
    if (!t)
        t = ckpt_file_find(f, other);
    if (!t) {
        err_fail(e, ERR_INPUT, ckpt_file_path(f), "holds neither a tensor \"%s\" nor \"%s\"", name,
                 other);
        return NULL;
    }
    if (!ckpt_dtype_is_float(t->dtype)) {
        err_fail(e, ERR_INPUT, ckpt_file_path(f), "tensor \"%s\" is %s, a float type is needed",
                 t->name, ckpt_dtype_name(t->dtype));
        return NULL;
    }
    return t;
}

/* "[16, 1, 28, 28]" */
static const char *shape_text(const struct ckpt_tensor *t, struct buf *out)
{
    struct err e;
    int result = buf_string(out, "[", &e);
    for (int i = 0; i < t->rank && result == 0; i++)
        result = buf_format(out, &e, "%s%" PRIu64, i > 0 ? ", " : "", t->shape[i]);
    if (result == 0)
        result = buf_string(out, "]", &e);
    return result != 0 ? "a shape too long to print" : (const char *)out->data;
}

int cli_tensor_check_images(const struct ckpt_file *f, const struct ckpt_tensor *t,
                            struct image_shape shape, size_t *n, struct err *e)
{
    const bool row = image_shape_is_vector(shape) && t->rank == 2 && t->shape[0] >= 1 &&
                     t->shape[1] == (uint64_t)shape.width;
    struct buf text;
    if (row) {
        *n = (size_t)t->shape[0];
        return 0;
    }
    if (t->rank == 4 && t->shape[0] >= 1 && t->shape[1] == (uint64_t)shape.channels &&
        t->shape[2] == (uint64_t)shape.height && t->shape[3] == (uint64_t)shape.width) {
        *n = (size_t)t->shape[0]; /* no more than the file has bytes */
        return 0;
    }
    buf_init(&text, 256);
    err_fail(e, ERR_INPUT, ckpt_file_path(f),
             "tensor \"%s\" has the shape %s, the model takes [n, %d, %d, %d]", t->name,
             shape_text(t, &text), shape.channels, shape.height, shape.width);
    buf_clear(&text);
    return -1;
}

/* A row of class_onehot. */
static int label_of(const float *row, size_t classes, int32_t *out)
{
    *out = -1;
    for (size_t i = 0; i < classes; i++) {
        if (row[i] == 0.0f)
            continue;
        if (row[i] != 1.0f || *out >= 0)
            return -1;
        *out = (int32_t)i;
    }
    return 0;
}

int cli_tensor_labels(const struct ckpt_file *f, size_t classes, size_t n, int32_t *out,
                      bool *found, struct err *e)
{
    const struct ckpt_tensor *t = ckpt_file_find(f, "class_onehot");
    int result = 0;
    t = t ? t : ckpt_file_find(f, "denoise.class_onehot");
    for (size_t i = 0; i < n; i++)
        out[i] = -1;
    *found = t != NULL;
    if (!t)
        return 0;
    if (classes == 0 || t->rank != 2 || t->shape[0] < n || t->shape[1] != classes ||
        !ckpt_dtype_is_float(t->dtype))
        return err_fail(
            e, ERR_INPUT, ckpt_file_path(f),
            "tensor \"%s\" must be floats of the shape [%zu, %zu], a row of classes per "
            "point",
            t->name, n, classes);
    float *rows = malloc((size_t)t->count * sizeof *rows); /* as many as the file has */
    if (!rows)
        return err_fail_memory(e, (size_t)t->count * sizeof *rows);
    if (ckpt_tensor_to_f32(t, rows, e) != 0)
        result = -1;
    for (size_t i = 0; i < n && result == 0; i++)
        if (label_of(rows + i * classes, classes, &out[i]) != 0)
            result =
                err_fail(e, ERR_INPUT, ckpt_file_path(f),
                         "row %zu of tensor \"%s\" must be zeros with at most one 1", i, t->name);
    free(rows);
    return result;
}
