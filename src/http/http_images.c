/* POST /v1/images and GET /v1/images/{seed}/{index}. Read: body or query → order. Begin: order →
 * engine. Finish: images → JSON or PNG; what is sent in pieces is http_stream.c's. Between the last
 * two the connection sleeps and no thread waits. */
#include "http_answer.h"
#include "http_body.h"
#include "http_flow.h"
#include "http_kserve.h"
#include "http_lookup.h"
#include "http_openai.h"

#include "base_cpu.h"
#include "base_crypto.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void list_formats(struct http_problem *p, const bool available[HTTP_FORMATS])
{
    p->available = json_array();
    for (int f = 0; f < HTTP_FORMATS; f++)
        if (available[f])
            p->available =
                json_plus(p->available, json_string(http_format_type((enum http_format)f)));
}

/* ?format= of a POST. It is the only query parameter there: a field of the body in the query is a
 * mistake that must not pass in silence. 1: there is one, in `word`. */
static int read_query(const struct http_request *q, char *word, size_t size, struct http_problem *p)
{
    char key[64], value[64];
    int found = 0;
    size_t at = 0;
    while (http_query_next(q->target.query, &at, key, sizeof key, value, sizeof value)) {
        if (strcmp(key, "format") != 0) {
            http_problem_set(p, HTTP_PROBLEM_INVALID_PARAMETER,
                             "the query takes only \"format\", not \"%s\"; everything else belongs "
                             "into the body",
                             key);
            http_problem_point(p, "", "unknown query parameter \"%s\"", key);
            return -1;
        }
        if (!found)
            snprintf(word, size, "%s", value);
        found = 1;
    }
    return found;
}

/* ?format= beats Accept, which beats the body's "format". A GET is for one image, as a PNG unless
 * something else is asked for. */
static int choose_format(const struct http_request *q, struct http_work *work,
                         struct http_problem *p)
{
    const struct http_order *order = &work->order;
    char word[64] = "";
    if (q->route->openai || q->route->kserve) {
        work->format = HTTP_FORMAT_JSON;
        return 0;
    }
    const bool in_query = work->by_get || (work->flow.task && q->media != HTTP_MEDIA_JSON);
    int has_word = in_query ? 0 : read_query(q, word, sizeof word, p);
    if (has_word < 0)
        return -1;
    const char *accept = q->has_accept ? q->accept : NULL;
    if (!has_word && order->format_given && (in_query || http_accepts_anything(accept)))
        has_word = snprintf(word, sizeof word, "%s", http_format_word(order->format)) > 0;
    if (!has_word && work->by_get && http_accepts_anything(accept))
        has_word = snprintf(word, sizeof word, "%s", http_format_word(HTTP_FORMAT_PNG)) > 0;
    const bool upward = http_flow_upward(work);
    const bool array = !order->grid_given, post = !work->by_get && !upward;
    const bool available[HTTP_FORMATS] = {
        [HTTP_FORMAT_JSON] = true,
        [HTTP_FORMAT_PNG] = !upward && (order->n == 1 || order->grid_given),
        [HTTP_FORMAT_NPY] = array && work->flow.task != HTTP_TASK_LIKELIHOOD,
        [HTTP_FORMAT_NPZ] = array && !upward,
        [HTTP_FORMAT_ZIP] = post,
        [HTTP_FORMAT_TAR] = post,
        [HTTP_FORMAT_EVENTS] = post,
    };
    if (http_negotiate(accept, has_word ? word : NULL, available, &work->format) == 0)
        return 0;
    http_problem_set(p, HTTP_PROBLEM_NOT_ACCEPTABLE, "%s",
                     available[HTTP_FORMAT_PNG] || upward
                         ? "none of the formats that there are for this request is acceptable"
                         : "for more than one image image/png needs a \"grid\"; the other formats "
                           "take any number");
    list_formats(p, available);
    return -1;
}

static int draw_seed(uint64_t *seed, struct http_problem *p)
{
    if (random_bytes(seed, sizeof *seed, NULL) == 0)
        return 0;
    http_problem_set(p, HTTP_PROBLEM_INTERNAL, "the system gave no random seed; send one");
    return -1;
}

