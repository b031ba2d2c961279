/* GET /v1/jobs/{id}/events: server-sent events of a job. They are not stored: each follows from the
 * record and the order in which results were stored, which never changes. So whoever has seen event
 * N goes on behind it (Last-Event-ID), after a restart of either side too.
 *
 *     1 queued · 2 started · 2 + k the k-th image that was stored · 3 + n the end, of n images
 *
 * Progress and previews have the number of the event before them. The end has its number whether or
 * not all images are there: where replicas share the jobs, one that fails or is cancelled may count
 * fewer images than a reader was told of, and its end must come after them all the same. */
#include "api_answer.h"
#include "api_handlers.h"
#include "api_jobs_answer.h"
#include "api_stream.h"

#include "base_cpu.h"
#include "base_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_NS 250000000LL
#define SILENCE_NS 15000000000LL
#define IMAGES 64 /* told of at a time */
/* A record may come from another replica before the reports of the job's last images do, and what a
 * server without power has lost of them never comes. So the end waits for them, for this long. */
#define BEHIND_NS 10000000000LL
enum { NOTHING, QUEUED, STARTED };

struct events {
    struct jobs_record job;
    bool has_classes; /* its model, so that each image has one or none */
    uint64_t last;    /* the number that was said last */
    double fraction;
    uint64_t preview; /* that was shown last */
    int64_t said_ns, progress_ns, preview_ns;
    int64_t behind_ns; /* the job has ended, and nothing more was said since; 0: not so */
};

/* Takes the reference to `data`; NULL counts as out of memory. */
static int say(struct api_stream *s, const char *event, uint64_t number, json_t *data)
{
    struct events *v = s->own;
    const int result =
        !data ||
        buf_format(&s->out, NULL, "id: %" PRIu64 "\nevent: %s\ndata: ", number, event) != 0 ||
        json_append(&s->out, data, 0, NULL) != 0 || buf_string(&s->out, "\n\n", NULL) != 0;
    json_decref(data);
    v->last = number;
    v->behind_ns = 0;
    v->said_ns = clock_ns();
    return result != 0 ? API_STREAM_BROKEN : 1;
}

static int say_image(struct api_stream *s, const struct jobs_result *image)
{
    const struct events *v = s->own;
    char url[HTTP_PREFIX_MAX + 96];
    snprintf(url, sizeof url, "%s/v1/jobs/%s/images/%" PRIu64, s->request->prefix, v->job.id,
             image->index);
    json_t *o = json_pack("{s:I, s:s, s:s, s:I, s:I}", "index", (json_int_t)image->index, "url",
                          url, "sha256", image->sha256, "nfe", (json_int_t)image->nfe,
                          "steps_rejected", (json_int_t)image->steps_rejected);
    if (v->has_classes)
        o = json_with(o, "class", api_answer_label(image->label));
    return say(s, "image", STARTED + image->sequence, o);
}

/* Images that were stored since; 0: none, or the store is away. */
static int say_images(struct api_stream *s, bool *is_away)
{
    struct events *v = s->own;
    struct jobs_result images[IMAGES];
    struct err e = {0};
    size_t count = IMAGES;
    const enum jobs_answer answer =
        jobs_log(s->app->options->jobs, v->job.id, v->last - STARTED, images, &count, &e);
    *is_away = answer == JOBS_AWAY;
    if (answer != JOBS_DONE)
        return *is_away ? 0 : API_STREAM_BROKEN;
    int result = 0;
    for (size_t i = 0; i < count && result >= 0; i++)
        result = say_image(s, &images[i]);
    return result;
}

static uint64_t end_number(const struct jobs_record *job)
{
    return STARTED + 1 + job->n;
}

/* Whether the end is to wait for images. */
static bool is_behind(struct events *v)
{
    if (v->last < STARTED || v->last - STARTED >= v->job.images_done)
        return false;
    v->behind_ns = v->behind_ns ? v->behind_ns : clock_ns();
    return clock_ns() - v->behind_ns < BEHIND_NS;
}

static int say_end(struct api_stream *s)
{
    struct events *v = s->own;
    s->ended = true;
    return say(s, v->job.state == JOBS_SUCCEEDED ? "done" : jobs_state_word(v->job.state),
               end_number(&v->job), api_jobs_json(s->app, s->request, &v->job));
}

static int say_progress(struct api_stream *s, double fraction)
{
    struct events *v = s->own;
    json_t *job = api_jobs_json(s->app, s->request, &v->job);
    json_t *progress = json_incref(json_object_get(job, "progress"));
    json_decref(job);
    v->fraction = fraction;
    v->progress_ns = clock_ns();
    return say(s, "progress", v->last, progress);
}

