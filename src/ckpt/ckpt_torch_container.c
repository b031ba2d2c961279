/* The two containers of torch.save.
 *
 * Zip (since 1.6):   ROOT/data.pkl            the pickle; ROOT is any name
 *                    ROOT/data/KEY            the bytes of a storage, stored or deflated
 *                    ROOT/byteorder           "little"; absent in older files, which are
 * little-endian Legacy:            pickles of a magic number, of the protocol (1001), of a dict
 * about the writing machine, of the object, and of the list of storage keys; then for each key of
 *                    the list its number of elements as int64 and its bytes
 *
 * The pickle names storages with a type and a number of elements, often many times. Those with
 * equal keys are united here, must agree, and must fit the bytes that are there. (That a zip member
 * cannot claim more than its packed bytes can hold is image_zip.h's affair.) */
#include "ckpt_torch_internal.h"

#include "base_size.h"
#include <stdlib.h>
#include <string.h>

#define PICKLE_BYTES_MAX ((uint64_t)64 << 20)

static int compare_storages(const void *a, const void *b)
{
    const struct ckpt_storage *s = *(const struct ckpt_storage *const *)a;
    const struct ckpt_storage *t = *(const struct ckpt_storage *const *)b;
    size_t common = s->key_length < t->key_length ? s->key_length : t->key_length;
    int order = memcmp(s->key, t->key, common);

    if (order != 0 || s->key_length == t->key_length)
        return order;
    return s->key_length < t->key_length ? -1 : 1;
}

static int place_add(struct ckpt_torch *t, const struct ckpt_storage *storage, struct err *e)
{
    struct ckpt_place *place = &t->places[t->place_count++];

    place->storage = storage;
    if (strlen(storage->key) != storage->key_length)
        return err_fail(e, ERR_INPUT, t->path, "a storage's key holds a NUL");
    if (!size_mul((size_t)storage->numel, ckpt_dtype_size(storage->dtype), &place->bytes))
        return err_fail(e, ERR_INPUT, t->path, "storage \"%.100s\": its size overflows",
                        storage->key);
    return 0;
}

/* One place for each key, in the order of the keys. */
static int places_unite(struct ckpt_torch *t, struct err *e)
{
    size_t count;
    struct ckpt_storage **storages = ckpt_pickle_storages(t->pickle, &count);

    t->places = calloc(count + 1, sizeof *t->places);
    if (!t->places)
        return err_fail_memory(e, (count + 1) * sizeof *t->places);
    if (count)
        qsort(storages, count, sizeof(void *), compare_storages);
    for (size_t i = 0; i < count; i++) {
        bool first = i == 0 || compare_storages(&storages[i - 1], &storages[i]) != 0;
        if (first && place_add(t, storages[i], e))
            return -1;
        const struct ckpt_storage *known = t->places[t->place_count - 1].storage;
        if (known->dtype != storages[i]->dtype || known->numel != storages[i]->numel)
            return err_fail(e, ERR_INPUT, t->path,
                            "storage \"%.100s\" is named with two types or sizes", known->key);
        storages[i]->place = t->place_count - 1;
    }
    return 0;
}

/* ---- zip ---- */

/* The length of the folder's name with its slash, from the only member called FOLDER/data.pkl. */
static int root_find(const struct ckpt_torch *t, size_t *member, size_t *root, struct err *e)
{
    static const char ending[] = "/data.pkl";
    size_t found = 0;

    for (size_t i = 0; i < image_zip_count(t->zip); i++) {
        const char *name = image_zip_name(t->zip, i);
        size_t length = strlen(name);
        if (length < sizeof ending || strcmp(name + length - (sizeof ending - 1), ending) != 0)
            continue;
        *member = i;
        *root = length - strlen("data.pkl");
        found++;
    }
    if (found != 1)
        return err_fail(e, ERR_INPUT, t->path,
                        "not a PyTorch checkpoint: the archive holds %zu members named "
                        "FOLDER/data.pkl, 1 is expected",
                        found);
    return 0;
}

/* Index of ROOT + tail, or -1; -2 with an error when memory is short. */
static int64_t member_find(const struct ckpt_torch *t, const char *root, size_t root_length,
                           const char *folder, const char *name, struct err *e)
{
    size_t size = root_length + strlen(folder) + strlen(name) + 1;
    char *full = malloc(size);

    if (!full) {
        err_fail_memory(e, size);
        return -2;
    }
    snprintf(full, size, "%.*s%s%s", (int)root_length, root, folder, name);
    int64_t member = image_zip_find(t->zip, full);
    free(full);
    return member;
}

