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
 * Writing: stored members in the given order with the fixed time 1980-01-01 00:00 (the first that
 * the format can say; set in the format's own words because a conversion would depend on the time
 * zone).
 *
 * A reader belongs to one thread at a time; nothing is shared between readers. */
#include "image_zip.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#define ZIP_MEMBERS_MAX 65536
#define ZIP_DEFLATE_RATIO_MAX 1032 /* 258 bytes from a pair of one-bit codes, four pairs a byte */
#define ZIP_DOS_DATE_1980 0x21     /* day 1, month 1, year 1980 + 0 */
#define ZIP_DOS_TIME_MIDNIGHT 0

struct zip_entry {
    const char *name; /* owned by libzip */
    size_t index;
};

struct image_zip {
    zip_t *zip;
    char *what;
    size_t count;
    uint64_t *sizes;
    const char **names;
    struct zip_entry *sorted; /* by name */
};

static int fail_zip(struct err *e, const struct image_zip *z, size_t i, const char *text)
{
    return err_fail(e, ERR_INPUT, z->what, "member %s of the zip archive: %s", z->names[i], text);
}

static int compare_entries(const void *a, const void *b)
{
    const struct zip_entry *x = a, *y = b;

    return strcmp(x->name, y->name);
}

/* One member's entry in the directory; adds its compressed bytes to *stored. They are at most the
 * archive's length, so times the ratio they do not overflow. */
static int check_member(struct image_zip *z, size_t i, size_t length, uint64_t *stored,
                        struct err *e)
{
    const zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE |
                                ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    struct zip_stat st;

    if (zip_stat_index(z->zip, i, ZIP_FL_ENC_RAW, &st) < 0)
        return err_fail(e, ERR_INPUT, z->what, "entry %zu of the zip archive: %s", i,
                        zip_strerror(z->zip));
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

static int check_names(struct image_zip *z, struct err *e)
{
    qsort(z->sorted, z->count, sizeof *z->sorted, compare_entries);
    for (size_t i = 1; i < z->count; i++) {
        if (strcmp(z->sorted[i - 1].name, z->sorted[i].name) == 0)
            return fail_zip(e, z, z->sorted[i].index, "occurs twice");
    }
    return 0;
}

/* Opens the archive for libzip: the buffer stays the caller's. */
static zip_t *open_buffer(const void *data, size_t length, const char *what, struct err *e)
{
    zip_error_t error;
    zip_source_t *source;
    zip_t *zip = NULL;

    zip_error_init(&error);
    source = zip_source_buffer_create(data, length, 0, &error);
    if (source)
        zip = zip_open_from_source(source, ZIP_RDONLY, &error);
    if (!zip) {
        if (zip_error_code_zip(&error) == ZIP_ER_MEMORY)
            err_fail(e, ERR_MEMORY, what, "out of memory while opening the zip archive");
        else
            err_fail(e, ERR_INPUT, what, "truncated or not a zip archive (%zu bytes; %s)", length,
                     zip_error_strerror(&error));
        zip_source_free(source);
    }
    zip_error_fini(&error);
    return zip;
}

static int read_directory(struct image_zip *z, size_t length, struct err *e)
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
        if (check_member(z, i, length, &stored, e) < 0)
            return -1;
    }
    return check_names(z, e);
}

struct image_zip *image_zip_open(const void *data, size_t length, const char *what, struct err *e)
{
    struct image_zip *z;

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
    if (!z->zip || read_directory(z, length, e) < 0) {
        image_zip_close(z);
        return NULL;
    }
    return z;
}

void image_zip_close(struct image_zip *z)
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

size_t image_zip_count(const struct image_zip *z)
{
    return z->count;
}

const char *image_zip_name(const struct image_zip *z, size_t i)
{
    return z->names[i];
}

uint64_t image_zip_size(const struct image_zip *z, size_t i)
{
    return z->sizes[i];
}

int64_t image_zip_find(const struct image_zip *z, const char *name)
{
    struct zip_entry key = {.name = name};
    const struct zip_entry *found =
        bsearch(&key, z->sorted, z->count, sizeof *z->sorted, compare_entries);

    return found ? (int64_t)found->index : -1;
}

/* Reads on to the end: libzip compares the CRC only there, which takes one read beyond the last
 * byte. That read also tells of a stream that holds more than its entry says. */
static int read_member(struct image_zip *z, size_t i, zip_file_t *file, void *out, size_t size,
                       struct err *e)
{
    unsigned char beyond;
    zip_int64_t got;

    for (size_t done = 0; done < size; done += (size_t)got) {
        got = zip_fread(file, (unsigned char *)out + done, size - done);
        if (got < 0)
            return fail_zip(e, z, i, zip_error_strerror(zip_file_get_error(file)));
        if (got == 0)
            return fail_zip(e, z, i, "ends before its size (truncated?)");
    }
    got = zip_fread(file, &beyond, 1);
    if (got < 0)
        return fail_zip(e, z, i, zip_error_strerror(zip_file_get_error(file)));
    if (got > 0)
        return fail_zip(e, z, i, "holds more bytes than its size says");
    return 0;
}

