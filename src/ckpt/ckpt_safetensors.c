/* Opening safetensors files: the length prefix against the file and the cap before anything is
 * parsed or allocated, hints for what people mistake for a safetensors file, and lookups.
 *
 * An open file is read-only and may be shared among threads, except for ckpt_file_sha256, which
 * keeps its result: its first call belongs to the thread that opened the file. */
#include "ckpt_safetensors.h"

#include "base_crypto.h"
#include "base_file.h"
#include "ckpt_digest.h"
#include "ckpt_dtype.h"
#include "ckpt_header.h"
#include <stdlib.h>
#include <string.h>

struct ckpt_file {
    char *path;
    struct file_reader reader;
    struct ckpt_header header;
    uint64_t data;                /* where the data section begins */
    char sha256[SHA256_HEX_SIZE]; /* empty until asked for */
};

/* The first bytes of the file, which tell its kind. */
struct head {
    unsigned char bytes[32];
    size_t length;
};

static bool starts_with(const struct head *head, const char *prefix)
{
    size_t length = strlen(prefix);
    return head->length >= length && memcmp(head->bytes, prefix, length) == 0;
}

/* What the file is if not safetensors, for kinds that people pass by mistake. A first byte of
 * header text settles it: 80 02 is also the length of a header of 640 bytes. */
static int kind_check(const struct head *head, const char *path, struct err *e)
{
    if (head->length > 8 && head->bytes[8] == '{')
        return 0;
    if (starts_with(head, "version https://git-lfs"))
        return err_fail(e, ERR_INPUT, path,
                        "not a safetensors file but a git-lfs pointer; fetch the file itself with "
                        "\"git lfs pull\"");
    if (starts_with(head, "PK\003\004") || starts_with(head, "\200\002"))
        return err_fail(e, ERR_INPUT, path,
                        "not a safetensors file but a PyTorch one; convert it with \"pfgm "
                        "convert\"");
    if (head->length < 8)
        return err_fail(e, ERR_INPUT, path,
                        "not a safetensors file: %zu bytes are too few for its header",
                        head->length);
    return 0;
}

/* The length of the header, which is found to be there. */
static int header_length(const struct ckpt_file *f, uint64_t *out, struct err *e)
{
    struct head head = {.length = sizeof head.bytes};
    uint64_t declared;
    if (f->reader.length < head.length)
        head.length = f->reader.length;
    if (file_reader_read(&f->reader, 0, head.bytes, head.length, e) != 0 ||
        kind_check(&head, f->path, e) != 0)
        return -1;
    memcpy(&declared, head.bytes, 8);
    size_t rest = f->reader.length - 8;
    if (declared > CKPT_HEADER_MAX)
        return err_fail(e, ERR_LIMIT, f->path,
                        "not a safetensors file, or its header is too large: it declares a header "
                        "of %llu bytes, the limit is %u",
                        (unsigned long long)declared, CKPT_HEADER_MAX);
    if (declared > rest)
        return err_fail(e, ERR_INPUT, f->path,
                        "truncated or not a safetensors file: it declares a header of %llu bytes, "
                        "but only %zu follow",
                        (unsigned long long)declared, rest);
    *out = declared;
    return 0;
}

static int file_parse(struct ckpt_file *f, struct err *e)
{
    uint64_t length = 0;
    if (header_length(f, &length, e) != 0)
        return -1;
    f->data = 8 + length;
    char *text = malloc((size_t)length + 1);
    if (!text)
        return err_fail_memory(e, (size_t)length + 1);
    int result = file_reader_read(&f->reader, 8, text, (size_t)length, e);
    if (result == 0)
        result = ckpt_header_parse(&f->header, text, (size_t)length, f->reader.length - f->data,
                                   f->path, e);
    free(text);
    for (size_t i = 0; i < f->header.count; i++)
        f->header.tensors[i].file = f;
    return result;
}

struct ckpt_file *ckpt_file_open(const char *path, struct err *e)
{
    struct ckpt_file *f = calloc(1, sizeof *f);
    if (!f || !(f->path = strdup(path))) {
        free(f);
        err_fail_memory(e, sizeof *f + strlen(path));
        return NULL;
    }
    if (file_reader_open(&f->reader, path, e) != 0 || file_parse(f, e) != 0) {
        ckpt_file_close(f);
        return NULL;
    }
    return f;
}

void ckpt_file_close(struct ckpt_file *f)
{
    if (!f)
        return;
    ckpt_header_clear(&f->header);
    file_reader_close(&f->reader);
    free(f->path);
    free(f);
}

size_t ckpt_file_count(const struct ckpt_file *f)
{
    return f->header.count;
}

const struct ckpt_tensor *ckpt_file_tensor(const struct ckpt_file *f, size_t i)
{
    return &f->header.tensors[i];
}