/* The newest state, at most four a second; 0: there is none. */
static int say_preview(struct api_stream *s)
{
    struct events *v = s->own;
    struct jobs_preview preview = {.number = 0};
    int result = 0;
    if (clock_ns() - v->preview_ns < PROGRESS_NS)
        return 0;
    buf_init(&preview.png, HTTP_REPLY_BODY_MAX);
    if (jobs_preview_get(s->app->options->jobs, v->job.id, v->preview, &preview)) {
        v->preview = preview.number;
        v->preview_ns = clock_ns();
        result = say(s, "preview", v->last,
                     api_answer_preview(preview.index, preview.step, &preview.png));
    }
    buf_clear(&preview.png);
    return result;
}

static int stay_silent(struct api_stream *s, int64_t *wake_ns)
{
    struct events *v = s->own;
    const int64_t now = clock_ns();
    if (now - v->said_ns >= SILENCE_NS) {
        v->said_ns = now;
        return buf_string(&s->out, ": still here\n\n", NULL) == 0 ? 1 : API_STREAM_BROKEN;
    }
    *wake_ns = now + PROGRESS_NS;
    return API_STREAM_WAIT;
}

static int fill(struct api_stream *s, const struct http_look *look, int64_t *wake_ns)
{
    struct events *v = s->own;
    struct jobs *jobs = s->app->options->jobs;
    struct err e = {0};
    /* The client comes again by itself and goes on with the next start. */
    if (look->stopping || atomic_load(&s->app->state) == HTTP_STATE_DRAINING)
        return API_STREAM_END;
    const enum jobs_answer answer = jobs_get(jobs, s->request->client, v->job.id, &v->job, &e);
    if (answer == JOBS_AWAY) /* the store comes back, and the reader need not know */
        return stay_silent(s, wake_ns);
    if (answer != JOBS_DONE)
        return API_STREAM_END;
    if (v->last == NOTHING)
        return buf_string(&s->out, "retry: 2000\n", NULL) == 0
                   ? say(s, "queued", QUEUED, api_jobs_json(s->app, s->request, &v->job))
                   : API_STREAM_BROKEN;
    if (v->last == QUEUED && v->job.started_ms > 0)
        return say(s, "started", STARTED, api_jobs_json(s->app, s->request, &v->job));
    bool is_away = false;
    const int images = v->last >= STARTED ? say_images(s, &is_away) : 0;
    if (is_away)
        return stay_silent(s, wake_ns);
    if (images != 0)
        return images;
    if (JOBS_FINISHED & JOBS_BIT(v->job.state))
        return is_behind(v) ? stay_silent(s, wake_ns) : say_end(s);
    const int preview = v->last >= STARTED ? say_preview(s) : 0;
    if (preview != 0)
        return preview;
    const double fraction = jobs_progress_get(jobs, &v->job).fraction;
    if (v->last >= STARTED && fraction > v->fraction && clock_ns() - v->progress_ns >= PROGRESS_NS)
        return say_progress(s, fraction);
    return stay_silent(s, wake_ns);
}

static const struct api_stream_ops of_events = {.fill = fill, .free = free};

struct api_stream *api_jobs_events(struct http_app *app, const struct http_request *q,
                                   struct api_call *call, struct http_reply *r)
{
    struct events *v = calloc(1, sizeof *v);
    struct api_stream *s = v ? api_stream_make(app, q, call, &of_events, v) : NULL;
    if (!s) {
        free(v);
        http_reply_fail(r);
        return NULL;
    }
    struct jobs_kept kept;
    if (!api_jobs_find(app, q, &v->job, &kept, r)) {
        api_stream_free(s);
        return NULL;
    }
    v->has_classes = kept.classes > 0;
    jobs_kept_clear(&kept);
    if (!text_digits(q->last_event_id, &v->last) || v->last > INT64_MAX)
        v->last = NOTHING;
    v->said_ns = clock_ns();
    if (JOBS_FINISHED & JOBS_BIT(v->job.state) && v->last >= end_number(&v->job)) {
        r->status = 204; /* all is said; a browser that reads this does not come again */
        api_stream_free(s);
        return NULL;
    }
    r->status = 200;
    r->content_type = http_format_type(HTTP_FORMAT_EVENTS);
    http_reply_header(r, "X-Accel-Buffering", "no");
    return s;
}
