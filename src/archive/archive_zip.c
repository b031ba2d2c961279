/* ZIP archives in memory, by libzip. No other file includes its header.
 *
 * Reading: the archive is a hostile file that somebody downloaded. libzip bounds its own tables by
 * the archive's length; here every member is looked at before the caller may allocate anything:
 *  - a size must be possible: deflate makes at most 1032 bytes out of one, stored makes none;
 *  - the members' compressed bytes together must fit into the archive, so that no two of them can
 *    stand for the same bytes (the trick of the overlapping bombs);
 *  - encrypted members, other methods and double names are refused, whoever asks for what.
 * libzip gets a buffer and never a path, so it does not touch the file system.
 *
 * Writing goes through archive_zip_stream.h: libzip cannot put a stored member's size and checksum
 * where readers that do not seek look for them.
 *
 * A reader belongs to one thread at a time; nothing is shared between readers. */
#include "archive_zip.h"
#include "archive_zip_stream.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>
#include <zlib.h>

#define ZIP_MEMBERS_MAX 65536
#define ZIP_OPENING_BYTES ((size_t)1 << 20)
#define ZIP_DEFLATE_RATIO_MAX 1032 /* 258 bytes from a pair of one-bit codes, four pairs a byte */

struct zip_entry {
    const char *name; /* owned by libzip */
    size_t index;
};

struct archive_zip {
    zip_t *zip;
    char *what;
    size_t count;
    uint64_t *sizes;
    const char **names;
    struct zip_entry *sorted; /* by name */
};

static int fail_zip(struct err *e, const struct archive_zip *z, size_t i, const char *text)
{
    return err_fail(e, ERR_INPUT, z->what, "member %s of the zip archive: %s", z->names[i], text);
}

/* The same for an error of libzip's: memory that zlib did not get is one of zlib's there. */
static int fail_library(struct err *e, const struct archive_zip *z, size_t i, zip_error_t *error)
{
    const int code = zip_error_code_zip(error);
    if (code == ZIP_ER_MEMORY ||
        (code == ZIP_ER_ZLIB && zip_error_code_system(error) == Z_MEM_ERROR))
        return err_fail(e, ERR_MEMORY, z->what, "out of memory in member %s of the zip archive",
                        z->names[i]);
    return fail_zip(e, z, i, zip_error_strerror(error));
}

