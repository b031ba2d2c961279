/* Checkpoints: the safetensors file with all that is made of it, and the description alone. */
#include "fuzz.h"

#include "import_plain.h"
#include "model.h"

#include <stdlib.h>
#include <string.h>

#define VALUES_MAX 4096       /* of a tensor that is read */
#define MODEL_BYTES_MAX 65536 /* of a file that is loaded as a model */

static void read_tensor(const struct ckpt_tensor *t, size_t length)
{
    struct err e = {0};
    FUZZ_CHECK(t->count * ckpt_dtype_size(t->dtype) == ckpt_tensor_bytes(t));
    FUZZ_CHECK(ckpt_tensor_bytes(t) <= length);
    if (t->count > VALUES_MAX)
        return;
    double *values = malloc((size_t)t->count * sizeof *values + 1);
    FUZZ_CHECK(values);
    if (ckpt_tensor_to_f64(t, values, &e) != 0)
        fuzz_check_error(&e);
    if (ckpt_tensor_to_f32(t, (float *)values, &e) != 0)
        fuzz_check_error(&e);
    free(values);
}

static void read_plain(const char *path)
{
    struct err e = {0};
    bool is = false;
    if (import_plain_is(path, &is, &e) != 0)
        fuzz_check_error(&e);
    if (!is)
        return;
    struct import_plain *w = import_plain_open(path, &e);
    if (w)
        import_plain_close(w);
    else
        fuzz_check_error(&e);
}

static void load(const char *path)
{
    struct err e = {0};
    struct model *m = model_load(path, &(struct model_options){0}, &e);
    if (m)
        model_free(m);
    else
        fuzz_check_error(&e);
}

static void safetensors_run(const uint8_t *data, size_t length)
{
    struct err e = {0};
    struct ckpt_description d;
    const char *path = fuzz_file(0, data, length);
    struct ckpt_file *f = ckpt_file_open(path, &e);
    read_plain(path);
    if (!f) {
        fuzz_check_error(&e);
        return;
    }
    for (size_t i = 0; i < ckpt_file_count(f); i++) {
        const struct ckpt_tensor *t = ckpt_file_tensor(f, i);
        FUZZ_CHECK(ckpt_file_find(f, t->name) == t);
        read_tensor(t, length);
    }
    if (ckpt_file_verify(f, &e) != 0)
        fuzz_check_error(&e);
    bool described = ckpt_description_read(f, &d, &e) == 0;
    ckpt_file_close(f);
    if (!described) {
        fuzz_check_error(&e);
        return;
    }
    ckpt_description_clear(&d);
    if (length <= MODEL_BYTES_MAX)
        load(path);
}

const struct fuzz_target fuzz_safetensors = {
    .name = "safetensors", .memory = 64 << 20, .memory_factor = 256, .run = safetensors_run};

/* A file of no tensors whose description is this text; the caller frees it. */
static char *described_file(const void *text, size_t length, size_t *size)
{
    json_t *description = json_stringn(text, length);
    if (!description)
        return NULL; /* no UTF-8, which the header's parser sees to */
    json_t *header = json_pack("{s:{s:o}}", "__metadata__", CKPT_DESCRIPTION_KEY, description);
    char *head = json_dumps(header, JSON_COMPACT);
    FUZZ_CHECK(head);
    json_decref(header);
    const uint64_t bytes = strlen(head);
    char *file = malloc(8 + bytes);
    FUZZ_CHECK(file);
    memcpy(file, &bytes, 8);
    memcpy(file + 8, head, bytes);
    free(head);
    *size = 8 + bytes;
    return file;
}

/* The text of the description in such a file, or NULL; the caller frees it. */
static char *describe(const void *text, size_t length)
{
    struct err e = {0};
    struct ckpt_description d;
    size_t size = 0;
    char *file = described_file(text, length, &size), *again = NULL;
    if (!file)
        return NULL;
    struct ckpt_file *f = ckpt_file_open(fuzz_file(0, file, size), &e);
    free(file);
    if (!f) {
        fuzz_check_error(&e);
        return NULL;
    }
    if (ckpt_description_read(f, &d, &e) == 0) {
        json_t *json = ckpt_description_json(&d, &e);
        struct image_shape shape = ckpt_description_shape(&d);
        FUZZ_CHECK(shape.channels > 0 && shape.height > 0 && shape.width > 0);
        FUZZ_CHECK(json && (again = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS)));
        json_decref(json);
        ckpt_description_clear(&d);
    } else {
        fuzz_check_error(&e);
    }
    ckpt_file_close(f);
    return again;
}

/* What was read is written, and what was written is read as the same. */
static void description_run(const uint8_t *data, size_t length)
{
    struct err e = {0};
    struct ckpt_description d = {0};
    char *once = describe(data, length);
    if (once) {
        char *twice = describe(once, strlen(once));
        FUZZ_CHECK(twice && strcmp(once, twice) == 0);
        free(twice);
    }
    free(once);
    json_t *config = json_parse(data, length, "config", &e);
    if (!config || ckpt_description_from_config(config, "config", &d, &e) != 0)
        fuzz_check_error(&e);
    else
        ckpt_description_clear(&d);
    json_decref(config);
}

const struct fuzz_target fuzz_description = {
    .name = "description", .memory = 16 << 20, .memory_factor = 256, .run = description_run};
