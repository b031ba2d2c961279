/* Jobs as resources: list, one, one of its images, and its end. These handlers read and write
 * records and ask nothing of a worker. */
#include "api_handlers.h"
#include "api_jobs_answer.h"
#include "api_lookup.h"

#include "archive_npy.h"
#include "base_cpu.h"
#include "base_log.h"
#include "base_text.h"
#include "http_negotiate.h"
#include "http_prefer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_DEFAULT 20
#define LIST_MAX 100
#define WAIT_MAX_S 60
#define LOOK_NS 200000000LL /* between two looks of one that waits */
/* For images of live jobs that are still being counted; then what is counted so far is told. */
#define COUNT_LOOK_NS 50000000LL
#define COUNT_WAIT_NS 2000000000LL

static void refuse(const struct http_request *q, struct http_problem *p, struct http_reply *r)
{
    http_problem_reply(p, q->id, r);
}

/* ---- the list ---- */

struct list_query {
    unsigned states;
    size_t limit;
    uint64_t before;
};

static void read_parameter(struct list_query *out, const char *key, const char *value,
                           struct http_problem *p)
{
    uint64_t number = 0;
    enum jobs_state state;
    char pointer[80] = "";
    http_pointer_step(pointer, sizeof pointer, key);
    if (strcmp(key, "state") == 0) {
        if (jobs_state_parse(value, &state) == 0 && state != JOBS_EXPIRED)
            out->states = JOBS_BIT(state);
        else
            http_problem_point(p, pointer,
                               "must be queued, running, cancelling, succeeded, failed or "
                               "cancelled");
    } else if (strcmp(key, "limit") == 0) {
        if (text_digits(value, &number) && number >= 1 && number <= LIST_MAX)
            out->limit = (size_t)number;
        else
            http_problem_point(p, pointer, "must be a whole number from 1 to %d", LIST_MAX);
    } else if (strcmp(key, "after") == 0) {
        if (text_digits(value, &number) && number >= 1 && number <= INT64_MAX)
            out->before = number;
        else
            http_problem_point(p, pointer, "must be what \"next\" of a list was");
    } else {
        http_problem_point(p, pointer, "is not a known parameter");
    }
}

static int read_list_query(const struct http_request *q, struct list_query *out,
                           struct http_problem *p)
{
    char key[64], value[64];
    size_t at = 0;
    *out = (struct list_query){JOBS_LIVE | JOBS_FINISHED, LIST_DEFAULT, 0};
    while (http_query_next(q->target.query, &at, key, sizeof key, value, sizeof value))
        read_parameter(out, key, value, p);
    return p->code == HTTP_PROBLEM_NONE ? 0 : -1;
}

/* One record that is damaged must not hide the others. */
static bool can_be_read(const struct jobs_record *job)
{
    struct jobs_kept kept;
    struct err e = {0};
    char line[1100];
    const bool good = jobs_kept_read(job, &kept, &e) == 0;
    jobs_kept_clear(&kept);
    if (good || e.code == ERR_MEMORY)
        return true;
    log_line(LOG_WARN, "job %s is left out of a list: %s", job->id,
             err_line(&e, line, sizeof line));
    return false;
}

static json_t *list_json(struct http_app *app, const struct http_request *q,
                         const struct jobs_record *jobs, size_t count, bool more)
{
    json_t *list = json_array();
    char next[24] = "";
    for (size_t i = 0; i < count; i++)
        if (can_be_read(&jobs[i]))
            list = json_plus(list, api_jobs_json(app, q, &jobs[i]));
    if (more)
        snprintf(next, sizeof next, "%" PRIu64, jobs[count - 1].number);
    json_t *o = json_with(json_object(), "jobs", list);
    return json_with(o, "next", more ? json_string(next) : json_null());
}

/* Whether the answer is worth a short wait: images of such a job are still being counted. */
static bool waits_for_count(const struct jobs_record *jobs, size_t count, int64_t since_ns,
                            int64_t *wake_ns)
{
    const int64_t now = clock_ns();
    bool is_counting = false;
    for (size_t i = 0; i < count; i++)
        is_counting = is_counting || jobs[i].is_counting;
    *wake_ns = now + COUNT_LOOK_NS;
    return is_counting && now - since_ns < COUNT_WAIT_NS;
}

