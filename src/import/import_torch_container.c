/* The kinds of file that hold PyTorch objects, distinguished by their first bytes.
 *
 * Zip (since 1.6):   ROOT/data.pkl            the pickle; ROOT is any name
 *                    ROOT/data/KEY            the bytes of a storage, stored or deflated
 *                    ROOT/byteorder           "little"; absent in older files, which are
 *                                             little-endian
 * Stream (older):    see import_stream.c
 * Plain pickle:      one pickle, whose storages are embedded as such streams
 *
 * That a zip member cannot claim more than its packed bytes can hold is archive_zip.h's affair. */
#include "import_torch_internal.h"

#include <stdlib.h>
#include <string.h>

#define PICKLE_BYTES_MAX ((uint64_t)64 << 20)

/* ---- zip ---- */

/* The length of the folder's name with its slash, from the only member called FOLDER/data.pkl. */
static int root_find(const struct import_torch *t, size_t *member, size_t *root, struct err *e)
{
    static const char ending[] = "/data.pkl";
    size_t found = 0;
    for (size_t i = 0; i < archive_zip_count(t->zip); i++) {
        const char *name = archive_zip_name(t->zip, i);
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
static int64_t member_find(const struct import_torch *t, const char *root, size_t root_length,
                           const char *folder, const char *name, struct err *e)
{
    size_t size = root_length + strlen(folder) + strlen(name) + 1;
    char *full = malloc(size);
    if (!full) {
        err_fail_memory(e, size);
        return -2;
    }
    snprintf(full, size, "%.*s%s%s", (int)root_length, root, folder, name);
    int64_t member = archive_zip_find(t->zip, full);
    free(full);
    return member;
}

static int byteorder_check(const struct import_torch *t, const char *root, size_t root_length,
                           struct err *e)
{
    char text[16] = {0};
    int64_t member = member_find(t, root, root_length, "", "byteorder", e);
    if (member == -1)
        return 0;
    if (member < 0)
        return -1;
    uint64_t size = archive_zip_size(t->zip, (size_t)member);
    if (size >= sizeof text)
        return err_fail(e, ERR_INPUT, t->path, "the byteorder record has %llu bytes",
                        (unsigned long long)size);
    if (archive_zip_read(t->zip, (size_t)member, text, (size_t)size, e) != 0)
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

static int zip_places_find(struct import_torch *t, const char *root, size_t root_length,
                           struct err *e)
{
    for (size_t i = 0; i < t->places.count; i++) {
        struct import_place *place = &t->places.at[i];
        if (place->data)
            continue;
        int64_t member = member_find(t, root, root_length, "data/", place->storage->key, e);
        if (member == -2)
            return -1;
        if (member < 0)
            return err_fail(e, ERR_INPUT, t->path, "storage \"%.100s\" is missing from the archive",
                            place->storage->key);
        place->member = (size_t)member;
        uint64_t size = archive_zip_size(t->zip, place->member);
        if (size != place->bytes)
            return err_fail(e, ERR_INPUT, t->path,
                            "storage \"%.100s\": %zu bytes expected, the archive holds %llu",
                            place->storage->key, place->bytes, (unsigned long long)size);
    }
    return 0;
}

static int zip_read(struct import_torch *t, struct err *e)
{
    size_t member = 0, root_length = 0, used;
    t->zip = archive_zip_open(t->map.data, t->map.length, t->path, e);
    if (!t->zip || root_find(t, &member, &root_length, e) != 0)
        return -1;
    const char *root = archive_zip_name(t->zip, member);
    uint64_t size = archive_zip_size(t->zip, member);
    if (byteorder_check(t, root, root_length, e) != 0)
        return -1;
    if (size > PICKLE_BYTES_MAX)
        return err_fail(e, ERR_LIMIT, t->path, "data.pkl claims %llu bytes, the limit is %llu",
                        (unsigned long long)size, (unsigned long long)PICKLE_BYTES_MAX);
    t->pickle_bytes = malloc((size_t)size + 1);
    if (!t->pickle_bytes)
        return err_fail_memory(e, (size_t)size + 1);
    if (archive_zip_read(t->zip, member, t->pickle_bytes, (size_t)size, e) != 0)
        return -1;
    t->top = import_pickle_run(t->pickle, t->pickle_bytes, (size_t)size, &used, e);
    if (!t->top)
        return -1;
    if (used != size)
        return err_fail(e, ERR_INPUT, t->path, "trailing bytes after the pickle in data.pkl");
    return import_places_unite(&t->places, t->pickle, t->path, e) != 0 ||
                   zip_places_find(t, root, root_length, e) != 0
               ? -1
               : 0;
}

/* ---- either ---- */

int import_torch_container_read(struct import_torch *t, struct err *e)
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
    if (length >= 2 && data[0] == 0x80 && data[1] <= IMPORT_PICKLE_PROTOCOL) {
        t->top = import_stream_read(t->pickle, data, length, t->path, &t->places, &t->plain, e);
        return t->top ? 0 : -1;
    }
    if (length >= 23 && memcmp(data, "version https://git-lfs", 23) == 0)
        return err_fail(
            e, ERR_INPUT, t->path,
            "not a PyTorch checkpoint but a git-lfs pointer; fetch the file itself with "
            "\"git lfs pull\"");
    return err_fail(e, ERR_INPUT, t->path,
                    "truncated or not a zip archive, nor a legacy PyTorch stream (%zu bytes)",
                    length);
}