int image_zip_read(struct image_zip *z, size_t i, void *out, size_t size, struct err *e)
{
    zip_file_t *file;
    int result;

    if (size != z->sizes[i])
        return err_fail(e, ERR_INTERNAL, z->what,
                        "member %s has %" PRIu64 " bytes, %zu were asked for", z->names[i],
                        z->sizes[i], size);
    file = zip_fopen_index(z->zip, i, 0);
    if (!file)
        return fail_zip(e, z, i, zip_strerror(z->zip));
    result = read_member(z, i, file, out, size, e);
    zip_fclose(file);
    return result;
}

static int fail_writing(struct err *e, const char *at, zip_error_t *error)
{
    enum err_code code = zip_error_code_zip(error) == ZIP_ER_MEMORY ? ERR_MEMORY : ERR_INTERNAL;

    return err_fail(e, code, at, "cannot write the zip archive: %s", zip_error_strerror(error));
}

/* Of the two pieces those that hold anything: libzip 1.7 miscounts empty fragments. libzip's struct
 * wants unsigned char *, and only reads. */
static size_t fill_pieces(const struct image_zip_member *m, zip_buffer_fragment_t pieces[2])
{
    size_t n = 0;

    if (m->head_length > 0)
        pieces[n++] = (zip_buffer_fragment_t){(zip_uint8_t *)(uintptr_t)m->head, m->head_length};
    if (m->length > 0)
        pieces[n++] = (zip_buffer_fragment_t){(zip_uint8_t *)(uintptr_t)m->data, m->length};
    return n;
}

static int add_member(zip_t *zip, const struct image_zip_member *m, struct err *e)
{
    zip_buffer_fragment_t pieces[2];
    size_t n = fill_pieces(m, pieces);
    zip_source_t *source = zip_source_buffer_fragment(zip, pieces, n, 0);
    zip_int64_t index = source ? zip_file_add(zip, m->name, source, ZIP_FL_ENC_UTF_8) : -1;

    if (index < 0) {
        zip_source_free(source);
        return fail_writing(e, m->name, zip_get_error(zip));
    }
    if (zip_set_file_compression(zip, (zip_uint64_t)index, ZIP_CM_STORE, 0) < 0 ||
        zip_file_set_dostime(zip, (zip_uint64_t)index, ZIP_DOS_TIME_MIDNIGHT, ZIP_DOS_DATE_1980,
                             0) < 0)
        return fail_writing(e, m->name, zip_get_error(zip));
    return 0;
}

/* Makes the archive inside `source`, which stays the caller's. */
static int write_members(zip_source_t *source, const struct image_zip_member *members, size_t n,
                         struct err *e)
{
    zip_error_t error;
    zip_t *zip;
    int result = 0;

    zip_error_init(&error);
    zip = zip_open_from_source(source, ZIP_CREATE | ZIP_TRUNCATE, &error);
    if (!zip)
        result = fail_writing(e, "", &error);
    else
        zip_source_keep(source); /* the archive gives back one reference when it closes */
    zip_error_fini(&error);
    for (size_t i = 0; result == 0 && i < n; i++)
        result = add_member(zip, &members[i], e);
    if (result == 0 && zip_close(zip) == 0)
        return 0;
    if (result == 0)
        result = fail_writing(e, "", zip_get_error(zip));
    if (zip)
        zip_discard(zip);
    return result;
}

static int copy_out(zip_source_t *source, struct buf *out, struct err *e)
{
    struct zip_stat st;
    unsigned char *to;
    zip_int64_t got = -1;

    if (zip_source_stat(source, &st) < 0 || !(st.valid & ZIP_STAT_SIZE))
        return fail_writing(e, "", zip_source_error(source));
    to = buf_reserve(out, st.size, e);
    if (!to)
        return -1;
    if (zip_source_open(source) < 0)
        return fail_writing(e, "", zip_source_error(source));
    got = zip_source_read(source, to, st.size);
    zip_source_close(source);
    if (got < 0)
        return fail_writing(e, "", zip_source_error(source));
    if ((zip_uint64_t)got != st.size)
        return err_fail(e, ERR_INTERNAL, "", "the zip archive came back short");
    out->length += st.size;
    return 0;
}

int image_zip_encode(const struct image_zip_member *members, size_t n, struct buf *out,
                     struct err *e)
{
    zip_error_t error;
    zip_source_t *source;
    int result;

    if (n < 1 || n > ZIP_MEMBERS_MAX)
        return err_fail(e, ERR_LIMIT, "", "a zip archive takes 1 to %d members, not %zu",
                        ZIP_MEMBERS_MAX, n);
    zip_error_init(&error);
    source = zip_source_buffer_create(NULL, 0, 0, &error);
    if (!source) {
        result = fail_writing(e, "", &error);
        zip_error_fini(&error);
        return result;
    }
    zip_error_fini(&error);
    result = write_members(source, members, n, e);
    if (result == 0)
        result = copy_out(source, out, e);
    zip_source_free(source);
    return result;
}
