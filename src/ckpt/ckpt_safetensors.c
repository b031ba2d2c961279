/* Opening safetensors files: the length prefix against the file and the cap before anything is
 * parsed or allocated, hints for what people mistake for a safetensors file, and lookups.
 *
 * An open file is read-only and may be shared among threads, except for ckpt_file_sha256, which
 * keeps its result: its first call belongs to the thread that opened the file. */
#include "ckpt_safetensors.h"

#include "base_crypto.h"
#include "base_file.h"
#include "ckpt_header.h"
#include <stdlib.h>
#include <string.h>

struct ckpt_file {
    char *path;
    struct file_map map;
    struct ckpt_header header;
    char sha256[SHA256_HEX_SIZE]; /* empty until asked for */
};

static bool starts_with(const struct file_map *map, const char *prefix)
{
    size_t length = strlen(prefix);

    return map->length >= length && memcmp(map->data, prefix, length) == 0;
}

/* What the file is if not safetensors, for kinds that people pass by mistake. A first byte of
 * header text settles it: 80 02 is also the length of a header of 640 bytes. */
static int kind_check(const struct file_map *map, const char *path, struct err *e)
{
    if (map->length > 8 && map->data[8] == '{')
        return 0;
    if (starts_with(map, "version https://git-lfs"))
        return err_fail(e, ERR_INPUT, path,
                        "not a safetensors file but a git-lfs pointer; fetch the file itself with "
                        "\"git lfs pull\"");
    if (starts_with(map, "PK\003\004") || starts_with(map, "\200\002"))
        return err_fail(e, ERR_INPUT, path,
                        "not a safetensors file but a PyTorch one; convert it with \"pfgm "
                        "convert\"");
    if (map->length < 8)
        return err_fail(e, ERR_INPUT, path,
                        "not a safetensors file: %zu bytes are too few for its header",
                        map->length);
    return 0;
}

static int file_parse(struct ckpt_file *f, struct err *e)
{
    uint64_t declared;

    if (kind_check(&f->map, f->path, e))
        return -1;
    memcpy(&declared, f->map.data, 8);
    size_t rest = f->map.length - 8;
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
    const unsigned char *text = f->map.data + 8;
    return ckpt_header_parse(&f->header, (const char *)text, (size_t)declared, text + declared,
                             rest - (size_t)declared, f->path, e);
}

struct ckpt_file *ckpt_file_open(const char *path, struct err *e)
{
    struct ckpt_file *f = calloc(1, sizeof *f);

    if (!f || !(f->path = strdup(path))) {
        free(f);
        err_fail_memory(e, sizeof *f + strlen(path));
        return NULL;
    }
    if (file_map_open(&f->map, path, e) || file_parse(f, e)) {
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
    file_map_close(&f->map);
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
    if (!f->sha256[0] && sha256_hex(f->map.data, f->map.length, f->sha256, e)) {
        f->sha256[0] = 0;
        return NULL;
    }
    return f->sha256;
}

uint64_t ckpt_file_bytes(const struct ckpt_file *f)
{
    return f->map.length;
}
