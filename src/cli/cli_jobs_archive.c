/* What was downloaded is looked at before it gets its name: of a .zip or .tar each picture against
 * the SHA-256 that the job's events named, of an array its checksum, type and number of images. */
#include "cli_jobs_archive.h"

#include "archive_npy_read.h"
#include "archive_tar.h"
#include "archive_zip.h"
#include "base_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ZIP_IMAGES_MAX 65535 /* and a manifest */
#define VALUES_MAX ((size_t)1 << 40)

bool cli_jobs_is_archive(const char *output)
{
    return file_name_ends(output, ".zip") || file_name_ends(output, ".tar") ||
           file_name_ends(output, ".npz") || file_name_ends(output, ".npy");
}

int cli_jobs_archive_check(const char *output, uint64_t n, struct err *e)
{
    if (file_name_ends(output, ".zip") && n > ZIP_IMAGES_MAX)
        return err_fail(
            e, ERR_INPUT, "--output",
            "a .zip of more than %d images cannot be looked at; name DIR/, a .tar or an "
            ".npz",
            ZIP_IMAGES_MAX);
    return 0;
}

/* ---- downloading ---- */

struct download {
    struct file_writer writer;
    uint64_t got, asked; /* bytes: that are there, and behind which the call under way goes on */
    bool begun;          /* the answer of that call */
    char etag[128];      /* "": a download cannot be gone on with */
    struct err error;
};

/* A new answer may be the rest, or all once more. */
static int begin_answer(struct download *d, const struct remote_answer *a)
{
    char range[40];
    d->begun = true;
    const bool is_strong = a->etag[0] == '"' && a->has_ranges;
    snprintf(d->etag, sizeof d->etag, "%s", is_strong ? a->etag : "");
    snprintf(range, sizeof range, "bytes %" PRIu64 "-", d->got);
    if (a->status == 206 && d->asked > 0 && strncmp(a->range, range, strlen(range)) == 0)
        return 0;
    if (a->status == 206)
        return err_fail(&d->error, ERR_IO, "", "the server sent another part than was asked for");
    if (d->got > 0 &&
        (fflush(d->writer.stream) != 0 || ftruncate(fileno(d->writer.stream), 0) != 0 ||
         fseek(d->writer.stream, 0, SEEK_SET) != 0))
        return err_fail_errno(&d->error, errno, d->writer.path, "begin the file anew");
    d->got = 0;
    return 0;
}

static int take(void *context, const struct remote_answer *a, const void *data, size_t length)
{
    struct download *d = context;
    if (!d->begun && begin_answer(d, a) != 0)
        return -1;
    if (fwrite(data, 1, length, d->writer.stream) != length)
        return err_fail_errno(&d->error, errno, d->writer.path, "write the file");
    d->got += length;
    return 0;
}

static void say_broken(const struct download *d)
{
    if (d->got > 0)
        fprintf(
            stderr, "pfgm jobs fetch: the download broke off after %" PRIu64 " bytes; %s\n", d->got,
            d->etag[0] ? "it goes on there" : "this server cannot go on there, so it begins anew");
}

static int download(struct remote *r, const char *path, struct download *d, struct err *e)
{
    struct remote_pause pause = {0};
    for (;;) {
        struct remote_answer a = {.after_s = -1};
        struct err why = {0};
        char range[64], condition[160];
        const bool rest = d->got > 0 && d->etag[0];
        snprintf(range, sizeof range, "Range: bytes=%" PRIu64 "-", d->got);
        snprintf(condition, sizeof condition, "If-Range: %s", d->etag);
        const struct remote_call call = {.method = "GET",
                                         .path = path,
                                         .headers = {rest ? range : NULL, rest ? condition : NULL},
                                         .take = take,
                                         .context = d};
        const uint64_t before = d->got;
        d->asked = rest ? d->got : 0;
        d->begun = false;
        int result = remote_ask(r, &call, &a, &why);
        if (d->error.code != ERR_NONE) {
            result = err_pass(e, &d->error);
        } else if (result != 0) {
            if (rest && d->got > before)
                pause = (struct remote_pause){0};
            say_broken(d);
            result = remote_pause(r, &pause, &a, &why, e) == 0 ? 1 : -1;
        }
        remote_answer_clear(&a);
        if (result <= 0)
            return result;
    }
}

/* ---- looking at it ---- */

static int check_picture(struct archive_zip *zip, const json_t *line,
                         const struct cli_jobs_archive *a, bool *seen, struct err *e)
{
    const char *name = json_string_value(json_object_get(line, "name"));
    char digest[SHA256_HEX_SIZE] = "";
    uint64_t place;
    const int64_t at = name ? archive_zip_find(zip, name) : -1;
    if (at < 0 || !json_u64_read(json_object_get(line, "index"), &place) || place >= a->n ||
        seen[place])
        return err_fail(e, ERR_IO, a->output, "the manifest in the archive names no image of it");
    const size_t size = (size_t)archive_zip_size(zip, (size_t)at);
    unsigned char *bytes = malloc(size ? size : 1);
    int result =
        bytes ? archive_zip_read(zip, (size_t)at, bytes, size, e) : err_fail_memory(e, size);
    if (result == 0)
        result = sha256_hex(bytes, size, digest, e);
    if (result == 0 && strcmp(digest, a->digests[place]) != 0)
        result =
            err_fail(e, ERR_IO, a->output, "image %" PRIu64 " came with another SHA-256", place);
    seen[place] = true;
    free(bytes);
    return result;
}

