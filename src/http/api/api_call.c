/* The path of all requests for work, whichever interface they speak (api_dialect.h). Read: the
 * model is pinned, body or query become fields, and these are resolved into an order. Begin: order
 * → engine. Finish: images → answer; what is sent in pieces is api_stream.c's. Between the last two
 * the connection sleeps and no thread waits. */
#include "api_dialect.h"

#include "api_answer.h"
#include "api_route.h"

#include "archive_zip_stream.h"
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
static int choose_format(const struct http_request *q, struct api_call *call,
                         struct http_problem *p)
{
    const struct api_order *order = &call->order;
    struct api_formats formats = {.in_query = false};
    char word[64] = "";
    call->format = HTTP_FORMAT_JSON;
    if (!call->dialect->formats)
        return 0;
    call->dialect->formats(q, call, &formats);
    int has_word = formats.in_query ? 0 : read_query(q, word, sizeof word, p);
    if (has_word < 0)
        return -1;
    const char *accept = q->has_accept ? q->accept : NULL;
    const bool is_open = http_accepts_anything(accept, formats.available);
    if (!has_word && order->format_given && (formats.in_query || is_open))
        has_word = snprintf(word, sizeof word, "%s", http_format_word(order->format)) > 0;
    if (!has_word && formats.png && is_open)
        has_word = snprintf(word, sizeof word, "%s", http_format_word(HTTP_FORMAT_PNG)) > 0;
    if (http_negotiate(accept, has_word ? word : NULL, formats.available, &call->format) == 0)
        return 0;
    http_problem_set(p, HTTP_PROBLEM_NOT_ACCEPTABLE, "%s",
                     formats.available[HTTP_FORMAT_PNG] || !call->dialect->pictures
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
static int check_arrays(const struct api_call *call, const struct model *m, struct http_problem *p)
{
    const struct api_order *o = &call->order;
    if (!call->dialect->pictures)
        return 0; /* which alone have either */
    if (call->format != HTTP_FORMAT_NPY && call->format != HTTP_FORMAT_NPZ) {
        if (o->float32)
            http_problem_point(p, "/dtype", "float32 comes as npy or npz only");
        if (o->chw)
            http_problem_point(p, "/layout", "chw comes as npy or npz only");
        return p->code == HTTP_PROBLEM_NONE ? 0 : -1;
    }
    const uint64_t one = image_shape_count(model_shape(m)) * (o->float32 ? sizeof(float) : 1);
    if (call->format == HTTP_FORMAT_NPY || archive_zip_array_fits(one, o->n))
        return 0;
    http_problem_point(p, "/n",
                       "the array would be larger than the 4 GiB that an npz can hold; "
                       "ask for npy");
    return -1;
}

static void fill_order(const struct api_call *call, struct engine_order *out)
{
    const struct api_order *o = &call->order;
    const bool array = call->format == HTTP_FORMAT_NPY || call->format == HTTP_FORMAT_NPZ ||
                       call->format == HTTP_FORMAT_APNG;
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
    if (call->format == HTTP_FORMAT_EVENTS)
        out->preview_every = o->preview_every;
    if (o->grid_given)
        out->grid =
            (struct image_grid){.columns = o->columns ? o->columns : image_grid_columns(o->n),
                                .scale = o->scale,
                                .gap = IMAGE_GRID_GAP};
}

/* What the client asks for, or what the server allows where the client says nothing. A job has no
 * connection that waits for it, and no deadline. */
static int set_deadline(const struct http_app *app, const struct api_call *call,
                        struct engine_order *out, struct http_problem *p)
{
    const int most_s = call->dialect->take ? 0 : app->options->timeout_max_s;
    const double asked_s = call->order.timeout_s;
    if (most_s > 0 && asked_s > most_s) {
        p->limit = most_s;
        http_problem_point(p, "/timeout_s", "is %g, and %d s are the limit here (timeout_max)",
                           asked_s, most_s);
        return -1;
    }
    out->deadline_s = asked_s > 0.0 ? asked_s : most_s;
    if (out->deadline_s > 0.0)
        out->deadline_ns = clock_ns() + (int64_t)(out->deadline_s * 1e9);
    return 0;
}

/* The server's bound on an image's evaluations; each product of a likelihood is one. Where rk45 may
 * take more by a max_nfe that nobody named, it is lowered. */
static int bound_evaluations(const struct http_app *app, const struct api_call *call,
                             const struct model *m, struct engine_order *o, struct http_problem *p)
{
    const int64_t limit = app->options->nfe_max,
                  each = o->task == ENGINE_TASK_LIKELIHOOD
                             ? model_likelihood_vectors(m, &o->likelihood)
                             : 1;
    const struct model_choice *c = &call->order.solver;
    struct ode_options *ode = &o->solver.ode;
    const int64_t most = ode_options_evaluations(ode);
    const bool fixed = ode_method_is_fixed_step(ode->method),
               named = (c->given & MODEL_GIVEN(MAX_NFE)) && c->value.ode.max_nfe == ode->max_nfe;
    if (limit == 0 || most <= limit / each)
        return 0;
    if (!fixed && !named && limit >= each) {
        ode->max_nfe = limit / each;
        return 0;
    }
    p->limit = limit;
    http_problem_point(p, fixed ? "/solver/steps" : "/solver/max_nfe",
                       "asks for up to %" PRId64 " evaluations%s per image, and %" PRId64
                       " are the limit here (nfe_max)",
                       most * each, each > 1 ? ", one for each probe," : "", limit);
    return -1;
}

static int choose_solver(const struct api_call *call, const struct model *m,
                         struct model_solver *out, struct http_problem *p)
{
    return call->dialect->solver ? call->dialect->solver(call, m, out, p)
                                 : api_order_solver(&call->order.solver, m, out, p);
}

static int choose_class(const struct api_call *call, const struct model *m,
                        struct engine_class *out, struct http_problem *p)
{
    const struct api_order *order = &call->order;
    struct err e = {0};
    int result = 0;
    switch (order->class) {
    case API_CLASS_ABSENT:
        out->rule = call->dialect->unnamed;
        break;
    case API_CLASS_NULL:
        out->rule = ENGINE_CLASS_NONE;
        break;
    case API_CLASS_NAME:
        out->rule = ENGINE_CLASS_GIVEN;
        result = model_class_find(m, order->class_name, &out->label, &e);
        break;
    case API_CLASS_NUMBER:
        *out = (struct engine_class){ENGINE_CLASS_GIVEN, order->class_number};
        result = engine_class_check(m, out, &e);
        break;
    }
    if (result != 0)
        http_problem_point(p, "/class", "%s", e.text);
    return result != 0 ? -1 : 0;
}

/* The fields and the model that they are for. The model is looked up once, and every size is of
 * that one, as another may have taken its name meanwhile. */
static int read_fields(struct http_app *app, struct http_request *q, struct api_call *call,
                       struct http_problem *p)
{
    const struct api_dialect *dialect = api_jobs_dialect_for(app, q);
    call->dialect = dialect;
    if (dialect->own && !(call->own = calloc(1, dialect->own))) {
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "out of memory");
        return -1;
    }
    if (dialect->pin(app, q, call, p) != 0 || dialect->read(app, q, call, p) != 0)
        return -1;
    if (call->asked.model)
        return 0;
    http_problem_point(p, "/model", "there is no model \"%s\"; GET /v1/models lists them",
                       call->order.model);
    return -1;
}

/* All that the engine has to know, into call->asked, whose model is held already. */
static int resolve_order(struct http_app *app, const struct http_request *q, struct api_call *call,
                         struct http_problem *p)
{
    struct engine_order *out = &call->asked;
    struct api_order *order = &call->order;
    const struct model *m = engine_model_get(out->model);
    if (choose_solver(call, m, &out->solver, p) != 0 ||
        choose_class(call, m, &out->class, p) != 0 || choose_format(q, call, p) != 0 ||
        check_arrays(call, m, p) != 0 || (!order->seed_given && draw_seed(&order->seed, p) != 0))
        return -1;
    fill_order(call, out);
    if (set_deadline(app, call, out, p) != 0)
        return -1;
    return call->dialect->order ? call->dialect->order(app, q, call, out, p) : 0;
}

/* No deadline ends the encoding of a sheet, and a worker does nothing else meanwhile. */
static int check_sheet(const struct engine_order *order, const struct model *m,
                       struct http_problem *p)
{
    struct image_shape s;
    if (order->output != ENGINE_OUTPUT_SHEET ||
        image_grid_shape(order->grid, model_shape(m), order->n, &s, NULL) != 0 ||
        image_shape_count(s) <= API_SHEET_MAX)
        return 0;
    p->limit = API_SHEET_MAX;
    http_problem_point(p, "/grid",
                       "a sheet of %d × %d pixels and %d channels has %zu bytes, and %d are the "
                       "limit: take fewer images, fewer columns or a smaller scale",
                       s.width, s.height, s.channels, image_shape_count(s), API_SHEET_MAX);
    return -1;
}

/* As the engine will have it: answers that begin before it is submitted say what it is. */
static int resolve_next(struct api_call *call, struct err *e)
{
    struct engine_order next = *call->next;
    next.model = call->asked.model;
    if (engine_order_resolve(&next, call->next, e) != 0)
        return -1;
    call->next->model = NULL; /* held by the request before it */
    return 0;
}

/* Before anything is said about the answer: what the engine would refuse, and what it would never
 * have a place for. */
static int check_order(struct http_app *app, struct api_call *call, struct http_problem *p)
{
    struct engine_order *order = &call->asked;
    const struct model *m = engine_model_get(order->model);
    const size_t most = app->options->queue_images_max;
    struct err e = {0};
    if (order->n > most && !call->dialect->take) {
        p->limit = (int64_t)most;
        http_problem_point(p, "/n", "%zu images are to be made and %zu may wait at a time",
                           order->n, most);
        return -1;
    }
    if (engine_check(order, &e) != 0 || (call->next && resolve_next(call, &e) != 0)) {
        api_answer_refusal(app, &e, p);
        return -1;
    }
    return bound_evaluations(app, call, m, order, p) != 0 ||
                   (call->next && bound_evaluations(app, call, m, call->next, p) != 0) ||
                   check_sheet(call->next ? call->next : order, m, p) != 0
               ? -1
               : 0;
}

/* Hands an order, whose images have been charged, to the engine under a new ticket, which pays for
 * them from then on. -1: there is no ticket. */
static int submit(struct http_app *app, const struct http_request *q, struct api_call *call,
                  struct engine_order *order, struct err *e)
{
    struct http_ticket *t = http_ticket_new(&app->wait, e);
    if (t) {
        t->charge.keys = &app->keys;
        t->charge.day = call->charged_day;
        snprintf(t->charge.name, sizeof t->charge.name, "%s", q->client);
    }
    const bool news = api_call_streams(call) && !call->next; /* of images that are the answer's */
    if (t && http_ticket_submit(t, app->engine, order, news, e) == 0) {
        call->charged -= order->n;
        call->ticket = t;
        return 0;
    }
    if (t)
        http_ticket_drop(t, NULL);
    return -1;
}

/* Lets go of what was needed only until the engine had the order. */
static void release(struct api_call *call)
{
    engine_model_release(call->asked.model);
    call->asked = (struct engine_order){0};
    if (call->own && call->dialect->release)
        call->dialect->release(call);
    json_decref(call->document);
    call->document = NULL;
}

void api_call_end(struct http_app *app, const struct http_request *q, struct api_call *call)
{
    http_keys_return(&app->keys, q->client, call->charged, call->charged_day);
    call->charged = 0;
    free(call->next);
    call->next = NULL;
    release(call);
    free(call->own);
    call->own = NULL;
}

bool api_call_read(struct http_app *app, struct http_request *q, struct api_call *call,
                   struct http_reply *r)
{
    struct http_problem p;
    http_problem_init(&p);
    http_reply_header(r, "Vary", "Accept");
    const bool read = http_app_ready(app, &p) == 0 && read_fields(app, q, call, &p) == 0 &&
                      resolve_order(app, q, call, &p) == 0 && check_order(app, call, &p) == 0 &&
                      !(call->dialect->known && call->dialect->known(q, call, &call->asked, r));
    buf_clear(&q->body);
    http_form_clear(&q->form);
    if (!read) {
        release(call);
        if (r->status == 0)
            http_problem_reply(&p, q->id, r);
    }
    return read;
}

bool api_call_begin(struct http_app *app, const struct http_request *q, struct api_call *call,
                    struct http_reply *r)
{
    struct http_problem p;
    struct err e = {0};
    if (call->dialect->take) {
        call->dialect->take(app, q, call, r);
        api_call_end(app, q, call);
        return false;
    }
    const size_t n = call->asked.n + (call->next ? call->next->n : 0);
    bool begun = false;
    http_problem_init(&p);
    if (http_keys_charge(&app->keys, q->client, n, &call->charged_day, &p) == 0) {
        call->charged = n;
        begun = submit(app, q, call, &call->asked, &e) == 0;
        if (!begun)
            api_answer_refusal(app, &e, &p);
    }
    release(call);
    if (!begun) {
        api_call_end(app, q, call);
        http_problem_reply(&p, q->id, r);
    }
    return begun;
}

bool api_call_streams(const struct api_call *call)
{
    return call->format != HTTP_FORMAT_JSON && call->format != HTTP_FORMAT_PNG &&
           call->format != HTTP_FORMAT_APNG && call->dialect->pictures &&
           (!call->next || call->format == HTTP_FORMAT_EVENTS);
}

struct engine_order api_call_order(const struct api_call *call)
{
    const struct engine_order *begun = engine_request_order(call->ticket->request);
    if (!call->next)
        return *begun;
    struct engine_order order = *call->next;
    order.model = begun->model;
    return order;
}

bool api_call_follows(const struct api_call *call)
{
    return call->next != NULL;
}

int api_call_follow(struct http_app *app, const struct http_request *q, struct api_call *call,
                    struct http_problem *p)
{
    struct http_ticket *before = call->ticket;
    struct err e = {0};
    call->dialect->follow(call, before->request);
    struct engine_order order = *call->next;
    order.model = engine_request_order(before->request)->model;
    order.continues = true;
    free(call->next);
    call->next = NULL;
    const int result = submit(app, q, call, &order, &e);
    if (result == 0) {
        call->before = engine_request_timings(before->request);
        http_ticket_drop(before, call->connection);
    } else {
        api_answer_refusal(app, &e, p);
    }
    release(call);
    return result;
}

void api_name_file(const struct api_call *call, const struct engine_order *order,
                   struct http_reply *r)
{
    const char *ending = http_format_word(call->format);
    const bool inlined = call->format == HTTP_FORMAT_PNG || call->format == HTTP_FORMAT_APNG;
    if (order->n == 1 || order->output == ENGINE_OUTPUT_SHEET)
        http_reply_header(
            r, "Content-Disposition", "%s; filename=\"pfgm-%" PRIu64 "-%" PRIu64 ".%s\"",
            inlined ? "inline" : "attachment", order->seed, order->first_index, ending);
    else
        http_reply_header(r, "Content-Disposition",
                          "%s; filename=\"pfgm-%" PRIu64 "-%" PRIu64 "-%" PRIu64 ".%s\"",
                          inlined ? "inline" : "attachment", order->seed, order->first_index,
                          order->first_index + (order->n - 1), ending);
}

int api_picture(const struct api_call *call, const struct engine_request *done,
                struct http_reply *r)
{
    const struct engine_image *image = api_answer_picture(done, 0);
    r->status = 200;
    r->content_type = http_format_type(HTTP_FORMAT_PNG);
    if (buf_append(&r->body, image->png.data, image->png.length, NULL) != 0) {
        http_reply_fail(r);
        return -1;
    }
    api_name_file(call, engine_request_order(done), r);
    return 0;
}

void api_call_finish(struct http_app *app, const struct http_request *q,
                     const struct api_call *call, struct http_reply *r)
{
    const struct engine_request *done = call->ticket->request;
    if (engine_request_error(done)) {
        struct http_problem p;
        http_problem_init(&p);
        api_answer_problem(app, done, &p);
        http_problem_reply(&p, q->id, r);
        return;
    }
    const struct engine_timings times = api_call_timings(call);
    call->dialect->answer(app, q, call, done, r);
    http_reply_header(r, "Server-Timing", "queue;dur=%.3f, compute;dur=%.3f, encode;dur=%.3f",
                      (double)times.queue_ns / 1e6, (double)times.compute_ns / 1e6,
                      (double)times.encode_ns / 1e6);
}

void api_call_head(const struct http_request *q, const struct api_call *call, struct http_reply *r)
{
    const struct engine_order order = api_call_order(call);
    r->status = 200;
    r->content_type = http_format_type(call->format);
    api_answer_headers(&order, r);
    if (call->format == HTTP_FORMAT_EVENTS) {
        http_reply_header(r, "X-Accel-Buffering", "no");
        return;
    }
    if (call->dialect->head)
        call->dialect->head(q, call, r);
    api_name_file(call, &order, r);
    http_reply_header(r, "Server-Timing", "queue;dur=%.3f",
                      (double)api_call_timings(call).queue_ns / 1e6);
}
