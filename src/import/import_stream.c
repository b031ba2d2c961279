/* The older stream: pickles of a magic number, of the protocol (1001), of a dict about the writing
 * machine, of the object, and of the list of storage keys; then for each key of the list its number
 * of elements as int64 and its bytes.
 *
 * The pickle names storages with a type and a number of elements, often many times. Those with
 * equal keys are united here, must agree, and must fit the bytes that are there. */
#include "import_stream.h"

#include "base_size.h"
#include <stdlib.h>
#include <string.h>

/* ---- places ---- */

static int compare_storages(const void *a, const void *b)
{
    const struct import_storage *s = *(const struct import_storage *const *)a;
    const struct import_storage *t = *(const struct import_storage *const *)b;
    size_t common = s->key_length < t->key_length ? s->key_length : t->key_length;
    int order = memcmp(s->key, t->key, common);
    if (order != 0 || s->key_length == t->key_length)
        return order;
    return s->key_length < t->key_length ? -1 : 1;
}

static int place_add(struct import_places *places, const struct import_storage *storage,
                     const char *what, struct err *e)
{
    struct import_place *place = &places->at[places->count++];
    place->storage = storage;
    place->data = storage->data;
    if (strlen(storage->key) != storage->key_length)
        return err_fail(e, ERR_INPUT, what, "a storage's key holds a NUL");
    if (!size_mul((size_t)storage->numel, ckpt_dtype_size(storage->dtype), &place->bytes))
        return err_fail(e, ERR_INPUT, what, "storage \"%.100s\": its size overflows", storage->key);
    return 0;
}

int import_places_unite(struct import_places *places, struct import_pickle *pickle,
                        const char *what, struct err *e)
{
    size_t count;
    struct import_storage **storages = import_pickle_storages(pickle, &count);
    places->at = calloc(count + 1, sizeof *places->at);
    if (!places->at)
        return err_fail_memory(e, (count + 1) * sizeof *places->at);
    if (count)
        qsort(storages, count, sizeof(void *), compare_storages);
    for (size_t i = 0; i < count; i++) {
        bool first = i == 0 || compare_storages(&storages[i - 1], &storages[i]) != 0;
        if (first && place_add(places, storages[i], what, e) != 0)
            return -1;
        const struct import_storage *known = places->at[places->count - 1].storage;
        if (known->dtype != storages[i]->dtype || known->numel != storages[i]->numel ||
            known->data != storages[i]->data)
            return err_fail(e, ERR_INPUT, what,
                            "storage \"%.100s\" is named with two types or sizes", known->key);
        storages[i]->place = places->count - 1;
    }
    return 0;
}

