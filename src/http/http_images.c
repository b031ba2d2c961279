/* POST /v1/images. Begin: body → order → engine. Finish: images → JSON or PNG. Between the two the
 * connection sleeps and no thread waits. */
#include "http_app.h"
#include "http_body.h"
#include "http_negotiate.h"
#include "http_order.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static void list_formats(struct http_problem *p, const bool available[HTTP_FORMATS])
{
    p->available = json_array();
    for (int f = 0; f < HTTP_FORMATS; f++)
        if (available[f])
            json_array_append_new(p->available, json_string(http_format_type((enum http_format)f)));
}

/* The only query parameter here is "format"; a field of the body in the query is a mistake that
 * must not pass in silence. */
static int choose_format(const struct http_request *q, const struct http_order *order,
                         enum http_format *format, struct http_problem *p)
{
    char key[64], value[64], word[64] = "";
    bool has_word = false;
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
        if (!has_word)
            snprintf(word, sizeof word, "%s", value);
        has_word = true;
    }
    const bool available[HTTP_FORMATS] = {
        [HTTP_FORMAT_JSON] = true, [HTTP_FORMAT_PNG] = order->n == 1 || order->grid_given};
    if (http_negotiate(q->has_accept ? q->accept : NULL, has_word ? word : NULL, available,
                       format) == 0)
        return 0;
    http_problem_set(p, HTTP_PROBLEM_NOT_ACCEPTABLE, "%s",
                     available[HTTP_FORMAT_PNG]
                         ? "there is application/json and image/png"
                         : "for more than one image there is application/json; image/png needs "
                           "\"n\": 1 or a \"grid\"");
    list_formats(p, available);
    return -1;
}

static int draw_seed(uint64_t *seed, struct http_problem *p)
{
    ssize_t n;
    do
        n = getrandom(seed, sizeof *seed, 0);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof *seed)
        return 0;
    http_problem_set(p, HTTP_PROBLEM_INTERNAL, "the system gave no random seed; send one");
    return -1;
}

/* Turns what the engine refused into a problem, under the pointer of the field. */
static void refuse(struct http_app *app, const struct err *e, struct http_problem *p)
{
    static const char *const solver_fields[] = {"method", "steps", "rtol",   "atol",
                                                "t_max",  "t_min", "max_nfe"};
    if (e->code == ERR_CANCELLED) {
        http_problem_set(p, HTTP_PROBLEM_DRAINING, "the server is stopping and takes no new work");
        p->retry_after_s = 5;
        p->close = true;
        return;
    }
    if (e->code == ERR_LIMIT && strcmp(e->at, "queue") == 0) {
        http_problem_set(p, HTTP_PROBLEM_QUEUE_FULL, "%s: %s", e->at, e->text);
        p->retry_after_s = http_app_retry_after(app);
        p->limit = (int64_t)app->queue_images_max;
        return;
    }
    if (e->code != ERR_INPUT && e->code != ERR_LIMIT && e->code != ERR_UNSUPPORTED) {
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "%s", e->text);
        return;
    }
    char pointer[300] = "";
    for (size_t i = 0; i < sizeof solver_fields / sizeof *solver_fields; i++)
        if (strcmp(e->at, solver_fields[i]) == 0)
            http_pointer_step(pointer, sizeof pointer, "solver");
    if (e->at[0])
        http_pointer_step(pointer, sizeof pointer, e->at);
    http_problem_point(p, pointer, "%s", e->text);
}