/* dtype and layout are of arrays only; and an NPZ has no place for more than 4 GiB. */
static int check_arrays(const struct http_work *work, const struct model *m, struct http_problem *p)
{
    const struct http_order *o = &work->order;
    if (http_flow_upward(work))
        return 0; /* which has neither */
    if (work->format != HTTP_FORMAT_NPY && work->format != HTTP_FORMAT_NPZ) {
        if (o->float32)
            http_problem_point(p, "/dtype", "float32 comes as npy or npz only");
        if (o->chw)
            http_problem_point(p, "/layout", "chw comes as npy or npz only");
        return p->code == HTTP_PROBLEM_NONE ? 0 : -1;
    }
    const uint64_t one = image_shape_count(model_shape(m)) * (o->float32 ? sizeof(float) : 1);
    const uint64_t packing = 5 * (one / 65535 + 1); /* deflate's blocks, see archive_zip_stream.h */
    if (work->format == HTTP_FORMAT_NPY || (one + packing) * o->n < UINT32_MAX - 8192)
        return 0;
    http_problem_point(p, "/n",
                       "the array would be larger than the 4 GiB that an npz can hold; "
                       "ask for npy");
    return -1;
}

static void fill_order(const struct http_work *work, struct engine_order *out)
{
    const struct http_order *o = &work->order;
    const bool array = work->format == HTTP_FORMAT_NPY || work->format == HTTP_FORMAT_NPZ;
    out->seed = o->seed;
    out->first_index = o->first_index;
    out->n = o->n;
    out->no_metadata = !o->embed_metadata;
    out->priority = o->priority;
    out->temperature = o->temperature;
    out->output = o->grid_given ? ENGINE_OUTPUT_SHEET
                  : !array      ? ENGINE_OUTPUT_PNG
                  : o->float32  ? ENGINE_OUTPUT_SAMPLE
                                : ENGINE_OUTPUT_PIXELS;
    if (o->timeout_s > 0.0)
        out->deadline_ns = clock_ns() + (int64_t)(o->timeout_s * 1e9);
    if (work->format == HTTP_FORMAT_EVENTS)
        out->preview_every = o->preview_every;
    if (o->grid_given)
        out->grid =
            (struct image_grid){.columns = o->columns ? o->columns : image_grid_columns(o->n),
                                .scale = o->scale,
                                .gap = IMAGE_GRID_GAP};
}

/* The fields as JSON: the body, or what the path and the query of a GET say. */
static json_t *read_fields(struct http_app *app, struct http_request *q, struct http_work *work,
                           struct http_problem *p)
{
    if (work->by_get)
        return http_lookup_fields(q, p);
    if (q->route->kserve)
        return http_kserve_fields(app, q, work, p);
    if (q->route->task)
        return http_flow_fields(app, q, work, p);
    const struct json_bound bound = http_body_fields(app->options->n_max);
    json_t *body = q->route->openai ? http_body_parse_whole(&q->body, q->body.length, bound, p)
                                    : http_body_parse(&q->body, bound, p);
    buf_free(&q->body);
    if (!body || !q->route->openai)
        return body;
    json_t *fields = http_openai_fields(app, body, work, p);
    json_decref(body);
    return fields;
}

static int choose_solver(const struct http_work *work, const struct model *m,
                         struct model_solver *out, struct http_problem *p)
{
    return work->flow.task ? http_flow_solver(work, m, out, p)
                           : http_order_solver(&work->order.solver, m, out, p);
}

/* Where latents come from or lead to images of the client's, no class is drawn for them. */
static int choose_class(const struct http_work *work, const struct model *m,
                        struct engine_class *out, struct http_problem *p)
{
    const struct http_order *order = &work->order;
    struct err e = {0};
    int bad = 0;
    switch (order->class) {
    case HTTP_CLASS_ABSENT:
        out->rule = work->flow.task ? ENGINE_CLASS_NONE : ENGINE_CLASS_DRAWN;
        break;
    case HTTP_CLASS_NULL:
        out->rule = ENGINE_CLASS_NONE;
        break;
    case HTTP_CLASS_NAME:
        out->rule = ENGINE_CLASS_GIVEN;
        bad = model_label_find(m, order->class_name, &out->label, &e);
        break;
    case HTTP_CLASS_NUMBER:
        *out = (struct engine_class){ENGINE_CLASS_GIVEN, order->class_number};
        bad = engine_class_check(m, out, &e);
        break;
    }
    if (bad)
        http_problem_point(p, "/class", "%s", e.text);
    return bad ? -1 : 0;
}

/* Everything between the request's bytes and the engine's order. The model is looked up once, and
 * every size is of that one, as another may have taken its name meanwhile. Once out->model is set
 * it is held for the caller, who releases it. */
