/* The path of all requests for work, whichever interface they speak (api_dialect.h). Read: the
 * model is pinned, body or query become fields, and these are settled into an order. Begin: order →
 * engine. Finish: images → answer; what is sent in pieces is http_stream.c's. Between the last two
 * the connection sleeps and no thread waits. */
#include "api_dialect.h"

#include "http_answer.h"

#include "base_cpu.h"
#include "base_crypto.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
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

/* ?format= beats Accept, which beats the field "format"; that comes first where it is itself in the
 * query, and what is usual last. */
static int choose_format(const struct http_request *q, struct http_work *work,
                         struct http_problem *p)
{
    const struct http_order *order = &work->order;
    struct api_formats formats = {.in_query = false};
    char word[64] = "";
    work->format = HTTP_FORMAT_JSON;
    if (!work->dialect->formats)
        return 0;
    work->dialect->formats(q, work, &formats);
    int has_word = formats.in_query ? 0 : read_query(q, word, sizeof word, p);
    if (has_word < 0)
        return -1;
    const char *accept = q->has_accept ? q->accept : NULL;
    if (!has_word && order->format_given && (formats.in_query || http_accepts_anything(accept)))
        has_word = snprintf(word, sizeof word, "%s", http_format_word(order->format)) > 0;
    if (!has_word && formats.png && http_accepts_anything(accept))
        has_word = snprintf(word, sizeof word, "%s", http_format_word(HTTP_FORMAT_PNG)) > 0;
    if (http_negotiate(accept, has_word ? word : NULL, formats.available, &work->format) == 0)
        return 0;
    http_problem_set(p, HTTP_PROBLEM_NOT_ACCEPTABLE, "%s",
                     formats.available[HTTP_FORMAT_PNG] || !work->dialect->pictures
                         ? "none of the formats that there are for this request is acceptable"
                         : "for more than one image image/png needs a \"grid\"; the other formats "
                           "take any number");
    list_formats(p, formats.available);
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
    if (!work->dialect->pictures)
        return 0; /* which alone have either */
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

static int choose_solver(const struct http_work *work, const struct model *m,
                         struct model_solver *out, struct http_problem *p)
{
    return work->dialect->solver ? work->dialect->solver(work, m, out, p)
                                 : http_order_solver(&work->order.solver, m, out, p);
}

static int choose_class(const struct http_work *work, const struct model *m,
                        struct engine_class *out, struct http_problem *p)
{
    const struct http_order *order = &work->order;
    struct err e = {0};
    int bad = 0;
    switch (order->class) {
    case HTTP_CLASS_ABSENT:
        out->rule = work->dialect->unnamed;
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

/* The fields and the model that they are for. The model is looked up once, and every size is of
 * that one, as another may have taken its name meanwhile. */
static int read_fields(struct http_app *app, struct http_request *q, struct http_work *work,
                       struct http_problem *p)
{
    const struct api_dialect *dialect = q->route->dialect;
    work->dialect = dialect;
    if (dialect->own && !(work->own = calloc(1, dialect->own))) {
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "out of memory");
        return -1;
    }
    if (dialect->pin(app, q, work, p) != 0 || dialect->read(app, q, work, p) != 0)
        return -1;
    if (work->asked.model)
        return 0;
    http_problem_point(p, "/model", "there is no model \"%s\"; GET /v1/models lists them",
                       work->order.model);
    return -1;
}

/* All that the engine has to know, into work->asked, whose model is held already. */
static int settle_order(struct http_app *app, const struct http_request *q, struct http_work *work,
                        struct http_problem *p)
{
    struct engine_order *out = &work->asked;
    struct http_order *order = &work->order;
    const struct model *m = engine_model_get(out->model);
    if (choose_solver(work, m, &out->solver, p) != 0 ||
        choose_class(work, m, &out->class, p) != 0 || choose_format(q, work, p) != 0 ||
        check_arrays(work, m, p) != 0 || (!order->seed_given && draw_seed(&order->seed, p) != 0))
        return -1;
    fill_order(work, out);
    return work->dialect->order ? work->dialect->order(app, q, work, out, p) : 0;
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

/* Hands an order, whose images have been charged, to the engine under a new ticket, which pays for
 * them from then on. -1: there is no ticket. */
static int submit(struct http_app *app, const struct http_request *q, struct http_work *work,
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
    if (work->own && work->dialect->settle)
        work->dialect->settle(work);
    json_decref(work->document);
    work->document = NULL;
}

void http_images_end(struct http_app *app, const struct http_request *q, struct http_work *work)
{
    http_keys_return(&app->keys, q->client, work->charged);
    work->charged = 0;
    free(work->next);
    work->next = NULL;
    settle(work);
    free(work->own);
    work->own = NULL;
}

bool http_images_read(struct http_app *app, struct http_request *q, struct http_work *work,
                      struct http_reply *r)
{
    struct http_problem p;
    http_problem_init(&p);
    http_reply_header(r, "Vary", "Accept");
    const bool read = http_app_ready(app, &p) == 0 && read_fields(app, q, work, &p) == 0 &&
                      settle_order(app, q, work, &p) == 0 &&
                      check_order(app, &work->asked, &p) == 0 &&
                      !(work->dialect->known && work->dialect->known(q, work, &work->asked, r));
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
    const size_t n = work->asked.n + (work->next ? work->next->n : 0);
    bool begun = false;
    http_problem_init(&p);
    if (http_keys_charge(&app->keys, q->client, n, &p) == 0) {
        work->charged = n;
        begun = submit(app, q, work, &work->asked, &e) == 0;
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
           work->dialect->pictures && !work->next;
}

bool http_images_follows(const struct http_work *work)
{
    return work->next != NULL;
}

bool http_images_follow(struct http_app *app, const struct http_request *q, struct http_work *work,
                        struct http_link *link, struct http_reply *r)
{
    struct http_ticket *before = work->ticket;
    struct err e = {0};
    work->dialect->follow(work, before->request);
    struct engine_order order = *work->next;
    order.model = engine_request_order(before->request)->model;
    free(work->next);
    work->next = NULL;
    const bool begun = submit(app, q, work, &order, &e) == 0;
    if (!begun) {
        struct http_problem p;
        http_problem_init(&p);
        http_answer_refusal(app, &e, &p);
        http_problem_reply(&p, q->id, r);
    }
    http_ticket_drop(before, link);
    settle(work);
    return begun;
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

int api_picture(const struct http_work *work, const struct engine_request *done,
                struct http_reply *r)
{
    const struct engine_image *image = http_answer_picture(done, 0);
    r->status = 200;
    r->content_type = http_format_type(HTTP_FORMAT_PNG);
    if (buf_append(&r->body, image->png.data, image->png.length, NULL) != 0) {
        http_reply_fail(r);
        return -1;
    }
    name_file(work, engine_request_order(done), r);
    return 0;
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
    work->dialect->answer(app, q, work, done, r);
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
    if (work->dialect->head)
        work->dialect->head(q, work, r);
    name_file(work, order, r);
    http_reply_header(r, "Server-Timing", "queue;dur=%.3f",
                      (double)engine_request_timings(request).queue_ns / 1e6);
}
