/* Making a shard. In a folder an image's line goes into the journal once its file is whole, so that
 * a process that was killed leaves no image without a line that must be believed, and no line
 * without its image; with --resume the digests are compared all the same, as power may fail
 * between. The manifest is written when nothing is missing, and the journal goes. */
#include "cli_shard.h"

#include "cli_npz.h"
#include "base_file.h"
#include "base_text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LINES_BYTES_MAX ((size_t)8 << 30)
#define HEAD_BYTES_MAX ((size_t)1 << 20) /* of a first line */
#define IMAGE_BYTES_MAX ((size_t)1 << 30)

/* ---- a folder ---- */

struct folder {
    const char *path;
    struct cli_manifest *m;
    struct buf manifest, journal; /* their names */
    int lock;                     /* the journal's descriptor, locked; -1 */
    off_t end;                    /* of the journal's whole lines */
    size_t first;                 /* in the shard, of the run of images under way */
    pthread_mutex_t mutex;        /* guards what follows, and the journal */
    struct err error;
    bool failed;
};

/* Takes what the lines of a file say of images, if the file is there and of this shard. */
static int read_lines(struct folder *f, const char *path, struct err *e)
{
    struct cli_manifest found;
    struct err why = {0};
    struct buf text;
    if (access(path, F_OK) != 0)
        return 0;
    buf_init(&text, LINES_BYTES_MAX);
    int result = file_read(path, &text, e);
    if (result == 0 && text.length > 0 && memchr(text.data, '\n', text.length)) {
        result = cli_manifest_read((const char *)text.data, text.length, path, &found, &why);
        if (result == 0)
            result = cli_manifest_compare(&found, f->m, true, path, &why);
        for (size_t k = 0; result == 0 && k < f->m->count; k++)
            if (found.images[k].there)
                f->m->images[k] = found.images[k];
        cli_manifest_clear(&found);
        if (result != 0)
            err_pass(e, &why);
    }
    buf_clear(&text);
    return result;
}

/* The error of a file that stands in the way. */
static int fail_foreign(const struct err *why, struct err *e)
{
    return err_fail(e, why->code, why->at, "%s; name another output, or remove the file",
                    why->text);
}

/* A folder holds the images of one run: the heads of all its manifests and journals are compared,
 * since another run's images would have the same names. */
static int check_neighbour(const struct folder *f, const char *name, struct err *e)
{
    struct cli_manifest found = {0};
    struct file_reader reader;
    struct err why = {0};
    struct buf path;
    buf_init(&path, 65536);
    char *text = malloc(HEAD_BYTES_MAX);
    int result =
        text ? buf_format(&path, e, "%s%s", f->path, name) : err_fail_memory(e, HEAD_BYTES_MAX);
    const char *file = (const char *)path.data, *end = NULL;
    if (result == 0)
        result = file_reader_open(&reader, file, e);
    if (result == 0) { /* the lines behind the first may be many */
        const size_t length =
            reader.length < HEAD_BYTES_MAX ? (size_t)reader.length : HEAD_BYTES_MAX;
        result = file_reader_read(&reader, 0, text, length, e);
        file_reader_close(&reader);
        end = result == 0 && length > 0 ? memchr(text, '\n', length) : NULL;
        if (result == 0 && !end && length == HEAD_BYTES_MAX)
            result = err_fail(e, ERR_INPUT, file,
                              "is no manifest of a shard: its first line is "
                              "longer than any");
    }
    if (end && (cli_manifest_read_head(text, (size_t)(end - text), file, &found, &why) != 0 ||
                cli_manifest_compare(&found, f->m, false, file, &why) != 0))
        result = fail_foreign(&why, e);
    cli_manifest_clear(&found);
    free(text);
    buf_clear(&path);
    return result;
}

