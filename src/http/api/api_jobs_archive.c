/* GET /v1/jobs/{id}/archive: all images of a job in the order of their indices, read from the store
 * one at a time. While the job runs the answer waits for what is missing; where that never comes,
 * it ends without its last piece, so that no reader can take the part for the whole.
 *
 * What the manifest says of a million images is not held: only its length is counted while they go
 * out, and then they are read once more. */
#include "api_handlers.h"
#include "api_jobs_answer.h"
#include "api_stream.h"

#include "archive_tar.h"
#include "base_cpu.h"
#include "base_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_NS 200000000LL /* between two looks for an image that is not there yet */
#define ARRAY_NAME "arr_0.npy"
#define MANIFEST_NAME "manifest.json"
#define MANIFEST_END "\n]}\n"
#define LINES 64 /* of the manifest at a time */
/* Of an NPZ's arrays of numbers at a time. A smaller one is a whole member, as in other answers. */
#define NUMBERS 8192
#define MISSING_NS 1000000000LL /* after which an image that must be there is missed for good */

struct archive {
    struct jobs_record job;
    enum http_format format;
    struct jobs_kept kept;
    bool chw, float32, is_png; /* of what is stored: PNGs, else float [C,H,W] or pixels [H,W,C] */
    enum { IMAGES, MANIFEST, ARRAYS, TABLE } part;
    uint64_t next;            /* image of the part, or number of the array */
    size_t array;             /* of numbers */
    int32_t *labels;          /* [n], of an NPZ with classes */
    int64_t missing_since_ns; /* the job has all images, and the next one is not there; 0: it is */
    uint64_t manifest_bytes;
};

static bool is_array(const struct archive *a)
{
    return a->format == HTTP_FORMAT_NPY || a->format == HTTP_FORMAT_NPZ;
}

static void archive_free(void *own)
{
    struct archive *a = own;
    jobs_kept_clear(&a->kept);
    free(a->labels);
    free(own);
}

static int choose_format(const struct http_request *q, struct archive *a, struct http_problem *p)
{
    struct api_jobs_choice choice;
    const bool available[HTTP_FORMATS] = {[HTTP_FORMAT_NPY] = true,
                                          [HTTP_FORMAT_NPZ] = true,
                                          [HTTP_FORMAT_ZIP] = a->is_png,
                                          [HTTP_FORMAT_TAR] = a->is_png};
    const char *accept = q->has_accept ? q->accept : NULL;
    if (api_jobs_choose(q, true, &choice, p) != 0)
        return -1;
    const char *usual = http_format_word(a->is_png ? HTTP_FORMAT_ZIP : HTTP_FORMAT_NPZ);
    if (http_negotiate(accept,
                       choice.format                              ? choice.format
                       : http_accepts_anything(accept, available) ? usual
                                                                  : NULL,
                       available, &a->format) != 0) {
        http_problem_set(p, HTTP_PROBLEM_NOT_ACCEPTABLE, "this job comes as %snpy or npz",
                         a->is_png ? "zip, tar, " : "");
        p->available = json_array();
        for (int f = 0; f < HTTP_FORMATS; f++)
            if (available[f])
                p->available =
                    json_plus(p->available, json_string(http_format_type((enum http_format)f)));
        return -1;
    }
    a->chw = choice.layout && strcmp(choice.layout, "chw") == 0;
    if (!a->chw && choice.layout && strcmp(choice.layout, "hwc") != 0)
        http_problem_point(p, "/layout", "must be hwc or chw");
    if (a->format == HTTP_FORMAT_NPZ &&
        !archive_zip_array_fits(api_jobs_value_bytes(&a->kept), a->job.n))
        http_problem_point(p, "/format",
                           "the array would be larger than the 4 GiB that an npz can hold; ask "
                           "for npy");
    return p->code == HTTP_PROBLEM_NONE ? 0 : -1;
}

/* A store that is away is looked for again. */
static int wait_for_store(const struct api_stream *s, int64_t *wake_ns)
{
    if (atomic_load(&s->app->state) == HTTP_STATE_DRAINING) /* it goes on after the next start */
        return API_STREAM_BROKEN;
    *wake_ns = clock_ns() + LOOK_NS;
    return API_STREAM_WAIT;
}

/* ---- pieces ---- */