static int byteorder_check(const struct ckpt_torch *t, const char *root, size_t root_length,
                           struct err *e)
{
    char text[16] = {0};
    int64_t member = member_find(t, root, root_length, "", "byteorder", e);

    if (member == -1)
        return 0;
    if (member < 0)
        return -1;
    uint64_t size = image_zip_size(t->zip, (size_t)member);
    if (size >= sizeof text)
        return err_fail(e, ERR_INPUT, t->path, "the byteorder record has %llu bytes",
                        (unsigned long long)size);
    if (image_zip_read(t->zip, (size_t)member, text, (size_t)size, e))
        return -1;
    if (strcmp(text, "little") == 0)
        return 0;
    if (strcmp(text, "big") == 0)
        return err_fail(
            e, ERR_UNSUPPORTED, t->path,
            "saved on a big-endian machine (byteorder \"big\"), which is not supported; "
            "save it again on a little-endian one");
    return err_fail(e, ERR_INPUT, t->path, "unknown byteorder \"%s\"", text);
}

static int zip_places_find(struct ckpt_torch *t, const char *root, size_t root_length,
                           struct err *e)
{
    for (size_t i = 0; i < t->place_count; i++) {
        struct ckpt_place *place = &t->places[i];
        int64_t member = member_find(t, root, root_length, "data/", place->storage->key, e);
        if (member == -2)
            return -1;
        if (member < 0)
            return err_fail(e, ERR_INPUT, t->path, "storage \"%.100s\" is missing from the archive",
                            place->storage->key);
        place->member = (size_t)member;
        uint64_t size = image_zip_size(t->zip, place->member);
        if (size != place->bytes)
            return err_fail(e, ERR_INPUT, t->path,
                            "storage \"%.100s\": %zu bytes expected, the archive holds %llu",
                            place->storage->key, place->bytes, (unsigned long long)size);
    }
    return 0;
}

static int zip_read(struct ckpt_torch *t, struct err *e)
{
    size_t member = 0, root_length = 0, used;

    t->zip = image_zip_open(t->map.data, t->map.length, t->path, e);
    if (!t->zip || root_find(t, &member, &root_length, e))
        return -1;
    const char *root = image_zip_name(t->zip, member);
    uint64_t size = image_zip_size(t->zip, member);
    if (byteorder_check(t, root, root_length, e))
        return -1;
    if (size > PICKLE_BYTES_MAX)
        return err_fail(e, ERR_LIMIT, t->path, "data.pkl claims %llu bytes, the limit is %llu",
                        (unsigned long long)size, (unsigned long long)PICKLE_BYTES_MAX);
    t->pickle_bytes = malloc((size_t)size + 1);
    if (!t->pickle_bytes)
        return err_fail_memory(e, (size_t)size + 1);
    if (image_zip_read(t->zip, member, t->pickle_bytes, (size_t)size, e))
        return -1;
    t->top = ckpt_pickle_run(t->pickle, t->pickle_bytes, (size_t)size, &used, e);
    if (!t->top)
        return -1;
    if (used != size)
        return err_fail(e, ERR_INPUT, t->path, "trailing bytes after the pickle in data.pkl");
    return places_unite(t, e) || zip_places_find(t, root, root_length, e) ? -1 : 0;
}

/* ---- legacy ---- */

/* The next pickle of the stream. */
static const struct ckpt_value *stream_value(struct ckpt_torch *t, size_t *at, struct err *e)
{
    size_t used = 0;
    const struct ckpt_value *value =
        ckpt_pickle_run(t->pickle, t->map.data + *at, t->map.length - *at, &used, e);

    *at += used;
    return value;
}

/* Magic number, protocol, and the byte order of the writing machine. */
static int stream_head_read(struct ckpt_torch *t, size_t *at, struct err *e)
{
    static const unsigned char magic[10] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9,
                                            0x20, 0x6a, 0xa8, 0x50, 0x19};
    const struct ckpt_value *value = stream_value(t, at, e);

    if (!value)
        return -1;
    if (value->kind != CKPT_VALUE_LONG || value->text.length != sizeof magic ||
        memcmp(value->text.data, magic, sizeof magic) != 0)
        return err_fail(e, ERR_UNSUPPORTED, t->path,
                        "a pickle, but not one of torch.save (no magic number)");
    value = stream_value(t, at, e);
    if (!value)
        return -1;
    if (value->kind != CKPT_VALUE_INT || value->integer != 1001)
        return err_fail(e, ERR_UNSUPPORTED, t->path,
                        "legacy (pre-1.6) format of an unknown protocol, 1001 is known");
    value = stream_value(t, at, e);
    if (!value)
        return -1;
    value = ckpt_value_get(value, "little_endian");
    if (!value || value->kind != CKPT_VALUE_BOOL)
        return err_fail(e, ERR_INPUT, t->path, "legacy (pre-1.6) format without little_endian");
    if (!value->truth)
        return err_fail(e, ERR_UNSUPPORTED, t->path,
                        "saved on a big-endian machine, which is not supported; save it again on a "
                        "little-endian one");
    return 0;
}