static int check_neighbours(const struct folder *f, struct err *e)
{
    int result = 0;
    DIR *d = opendir(f->path);
    if (!d)
        return err_fail_errno(e, errno, f->path, "open the folder");
    for (const struct dirent *entry; result == 0 && (entry = readdir(d)) != NULL;) {
        struct err why = {0};
        if (!cli_shard_is_manifest(entry->d_name) && !cli_shard_is_journal(entry->d_name))
            continue;
        result = check_neighbour(f, entry->d_name, &why);
        if (result != 0 && cli_shard_is_journal(entry->d_name) &&
            faccessat(dirfd(d), entry->d_name, F_OK, 0) != 0)
            result = 0; /* another shard became whole meanwhile, and its journal went */
        if (result != 0)
            err_pass(e, &why);
    }
    closedir(d);
    return result;
}

/* Takes back what is not there as its line says. */
static int check_images(struct folder *f, bool resume, struct err *e)
{
    struct buf png;
    int result = 0;
    buf_init(&png, IMAGE_BYTES_MAX);
    for (size_t k = 0; result == 0 && k < f->m->count; k++) {
        struct err why = {0};
        if (!f->m->images[k].there)
            continue;
        f->m->images[k].there = resume && cli_shard_image(f->path, f->m, k, &png, &why) == 0;
        if (why.code != 0 && why.code != ERR_INPUT)
            result = err_pass(e, &why);
    }
    buf_clear(&png);
    return result;
}

/* Removes the temporary files of this shard that somebody who was killed left behind. */
static void sweep(const struct folder *f)
{
    DIR *d = opendir(f->path);
    if (!d)
        return;
    for (const struct dirent *entry; (entry = readdir(d)) != NULL;) {
        const size_t length = file_name_unfinished(entry->d_name);
        char digits[32] = "";
        uint64_t index;
        if (length < 5 || length - 4 >= sizeof digits ||
            strncmp(entry->d_name + 1 + length - 4, ".png", 4) != 0)
            continue;
        memcpy(digits, entry->d_name + 1, length - 4);
        if (text_digits(digits, &index) && index >= cli_manifest_index(f->m, 0) &&
            index - cli_manifest_index(f->m, 0) < f->m->count)
            unlinkat(dirfd(d), entry->d_name, 0);
    }
    closedir(d);
}