/* Values [H,W,C] of a picture or [C,H,W] of a sample in the layout that was asked for. */
static int append_values(struct api_stream *s, const unsigned char *from, bool is_planar)
{
    const struct archive *a = s->own;
    const size_t size = a->float32 ? sizeof(float) : 1, c = (size_t)a->kept.shape.channels,
                 area = (size_t)a->kept.shape.height * (size_t)a->kept.shape.width,
                 bytes = api_jobs_value_bytes(&a->kept);
    unsigned char *turned = NULL;
    if (is_planar != a->chw) {
        turned = malloc(bytes);
        for (size_t k = 0; turned && k < c; k++)
            for (size_t p = 0; p < area; p++) {
                const size_t planar = (k * area + p) * size, packed = (p * c + k) * size;
                memcpy(turned + (a->chw ? planar : packed), from + (a->chw ? packed : planar),
                       size);
            }
        if (!turned)
            return -1;
        from = turned;
    }
    const int result = s->zip ? archive_zip_stream_piece(s->zip, from, bytes, &s->out, NULL)
                              : buf_append(&s->out, from, bytes, NULL);
    free(turned);
    return result;
}

static int array_piece(struct api_stream *s, const struct buf *stored)
{
    const struct archive *a = s->own;
    struct image_png png;
    const unsigned char *values = api_jobs_values(&a->kept, stored, &png);
    const int result = values ? append_values(s, values, a->float32) : -1;
    free(png.pixels);
    return result;
}

static void picture_name(const struct archive *a, const struct jobs_result *image, char name[80])
{
    snprintf(name, 80, "pfgm-%" PRIu64 "-%" PRIu64 ".png", a->kept.seed,
             a->kept.first_index + image->index);
}

/* What the manifest says of an image. */
static int append_line(const struct archive *a, const struct jobs_result *image, struct buf *out)
{
    char name[80];
    picture_name(a, image, name);
    json_t *o = json_pack("{s:I, s:s, s:s, s:I, s:I}", "index", (json_int_t)image->index, "name",
                          name, "sha256", image->sha256, "nfe", (json_int_t)image->nfe,
                          "steps_rejected", (json_int_t)image->steps_rejected);
    if (a->kept.classes > 0)
        o = json_with(o, "class",
                      image->label == MODEL_CLASS_NONE ? json_null() : json_integer(image->label));
    int result = !o || buf_string(out, image->index > 0 ? ",\n" : "", NULL) != 0 ||
                 json_append(out, o, 0, NULL) != 0;
    json_decref(o);
    return result != 0 ? -1 : 0;
}

static int picture(struct api_stream *s, const struct jobs_result *image)
{
    struct archive *a = s->own;
    struct buf line;
    char name[80];
    picture_name(a, image, name);
    buf_init(&line, 4096);
    const int result = append_line(a, image, &line);
    a->manifest_bytes += line.length;
    buf_clear(&line);
    return result != 0 ? -1 : api_stream_member(s, name, image->bytes, image->length);
}

/* ---- the manifest ---- */

static int manifest_piece(struct api_stream *s, const void *data, size_t length)
{
    return s->zip ? archive_zip_stream_piece(s->zip, data, length, &s->out, NULL)
                  : buf_append(&s->out, data, length, NULL);
}

/* Looks at the job again. What the answer has begun with must still be so. */
static enum jobs_answer look_again(struct api_stream *s)
{
    struct archive *a = s->own;
    struct jobs_record now;
    struct err e = {0};
    const enum jobs_answer answer =
        jobs_get(s->app->options->jobs, s->request->client, a->job.id, &now, &e);
    if (answer != JOBS_DONE)
        return answer;
    if (now.n != a->job.n || strcmp(now.parameters, a->job.parameters) != 0)
        return JOBS_BROKEN;
    a->job = now;
    return JOBS_DONE;
}

/* Its head, by which its length is known: the lines have been counted. */
static int begin_manifest(struct api_stream *s)
{
    struct archive *a = s->own;
    struct buf head;
    buf_init(&head, 65536);
    json_t *job = api_jobs_json(s->app, s->request, &a->job);
    int result = !job || buf_string(&head, "{\"job\":", NULL) != 0 ||
                 json_append(&head, job, 0, NULL) != 0 ||
                 buf_string(&head, ",\"images\":[\n", NULL) != 0;
    a->manifest_bytes += head.length + strlen(MANIFEST_END);
    if (result == 0)
        result = s->zip ? archive_zip_stream_begin(s->zip, MANIFEST_NAME, a->manifest_bytes,
                                                   &s->out, NULL)
                        : archive_tar_begin(MANIFEST_NAME, a->manifest_bytes, &s->out, NULL);
    if (result == 0)
        result = manifest_piece(s, head.data, head.length);
    json_decref(job);
    buf_clear(&head);
    return result != 0 ? -1 : 0;
}