static int read_order(struct http_app *app, struct http_request *q, struct http_work *work,
                      struct engine_order *out, struct http_problem *p)
{
    struct http_order *order = &work->order;
    json_t *fields = read_fields(app, q, work, p);
    if (!fields)
        return -1;
    if (!out->model) { /* else the fields were judged by it, and it must be that one */
        const char *name = json_string_value(json_object_get(fields, "model"));
        out->model = engine_model_find(app->engine, name && *name ? name : NULL);
    }
    int bad = http_order_parse(fields, app->options->n_max, order, p);
    json_decref(fields);
    if (bad)
        return -1;
    if (!out->model) {
        http_problem_point(p, "/model", "there is no model \"%s\"; GET /v1/models lists them",
                           order->model);
        return -1;
    }
    const struct model *m = engine_model_get(out->model);
    if (choose_solver(work, m, &out->solver, p) != 0 ||
        choose_class(work, m, &out->class, p) != 0 || choose_format(q, work, p) != 0 ||
        check_arrays(work, m, p) != 0 || (!order->seed_given && draw_seed(&order->seed, p) != 0))
        return -1;
    fill_order(work, out);
    if (q->route->kserve)
        http_kserve_order(work, out);
    return work->flow.task ? http_flow_order(app, q, work, out, p) : 0;
}

/* Before anything is said about the answer: what the engine would refuse, and what it would never
 * have a place for. */
static int check_order(struct http_app *app, const struct engine_order *order,
                       struct http_problem *p)
{
    const size_t most = app->options->queue_images_max;
    struct err e = {0};
    if (order->n > most) {
        p->limit = (int64_t)most;
        http_problem_point(p, "/n", "%zu images are to be made and %zu may wait at a time",
                           order->n, most);
        return -1;
    }
    if (engine_check(order, &e) == 0)
        return 0;
    http_answer_refusal(app, &e, p);
    return -1;
}

/* A GET whose answer the client has already: the tag is a function of what makes the bytes. */
static bool is_known(const struct http_request *q, struct http_work *work,
                     const struct engine_order *order, struct http_reply *r)
{
    if (!work->by_get || work->format == HTTP_FORMAT_JSON ||
        http_lookup_tag(work, order, work->etag) != 0 ||
        !http_lookup_matches(q->if_none_match, work->etag))
        return false;
    r->status = 304;
    http_lookup_headers(q, work, r);
    return true;
}

int http_images_submit(struct http_app *app, const struct http_request *q, struct http_work *work,
                       struct engine_order *order, struct err *e)
{
    struct http_ticket *t = http_ticket_new(&app->wait, e);
    if (t) {
        t->charge.keys = &app->keys;
        snprintf(t->charge.name, sizeof t->charge.name, "%s", q->client);
    }
    work->ticket = t;
    if (t && http_ticket_submit(t, app->engine, order, http_images_streams(work), e) == 0) {
        work->charged -= order->n;
        return 0;
    }
    if (t)
        http_ticket_drop(t, NULL);
    work->ticket = NULL;
    return -1;
}

/* Lets go of what only the way to the engine needed. */
static void settle(struct http_work *work)
{
    engine_model_release(work->asked.model);
    work->asked = (struct engine_order){0};
    http_kserve_clear(work);
    http_flow_settle(work);
}

void http_images_end(struct http_app *app, const struct http_request *q, struct http_work *work)
{
    http_keys_return(&app->keys, q->client, work->charged);
    work->charged = 0;
    settle(work);
    http_flow_clear(work);
}

bool http_images_read(struct http_app *app, struct http_request *q, bool by_get,
                      struct http_work *work, struct http_reply *r)
{
    struct http_problem p;
    http_problem_init(&p);
    http_reply_header(r, "Vary", "Accept");
    work->by_get = by_get;
    const bool read =
        http_app_ready(app, &p) == 0 && read_order(app, q, work, &work->asked, &p) == 0 &&
        check_order(app, &work->asked, &p) == 0 && !is_known(q, work, &work->asked, r);
    buf_free(&q->body);
    if (!read) {
        settle(work);
        if (r->status == 0)
            http_problem_reply(&p, q->id, r);
    }
    return read;
}

bool http_images_begin(struct http_app *app, const struct http_request *q, struct http_work *work,
                       struct http_reply *r)
{
    struct http_problem p;
    struct err e = {0};
    const size_t n = work->asked.n + http_flow_later(work);
    bool begun = false;
    http_problem_init(&p);
    if (http_keys_charge(&app->keys, q->client, n, &p) == 0) {
        work->charged = n;
        begun = http_images_submit(app, q, work, &work->asked, &e) == 0;
        if (!begun)
            http_answer_refusal(app, &e, &p);
    }
    settle(work);
    if (!begun) {
        http_images_end(app, q, work);
        http_problem_reply(&p, q->id, r);
    }
    return begun;
}