/* Everything between the body's bytes and the engine's order. */
static int read_order(struct http_app *app, struct http_request *q, enum http_format *format,
                      struct engine_order *out, struct http_problem *p)
{
    struct http_order order;
    json_t *body = http_body_parse(&q->body, p);
    buf_free(&q->body);
    if (!body)
        return -1;
    int bad = http_order_parse(body, app->n_max, &order, p);
    json_decref(body);
    if (bad)
        return -1;
    memset(out, 0, sizeof *out);
    out->model = engine_model_find(app->engine, order.model[0] ? order.model : NULL);
    if (!out->model) {
        http_problem_point(p, "/model", "there is no model \"%s\"; GET /v1/models lists them",
                           order.model);
        return -1;
    }
    const struct model_solver fallback = model_solver_default(engine_model_get(out->model));
    if (http_order_solver(&order, &fallback, &out->solver, p) != 0 ||
        choose_format(q, &order, format, p) != 0 ||
        (!order.seed_given && draw_seed(&order.seed, p) != 0))
        return -1;
    out->seed = order.seed;
    out->first_index = order.first_index;
    out->n = order.n;
    out->no_metadata = !order.embed_metadata;
    out->output = order.grid_given ? ENGINE_OUTPUT_SHEET : ENGINE_OUTPUT_PNG;
    if (order.grid_given)
        out->grid = (struct image_grid){.columns = order.columns ? order.columns
                                                                 : image_grid_columns(order.n),
                                        .scale = order.scale,
                                        .gap = IMAGE_GRID_GAP};
    return 0;
}

struct http_ticket *http_images_begin(struct http_app *app, struct http_wait *wait,
                                      struct http_request *q, enum http_format *format,
                                      struct http_reply *r)
{
    struct http_problem p;
    struct engine_order order;
    struct err e = {0};
    http_problem_init(&p);
    http_reply_header(r, "Vary", "Accept");
    if (http_app_ready(app, &p) == 0 && read_order(app, q, format, &order, &p) == 0) {
        struct http_ticket *ticket = http_ticket_new(wait, &e);
        if (ticket && http_ticket_submit(ticket, app->engine, &order, &e) == 0)
            return ticket;
        if (ticket)
            http_ticket_drop(ticket, NULL);
        refuse(app, &e, &p);
    }
    http_problem_reply(&p, q->id, r);
    return NULL;
}

static void report_failure(struct http_app *app, const struct http_request *q, const struct err *e,
                           struct http_reply *r)
{
    struct http_problem p;
    http_problem_init(&p);
    if (e->code == ERR_CANCELLED) {
        refuse(app, e, &p);
    } else if (strncmp(e->at, "/images/", 8) == 0 &&
               (e->code == ERR_NUMERIC || e->code == ERR_LIMIT)) {
        http_problem_set(&p, HTTP_PROBLEM_NUMERICAL_FAILURE, "%s: %s", e->at, e->text);
        http_problem_point(&p, e->at, "%s", e->text);
    } else {
        http_problem_set(&p, HTTP_PROBLEM_INTERNAL, "%s%s%s", e->at, e->at[0] ? ": " : "", e->text);
    }
    http_problem_reply(&p, q->id, r);
}

/* A number while it fits the signed 64 bits that JSON readers hold, then a string. */
static json_t *index_json(uint64_t index)
{
    char text[24];
    if (index <= INT64_MAX)
        return json_integer((json_int_t)index);
    snprintf(text, sizeof text, "%" PRIu64, index);
    return json_string(text);
}

static json_t *image_json(const struct engine_image *image)
{
    struct buf b64;
    buf_init(&b64, HTTP_REPLY_BODY_MAX);
    json_t *o = NULL;
    if (base64_append(&b64, image->png.data, image->png.length, NULL) == 0)
        o = json_pack("{s:o, s:s, s:o, s:s, s:I, s:I}", "index", index_json(image->index), "mime",
                      "image/png", "b64", json_stringn_nocheck((const char *)b64.data, b64.length),
                      "sha256", image->sha256, "nfe", (json_int_t)image->counts.nfe,
                      "steps_rejected", (json_int_t)image->counts.rejected);
    buf_free(&b64);
    return o;
}