static int end_manifest(struct api_stream *s)
{
    const struct archive *a = s->own;
    if (manifest_piece(s, MANIFEST_END, strlen(MANIFEST_END)) != 0)
        return -1;
    return s->zip ? 0 : archive_tar_end(a->manifest_bytes, &s->out, NULL);
}

/* The lines of the next images, which are read once more; those before one that cannot be read.
 * JOBS_BROKEN: they cannot be sent. */
static enum jobs_answer manifest_lines(struct api_stream *s)
{
    struct archive *a = s->own;
    struct jobs_result image;
    struct buf bytes, lines;
    struct err e = {0};
    enum jobs_answer answer = JOBS_DONE;
    buf_init(&bytes, HTTP_REPLY_BODY_MAX);
    buf_init(&lines, 4096 * LINES);
    for (int i = 0; i < LINES && a->next < a->job.n && answer == JOBS_DONE; i++) {
        buf_reset(&bytes);
        answer = jobs_image(s->app->options->jobs, a->job.id, a->next, &image, &bytes, &e);
        if (answer == JOBS_DONE && append_line(a, &image, &lines) != 0)
            answer = JOBS_BROKEN;
        a->next += answer == JOBS_DONE;
    }
    if (lines.length > 0 && manifest_piece(s, lines.data, lines.length) != 0)
        answer = JOBS_BROKEN;
    buf_clear(&lines);
    buf_clear(&bytes);
    return answer;
}

static int fill_manifest(struct api_stream *s, int64_t *wake_ns)
{
    struct archive *a = s->own;
    const enum jobs_answer answer = manifest_lines(s);
    if (answer == JOBS_AWAY)
        return s->out.length > 0 ? 1 : wait_for_store(s, wake_ns);
    if (answer != JOBS_DONE)
        return API_STREAM_BROKEN;
    if (a->next < a->job.n)
        return 1;
    a->part = TABLE;
    return end_manifest(s) == 0 ? 1 : API_STREAM_BROKEN;
}

/* ---- what follows ---- */

static uint64_t seed_value(const struct api_stream *s, uint64_t i)
{
    (void)i;
    return ((const struct archive *)s->own)->kept.seed;
}

static uint64_t index_value(const struct api_stream *s, uint64_t i)
{
    return ((const struct archive *)s->own)->kept.first_index + i;
}

static uint64_t class_value(const struct api_stream *s, uint64_t i)
{
    return (uint64_t)(int64_t)((const struct archive *)s->own)->labels[i];
}

struct array {
    const char *name;
    enum archive_npy_type type;
    uint64_t (*value)(const struct api_stream *s, uint64_t i);
};

static int begin_array(struct api_stream *s, const struct array *array, uint64_t n)
{
    struct buf header;
    buf_init(&header, 4096);
    const int result =
        archive_npy_header(array->type, 1, &n, &header, NULL) != 0 ||
        archive_zip_stream_begin(s->zip, array->name, header.length + n * sizeof(uint64_t), &s->out,
                                 NULL) != 0 ||
        archive_zip_stream_piece(s->zip, header.data, header.length, &s->out, NULL) != 0;
    buf_clear(&header);
    return result != 0 ? -1 : 0;
}

/* The next numbers of an array that is too long to be held. */
static int array_numbers(struct api_stream *s, const struct array *array, uint64_t n)
{
    struct archive *a = s->own;
    unsigned char bytes[256 * sizeof(uint64_t)];
    int result = a->next == 0 ? begin_array(s, array, n) : 0;
    for (size_t i = 0; i < NUMBERS && a->next < n && result == 0;) {
        size_t length = 0;
        for (; length < sizeof bytes && i < NUMBERS && a->next < n; i++, a->next++) {
            const uint64_t value = array->value(s, a->next);
            for (int k = 0; k < 8; k++)
                bytes[length++] = (unsigned char)(value >> (8 * k));
        }
        result = archive_zip_stream_piece(s->zip, bytes, length, &s->out, NULL);
    }
    return result;
}

/* An NPZ's arrays of numbers. */
static int fill_arrays(struct api_stream *s)
{
    static const struct array arrays[] = {{"seed.npy", ARCHIVE_NPY_U64, seed_value},
                                          {"index.npy", ARCHIVE_NPY_U64, index_value},
                                          {"class.npy", ARCHIVE_NPY_I64, class_value}};
    struct archive *a = s->own;
    const struct array *array = &arrays[a->array];
    const uint64_t n = a->array == 0 ? 1 : a->job.n;
    int result;
    if (n <= NUMBERS) {
        result = api_stream_numbers(s, array->name, array->type, array->value, n);
        a->next = n;
    } else {
        result = array_numbers(s, array, n);
    }
    if (result == 0 && a->next == n) {
        a->next = 0;
        a->array++;
        if (a->array == (a->kept.classes > 0 ? 3 : 2))
            a->part = TABLE;
    }
    return result == 0 ? 1 : API_STREAM_BROKEN;
}