const struct ckpt_tensor *ckpt_file_find(const struct ckpt_file *f, const char *name)
{
    size_t low = 0, high = f->header.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct ckpt_tensor *t = &f->header.tensors[f->header.by_name[middle]];
        int order = strcmp(name, t->name);
        if (order == 0)
            return t;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *ckpt_file_metadata(const struct ckpt_file *f, const char *key)
{
    return json_string_value(json_object_get(f->header.metadata, key));
}

const char *ckpt_file_path(const struct ckpt_file *f)
{
    return f->path;
}

const char *ckpt_file_sha256(struct ckpt_file *f, struct err *e)
{
    if (!f->sha256[0] && sha256_reader_hex(&f->reader, f->sha256, e) != 0) {
        f->sha256[0] = 0;
        return NULL;
    }
    return f->sha256;
}

struct ckpt_file *ckpt_file_open_again(const char *path, const char *sha256, const char *what,
                                       const char *do_this, struct err *e)
{
    struct ckpt_file *f = ckpt_file_open(path, e);
    const char *digest = f ? ckpt_file_sha256(f, e) : NULL;
    if (digest && strcmp(digest, sha256) == 0)
        return f;
    if (digest)
        err_fail(
            e, ERR_IO, path,
            "is not the checkpoint that was loaded any more, and its %s are needed once more: %s",
            what, do_this);
    else if (e && e->code != ERR_MEMORY)
        e->code = ERR_IO;
    ckpt_file_close(f);
    return NULL;
}

uint64_t ckpt_file_bytes(const struct ckpt_file *f)
{
    return f->reader.length;
}

int ckpt_file_check(const struct ckpt_file *f, struct err *e)
{
    return file_reader_check(&f->reader, e);
}

static int data_read(void *context, size_t at, size_t length, void *out, struct err *e)
{
    const struct ckpt_file *f = context;
    return file_reader_read(&f->reader, f->data + at, out, length, e);
}

int ckpt_file_verify(const struct ckpt_file *f, struct err *e)
{
    const char *digest = ckpt_file_metadata(f, CKPT_DIGEST_KEY);
    char found[CKPT_DIGEST_SIZE];
    if (!digest)
        return 0;
    if (strncmp(digest, CKPT_DIGEST_KIND, sizeof CKPT_DIGEST_KIND - 1) != 0)
        return err_fail(e, ERR_UNSUPPORTED, f->path,
                        "its digest \"%.40s\" is of a kind that is not known", digest);
    if (ckpt_digest(f->reader.length - (size_t)f->data, data_read, (void *)(uintptr_t)f, found,
                    e) != 0)
        return -1;
    if (strcmp(found, digest) == 0)
        return 0;
    return err_fail(e, ERR_INPUT, f->path,
                    "is damaged: its data do not have the digest that its header gives; copy or "
                    "make it again");
}

/* ---- values ---- */

#define PIECE_ELEMENTS ((size_t)1024)

/* `count` elements from the first-th on. */
static int elements_read(const struct ckpt_tensor *t, size_t first, size_t count, void *out,
                         struct err *e)
{
    size_t size = ckpt_dtype_size(t->dtype);
    return file_reader_read(&t->file->reader, t->file->data + t->begin + first * size, out,
                            count * size, e);
}

int ckpt_tensor_read(const struct ckpt_tensor *t, void *out, struct err *e)
{
    return elements_read(t, 0, (size_t)t->count, out, e);
}

static int tensor_check_float(const struct ckpt_tensor *t, struct err *e)
{
    if (!ckpt_dtype_is_float(t->dtype))
        return err_fail(e, ERR_INPUT, t->name, "dtype %s where a float type is needed",
                        ckpt_dtype_name(t->dtype));
    return 0;
}

int ckpt_tensor_to_f32(const struct ckpt_tensor *t, float *out, struct err *e)
{
    unsigned char piece[PIECE_ELEMENTS * sizeof(double)];
    size_t all = (size_t)t->count;
    if (tensor_check_float(t, e) != 0)
        return -1;
    if (t->dtype == CKPT_F32) /* read where they go, so that the bits stay whatever they are */
        return ckpt_tensor_read(t, out, e);
    for (size_t at = 0; at < all; at += PIECE_ELEMENTS) {
        size_t count = all - at < PIECE_ELEMENTS ? all - at : PIECE_ELEMENTS;
        if (elements_read(t, at, count, piece, e) != 0)
            return -1;
        size_t done = ckpt_elements_to_f32(t->dtype, piece, 1, count, out + at);
        if (done < count)
            return err_fail(e, ERR_INPUT, t->name, "element %zu is too large for float32",
                            at + done);
    }
    return 0;
}

int ckpt_tensor_to_f64(const struct ckpt_tensor *t, double *out, struct err *e)
{
    unsigned char piece[PIECE_ELEMENTS * sizeof(double)];
    size_t all = (size_t)t->count;
    if (tensor_check_float(t, e) != 0)
        return -1;
    for (size_t at = 0; at < all; at += PIECE_ELEMENTS) {
        size_t count = all - at < PIECE_ELEMENTS ? all - at : PIECE_ELEMENTS;
        if (elements_read(t, at, count, piece, e) != 0)
            return -1;
        ckpt_elements_to_f64(t->dtype, piece, count, out + at);
    }
    return 0;
}

struct ckpt_output *ckpt_file_outputs(const struct ckpt_file *f, size_t spare, void **data,
                                      struct err *e)
{
    size_t count = ckpt_file_count(f), all = f->reader.length - (size_t)f->data;
    struct ckpt_output *outputs = calloc(count + spare + 1, sizeof *outputs);
    unsigned char *bytes = malloc(all + 1);
    if (!outputs || !bytes) {
        err_fail_memory(e, all);
    } else if (file_reader_read(&f->reader, f->data, bytes, all, e) == 0) {
        for (size_t i = 0; i < count; i++) {
            const struct ckpt_tensor *t = &f->header.tensors[i];
            outputs[i] = (struct ckpt_output){
                .name = t->name, .dtype = t->dtype, .rank = t->rank, .data = bytes + t->begin};
            memcpy(outputs[i].shape, t->shape, sizeof t->shape);
        }
        *data = bytes;
        return outputs;
    }
    free(outputs);
    free(bytes);
    return NULL;
}
