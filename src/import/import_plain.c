/* A safetensors file as a source of weights. The file checks itself when it is opened; here its
 * tensors get the names that they have in a module, so that the census is the same for both. */
#include "import_plain.h"

#include "base_file.h"
#include <stdlib.h>
#include <string.h>

static const char prefix[] = "weights.";
#define PREFIX_LENGTH (sizeof prefix - 1)

struct import_plain {
    struct ckpt_file *file;
    struct import_table table;
    size_t *places; /* index in the file of each tensor of the table */
    json_t *config;
};

int import_plain_is(const char *path, bool *is, struct err *e)
{
    struct file_map map;
    if (file_map_open(&map, path, e) != 0)
        return -1;
    *is = map.length >= 9 && map.data[8] == '{';
    file_map_close(&map);
    return 0;
}

static int tensors_list(struct import_plain *w, struct err *e)
{
    size_t count = ckpt_file_count(w->file);
    w->places = calloc(count + 1, sizeof *w->places);
    if (!w->places)
        return err_fail_memory(e, (count + 1) * sizeof *w->places);
    if (import_table_allocate(&w->table, count, ckpt_file_path(w->file), e) != 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        const struct ckpt_tensor *t = ckpt_file_tensor(w->file, i);
        struct import_torch_tensor *entry = &w->table.tensors[w->table.count];
        if (strncmp(t->name, prefix, PREFIX_LENGTH) != 0)
            continue;
        w->places[w->table.count++] = i;
        entry->name = t->name + PREFIX_LENGTH;
        entry->dtype = t->dtype;
        entry->rank = t->rank;
        memcpy(entry->shape, t->shape, sizeof entry->shape);
        entry->count = t->count;
    }
    return import_table_index(&w->table, ckpt_file_path(w->file), e);
}

static int config_get(struct import_plain *w, struct err *e)
{
    const char *path = ckpt_file_path(w->file);
    const char *text = ckpt_file_metadata(w->file, "config");
    if (w->table.count == 0 || !text)
        return err_fail(e, ERR_INPUT, path,
                        "a safetensors file, not a PyTorch checkpoint, and not weights with their "
                        "configuration (tensors weights.*, __metadata__ key \"config\"); one that "
                        "\"pfgm convert\" made is used as it is");
    w->config = json_parse(text, strlen(text), path, e);
    return w->config ? 0 : -1;
}

struct import_plain *import_plain_open(const char *path, struct err *e)
{
    struct import_plain *w = calloc(1, sizeof *w);
    if (!w) {
        err_fail_memory(e, sizeof *w);
        return NULL;
    }
    w->file = ckpt_file_open(path, e);
    if (!w->file || tensors_list(w, e) != 0 || config_get(w, e) != 0 ||
        ckpt_file_verify(w->file, e) != 0) {
        import_plain_close(w);
        return NULL;
    }
    return w;
}

void import_plain_close(struct import_plain *w)
{
    if (!w)
        return;
    json_decref(w->config);
    import_table_clear(&w->table);
    free(w->places);
    ckpt_file_close(w->file);
    free(w);
}

static int plain_read(void *owner, size_t i, float *out, struct err *e)
{
    struct import_plain *w = owner;
    return ckpt_tensor_to_f32(ckpt_file_tensor(w->file, w->places[i]), out, e);
}

struct import_source import_plain_source(struct import_plain *w)
{
    return (struct import_source){.path = ckpt_file_path(w->file),
                                  .word = "weights",
                                  .table = &w->table,
                                  .owner = w,
                                  .read = plain_read};
}

const json_t *import_plain_config(const struct import_plain *w)
{
    return w->config;
}

const char *import_plain_sha256(struct import_plain *w, struct err *e)
{
    return ckpt_file_sha256(w->file, e);
}
