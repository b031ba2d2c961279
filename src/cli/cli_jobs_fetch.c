/* `pfgm jobs fetch`: a job's images, as one archive, or one by one into a folder.
 *
 * The events name each image and its SHA-256 in the order in which they are stored. So a folder is
 * filled while the job runs, and what is there already, by its SHA-256, is not fetched again. */
#include "cli_jobs_archive.h"
#include "cli_jobs_follow.h"
#include "cli_output.h"
#include "cli_shard.h"
#include "cli_stream.h"

#include "archive_npy_read.h"
#include "base_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define IMAGE_BYTES_MAX ((size_t)1 << 30)

struct fetch {
    struct cli_jobs jobs;
    const char *output;
    struct remote *images; /* a connection beside that of the events */
    uint64_t first_index, n, kept, fetched;
    char (*digests)[SHA256_HEX_SIZE]; /* [n], for an archive */
};

/* ---- an image ---- */

/* The SHA-256 of what the server stores: a PNG as it is, pixels as they are, and of samples, which
 * come as [1,H,W,C], the values [C,H,W]. */
static int stored_digest(const struct buf *bytes, char out[SHA256_HEX_SIZE], struct err *e)
{
    struct archive_npy a;
    if (bytes->length < 6 || memcmp(bytes->data, "\x93NUMPY", 6) != 0)
        return sha256_hex(bytes->data, bytes->length, out, e);
    if (archive_npy_read(bytes->data, bytes->length, IMAGE_BYTES_MAX, "an image of the server", &a,
                         e) != 0)
        return -1;
    if (a.width != sizeof(float) || a.rank != 4)
        return sha256_hex(a.data, a.count * a.width, out, e);
    const size_t c = a.shape[3], area = c ? a.count / c : 0;
    unsigned char *planar = malloc(a.count * sizeof(float) + 1);
    if (!planar)
        return err_fail_memory(e, a.count * sizeof(float));
    for (size_t p = 0; p < area; p++)
        for (size_t k = 0; k < c; k++)
            memcpy(planar + (k * area + p) * sizeof(float), a.data + (p * c + k) * sizeof(float),
                   sizeof(float));
    const int result = sha256_hex(planar, a.count * sizeof(float), out, e);
    free(planar);
    return result;
}

static const char *ending_of(const struct buf *bytes)
{
    return bytes->length > 6 && memcmp(bytes->data, "\x93NUMPY", 6) == 0 ? ".npy" : ".png";
}

/* Whether the image is in the folder, under either name. */
static bool is_there(const struct fetch *f, uint64_t place, const char *sha256)
{
    static const char *const endings[] = {".png", ".npy"};
    bool there = false;
    for (size_t i = 0; i < 2 && !there; i++) {
        char digest[SHA256_HEX_SIZE];
        struct buf name, bytes;
        buf_init(&name, 65536);
        buf_init(&bytes, IMAGE_BYTES_MAX);
        there =
            cli_shard_image_name(f->output, f->first_index + place, endings[i], &name, NULL) == 0 &&
            file_read((const char *)name.data, &bytes, NULL) == 0 &&
            stored_digest(&bytes, digest, NULL) == 0 && strcmp(digest, sha256) == 0;
        buf_clear(&bytes);
        buf_clear(&name);
    }
    return there;
}

static int keep(const struct fetch *f, uint64_t place, const char *sha256, const struct buf *bytes,
                struct err *e)
{
    char digest[SHA256_HEX_SIZE];
    struct buf name;
    if (stored_digest(bytes, digest, e) != 0)
        return -1;
    if (strcmp(digest, sha256) != 0)
        return err_fail(e, ERR_IO, "", "image %" PRIu64 " of the job came with another SHA-256",
                        place);
    buf_init(&name, 65536);
    int result =
        cli_shard_image_name(f->output, f->first_index + place, ending_of(bytes), &name, e);
    if (result == 0)
        result = file_write_atomic((const char *)name.data, bytes->data, bytes->length, e);
    buf_clear(&name);
    return result;
}

static int fetch_image(void *context, uint64_t place, const char *sha256, struct err *e)
{
    struct fetch *f = context;
    struct remote_answer a = {.after_s = -1};
    struct buf path;
    char more[48];
    if (place >= f->n)
        return err_fail(e, ERR_IO, "", "the server names image %" PRIu64 " of %" PRIu64, place,
                        f->n);
    if (is_there(f, place, sha256)) {
        f->kept++;
        return 0;
    }
    buf_init(&path, 4096);
    snprintf(more, sizeof more, "/images/%" PRIu64, place);
    int result = cli_jobs_path(&f->jobs, more, &path, e);
    const struct remote_call call = {.method = "GET", .path = (const char *)path.data};
    if (result == 0)
        result = remote_insist(f->images, &call, &a, e);
    if (result == 0)
        result = keep(f, place, sha256, &a.body, e);
    f->fetched += result == 0;
    remote_answer_clear(&a);
    buf_clear(&path);
    return result;
}

static int note_digest(void *context, uint64_t place, const char *sha256, struct err *e)
{
    struct fetch *f = context;
    if (place >= f->n)
        return err_fail(e, ERR_IO, "", "the server names image %" PRIu64 " of %" PRIu64, place,
                        f->n);
    memcpy(f->digests[place], sha256, SHA256_HEX_SIZE);
    return 0;
}

/* ---- a job ---- */