static int check_pictures(struct archive_zip *zip, const struct cli_jobs_archive *a, struct err *e)
{
    static const struct json_bound bound = {16u << 20, 4u << 20};
    const int64_t at = archive_zip_find(zip, "manifest.json");
    const size_t size = at >= 0 ? (size_t)archive_zip_size(zip, (size_t)at) : 0;
    char *text = size > 0 && size < (size_t)1 << 30 ? malloc(size) : NULL;
    bool *seen = calloc(a->n, sizeof *seen);
    json_t *manifest = NULL;
    int result = -1;
    if (!text || !seen)
        err_fail(e, ERR_IO, a->output, "the archive has no manifest that can be read");
    else if (archive_zip_read(zip, (size_t)at, text, size, e) == 0)
        manifest = json_parse_bounded(text, size, bound, a->output, e);
    const json_t *images = json_object_get(manifest, "images");
    if (manifest)
        result = json_array_size(images) == a->n
                     ? 0
                     : err_fail(e, ERR_IO, a->output, "%zu of %" PRIu64 " images are in it",
                                json_array_size(images), a->n);
    for (size_t i = 0; result == 0 && i < a->n; i++)
        result = check_picture(zip, json_array_get(images, i), a, seen, e);
    json_decref(manifest);
    free(seen);
    free(text);
    return result;
}

/* Its pictures come in the order of their indices, and the manifest behind them. */
static int check_tar(const unsigned char *data, size_t length, const struct cli_jobs_archive *a,
                     struct err *e)
{
    struct archive_tar_entry entry;
    char digest[SHA256_HEX_SIZE];
    size_t at = 0;
    uint64_t place = 0;
    int more;
    while ((more = archive_tar_next(data, length, &at, &entry, a->output, e)) == 1) {
        if (strcmp(entry.name, "manifest.json") == 0)
            continue;
        if (place >= a->n || sha256_hex(entry.data, entry.length, digest, e) != 0)
            return err_fail(e, ERR_IO, a->output,
                            "the archive has more than the %" PRIu64 " images", a->n);
        if (strcmp(digest, a->digests[place]) != 0)
            return err_fail(e, ERR_IO, a->output, "image %" PRIu64 " came with another SHA-256",
                            place);
        place++;
    }
    if (more == 0 && place < a->n)
        return err_fail(e, ERR_IO, a->output, "%" PRIu64 " of %" PRIu64 " images are in it", place,
                        a->n);
    return more;
}

static int check_array(const void *data, size_t length, const struct cli_jobs_archive *a,
                       struct err *e)
{
    struct archive_npy array;
    if (archive_npy_read(data, length, VALUES_MAX, a->output, &array, e) != 0)
        return -1;
    return array.rank > 0 && array.shape[0] == a->n
               ? 0
               : err_fail(e, ERR_IO, a->output, "not all of the %" PRIu64 " images are in it",
                          a->n);
}

/* Reading a member compares its checksum. */
static int check_npz(struct archive_zip *zip, const struct cli_jobs_archive *a, struct err *e)
{
    const int64_t at = archive_zip_find(zip, "arr_0.npy");
    const size_t size = at >= 0 ? (size_t)archive_zip_size(zip, (size_t)at) : 0;
    unsigned char *bytes = size > 0 ? malloc(size) : NULL;
    int result = at < 0   ? err_fail(e, ERR_IO, a->output, "the archive has no array arr_0")
                 : !bytes ? err_fail_memory(e, size)
                          : archive_zip_read(zip, (size_t)at, bytes, size, e);
    if (result == 0)
        result = check_array(bytes, size, a, e);
    free(bytes);
    return result;
}

static int check(const char *path, const struct cli_jobs_archive *a, struct err *e)
{
    struct file_map map;
    int result = -1;
    if (file_map_open(&map, path, e) != 0)
        return -1;
    if (file_name_ends(a->output, ".npy")) {
        result = check_array(map.data, map.length, a, e);
    } else if (file_name_ends(a->output, ".tar")) {
        result = check_tar(map.data, map.length, a, e);
    } else {
        struct archive_zip *zip = archive_zip_open(map.data, map.length, a->output, e);
        if (zip)
            result = file_name_ends(a->output, ".npz") ? check_npz(zip, a, e)
                                                       : check_pictures(zip, a, e);
        archive_zip_close(zip);
    }
    file_map_close(&map);
    return result;
}

int cli_jobs_archive(struct remote *r, const struct cli_jobs *j, const struct cli_jobs_archive *a,
                     struct err *e)
{
    struct download d = {0};
    struct buf path;
    buf_init(&path, 4096);
    int result = cli_jobs_path(j, "/archive?format=", &path, e) != 0 ||
                         buf_string(&path, strrchr(a->output, '.') + 1, e) != 0
                     ? -1
                     : file_writer_open(&d.writer, a->output, e);
    if (result == 0) {
        result = download(r, (const char *)path.data, &d, e);
        if (result == 0 && fflush(d.writer.stream) != 0)
            result = err_fail_errno(e, errno, a->output, "write the file");
        if (result == 0)
            result = check(d.writer.temporary, a, e);
        if (result == 0)
            result = file_writer_commit(&d.writer, e);
        file_writer_abort(&d.writer);
    }
    buf_clear(&path);
    return result;
}
