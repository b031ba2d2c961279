/* Server-sent events (the HTML standard, section 9.2): every event has a number and one line of
 * JSON. Where a request comes before that of the images, the events begin with it. Progress comes
 * at most four times a second and once more when all is made, a comment after fifteen seconds
 * without anything else, so that proxies keep the connection; and the last event is done, failed or
 * cancelled. */
#include "api_answer.h"
#include "api_stream.h"

#include "base_cpu.h"

#include <stdio.h>
#include <string.h>

#define PROGRESS_NS 250000000
#define SILENCE_NS 15000000000

/* Takes the reference to `data`; NULL counts as out of memory. */
static int say(struct api_stream *s, const char *event, json_t *data)
{
    int result =
        !data ||
        buf_format(&s->out, NULL, "id: %lu\nevent: %s\ndata: ", ++s->events.number, event) != 0 ||
        json_append(&s->out, data, 0, NULL) != 0 || buf_string(&s->out, "\n\n", NULL) != 0;
    json_decref(data);
    s->events.said_ns = clock_ns();
    return result != 0 ? API_STREAM_BROKEN : 1;
}

static int say_queued(struct api_stream *s)
{
    const struct engine_order order = api_call_order(s->call);
    struct engine_stats stats = engine_stats_get(s->app->engine);
    json_t *o = api_answer_head(s->request->id, s->call, &order);
    /* Counted after this request was queued, so its own images may be among them. */
    o = json_with(o, "images_waiting", json_integer((json_int_t)stats.queued_images));
    s->events.queued = true;
    if (buf_string(&s->out, "retry: 2000\n", NULL) != 0) {
        json_decref(o);
        return API_STREAM_BROKEN;
    }
    return say(s, "queued", o);
}

static int say_started(struct api_stream *s)
{
    const struct engine_timings times = engine_request_timings(s->call->ticket->request);
    s->events.started = true;
    s->events.progress_ns = clock_ns();
    return say(s, "started", json_pack("{s:f}", "queue_ms", (double)times.queue_ns / 1e6));
}

static int say_image(struct api_stream *s, const struct engine_image *image)
{
    return say(s, "image",
               api_answer_linked(s->app, s->request, engine_request_order(s->call->ticket->request),
                                 image));
}

static int say_preview(struct api_stream *s, struct http_preview *preview)
{
    const struct engine_order *o = engine_request_order(s->call->ticket->request);
    json_t *data =
        api_answer_preview(o->first_index + preview->image, preview->step, &preview->png);
    buf_clear(&preview->png);
    return say(s, "preview", data);
}

/* `whole`: all is made, whatever the rounded sum of the images' parts says. */
static int say_progress(struct api_stream *s, const struct engine_progress *p, bool whole,
                        int64_t now)
{
    const double fraction = whole ? 1.0 : p->fraction;
    const struct engine_timings times = engine_request_timings(s->call->ticket->request);
    double run_s = (double)(now - times.started_ns) / 1e9;
    json_t *eta = fraction > 0.01 ? json_real(run_s * (1.0 - fraction) / fraction) : json_null();
    s->events.progress_ns = now;
    s->events.steps = p->steps;
    return say(s, "progress",
               json_pack("{s:I, s:I, s:I, s:I, s:f, s:o}", "images_done",
                         (json_int_t)p->images_done, "images_total", (json_int_t)p->images_total,
                         "steps_done", (json_int_t)p->steps, "nfe", (json_int_t)p->nfe, "fraction",
                         fraction, "eta_s", eta));
}

/* The end, with what is to be given back first; clears the problem. */
static int say_problem(struct api_stream *s, const char *event, struct http_problem *p)
{
    json_t *o = http_problem_json(p, s->request->id);
    http_problem_clear(p);
    api_call_end(s->app, s->request, s->call);
    s->ended = true;
    return say(s, event, o);
}

static int say_failure(struct api_stream *s)
{
    const struct engine_request *done = s->call->ticket->request;
    struct http_problem p;
    http_problem_init(&p);
    api_answer_problem(s->app, done, &p);
    return say_problem(
        s, engine_request_cause(done) == ENGINE_CAUSE_CLIENT ? "cancelled" : "failed", &p);
}

static int say_end(struct api_stream *s)
{
    const struct engine_request *done = s->call->ticket->request;
    const struct engine_order *order = engine_request_order(done);
    s->ended = true;
    if (order->output == ENGINE_OUTPUT_SHEET) {
        int result = say_image(s, engine_request_sheet(done));
        if (result <= 0)
            return result;
    }
    return say(s, "done",
               json_pack("{s:I, s:o}", "images", (json_int_t)api_answer_count(order), "timings",
                         api_answer_timings(s->call)));
}

/* The server stops before the engine has let go of the request. */
static int say_stopping(struct api_stream *s)
{
    struct http_problem p;
    http_problem_init(&p);
    http_app_ready(s->app, &p);
    return say_problem(s, "failed", &p);
}

/* On to the request of the images, of which nothing is said yet. */
static int go_on(struct api_stream *s)
{
    struct http_problem p;
    http_problem_init(&p);
    return api_call_follow(s->app, s->request, s->call, &p) == 0 ? 1 : say_problem(s, "failed", &p);
}

static int stay_silent(struct api_stream *s, int64_t now, int64_t *wake_ns)
{
    if (now - s->events.said_ns >= SILENCE_NS) {
        s->events.said_ns = now;
        return buf_string(&s->out, ": still here\n\n", NULL) == 0 ? 1 : API_STREAM_BROKEN;
    }
    *wake_ns = now + PROGRESS_NS;
    return API_STREAM_WAIT;
}

int api_events_fill(struct api_stream *s, const struct http_look *look, int64_t *wake_ns)
{
    struct http_ticket *t = s->call->ticket;
    struct http_preview preview;
    const int64_t now = clock_ns();
    if (!s->events.queued)
        return say_queued(s);
    if (!s->events.started && engine_request_timings(t->request).started_ns != 0)
        return say_started(s);
    if (s->taken < look->images)
        return say_image(s, engine_request_image(t->request, t->news.images[s->taken++]));
    if (http_ticket_preview(t, &preview))
        return say_preview(s, &preview);
    const struct engine_progress progress = engine_request_progress(t->request);
    const bool is_first = api_call_follows(s->call);
    if (look->finished && engine_request_error(t->request))
        return say_failure(s);
    if (look->finished && is_first)
        return go_on(s);
    if (look->finished && !s->events.whole) {
        s->events.whole = true;
        return say_progress(s, &progress, true, now);
    }
    if (look->finished)
        return say_end(s);
    if (look->stopping)
        return say_stopping(s);
    if (s->events.started && !is_first && now - s->events.progress_ns >= PROGRESS_NS &&
        progress.steps != s->events.steps)
        return say_progress(s, &progress, false, now);
    return stay_silent(s, now, wake_ns);
}