static int compare_entries(const void *a, const void *b)
{
    const struct zip_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* One member's entry in the directory; adds its compressed bytes to *stored. They are at most the
 * archive's length, so times the ratio they do not overflow. */
static int check_member(struct archive_zip *z, size_t i, size_t length, uint64_t *stored,
                        struct err *e)
{
    const zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE |
                                ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    struct zip_stat st;
    if (zip_stat_index(z->zip, i, ZIP_FL_ENC_RAW, &st) != 0) {
        bool memory = zip_error_code_zip(zip_get_error(z->zip)) == ZIP_ER_MEMORY;
        return err_fail(e, memory ? ERR_MEMORY : ERR_INPUT, z->what,
                        "entry %zu of the zip archive: %s", i, zip_strerror(z->zip));
    }
    if ((st.valid & needed) != needed || st.name[0] == '\0')
        return err_fail(e, ERR_INPUT, z->what, "entry %zu of the zip archive is incomplete", i);
    z->names[i] = st.name;
    z->sizes[i] = st.size;
    z->sorted[i] = (struct zip_entry){st.name, i};
    if (st.encryption_method != ZIP_EM_NONE)
        return fail_zip(e, z, i, "is encrypted, which is not supported");
    if (st.comp_method != ZIP_CM_STORE && st.comp_method != ZIP_CM_DEFLATE)
        return err_fail(e, ERR_UNSUPPORTED, z->what,
                        "member %s of the zip archive: compression method %u is not supported "
                        "(only stored and deflated)",
                        st.name, (unsigned)st.comp_method);
    if (st.comp_size > length - *stored)
        return fail_zip(e, z, i, "the members claim more bytes than the archive has (truncated?)");
    *stored += st.comp_size;
    if (st.comp_method == ZIP_CM_STORE ? st.size != st.comp_size
                                       : st.size > st.comp_size * ZIP_DEFLATE_RATIO_MAX)
        return err_fail(e, ERR_INPUT, z->what,
                        "member %s of the zip archive: %" PRIu64
                        " bytes cannot come out of %" PRIu64 " stored ones",
                        st.name, (uint64_t)st.size, (uint64_t)st.comp_size);
    return 0;
}

static int check_names(struct archive_zip *z, struct err *e)
{
    qsort(z->sorted, z->count, sizeof *z->sorted, compare_entries);
    for (size_t i = 1; i < z->count; i++) {
        if (strcmp(z->sorted[i - 1].name, z->sorted[i].name) == 0)
            return fail_zip(e, z, z->sorted[i].index, "occurs twice");
    }
    return 0;
}

/* Whether as much can be had as libzip needs to open an archive, at most. */
static bool memory_is_there(size_t length)
{
    void *probe = malloc(length < ZIP_OPENING_BYTES ? ZIP_OPENING_BYTES : length);
    free(probe);
    return probe != NULL;
}

/* Opens the archive for libzip: the buffer stays the caller's. libzip calls memory that it does not
 * get "not a zip archive" at times, so it is asked twice, and before it is believed it is seen
 * whether there is memory. */
static zip_t *open_buffer(const void *data, size_t length, const char *what, struct err *e)
{
    zip_error_t error;
    zip_t *zip = NULL;
    zip_error_init(&error);
    for (int tries = 0; !zip && tries < 2; tries++) {
        zip_source_t *source = zip_source_buffer_create(data, length, 0, &error);
        if (source)
            zip = zip_open_from_source(source, ZIP_RDONLY, &error);
        if (!zip)
            zip_source_free(source);
    }
    if (!zip) {
        if (zip_error_code_zip(&error) == ZIP_ER_MEMORY || !memory_is_there(length))
            err_fail(e, ERR_MEMORY, what, "out of memory while opening the zip archive");
        else
            err_fail(e, ERR_INPUT, what, "truncated or not a zip archive (%zu bytes; %s)", length,
                     zip_error_strerror(&error));
    }
    zip_error_fini(&error);
    return zip;
}

static int read_directory(struct archive_zip *z, size_t length, struct err *e)
{
    zip_int64_t count = zip_get_num_entries(z->zip, 0);
    uint64_t stored = 0;
    if (count < 0 || count > ZIP_MEMBERS_MAX)
        return err_fail(e, ERR_LIMIT, z->what,
                        "the zip archive has %" PRId64 " members, the limit is %d", (int64_t)count,
                        ZIP_MEMBERS_MAX);
    z->count = (size_t)count;
    z->sizes = calloc(z->count + 1, sizeof *z->sizes);
    z->names = calloc(z->count + 1, sizeof *z->names);
    z->sorted = calloc(z->count + 1, sizeof *z->sorted);
    if (!z->sizes || !z->names || !z->sorted)
        return err_fail_memory(e, (z->count + 1) * sizeof *z->sorted);
    for (size_t i = 0; i < z->count; i++) {
        if (check_member(z, i, length, &stored, e) != 0)
            return -1;
    }
    return check_names(z, e);
}

struct archive_zip *archive_zip_open(const void *data, size_t length, const char *what,
                                     struct err *e)
{
    struct archive_zip *z;
    if (length == 0) { /* which libzip takes for an archive without members */
        err_fail(e, ERR_INPUT, what, "truncated or not a zip archive (0 bytes)");
        return NULL;
    }
    z = calloc(1, sizeof *z);
    if (!z || !(z->what = strdup(what))) {
        err_fail_memory(e, sizeof *z + strlen(what) + 1);
        free(z);
        return NULL;
    }
    z->zip = open_buffer(data, length, what, e);
    if (!z->zip || read_directory(z, length, e) != 0) {
        archive_zip_close(z);
        return NULL;
    }
    return z;
}

void archive_zip_close(struct archive_zip *z)
{
    if (!z)
        return;
    if (z->zip)
        zip_discard(z->zip); /* nothing was changed, and it cannot fail */
    free(z->sizes);
    free(z->names);
    free(z->sorted);
    free(z->what);
    free(z);
}

size_t archive_zip_count(const struct archive_zip *z)
{
    return z->count;
}

const char *archive_zip_name(const struct archive_zip *z, size_t i)
{
    return z->names[i];
}

uint64_t archive_zip_size(const struct archive_zip *z, size_t i)
{
    return z->sizes[i];
}

int64_t archive_zip_find(const struct archive_zip *z, const char *name)
{
    struct zip_entry key = {.name = name};
    const struct zip_entry *found =
        bsearch(&key, z->sorted, z->count, sizeof *z->sorted, compare_entries);
    return found ? (int64_t)found->index : -1;
}

/* Reads on to the end: libzip compares the CRC only there, which takes one read beyond the last
 * byte. That read also finds a stream that holds more than its entry says. */
static int read_member(struct archive_zip *z, size_t i, zip_file_t *file, void *out, size_t size,
                       struct err *e)
{
    unsigned char beyond;
    zip_int64_t got;
    for (size_t done = 0; done < size; done += (size_t)got) {
        got = zip_fread(file, (unsigned char *)out + done, size - done);
        if (got < 0)
            return fail_library(e, z, i, zip_file_get_error(file));
        if (got == 0)
            return fail_zip(e, z, i, "ends before its size (truncated?)");
    }
    got = zip_fread(file, &beyond, 1);
    if (got < 0)
        return fail_library(e, z, i, zip_file_get_error(file));
    if (got > 0)
        return fail_zip(e, z, i, "holds more bytes than its size says");
    return 0;
}

int archive_zip_read(struct archive_zip *z, size_t i, void *out, size_t size, struct err *e)
{
    zip_file_t *file;
    int result;
    if (size != z->sizes[i])
        return err_fail(e, ERR_INTERNAL, z->what,
                        "member %s has %" PRIu64 " bytes, %zu were asked for", z->names[i],
                        z->sizes[i], size);
    file = zip_fopen_index(z->zip, i, 0);
    if (!file)
        return fail_library(e, z, i, zip_get_error(z->zip));
    result = read_member(z, i, file, out, size, e);
    zip_fclose(file);
    return result;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_unique(const struct archive_zip_member *members, size_t n, struct err *e)
{
    const char **names = calloc(n, sizeof *names);
    int result = names ? 0 : err_fail_memory(e, n * sizeof *names);
    for (size_t i = 0; names && i < n; i++)
        names[i] = members[i].name;
    if (names)
        qsort(names, n, sizeof *names, compare_names);
    for (size_t i = 1; result == 0 && i < n; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            result = err_fail(e, ERR_INTERNAL, names[i], "is written twice to a zip archive");
    free(names);
    return result;
}

int archive_zip_encode(const struct archive_zip_member *members, size_t n, struct buf *out,
                       struct err *e)
{
    const size_t before = out->length;
    struct archive_zip_stream *z;
    int result;
    if (n < 1 || n > ZIP_MEMBERS_MAX)
        return err_fail(e, ERR_LIMIT, "", "a zip archive takes 1 to %d members, not %zu",
                        ZIP_MEMBERS_MAX, n);
    if (check_unique(members, n, e) != 0)
        return -1;
    z = archive_zip_stream_new(e);
    result = z ? 0 : -1;
    for (size_t i = 0; result == 0 && i < n; i++)
        result = archive_zip_stream_member(z, &members[i], out, e);
    if (result == 0)
        result = archive_zip_stream_finish(z, out, e);
    archive_zip_stream_free(z);
    if (result != 0)
        out->length = before;
    return result;
}