bool http_images_streams(const struct http_work *work)
{
    return work->format != HTTP_FORMAT_JSON && work->format != HTTP_FORMAT_PNG &&
           !http_flow_upward(work) && !http_flow_follows(work);
}

static json_t *result_json(struct http_app *app, const struct http_request *q,
                           const struct http_work *work, const struct engine_request *done)
{
    const struct engine_order *order = engine_request_order(done);
    json_t *images = json_array();
    for (size_t i = 0; i < http_answer_count(order) && images; i++)
        images = json_plus(images, http_answer_linked(app, q, order, http_answer_picture(done, i)));
    return http_answer_whole(http_answer_head(q->id, work, order), images, done);
}

static void name_file(const struct http_work *work, const struct engine_order *order,
                      struct http_reply *r)
{
    const char *ending = http_format_word(work->format);
    bool inlined = work->format == HTTP_FORMAT_PNG;
    if (order->n == 1 || order->output == ENGINE_OUTPUT_SHEET)
        http_reply_header(
            r, "Content-Disposition", "%s; filename=\"pfgm-%" PRIu64 "-%" PRIu64 ".%s\"",
            inlined ? "inline" : "attachment", order->seed, order->first_index, ending);
    else
        http_reply_header(r, "Content-Disposition",
                          "attachment; filename=\"pfgm-%" PRIu64 "-%" PRIu64 "-%" PRIu64 ".%s\"",
                          order->seed, order->first_index, order->first_index + (order->n - 1),
                          ending);
}

static void png_reply(struct http_app *app, const struct http_request *q,
                      const struct http_work *work, const struct engine_request *done,
                      struct http_reply *r)
{
    const struct engine_image *image = http_answer_picture(done, 0);
    const struct engine_order *order = engine_request_order(done);
    char link[HTTP_LINK_MAX];
    r->status = 200;
    r->content_type = http_format_type(HTTP_FORMAT_PNG);
    if (buf_append(&r->body, image->png.data, image->png.length, NULL) != 0) {
        http_reply_fail(r);
        return;
    }
    if (work->by_get)
        http_lookup_headers(q, work, r);
    else
        http_reply_header(r, "ETag", "\"%s\"", image->sha256);
    const enum http_link_made made =
        work->by_get ? HTTP_LINK_NONE : http_link_make(app, q, order, image->index, link);
    if (made == HTTP_LINK_FAILED) {
        http_reply_fail(r);
        return;
    }
    if (made == HTTP_LINK_MADE)
        http_reply_header(r, "Content-Location", "%s", link);
    name_file(work, order, r);
}

void http_images_finish(struct http_app *app, const struct http_request *q,
                        const struct http_work *work, struct http_reply *r)
{
    const struct engine_request *done = work->ticket->request;
    if (engine_request_error(done)) {
        struct http_problem p;
        http_problem_init(&p);
        http_answer_problem(app, done, &p);
        http_problem_reply(&p, q->id, r);
        return;
    }
    const struct engine_timings times = engine_request_timings(done);
    if (http_flow_upward(work))
        http_flow_answer(q, work, done, r);
    else if (work->format == HTTP_FORMAT_PNG)
        png_reply(app, q, work, done, r);
    else if (q->route->kserve)
        http_kserve_answer(work, done, r);
    else
        http_reply_json(r, 200, http_format_type(HTTP_FORMAT_JSON),
                        q->route->openai ? http_openai_answer(app, q, work, done)
                                         : result_json(app, q, work, done));
    if (!q->route->kserve) /* where images have seeds of their own */
        http_answer_headers(engine_request_order(done), r);
    http_reply_header(r, "Server-Timing", "queue;dur=%.3f, compute;dur=%.3f, encode;dur=%.3f",
                      (double)times.queue_ns / 1e6, (double)times.compute_ns / 1e6,
                      (double)times.encode_ns / 1e6);
}

void http_images_head(const struct http_request *q, const struct http_work *work,
                      struct http_reply *r)
{
    const struct engine_request *request = work->ticket->request;
    const struct engine_order *order = engine_request_order(request);
    r->status = 200;
    r->content_type = http_format_type(work->format);
    http_answer_headers(order, r);
    if (work->format == HTTP_FORMAT_EVENTS) {
        http_reply_header(r, "X-Accel-Buffering", "no");
        return;
    }
    if (work->by_get)
        http_lookup_headers(q, work, r);
    name_file(work, order, r);
    http_reply_header(r, "Server-Timing", "queue;dur=%.3f",
                      (double)engine_request_timings(request).queue_ns / 1e6);
}
