/* The .pth reader's life, and the values of a tensor.
 *
 * The file is mapped. Legacy storages are read where they lie; those of a zip are unpacked one at a
 * time and the last one is kept: who reads many tensors reads them in the order of their places
 * (import_table.h), and so unpacks each storage once. A packed storage may be a thousand times as
 * large as its bytes in the file, so none is unpacked that is much larger than the views into it:
 * the caller knows how much those need. */
#include "import_torch_internal.h"

#include "ckpt_dtype.h"
#include <stdlib.h>
#include <string.h>

/* What a storage may have beyond what is viewed: slices of larger tensors that were saved without
 * copying them, and small buffers. */
#define STORAGE_PER_VIEW 4
#define STORAGE_SPARE ((size_t)64 << 10)

struct import_torch *import_torch_open(const char *path, struct err *e)
{
    struct import_torch *t = calloc(1, sizeof *t);
    if (!t || !(t->path = strdup(path))) {
        free(t);
        err_fail_memory(e, sizeof *t + strlen(path));
        return NULL;
    }
    t->pickle = import_pickle_new(path, e);
    if (!t->pickle || file_map_open(&t->map, path, e) != 0 ||
        import_torch_container_read(t, e) != 0 || import_torch_state_read(t, e) != 0 ||
        import_tensor_set_measure(t, &t->model, e) != 0 ||
        import_tensor_set_measure(t, &t->ema, e) != 0) {
        import_torch_close(t);
        return NULL;
    }
    return t;
}

void import_torch_close(struct import_torch *t)
{
    if (!t)
        return;
    import_tensor_set_clear(&t->model);
    import_tensor_set_clear(&t->ema);
    free(t->places.at);
    free(t->held);
    free(t->pickle_bytes);
    import_pickle_free(t->pickle);
    archive_zip_close(t->zip);
    file_map_close(&t->map);
    free(t->path);
    free(t);
}

/* Refuses a storage that has far more than the set's views name of it. */
static int storage_check(const struct import_torch *t, const struct import_tensor_set *set,
                         size_t index, struct err *e)
{
    const struct import_place *place = &t->places.at[index];
    size_t viewed = (size_t)set->viewed[index] * ckpt_dtype_size(place->storage->dtype);
    if (place->bytes <= STORAGE_SPARE || (place->bytes - STORAGE_SPARE) / STORAGE_PER_VIEW < viewed)
        return 0;
    return err_fail(e, ERR_LIMIT, t->path,
                    "storage \"%.100s\" has %zu bytes, of which tensors name %zu; save them anew "
                    "with .clone()",
                    place->storage->key, place->bytes, viewed);
}

/* The bytes of a storage, until the next call. */
static const unsigned char *storage_bytes(struct import_torch *t,
                                          const struct import_tensor_set *set, size_t index,
                                          struct err *e)
{
    const struct import_place *place = &t->places.at[index];
    if (place->data)
        return place->data;
    if (t->held && t->held_place == index)
        return t->held;
    if (storage_check(t, set, index, e) != 0)
        return NULL;
    free(t->held);
    t->held = malloc(place->bytes + 1);
    if (!t->held) {
        err_fail_memory(e, place->bytes);
        return NULL;
    }
    t->held_place = index;
    if (archive_zip_read(t->zip, place->member, t->held, place->bytes, e) != 0) {
        free(t->held);
        t->held = NULL;
        return NULL;
    }
    return t->held;
}

/* The number of elements at the view's end that a single step walks: the last dimension alone, or
 * more when those before it continue it without a gap. `outer` receives how many dimensions are
 * left. */
static uint64_t run_length(const struct import_view *view, int *outer)
{
    int i = view->rank - 1;
    uint64_t run = view->shape[i];
    while (i > 0 && view->stride[i - 1] == view->stride[i] * view->shape[i]) {
        i--;
        run *= view->shape[i];
    }
    *outer = i;
    return run;
}

/* Walks the view in C order, a run at a time; every element was found to lie in the storage.
 * Returns the number of elements written before one did not fit f32. */
static size_t view_gather(const struct import_view *view, const unsigned char *bytes, float *out)
{
    enum ckpt_dtype dtype = view->storage->dtype;
    size_t size = ckpt_dtype_size(dtype);
    uint64_t index[CKPT_RANK_MAX] = {0};
    int outer = 0;
    if (view->count == 0)
        return 0;
    if (view->rank == 0)
        return ckpt_elements_to_f32(dtype, bytes + view->offset * size, 1, 1, out);
    uint64_t run = run_length(view, &outer);
    uint64_t step = view->stride[view->rank - 1];
    for (size_t done = 0; done < view->count; done += run) {
        uint64_t at = view->offset;
        for (int i = 0; i < outer; i++)
            at += index[i] * view->stride[i];
        size_t good = ckpt_elements_to_f32(dtype, bytes + at * size, step, run, out + done);
        if (good < run)
            return done + good;
        for (int i = outer - 1; i >= 0 && ++index[i] == view->shape[i]; i--)
            index[i] = 0;
    }
    return view->count;
}