/* One wait for all jobs of the list. */
bool api_jobs_list_waits(struct http_app *app, const struct http_request *q, int64_t since_ns,
                         int64_t *wake_ns)
{
    struct http_problem p;
    struct list_query query;
    struct err e = {0};
    struct jobs *j = app->options->jobs;
    http_problem_init(&p);
    if (!j || !jobs_are_shared(j) || atomic_load(&app->state) == HTTP_STATE_DRAINING ||
        read_list_query(q, &query, &p) != 0)
        return false;
    size_t count = query.limit;
    struct jobs_record *jobs = calloc(count, sizeof *jobs);
    const bool waits =
        jobs &&
        jobs_list(j, q->client, query.states, query.before, jobs, &count, &e) == JOBS_DONE &&
        waits_for_count(jobs, count, since_ns, wake_ns);
    free(jobs);
    return waits;
}

void api_jobs_list(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    struct http_problem p;
    struct list_query query;
    struct err e = {0};
    http_problem_init(&p);
    if (!api_jobs_are_on(app, &p) || read_list_query(q, &query, &p) != 0) {
        refuse(q, &p, r);
        return;
    }
    size_t count = query.limit + 1; /* one more says whether there are more */
    struct jobs_record *jobs = calloc(count, sizeof *jobs);
    if (!jobs) {
        http_reply_fail(r);
        return;
    }
    const enum jobs_answer answer =
        jobs_list(app->options->jobs, q->client, query.states, query.before, jobs, &count, &e);
    const bool more = count > query.limit;
    api_jobs_problem(answer, &e, &p);
    if (answer != JOBS_DONE)
        refuse(q, &p, r);
    else
        http_reply_json(r, 200, "application/json",
                        list_json(app, q, jobs, more ? query.limit : count, more));
    free(jobs);
}

/* ---- one ---- */

/* Changes with the state, the place in the queue, and each image that is stored. */
static void write_tag(struct http_app *app, const struct jobs_record *job, char out[80])
{
    uint64_t position = 0;
    jobs_position(app->options->jobs, job, &position, NULL);
    snprintf(out, 80, "%" PRIu64 ".%" PRIu64 ".%" PRIu64, job->revision, position,
             job->images_done);
}

/* The seconds of "wait=N" in Prefer, at most WAIT_MAX_S; 0: none. */
static uint64_t preferred_wait(const char *prefer)
{
    uint64_t seconds = 0;
    char value[24];
    if (!http_prefers(prefer, "wait", value, sizeof value) || !value[0] ||
        strspn(value, "0123456789") != strlen(value))
        return 0;
    return text_digits(value, &seconds) && seconds < WAIT_MAX_S ? seconds : WAIT_MAX_S;
}

bool api_jobs_waits(struct http_app *app, const struct http_request *q, int64_t since_ns,
                    int64_t *wake_ns)
{
    const int64_t now = clock_ns(),
                  end = since_ns + (int64_t)preferred_wait(q->prefer) * 1000000000;
    struct jobs_record job;
    struct err e = {0};
    char id[JOBS_ID_SIZE], tag[80];
    struct jobs *j = app->options->jobs;
    if (!j || (now >= end && !jobs_are_shared(j)) ||
        atomic_load(&app->state) == HTTP_STATE_DRAINING || jobs_id_parse(q->names[0], id) != 0 ||
        jobs_get(j, q->client, id, &job, &e) != JOBS_DONE)
        return false;
    if (waits_for_count(&job, 1, since_ns, wake_ns))
        return true;
    if (now >= end)
        return false;
    write_tag(app, &job, tag);
    if (JOBS_FINISHED & JOBS_BIT(job.state) ||
        (q->if_none_match[0] && !api_lookup_matches(q->if_none_match, tag)))
        return false;
    *wake_ns = now + LOOK_NS < end ? now + LOOK_NS : end;
    return true;
}