static json_t *parameters_json(const struct engine_order *order)
{
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, order->seed);
    json_t *grid = NULL;
    if (order->output == ENGINE_OUTPUT_SHEET)
        grid = json_pack("{s:i, s:i}", "columns", order->grid.columns, "scale", order->grid.scale);
    return json_pack(
        "{s:s, s:I, s:s, s:o, s:o, s:o*, s:b}", "model", engine_model_name(order->model), "n",
        (json_int_t)order->n, "seed", seed, "first_index", index_json(order->first_index), "solver",
        engine_solver_json(&order->solver), "grid", grid, "embed_metadata", !order->no_metadata);
}

static double milliseconds(int64_t ns)
{
    return (double)(ns / 1000) / 1000.0;
}

static json_t *result_json(const struct http_request *q, const struct engine_request *done)
{
    const struct engine_order *order = engine_request_order(done);
    const struct model *m = engine_model_get(order->model);
    const struct engine_timings times = engine_request_timings(done);
    bool is_sheet = order->output == ENGINE_OUTPUT_SHEET;
    struct image_shape shape = model_shape(m);
    if (is_sheet && image_grid_shape(order->grid, shape, order->n, &shape, NULL) != 0)
        return NULL;
    json_t *images = json_array();
    size_t count = is_sheet ? 1 : order->n;
    for (size_t i = 0; i < count && images; i++) {
        const struct engine_image *image =
            is_sheet ? engine_request_sheet(done) : engine_request_image(done, i);
        if (json_array_append_new(images, image_json(image)) != 0) {
            json_decref(images);
            images = NULL;
        }
    }
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, order->seed);
    return json_pack(
        "{s:s, s:{s:s, s:s}, s:s, s:s, s:s, s:I, s:i, s:i, s:i, s:o, s:o, s:{s:f, s:f, s:f}}", "id",
        q->id, "model", "name", engine_model_name(order->model), "sha256", model_sha256(m),
        "kernel", model_kernel_id(m), "precision", model_precision_name(m), "seed", seed, "n",
        (json_int_t)order->n, "width", shape.width, "height", shape.height, "channels",
        shape.channels, "images", images, "parameters", parameters_json(order), "timings",
        "queue_ms", milliseconds(times.queue_ns), "compute_ms", milliseconds(times.compute_ns),
        "encode_ms", milliseconds(times.encode_ns));
}

static void png_reply(const struct engine_request *done, struct http_reply *r)
{
    const struct engine_order *order = engine_request_order(done);
    const struct engine_image *image = order->output == ENGINE_OUTPUT_SHEET
                                           ? engine_request_sheet(done)
                                           : engine_request_image(done, 0);
    r->status = 200;
    r->content_type = http_format_type(HTTP_FORMAT_PNG);
    if (buf_append(&r->body, image->png.data, image->png.length, NULL) != 0) {
        http_reply_fail(r);
        return;
    }
    http_reply_header(r, "ETag", "\"%s\"", image->sha256);
    http_reply_header(r, "Content-Disposition",
                      "inline; filename=\"pfgm-%" PRIu64 "-%" PRIu64 ".png\"", order->seed,
                      order->first_index);
}

void http_images_finish(struct http_app *app, const struct http_request *q, enum http_format format,
                        struct engine_request *done, struct http_reply *r)
{
    const struct err *error = engine_request_error(done);
    if (error) {
        report_failure(app, q, error, r);
        return;
    }
    const struct engine_order *order = engine_request_order(done);
    const struct engine_timings times = engine_request_timings(done);
    if (format == HTTP_FORMAT_PNG)
        png_reply(done, r);
    else
        http_reply_json(r, 200, http_format_type(HTTP_FORMAT_JSON), result_json(q, done));
    http_reply_header(r, "X-Pfgm-Seed", "%" PRIu64, order->seed);
    http_reply_header(r, "X-Pfgm-Model", "%s", engine_model_name(order->model));
    http_reply_header(r, "X-Pfgm-Kernel", "%s", model_kernel_id(engine_model_get(order->model)));
    http_reply_header(r, "Server-Timing", "queue;dur=%.3f, compute;dur=%.3f, encode;dur=%.3f",
                      milliseconds(times.queue_ns), milliseconds(times.compute_ns),
                      milliseconds(times.encode_ns));
}