static int set_read(struct import_torch *t, const struct import_tensor_set *set, size_t i,
                    float *out, struct err *e)
{
    const struct import_view *view = set->views[i];
    const char *name = set->table.tensors[i].name;
    if (!ckpt_dtype_is_float(view->storage->dtype))
        return err_fail(e, ERR_INPUT, t->path,
                        "tensor \"%.200s\": dtype %s where a float type is needed", name,
                        ckpt_dtype_name(view->storage->dtype));
    const unsigned char *bytes = storage_bytes(t, set, view->storage->place, e);
    if (!bytes)
        return -1;
    size_t done = view_gather(view, bytes, out);
    if (done < view->count)
        return err_fail(e, ERR_INPUT, t->path,
                        "tensor \"%.200s\": element %zu is too large for float32", name, done);
    return 0;
}

int import_torch_read(struct import_torch *t, size_t i, float *out, struct err *e)
{
    return set_read(t, &t->model, i, out, e);
}

int import_torch_ema_read(struct import_torch *t, size_t i, float *out, struct err *e)
{
    return set_read(t, &t->ema, i, out, e);
}

static int source_model_read(void *owner, size_t i, float *out, struct err *e)
{
    return import_torch_read(owner, i, out, e);
}

static int source_ema_read(void *owner, size_t i, float *out, struct err *e)
{
    return import_torch_ema_read(owner, i, out, e);
}

static size_t set_place(const struct import_torch *t, const struct import_tensor_set *set, size_t i)
{
    const struct import_place *place = &t->places.at[set->views[i]->storage->place];
    return place->data ? 0 : place->member;
}

static size_t source_model_place(void *owner, size_t i)
{
    const struct import_torch *t = owner;
    return set_place(t, &t->model, i);
}

static size_t source_ema_place(void *owner, size_t i)
{
    const struct import_torch *t = owner;
    return set_place(t, &t->ema, i);
}

struct import_source import_torch_source(struct import_torch *t, bool ema)
{
    return (struct import_source){.path = t->path,
                                  .word = ema                        ? "ema"
                                          : import_torch_is_whole(t) ? "net"
                                                                     : "model",
                                  .table = ema ? &t->ema.table : &t->model.table,
                                  .owner = t,
                                  .read = ema ? source_ema_read : source_model_read,
                                  .place = ema ? source_ema_place : source_model_place};
}

bool import_torch_is_whole(const struct import_torch *t)
{
    return t->ema_module || t->net_module;
}

size_t import_torch_count(const struct import_torch *t)
{
    return t->model.table.count;
}

const struct import_torch_tensor *import_torch_tensor(const struct import_torch *t, size_t i)
{
    return &t->model.table.tensors[i];
}

int64_t import_torch_find(const struct import_torch *t, const char *name)
{
    return import_table_find(&t->model.table, name);
}

enum import_torch_ema import_torch_ema_kind(const struct import_torch *t)
{
    return t->ema_kind;
}

bool import_torch_has_ema(const struct import_torch *t)
{
    return t->ema_kind != IMPORT_TORCH_EMA_NONE;
}

size_t import_torch_ema_count(const struct import_torch *t)
{
    return t->ema.table.count;
}

const struct import_torch_tensor *import_torch_ema_tensor(const struct import_torch *t, size_t i)
{
    return &t->ema.table.tensors[i];
}

int64_t import_torch_ema_find(const struct import_torch *t, const char *name)
{
    return import_table_find(&t->ema.table, name);
}

int64_t import_torch_step(const struct import_torch *t)
{
    return t->step;
}

const char *import_torch_path(const struct import_torch *t)
{
    return t->path;
}

uint64_t import_torch_bytes(const struct import_torch *t)
{
    return t->map.length;
}

const char *import_torch_container(const struct import_torch *t)
{
    return t->zip ? "zip" : t->plain ? "pickle" : "legacy";
}

const char *import_torch_sha256(struct import_torch *t, struct err *e)
{
    if (!t->sha256[0] && sha256_hex(t->map.data, t->map.length, t->sha256, e) != 0) {
        t->sha256[0] = 0;
        return NULL;
    }
    return t->sha256;
}

bool import_torch_is(const char *path)
{
    struct file_map map;
    if (file_map_open(&map, path, NULL) != 0)
        return false;
    bool zip = map.length >= 4 && memcmp(map.data, "PK\003\004", 4) == 0;
    bool pickle = map.length >= 2 && map.data[0] == 0x80 && map.data[1] <= IMPORT_PICKLE_PROTOCOL;
    bool safetensors = map.length >= 9 && map.data[8] == '{';
    file_map_close(&map);
    return zip || (pickle && !safetensors);
}