void api_jobs_show(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    struct jobs_record job;
    char tag[80];
    if (!api_jobs_find(app, q, &job, NULL, r))
        return;
    write_tag(app, &job, tag);
    if (q->if_none_match[0] && api_lookup_matches(q->if_none_match, tag))
        r->status = 304;
    else
        http_reply_json(r, 200, "application/json", api_jobs_json(app, q, &job));
    http_reply_header(r, "ETag", "W/\"%s\"", tag);
    if (preferred_wait(q->prefer) > 0)
        http_reply_header(r, "Preference-Applied", "wait=%" PRIu64, preferred_wait(q->prefer));
}

/* Whether one of the tags is of this revision; the rest of a tag is progress, which does not count.
 */
static bool was_seen(const char *if_match, uint64_t revision)
{
    char begin[24];
    snprintf(begin, sizeof begin, "\"%" PRIu64 ".", revision);
    return strstr(if_match, begin) != NULL;
}

/* Removes the job as it was seen, if If-Match says how: where that cannot be looked at, nothing is
 * removed. One that is being cancelled already is what was asked for; one that has expired is
 * forgotten, and jobs_remove says so of one that is gone or was never there. */
static enum jobs_answer remove_seen(struct http_app *app, const struct http_request *q,
                                    const char *id, struct jobs_record *job, struct err *e)
{
    uint64_t revision = 0;
    if (q->if_match[0] && strcmp(q->if_match, "*") != 0) {
        const enum jobs_answer seen = jobs_get(app->options->jobs, q->client, id, job, e);
        if (seen == JOBS_DONE)
            revision = was_seen(q->if_match, job->revision) ? job->revision : UINT64_MAX;
        else if (seen != JOBS_GONE && seen != JOBS_ABSENT)
            return seen;
    }
    return jobs_remove(app->options->jobs, q->client, id, revision, job, e);
}

void api_jobs_remove(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    struct http_problem p;
    struct jobs_record job;
    struct err e = {0};
    char id[JOBS_ID_SIZE];
    char tag[80];
    enum jobs_answer answer = JOBS_ABSENT;
    http_problem_init(&p);
    if (!api_jobs_are_on(app, &p)) {
        refuse(q, &p, r);
        return;
    }
    err_fail(&e, ERR_INPUT, "", "there is no such job: an id is a UUID");
    if (jobs_id_parse(q->names[0], id) == 0)
        answer = remove_seen(app, q, id, &job, &e);
    if (answer != JOBS_DONE) {
        api_jobs_problem(answer, &e, &p);
        refuse(q, &p, r);
    } else if (job.state == JOBS_EXPIRED || !can_be_read(&job)) {
        r->status = 204;
    } else {
        http_reply_json(r, 202, "application/json", api_jobs_json(app, q, &job));
    }
    if (answer == JOBS_CHANGED || (answer == JOBS_DONE && job.state != JOBS_EXPIRED)) {
        write_tag(app, &job, tag);
        http_reply_header(r, "ETag", "W/\"%s\"", tag);
    }
}

/* ---- an image ---- */

/* [1,H,W,C] of what is stored. -1: out of memory, or it is not what it was. */
static int write_npy(const struct jobs_kept *kept, const struct buf *stored, struct buf *out)
{
    const struct image_shape s = kept->shape;
    const bool sample = kept->output == ENGINE_OUTPUT_SAMPLE;
    const size_t c = (size_t)s.channels, area = (size_t)s.height * (size_t)s.width;
    const uint64_t dims[] = {1, (uint64_t)s.height, (uint64_t)s.width, (uint64_t)s.channels};
    struct image_png png;
    const unsigned char *values = api_jobs_values(kept, stored, &png);
    int result =
        values ? archive_npy_header(sample ? ARCHIVE_NPY_F32 : ARCHIVE_NPY_U8, 4, dims, out, NULL)
               : -1;
    if (result == 0 && !sample)
        result = buf_append(out, values, area * c, NULL);
    for (size_t p = 0; result == 0 && sample && p < area; p++)
        for (size_t k = 0; result == 0 && k < c; k++) /* samples are planar */
            result = buf_append(out, values + (k * area + p) * sizeof(float), sizeof(float), NULL);
    free(png.pixels);
    return result;
}