/* Whether the job has succeeded, and each of its images was told of. */
static int check_end(const struct fetch *f, const struct cli_jobs_follow *follow, struct err *e)
{
    if (cli_jobs_succeeded(follow->job, e) != 0)
        return -1;
    if (follow->handled >= f->n)
        return 0;
    return err_fail(e, ERR_IO, "",
                    "the job succeeded, and the server told of %" PRIu64 " of its %" PRIu64
                    " images: fetch it again",
                    follow->handled, f->n);
}

static int fetch_folder(struct fetch *f, struct remote *r, struct err *e)
{
    struct cli_jobs_follow follow = {.image = fetch_image, .context = f};
    char shown[CLI_SHOWN_MAX];
    if (mkdir(f->output, 0777) != 0 && errno != EEXIST)
        return err_fail_errno(e, errno, f->output, "make the folder");
    f->images = remote_open(&f->jobs.to, e);
    int result = f->images ? cli_jobs_follow(r, &f->jobs, &follow, e) : -1;
    if (result == 0)
        printf("%" PRIu64 " images fetched, %" PRIu64 " there before, %s\n", f->fetched, f->kept,
               cli_shown(f->output, shown));
    if (result == 0)
        result = check_end(f, &follow, e);
    json_decref(follow.job);
    remote_close(f->images);
    return result;
}

static int fetch_archive(struct fetch *f, struct remote *r, struct err *e)
{
    struct cli_jobs_follow follow = {.image = note_digest, .context = f};
    char shown[CLI_SHOWN_MAX];
    if (cli_jobs_archive_check(f->output, f->n, e) != 0)
        return -1;
    f->digests = calloc((size_t)f->n, sizeof *f->digests);
    if (!f->digests)
        return err_fail_memory(e, (size_t)f->n * sizeof *f->digests);
    int result = cli_jobs_follow(r, &f->jobs, &follow, e);
    const struct cli_jobs_archive archive = {f->output, f->n, f->digests};
    if (result == 0)
        result = check_end(f, &follow, e);
    if (result == 0)
        result = cli_jobs_archive(r, &f->jobs, &archive, e);
    if (result == 0)
        printf("%" PRIu64 " images, %s\n", f->n, cli_shown(f->output, shown));
    json_decref(follow.job);
    free(f->digests);
    return result;
}

static int prepare(const struct fetch *f, struct err *e)
{
    const struct cli_output_guard guard = {.inputs = {f->jobs.to.key_file, f->jobs.to.ca}};
    return file_name_ends(f->output, "/") ? cli_output_prepare_folder(f->output, &guard, e)
                                          : cli_output_prepare_file(f->output, &guard, e);
}

static int fetch(struct fetch *f, struct err *e)
{
    struct remote *r = prepare(f, e) == 0 ? cli_jobs_open(&f->jobs, e) : NULL;
    json_t *job = r ? cli_jobs_get(r, &f->jobs, e) : NULL;
    int result = job ? 0 : -1;
    f->n = cli_jobs_count(job, "images_total");
    if (job && (f->n < 1 || f->n > UINT32_MAX ||
                !json_u64_read(json_object_get(json_object_get(job, "parameters"), "first_index"),
                               &f->first_index)))
        result = err_fail(e, ERR_IO, "", "the server's answer is no job");
    if (result == 0)
        result = (file_name_ends(f->output, "/") ? fetch_folder : fetch_archive)(f, r, e);
    json_decref(job);
    remote_close(r);
    return result;
}

static int take_option(void *context, int c, const char *word, struct err *e)
{
    struct fetch *f = context;
    if (c != 'o')
        return cli_jobs_take(&f->jobs, c, word, e);
    f->output = word;
    return file_name_ends(word, "/") || cli_jobs_is_archive(word)
               ? 0
               : err_fail(e, ERR_INPUT, "--output",
                          "\"%s\" must end in .zip, .tar, .npz or .npy, or in / for a folder",
                          word);
}

static int fetch_main(int argc, char **argv)
{
    struct fetch f = {0};
    struct err e = {0};
    int code = cli_jobs_parse(&cli_jobs_fetch_command, argc, argv, &f.jobs, &f);
    if (code >= 0)
        return code;
    if (!f.output)
        return cli_usage_error("jobs fetch", "-o OUT is needed");
    return fetch(&f, &e) == 0 ? CLI_EXIT_OK : cli_fail("jobs fetch", &e);
}

static const struct cli_option options[] = {
    CLI_JOBS_OPTIONS, {"output", 'o', 0, "OUT", CLI_VALUES_FILES, "where the images go"}, {0}};

static const struct cli_term forms[] = {
    {"DIR/", "each image by itself, as 000003.png by its index; of float32 jobs as .npy. Images "
             "come as they are stored, and those that are there already are not fetched again"},
    {"NAME.zip, NAME.tar", "PNGs and manifest.json; a .zip of 65,535 images at most"},
    {"NAME.npz, NAME.npy", "arrays, as pfgm sample writes them"},
    {0}};

const struct cli_command cli_jobs_fetch_command = {
    .name = "jobs fetch",
    .summary = "fetch the images of a job",
    .synopsis = "jobs fetch ID -o OUT [options]",
    .about = "Waits until the job has ended and fetches its images. What comes is compared with "
             "the SHA-256 of each image (of arrays, with the archive's checksum) before it gets "
             "its name. The name's ending chooses the form:",
    .terms = forms,
    .options = options,
    .take = take_option,
    .run = fetch_main};