/* After the last image: what else the archive has. */
static int begin_tail(struct api_stream *s, int64_t *wake_ns)
{
    struct archive *a = s->own;
    const enum jobs_answer answer = is_array(a) ? JOBS_DONE : look_again(s);
    if (answer == JOBS_AWAY)
        return wait_for_store(s, wake_ns);
    if (answer == JOBS_BROKEN)
        return API_STREAM_BROKEN;
    a->next = 0;
    a->part = a->format == HTTP_FORMAT_NPZ ? ARRAYS : is_array(a) ? TABLE : MANIFEST;
    return a->part == MANIFEST && begin_manifest(s) != 0 ? API_STREAM_BROKEN : 1;
}

static int fill_table(struct api_stream *s)
{
    const struct archive *a = s->own;
    int result = 0;
    if (s->zip)
        result = archive_zip_stream_table(s->zip, &s->out, NULL);
    else if (a->format == HTTP_FORMAT_TAR)
        result = archive_tar_finish(&s->out, NULL);
    s->ended = result == 0;
    return result < 0 ? API_STREAM_BROKEN : 1;
}

/* Whether the image that is not there will not come. Between the look for it and the one for the
 * job it may have come, and the job ended; so it is looked for once more. */
static bool is_missing(struct archive *a)
{
    const int64_t now = clock_ns();
    if (a->job.state != JOBS_SUCCEEDED)
        return !(JOBS_LIVE & JOBS_BIT(a->job.state));
    if (a->missing_since_ns == 0)
        a->missing_since_ns = now;
    if (now - a->missing_since_ns < MISSING_NS)
        return false;
    log_line(LOG_ERROR,
             "job %s has succeeded, and its image %" PRIu64
             " is not in the store: an archive of it breaks off",
             a->job.id, a->next);
    return true;
}

/* Whether the image that is not there may still come; of a store that is away it is not known, and
 * the reader waits. */
static int wait_for_more(struct api_stream *s, int64_t *wake_ns)
{
    struct archive *a = s->own;
    const enum jobs_answer answer = look_again(s);
    if (answer == JOBS_DONE && is_missing(a))
        return API_STREAM_BROKEN;
    if (answer != JOBS_DONE && answer != JOBS_AWAY)
        return API_STREAM_BROKEN;
    return wait_for_store(s, wake_ns);
}

static int fill_image(struct api_stream *s, int64_t *wake_ns)
{
    struct archive *a = s->own;
    struct jobs_result image;
    struct buf bytes;
    struct err e = {0};
    buf_init(&bytes, HTTP_REPLY_BODY_MAX);
    const enum jobs_answer answer =
        jobs_image(s->app->options->jobs, a->job.id, a->next, &image, &bytes, &e);
    int result = API_STREAM_BROKEN;
    if (answer == JOBS_AWAY)
        a->missing_since_ns = 0;
    if (answer == JOBS_ABSENT || answer == JOBS_AWAY) {
        result = wait_for_more(s, wake_ns);
    } else if (answer == JOBS_DONE &&
               (is_array(a) ? array_piece(s, &bytes) : picture(s, &image)) == 0) {
        if (a->labels)
            a->labels[a->next] = image.label;
        a->missing_since_ns = 0;
        a->next++;
        result = 1;
    }
    buf_clear(&bytes);
    return result;
}

static int fill(struct api_stream *s, const struct http_look *look, int64_t *wake_ns)
{
    struct archive *a = s->own;
    if (look->stopping)
        return API_STREAM_BROKEN;
    switch (a->part) {
    case IMAGES:
        if (a->next < a->job.n)
            return fill_image(s, wake_ns);
        return begin_tail(s, wake_ns);
    case MANIFEST:
        return fill_manifest(s, wake_ns);
    case ARRAYS:
        return fill_arrays(s);
    case TABLE:
    default:
        return fill_table(s);
    }
}

static const struct api_stream_ops of_job = {.fill = fill, .free = archive_free};

/* ---- opening ---- */