/* PNG where there is one, else NPY; ?format= and Accept choose. */
static int choose_format(const struct http_request *q, bool is_png, enum http_format *out,
                         struct http_problem *p)
{
    struct api_jobs_choice choice;
    const bool available[HTTP_FORMATS] = {[HTTP_FORMAT_PNG] = is_png, [HTTP_FORMAT_NPY] = true};
    const char *accept = q->has_accept ? q->accept : NULL;
    if (api_jobs_choose(q, false, &choice, p) != 0)
        return -1;
    const char *usual = http_format_word(is_png ? HTTP_FORMAT_PNG : HTTP_FORMAT_NPY);
    if (http_negotiate(accept,
                       choice.format                              ? choice.format
                       : http_accepts_anything(accept, available) ? usual
                                                                  : NULL,
                       available, out) == 0)
        return 0;
    http_problem_set(p, HTTP_PROBLEM_NOT_ACCEPTABLE, "this image comes as %snpy",
                     is_png ? "png or " : "");
    p->available = json_array();
    for (int f = 0; f < HTTP_FORMATS; f++)
        if (available[f])
            p->available =
                json_plus(p->available, json_string(http_format_type((enum http_format)f)));
    return -1;
}

static void send_image(const struct http_request *q, const struct jobs_record *job,
                       const struct jobs_kept *kept, const struct jobs_result *image,
                       const struct buf *bytes, enum http_format format, struct http_reply *r)
{
    char tag[SHA256_HEX_SIZE + 8];
    snprintf(tag, sizeof tag, "%s%s", image->sha256, format == HTTP_FORMAT_NPY ? ".npy" : "");
    if (api_lookup_matches(q->if_none_match, tag)) {
        r->status = 304;
    } else {
        r->status = 200;
        r->content_type = http_format_type(format);
        int result = format == HTTP_FORMAT_PNG
                         ? buf_append(&r->body, bytes->data, bytes->length, NULL)
                         : write_npy(kept, bytes, &r->body);
        if (result != 0) {
            http_reply_fail(r);
            return;
        }
    }
    r->cachable = true;
    http_reply_header(r, "ETag", "\"%s\"", tag);
    http_reply_header(r, "Vary", "Accept");
    http_reply_header(r, "Cache-Control", "%s, max-age=31536000, immutable",
                      q->client[0] ? "private" : "public");
    http_reply_header(r, "X-Pfgm-Model", "%s", job->needs.model);
    http_reply_header(r, "X-Pfgm-Kernel", "%s", job->needs.kernel);
}

void api_jobs_image(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    static const unsigned char signature[] = {0x89, 'P', 'N', 'G'};
    struct http_problem p;
    struct jobs_record job;
    struct jobs_kept kept;
    struct jobs_result image;
    struct err e = {0};
    struct buf bytes;
    uint64_t index = 0;
    enum http_format format;
    if (!api_jobs_find(app, q, &job, &kept, r))
        return;
    http_problem_init(&p);
    buf_init(&bytes, HTTP_REPLY_BODY_MAX);
    enum jobs_answer answer = JOBS_ABSENT;
    const bool is_named = text_digits(q->names[1], &index) && index < job.n;
    if (!is_named)
        err_fail(&e, ERR_INPUT, "", "the images of this job are 0 to %" PRIu64, job.n - 1);
    else
        answer = jobs_image(app->options->jobs, job.id, index, &image, &bytes, &e);
    const bool is_png = bytes.length > sizeof signature &&
                        memcmp(bytes.data, signature, sizeof signature) == 0 &&
                        kept.output == ENGINE_OUTPUT_PNG;
    api_jobs_problem(answer, &e, &p);
    if (answer != JOBS_DONE || choose_format(q, is_png, &format, &p) != 0)
        refuse(q, &p, r);
    else
        send_image(q, &job, &kept, &image, &bytes, format, r);
    if (answer == JOBS_ABSENT && is_named && (JOBS_LIVE & JOBS_BIT(job.state)))
        http_reply_header(r, "Retry-After", "1");
    jobs_kept_clear(&kept);
    buf_clear(&bytes);
}
