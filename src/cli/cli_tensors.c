/* Looking up and checking tensors of a user's file; shapes are told in full, because a wrong one is
 * the commonest mistake. */
#include "cli_tensors.h"
#include <inttypes.h>

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
    int bad = buf_string(out, "[", &e);

    for (int i = 0; i < t->rank && !bad; i++)
        bad = buf_format(out, &e, "%s%" PRIu64, i > 0 ? ", " : "", t->shape[i]);
    if (!bad)
        bad = buf_string(out, "]", &e);
    return bad ? "a shape too long to tell" : (const char *)out->data;
}

int cli_tensor_check_images(const struct ckpt_file *f, const struct ckpt_tensor *t,
                            struct image_shape shape, size_t *n, struct err *e)
{
    struct buf text;

    if (t->rank == 4 && t->shape[0] >= 1 && t->shape[1] == (uint64_t)shape.channels &&
        t->shape[2] == (uint64_t)shape.height && t->shape[3] == (uint64_t)shape.width) {
        *n = (size_t)t->shape[0]; /* no more than the file has bytes */
        return 0;
    }
    buf_init(&text, 256);
    err_fail(e, ERR_INPUT, ckpt_file_path(f),
             "tensor \"%s\" has the shape %s, the model takes [n, %d, %d, %d]", t->name,
             shape_text(t, &text), shape.channels, shape.height, shape.width);
    buf_free(&text);
    return -1;
}