static struct ckpt_place *place_find(const struct ckpt_torch *t, const struct ckpt_value *key)
{
    size_t low = 0, high = t->place_count;
    struct ckpt_storage wanted = {.key = key->text.data, .key_length = key->text.length};
    const struct ckpt_storage *probe = &wanted;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_storages(&probe, &t->places[middle].storage);
        if (order == 0)
            return &t->places[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* The number of elements and the bytes of one storage at `at`. */
static int stream_storage_read(struct ckpt_torch *t, const struct ckpt_value *key, size_t *at,
                               struct err *e)
{
    struct ckpt_place *place = key->kind == CKPT_VALUE_STRING ? place_find(t, key) : NULL;
    uint64_t numel;

    if (!place || place->data)
        return err_fail(e, ERR_INPUT, t->path,
                        "the list of storages holds one that is not in the pickle, or twice");
    if (t->map.length - *at < 8)
        return err_fail(e, ERR_INPUT, t->path, "truncated in storage \"%.100s\" (%zu bytes)",
                        place->storage->key, t->map.length);
    memcpy(&numel, t->map.data + *at, 8);
    *at += 8;
    if (numel != place->storage->numel)
        return err_fail(e, ERR_INPUT, t->path,
                        "storage \"%.100s\": %llu elements expected, %llu declared",
                        place->storage->key, (unsigned long long)place->storage->numel,
                        (unsigned long long)numel);
    if (place->bytes > t->map.length - *at)
        return err_fail(e, ERR_INPUT, t->path,
                        "truncated in storage \"%.100s\": %zu bytes expected, %zu left",
                        place->storage->key, place->bytes, t->map.length - *at);
    place->data = t->map.data + *at;
    *at += place->bytes;
    return 0;
}

static int legacy_read(struct ckpt_torch *t, struct err *e)
{
    size_t at = 0;

    if (stream_head_read(t, &at, e))
        return -1;
    t->top = stream_value(t, &at, e);
    if (!t->top || places_unite(t, e))
        return -1;
    size_t named;
    ckpt_pickle_storages(t->pickle, &named);
    const struct ckpt_value *keys = stream_value(t, &at, e);
    if (!keys)
        return -1;
    size_t after;
    ckpt_pickle_storages(t->pickle, &after);
    if (keys->kind != CKPT_VALUE_LIST || keys->items.count != t->place_count || after != named)
        return err_fail(e, ERR_INPUT, t->path,
                        "the list of storages does not name the %zu storages of the pickle",
                        t->place_count);
    for (size_t i = 0; i < keys->items.count; i++)
        if (stream_storage_read(t, keys->items.values[i], &at, e))
            return -1;
    if (at != t->map.length)
        return err_fail(e, ERR_INPUT, t->path, "%zu bytes are left over after the last storage",
                        t->map.length - at);
    return 0;
}

/* ---- either ---- */

int ckpt_torch_container_read(struct ckpt_torch *t, struct err *e)
{
    const unsigned char *data = t->map.data;
    size_t length = t->map.length;

    if (length >= 4 && memcmp(data, "PK\003\004", 4) == 0)
        return zip_read(t, e);
    /* before the pickle: 80 02 is also the length of a safetensors header of 640 bytes */
    if (length >= 9 && data[8] == '{')
        return err_fail(e, ERR_INPUT, t->path,
                        "a safetensors file, not a PyTorch checkpoint; one that \"pfgm convert\" "
                        "made is used as it is");
    if (length >= 2 && data[0] == 0x80 && data[1] <= 4)
        return legacy_read(t, e);
    if (length >= 23 && memcmp(data, "version https://git-lfs", 23) == 0)
        return err_fail(
            e, ERR_INPUT, t->path,
            "not a PyTorch checkpoint but a git-lfs pointer; fetch the file itself with "
            "\"git lfs pull\"");
    return err_fail(e, ERR_INPUT, t->path,
                    "truncated or not a zip archive, nor a legacy PyTorch stream (%zu bytes)",
                    length);
}