/* Only one process makes a shard. */
static int lock_journal(struct folder *f, struct err *e)
{
    const char *path = (const char *)f->journal.data;
    f->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (f->lock < 0)
        return err_fail_errno(e, errno, path, "open the journal");
    if (flock(f->lock, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK
               ? err_fail(e, ERR_IO, path, "another process makes this shard at the moment")
               : err_fail_errno(e, errno, path, "lock the journal");
}

/* Adds whole lines to the journal. Of a line that a full disk cuts short nothing stays, as nobody
 * could read what came behind it. */
static int append(struct folder *f, const struct buf *text, struct err *e)
{
    const char *path = (const char *)f->journal.data;
    size_t done = 0;
    while (done < text->length) {
        const ssize_t n =
            pwrite(f->lock, text->data + done, text->length - done, f->end + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            err_fail_errno(e, n < 0 ? errno : ENOSPC, path, "write the journal");
            if (ftruncate(f->lock, f->end) != 0) /* the error is the one of the write */
                err_fail(e, ERR_IO, path, "its last line was cut short, and cannot be taken back");
            return -1;
        }
        done += (size_t)n;
    }
    f->end += (off_t)text->length;
    return 0;
}

/* Begins the journal anew, with the lines of what is there. The lock stays, so the file does. */
static int begin_journal(struct folder *f, struct err *e)
{
    struct buf text;
    buf_init(&text, LINES_BYTES_MAX);
    int result = cli_manifest_head(f->m, &text, e);
    for (size_t k = 0; result == 0 && k < f->m->count; k++)
        if (f->m->images[k].there)
            result = cli_manifest_line(f->m, k, &text, e);
    f->end = 0;
    if (result == 0 && ftruncate(f->lock, 0) != 0)
        result = err_fail_errno(e, errno, (const char *)f->journal.data, "write the journal");
    if (result == 0)
        result = append(f, &text, e);
    buf_clear(&text);
    return result;
}

static int add_line(struct folder *f, size_t k, struct err *e)
{
    struct buf line;
    buf_init(&line, 4096);
    int result = cli_manifest_line(f->m, k, &line, e);
    if (result == 0)
        result = append(f, &line, e);
    buf_clear(&line);
    return result;
}

static int write_image(const struct folder *f, const struct engine_image *image, struct err *e)
{
    struct buf name;
    buf_init(&name, 65536);
    int result = cli_shard_image_name(f->path, image->index, ".png", &name, e);
    if (result == 0)
        result = file_write_atomic((const char *)name.data, image->png.data, image->png.length, e);
    buf_clear(&name);
    return result;
}

/* The first failure is the one that counts, and no line comes after it. */
static int keep_image(struct folder *f, const struct engine_image *image, size_t k)
{
    struct err e = {0};
    int result = write_image(f, image, &e);
    pthread_mutex_lock(&f->mutex);
    if (result == 0 && !f->failed) {
        struct cli_manifest_image *own = &f->m->images[k];
        own->label = image->label_count > 0 ? image->labels[0] : MODEL_CLASS_NONE;
        memcpy(own->sha256, image->sha256, SHA256_HEX_SIZE);
        own->there = true;
        result = add_line(f, k, &e);
    }
    if (result != 0 && !f->failed) {
        f->error = e;
        f->failed = true;
    }
    const bool failed = f->failed;
    pthread_mutex_unlock(&f->mutex);
    return failed ? -1 : 0;
}

/* By a worker. The first failure ends the request. */
static void on_image(struct engine_request *request, size_t i, void *context)
{
    struct folder *f = context;
    if (keep_image(f, engine_request_image(request, i), f->first + i) != 0)
        engine_request_cancel(request);
}

/* Images from k on that are missing in a row, of the shard. */
static int make_row(struct cli_run *run, const struct engine_order *whole, struct folder *f,
                    size_t *k, struct err *e)
{
    struct engine_order order = *whole;
    size_t end = *k;
    while (end < f->m->count && !f->m->images[end].there)
        end++;
    f->first = *k;
    order.n = end - *k;
    order.first_index = cli_manifest_index(f->m, *k);
    order.image = on_image;
    order.context = f;
    struct engine_request *request = cli_run_order(run, &order, e);
    engine_request_free(request);
    *k = end;
    return f->failed ? err_pass(e, &f->error) : request ? 0 : -1;
}

static int make_missing(struct cli_run *run, const struct engine_order *whole, struct folder *f,
                        struct err *e)
{
    struct buf text;
    int result = begin_journal(f, e);
    for (size_t k = 0; result == 0 && k < f->m->count;) {
        if (f->m->images[k].there)
            k++;
        else
            result = make_row(run, whole, f, &k, e);
    }
    if (result != 0)
        return -1;
    buf_init(&text, LINES_BYTES_MAX);
    result = cli_manifest_text(f->m, &text, e);
    if (result == 0)
        result = file_write_atomic((const char *)f->manifest.data, text.data, text.length, e);
    buf_clear(&text);
    return result;
}

static int make_locked(struct cli_run *run, const struct engine_order *whole, struct cli_shard *s,
                       struct folder *f, struct err *e)
{
    const char *journal = (const char *)f->journal.data, *manifest = (const char *)f->manifest.data;
    const bool is_whole = access(manifest, F_OK) == 0;
    if (check_neighbours(f, e) != 0 || read_lines(f, journal, e) != 0 ||
        read_lines(f, manifest, e) != 0 || check_images(f, s->resume, e) != 0)
        return -1;
    sweep(f);
    const size_t missing = cli_manifest_missing(f->m);
    s->kept = f->m->count - missing;
    if ((missing > 0 || !is_whole) && make_missing(run, whole, f, e) != 0)
        return -1;
    return unlink(journal) == 0 ? 0 : err_fail_errno(e, errno, journal, "remove the journal");
}

static int make_folder(struct cli_run *run, const struct engine_order *whole, struct cli_shard *s,
                       struct cli_manifest *m, struct err *e)
{
    struct folder f = {.path = s->path, .m = m, .lock = -1, .mutex = PTHREAD_MUTEX_INITIALIZER};
    buf_init(&f.manifest, 65536);
    buf_init(&f.journal, 65536);
    int result = -1;
    if (cli_shard_manifest_name(s->path, s->range, &f.manifest, e) == 0 &&
        cli_shard_journal_name(s->path, s->range, &f.journal, e) == 0 && lock_journal(&f, e) == 0)
        result = make_locked(run, whole, s, &f, e);
    if (f.lock >= 0)
        close(f.lock);
    buf_clear(&f.manifest);
    buf_clear(&f.journal);
    return result;
}

/* ---- a file ---- */

/* Whether what is there is this shard, whole; -1: it is something else, which stays. */
static int look_at_file(const struct cli_shard *s, struct cli_manifest *m, bool *whole,
                        struct err *e)
{
    struct cli_manifest found;
    struct err why = {0};
    uint8_t *pixels;
    bool torn;
    *whole = false;
    if (access(s->path, F_OK) != 0)
        return 0;
    int result = cli_shard_read(s->path, &found, &pixels, &torn, &why);
    if (result == 0)
        result = cli_manifest_compare(&found, m, true, s->path, &why);
    *whole = result == 0;
    free(pixels);
    cli_manifest_clear(&found);
    if (result == 0)
        return 0;
    if (torn) {
        fprintf(stderr, "pfgm sample: %s is torn and made again\n", s->path);
        return 0;
    }
    return fail_foreign(&why, e);
}

static int write_file(const struct engine_request *r, const struct cli_shard *s,
                      struct cli_manifest *m, struct err *e)
{
    const size_t one = image_shape_count(m->shape);
    uint8_t *pixels = malloc(one * m->count);
    int64_t *classes = calloc(m->count, sizeof *classes);
    struct buf text;
    int result = pixels && classes ? 0 : err_fail_memory(e, one * m->count);
    buf_init(&text, LINES_BYTES_MAX);
    for (size_t k = 0; result == 0 && k < m->count; k++) {
        const struct engine_image *image = engine_request_image(r, k);
        struct cli_manifest_image *own = &m->images[k];
        own->there = true;
        own->label = image->label_count > 0 ? image->labels[0] : MODEL_CLASS_NONE;
        classes[k] = own->label;
        memcpy(pixels + k * one, image->pixels, one);
        result = sha256_hex(image->pixels, one, own->sha256, e);
    }
    if (result == 0)
        result = cli_manifest_text(m, &text, e);
    const struct cli_npz z = {.shape = m->shape,
                              .n = m->count,
                              .seed = m->seed,
                              .first_index = cli_manifest_index(m, 0),
                              .pixels = pixels,
                              .classes = m->classes ? classes : NULL,
                              .manifest = (const char *)text.data,
                              .manifest_length = text.length};
    if (result == 0)
        result = cli_npz_write(s->path, &z, e);
    buf_clear(&text);
    free(classes);
    free(pixels);
    return result;
}

static int make_file(struct cli_run *run, const struct engine_order *whole, struct cli_shard *s,
                     struct cli_manifest *m, struct err *e)
{
    struct engine_order order = *whole;
    bool is_whole;
    if (look_at_file(s, m, &is_whole, e) != 0)
        return -1;
    if (is_whole && s->resume) {
        s->kept = m->count;
        return 0;
    }
    order.n = m->count;
    order.first_index = cli_manifest_index(m, 0);
    struct engine_request *request = cli_run_order(run, &order, e);
    const int result = request ? write_file(request, s, m, e) : -1;
    engine_request_free(request);
    return result;
}

int cli_shard_make(struct cli_run *run, const struct engine_order *whole, struct cli_shard *s,
                   struct err *e)
{
    struct cli_manifest m;
    const bool is_file = file_name_ends(s->path, ".npz");
    if (engine_check(whole, e) != 0 || cli_manifest_make(whole, s->range, is_file, &m, e) != 0)
        return -1;
    const int result =
        is_file ? make_file(run, whole, s, &m, e) : make_folder(run, whole, s, &m, e);
    cli_manifest_clear(&m);
    return result;
}
