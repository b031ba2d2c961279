/* Writing safetensors. The bytes are a pure function of the tensors and the metadata: members keep
 * the order in which they are given, and nothing of time, host or path goes in. */
#include "base_file.h"
#include "base_size.h"
#include "ckpt_digest.h"
#include "ckpt_dtype.h"
#include <stdlib.h>
#include <string.h>

static int output_bytes(const struct ckpt_output *t, size_t *bytes, struct err *e)
{
    size_t size = ckpt_dtype_size(t->dtype);
    if (t->rank < 0 || t->rank > CKPT_RANK_MAX)
        return err_fail(e, ERR_INTERNAL, t->name, "%d dimensions, the limit is %d", t->rank,
                        CKPT_RANK_MAX);
    for (int i = 0; i < t->rank; i++)
        if (!size_mul(size, (size_t)t->shape[i], &size))
            return err_fail(e, ERR_LIMIT, t->name, "the size in bytes overflows");
    *bytes = size;
    return 0;
}

static json_t *entry_build(const struct ckpt_output *t, size_t begin, size_t end)
{
    json_t *shape = json_array();
    for (int i = 0; i < t->rank; i++)
        if (json_array_append_new(shape, json_integer((json_int_t)t->shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", ckpt_dtype_name(t->dtype), "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)end);
}

/* Adds every tensor to the header object. */
static int entries_add(json_t *root, const struct ckpt_output *tensors, size_t n, struct err *e)
{
    size_t begin = 0;
    for (size_t i = 0; i < n; i++) {
        const struct ckpt_output *t = &tensors[i];
        size_t bytes = 0, end;
        if (output_bytes(t, &bytes, e) != 0)
            return -1;
        if (!size_add(begin, bytes, &end) || end > INT64_MAX)
            return err_fail(e, ERR_LIMIT, t->name, "the file's size overflows");
        if (strcmp(t->name, "__metadata__") == 0 || json_object_get(root, t->name))
            return err_fail(e, ERR_INTERNAL, t->name, "tensor name written twice, or reserved");
        json_t *entry = entry_build(t, begin, end);
        if (!entry)
            return err_fail_memory(e, 256);
        if (json_object_set_new(root, t->name, entry) != 0)
            return json_fail(e, ERR_INPUT, t->name, "tensor name is not UTF-8");
        begin = end;
    }
    return 0;
}

/* The tensors one after the other, as they will lie in the file. */
struct layout {
    const struct ckpt_output *tensors;
    const size_t *begins; /* [n + 1] */
    size_t n;
};

/* Bytes of the data section, gathered from the tensors. */
static int layout_read(void *context, size_t at, size_t length, void *out, struct err *e)
{
    const struct layout *l = context;
    size_t low = 0, high = l->n;
    unsigned char *to = out;
    (void)e;
    while (high - low > 1) { /* the last tensor that begins at `at` or before */
        size_t middle = low + (high - low) / 2;
        if (l->begins[middle] <= at)
            low = middle;
        else
            high = middle;
    }
    for (; length > 0; low++) {
        size_t end = l->begins[low + 1], count = end - at < length ? end - at : length;
        if (count > 0)
            memcpy(to, (const unsigned char *)l->tensors[low].data + (at - l->begins[low]), count);
        to += count;
        at += count;
        length -= count;
    }
    return 0;
}

static int digest_take(const struct ckpt_output *tensors, size_t n, char out[CKPT_DIGEST_SIZE],
                       struct err *e)
{
    size_t *begins = calloc(n + 1, sizeof *begins);
    struct layout layout = {tensors, begins, n};
    int result = begins ? 0 : err_fail_memory(e, (n + 1) * sizeof *begins);
    for (size_t i = 0; result == 0 && i < n; i++) {
        size_t bytes = 0;
        result = output_bytes(&tensors[i], &bytes, e);
        if (result == 0 && !size_add(begins[i], bytes, &begins[i + 1]))
            result = err_fail(e, ERR_LIMIT, tensors[i].name, "the file's size overflows");
    }
    if (result == 0)
        result = ckpt_digest(begins[n], layout_read, &layout, out, e);
    free(begins);
    return result;
}

/* The metadata with the data's digest. A copy: jansson counts references inside the object, and the
 * caller only lent it. */
static json_t *metadata_build(const json_t *metadata, const char *digest, struct err *e)
{
    json_t *own = metadata ? json_deep_copy(metadata) : json_object();
    if (own && json_object_set_new(own, CKPT_DIGEST_KEY, json_string(digest)) == 0)
        return own;
    json_decref(own);
    err_fail_memory(e, 64);
    return NULL;
}

/* The length prefix and the padded header text. */
static int header_build(struct buf *out, const struct ckpt_output *tensors, size_t n,
                        const json_t *metadata, struct err *e)
{
    unsigned char prefix[8] = {0};
    char digest[CKPT_DIGEST_SIZE];
    int result = digest_take(tensors, n, digest, e);
    json_t *own = result != 0 ? NULL : metadata_build(metadata, digest, e), *root = json_object();
    result = result != 0 || !own;
    if (result == 0 && (!root || json_object_set(root, "__metadata__", own) != 0))
        result = err_fail_memory(e, 64);
    json_decref(own);
    result = result != 0 || entries_add(root, tensors, n, e) != 0 ||
             buf_append(out, prefix, 8, e) != 0 || json_append(out, root, JSON_COMPACT, e) != 0;
    while (result == 0 && out->length % 8 != 0)
        result = buf_append(out, " ", 1, e);
    json_decref(root);
    if (result != 0)
        return -1;
    uint64_t length = out->length - 8;
    memcpy(out->data, &length, 8);
    return 0;
}

int ckpt_file_write(const char *path, const struct ckpt_output *tensors, size_t n,
                    const json_t *metadata, struct err *e)
{
    struct file_writer writer = {0};
    struct buf header;
    buf_init(&header, CKPT_HEADER_MAX + 8);
    if (header_build(&header, tensors, n, metadata, e) != 0 ||
        file_writer_open(&writer, path, e) != 0) {
        buf_clear(&header);
        return -1;
    }
    /* results of fwrite are kept by the stream and looked at by the commit */
    fwrite(header.data, 1, header.length, writer.stream);
    for (size_t i = 0; i < n; i++) {
        size_t bytes = 0;
        output_bytes(&tensors[i], &bytes, NULL); /* was checked for the header */
        if (bytes > 0)
            fwrite(tensors[i].data, 1, bytes, writer.stream);
    }
    buf_clear(&header);
    return file_writer_commit(&writer, e);
}