static struct import_place *place_find(const struct import_places *places,
                                       const struct import_value *key)
{
    size_t low = 0, high = places->count;
    struct import_storage wanted = {.key = key->text.data, .key_length = key->text.length};
    const struct import_storage *probe = &wanted;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_storages(&probe, &places->at[middle].storage);
        if (order == 0)
            return &places->at[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* ---- the stream ---- */

struct stream {
    struct import_pickle *pickle;
    const unsigned char *data;
    size_t length, at;
    const char *what;
};

/* The next pickle. */
static const struct import_value *value_next(struct stream *s, struct err *e)
{
    size_t used = 0;
    const struct import_value *value =
        import_pickle_run(s->pickle, s->data + s->at, s->length - s->at, &used, e);
    s->at += used;
    return value;
}

static bool is_magic(const struct import_value *value)
{
    static const unsigned char magic[10] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9,
                                            0x20, 0x6a, 0xa8, 0x50, 0x19};
    return value->kind == IMPORT_VALUE_LONG && value->text.length == sizeof magic &&
           memcmp(value->text.data, magic, sizeof magic) == 0;
}

/* What follows the magic number: protocol, and the byte order of the writing machine. */
static int head_read(struct stream *s, struct err *e)
{
    const struct import_value *value = value_next(s, e);
    if (!value)
        return -1;
    if (value->kind != IMPORT_VALUE_INT || value->integer != 1001)
        return err_fail(e, ERR_UNSUPPORTED, s->what,
                        "legacy (pre-1.6) format of an unknown protocol, 1001 is known");
    value = value_next(s, e);
    if (!value)
        return -1;
    value = import_value_get(value, "little_endian");
    if (!value || value->kind != IMPORT_VALUE_BOOL)
        return err_fail(e, ERR_INPUT, s->what, "legacy (pre-1.6) format without little_endian");
    if (!value->truth)
        return err_fail(e, ERR_UNSUPPORTED, s->what,
                        "saved on a big-endian machine, which is not supported; save it again on a "
                        "little-endian one");
    return 0;
}

/* The number of elements and the bytes of one storage. */
static int storage_read(struct stream *s, struct import_places *places,
                        const struct import_value *key, struct err *e)
{
    struct import_place *place = key->kind == IMPORT_VALUE_STRING ? place_find(places, key) : NULL;
    uint64_t numel;
    if (!place || place->data)
        return err_fail(e, ERR_INPUT, s->what,
                        "the list of storages holds one that is not in the pickle, or twice");
    if (s->length - s->at < 8)
        return err_fail(e, ERR_INPUT, s->what, "truncated in storage \"%.100s\" (%zu bytes)",
                        place->storage->key, s->length);
    memcpy(&numel, s->data + s->at, 8);
    s->at += 8;
    if (numel != place->storage->numel)
        return err_fail(e, ERR_INPUT, s->what,
                        "storage \"%.100s\": %llu elements expected, %llu declared",
                        place->storage->key, (unsigned long long)place->storage->numel,
                        (unsigned long long)numel);
    if (place->bytes > s->length - s->at)
        return err_fail(e, ERR_INPUT, s->what,
                        "truncated in storage \"%.100s\": %zu bytes expected, %zu left",
                        place->storage->key, place->bytes, s->length - s->at);
    place->data = s->data + s->at;
    s->at += place->bytes;
    return 0;
}

/* The list of keys, and the storages that it announces: all that are not embedded. */
static int storages_read(struct stream *s, struct import_places *places, struct err *e)
{
    size_t before, after, wanted = 0;
    for (size_t i = 0; i < places->count; i++)
        wanted += places->at[i].data == NULL;
    import_pickle_storages(s->pickle, &before);
    const struct import_value *keys = value_next(s, e);
    if (!keys)
        return -1;
    import_pickle_storages(s->pickle, &after);
    if (keys->kind != IMPORT_VALUE_LIST || keys->items.count != wanted || after != before)
        return err_fail(e, ERR_INPUT, s->what,
                        "the list of storages does not name the %zu storages of the pickle",
                        wanted);
    for (size_t i = 0; i < keys->items.count; i++)
        if (storage_read(s, places, keys->items.values[i], e) != 0)
            return -1;
    if (s->at != s->length)
        return err_fail(e, ERR_INPUT, s->what, "%zu bytes are left over after the last storage",
                        s->length - s->at);
    return 0;
}

/* The object behind the magic number, with its storages. */
static const struct import_value *object_read(struct stream *s, struct import_places *places,
                                              struct err *e)
{
    const struct import_value *top = head_read(s, e) != 0 ? NULL : value_next(s, e);
    if (!top || import_places_unite(places, s->pickle, s->what, e) != 0 ||
        storages_read(s, places, e) != 0)
        return NULL;
    return top;
}

const struct import_value *import_stream_read(struct import_pickle *pickle,
                                              const unsigned char *data, size_t length,
                                              const char *what, struct import_places *places,
                                              bool *plain, struct err *e)
{
    struct stream s = {.pickle = pickle, .data = data, .length = length, .what = what};
    const struct import_value *top = value_next(&s, e);
    *plain = false;
    if (!top)
        return NULL;
    if (is_magic(top))
        return object_read(&s, places, e);
    *plain = true;
    if (s.at != length) {
        err_fail(e, ERR_UNSUPPORTED, what,
                 "a pickle, but not one of torch.save (no magic number), and %zu bytes follow it",
                 length - s.at);
        return NULL;
    }
    if (import_places_unite(places, pickle, what, e) != 0)
        return NULL;
    for (size_t i = 0; i < places->count; i++) {
        if (places->at[i].data)
            continue;
        err_fail(e, ERR_INPUT, what, "storage \"%.100s\" is not in the pickle",
                 places->at[i].storage->key);
        return NULL;
    }
    return top;
}

int import_stream_storage(const unsigned char *data, size_t length, const char *what,
                          struct import_storage *out, struct err *e)
{
    struct stream s = {.data = data, .length = length, .what = what};
    struct import_places places = {0};
    const struct import_value *top;
    int result = -1;
    s.pickle = import_pickle_new_nested(what, e);
    if (!s.pickle)
        return -1;
    top = value_next(&s, e);
    if (top && !is_magic(top)) {
        err_fail(e, ERR_UNSUPPORTED, what, "not a stream of torch.save (no magic number)");
        top = NULL;
    }
    if (top)
        top = object_read(&s, &places, e);
    if (top && (top->kind != IMPORT_VALUE_STORAGE || places.count != 1)) {
        err_fail(e, ERR_INPUT, what, "does not hold one storage and nothing else");
    } else if (top) {
        *out = *top->storage;
        out->data = places.at[0].data;
        result = 0;
    }
    free(places.at);
    import_pickle_free(s.pickle);
    return result;
}