/* The head of an array, and what holds an archive's members. */
static int begin(struct api_stream *s)
{
    struct archive *a = s->own;
    const uint64_t n = a->job.n, c = (uint64_t)a->kept.shape.channels,
                   h = (uint64_t)a->kept.shape.height, w = (uint64_t)a->kept.shape.width;
    const uint64_t hwc[] = {n, h, w, c}, chw[] = {n, c, h, w};
    struct buf header;
    int result = 0;
    if (a->format == HTTP_FORMAT_ZIP || a->format == HTTP_FORMAT_NPZ) {
        s->zip = archive_zip_stream_new(NULL);
        result = s->zip ? 0 : -1;
    }
    if (!is_array(a) || result != 0)
        return result;
    buf_init(&header, 4096);
    result = archive_npy_header(a->float32 ? ARCHIVE_NPY_F32 : ARCHIVE_NPY_U8, 4,
                                a->chw ? chw : hwc, &header, NULL);
    if (result == 0 && a->format == HTTP_FORMAT_NPZ)
        result = archive_zip_stream_begin(s->zip, ARRAY_NAME,
                                          header.length + n * api_jobs_value_bytes(&a->kept),
                                          &s->out, NULL) != 0 ||
                 archive_zip_stream_piece(s->zip, header.data, header.length, &s->out, NULL) != 0;
    else if (result == 0)
        result = buf_append(&s->out, header.data, header.length, NULL);
    if (result == 0 && a->format == HTTP_FORMAT_NPY)
        s->length = header.length + n * api_jobs_value_bytes(&a->kept);
    buf_clear(&header);
    return result != 0 ? -1 : 0;
}

/* The job, if it is the client's and can come whole. */
static int find(struct http_app *app, const struct http_request *q, struct archive *a,
                struct http_problem *p)
{
    struct err e = {0};
    char id[JOBS_ID_SIZE];
    if (!api_jobs_are_on(app, p))
        return -1;
    enum jobs_answer answer = JOBS_ABSENT;
    err_fail(&e, ERR_INPUT, "", "there is no such job: an id is a UUID");
    if (jobs_id_parse(q->names[0], id) == 0)
        answer = jobs_get(app->options->jobs, q->client, id, &a->job, &e);
    api_jobs_problem(answer, &e, p);
    if (answer != JOBS_DONE)
        return -1;
    if (!(JOBS_LIVE & JOBS_BIT(a->job.state)) && a->job.images_done < a->job.n)
        http_problem_set(p, HTTP_PROBLEM_NOT_FOUND,
                         "the job has ended with %" PRIu64 " of its %" PRIu64
                         " images; each of them is at images/{index}",
                         a->job.images_done, a->job.n);
    else if (jobs_kept_read(&a->job, &a->kept, &e) != 0)
        api_jobs_problem(JOBS_BROKEN, &e, p);
    a->float32 = a->kept.output == ENGINE_OUTPUT_SAMPLE;
    a->is_png = a->kept.output == ENGINE_OUTPUT_PNG;
    return p->code == HTTP_PROBLEM_NONE ? choose_format(q, a, p) : -1;
}

struct api_stream *api_jobs_archive(struct http_app *app, const struct http_request *q,
                                    struct api_call *call, struct http_reply *r)
{
    struct http_problem p;
    struct archive *a = calloc(1, sizeof *a);
    struct api_stream *s = NULL;
    http_problem_init(&p);
    if (!a) {
        http_reply_fail(r);
        return NULL;
    }
    http_reply_header(r, "Vary", "Accept");
    if (find(app, q, a, &p) != 0) {
        http_problem_reply(&p, q->id, r);
        archive_free(a);
        return NULL;
    }
    const bool has_labels = a->format == HTTP_FORMAT_NPZ && a->kept.classes > 0;
    if (has_labels)
        a->labels = calloc(a->job.n, sizeof *a->labels);
    if (a->labels || !has_labels)
        s = api_stream_make(app, q, call, &of_job, a);
    if (!s)
        archive_free(a);
    if (!s || begin(s) != 0) {
        api_stream_free(s);
        http_reply_fail(r);
        return NULL;
    }
    r->status = 200;
    r->content_type = http_format_type(a->format);
    http_reply_header(r, "Content-Disposition", "attachment; filename=\"pfgm-job-%.8s.%s\"",
                      a->job.id, http_format_word(a->format));
    http_reply_header(r, "X-Pfgm-Seed", "%" PRIu64, a->kept.seed);
    http_reply_header(r, "X-Pfgm-Model", "%s", a->job.needs.model);
    http_reply_header(r, "X-Pfgm-Kernel", "%s", a->job.needs.kernel);
    return s;
}
