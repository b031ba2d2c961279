/* POST /v1/jobs and PUT /v1/jobs/{id}: the fields are those of POST /v1/images, and the order is
 * written down in the place of being handed to the engine. */
#include "api_dialect.h"
#include "api_jobs_answer.h"
#include "api_route.h"

#include "base_crypto.h"
#include "http_prefer.h"

#include <stdlib.h>
#include <string.h>

#define EDITS "a job samples images; POST /v1/edit edits one"

/* Of the fields in an order of their own, so that blanks in a body and the order of its members
 * make no other job. */
struct own {
    char body[SHA256_HEX_SIZE];
};

static int digest_body(const json_t *document, char out[SHA256_HEX_SIZE])
{
    char *text = json_dumped(document, JSON_SORT_KEYS | JSON_COMPACT, NULL);
    const int result = text ? sha256_hex(text, strlen(text), out, NULL) : -1;
    free(text);
    return result;
}

static int read_fields(struct http_app *app, struct http_request *q, struct api_call *call,
                       struct http_problem *p)
{
    static const char *const others[][2] = {
        {"grid", "a job makes single images"},
        {"format", "the format is chosen when an image is fetched"},
        {"layout", "the layout is chosen when an image is fetched"},
        {"timeout_s", "a job has no deadline; DELETE cancels it"},
        {"image", EDITS},
        {"mask", EDITS},
        {"strength", EDITS},
    };
    struct own *own = call->own;
    char id[JOBS_ID_SIZE], key[64], value[64];
    size_t at = 0;
    if (!api_jobs_are_on(app, p))
        return -1;
    if (http_query_next(q->target.query, &at, key, sizeof key, value, sizeof value)) {
        http_problem_point(p, "",
                           "unknown query parameter \"%s\": everything belongs into the body", key);
        return -1;
    }
    if (q->names[0][0] && jobs_id_parse(q->names[0], id) != 0) {
        http_problem_set(p, HTTP_PROBLEM_INVALID_PARAMETER,
                         "the id of a job is a UUID, such as "
                         "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        return -1;
    }
    if (strlen(q->idempotency_key) >=
        sizeof q->idempotency_key - 1) { /* it may have been cut off */
        http_problem_set(p, HTTP_PROBLEM_INVALID_PARAMETER,
                         "Idempotency-Key must have at most %zu bytes",
                         sizeof q->idempotency_key - 2);
        return -1;
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (json_object_get(call->document, others[i][0])) {
            char pointer[32] = "";
            http_pointer_step(pointer, sizeof pointer, others[i][0]);
            http_problem_point(p, pointer, "%s", others[i][1]);
            json_object_del(call->document, others[i][0]); /* it is refused, once */
        }
    if (digest_body(call->document, own->body) != 0)
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "out of memory");
    if (api_order_parse(call->document, JOBS_IMAGES_MAX, &call->order, p) != 0)
        return -1;
    return p->code == HTTP_PROBLEM_NONE ? 0 : -1;
}

/* What is kept of an image: its PNG where there is one. */
static int order(struct http_app *app, const struct http_request *q, struct api_call *call,
                 struct engine_order *out, struct http_problem *p)
{
    const struct image_shape shape = model_shape(engine_model_get(out->model));
    (void)app, (void)q, (void)p;
    out->priority = ENGINE_PRIORITY_BATCH;
    out->preview_every = call->order.preview_every;
    out->output = call->order.float32 || image_shape_is_vector(shape) ? ENGINE_OUTPUT_SAMPLE
                  : shape.channels == 1 || shape.channels == 3        ? ENGINE_OUTPUT_PNG
                                                                      : ENGINE_OUTPUT_PIXELS;
    return 0;
}

const struct api_dialect *api_jobs_dialect_for(const struct http_app *app,
                                               const struct http_request *q)
{
    char value[8];
    return q->route->dialect == &api_native && app->options->jobs &&
                   http_prefers(q->prefer, "respond-async", value, sizeof value) && !value[0]
               ? &api_jobs_dialect
               : q->route->dialect;
}

static void take(struct http_app *app, const struct http_request *q, struct api_call *call,
                 struct http_reply *r)
{
    const struct own *own = call->own;
    struct http_problem p;
    struct jobs_record job;
    struct err e = {0};
    bool is_new = false;
    int64_t day = 0;
    char id[JOBS_ID_SIZE];
    const struct jobs_filing filing = {
        .owner = q->client,
        .id = q->names[0][0] && jobs_id_parse(q->names[0], id) == 0 ? id : NULL,
        .key = q->idempotency_key[0] ? q->idempotency_key : NULL,
        .body = own->body,
        .label = call->order.label,
        .order = &call->asked,
    };
    http_problem_init(&p);
    /* A job that is there was paid for: whoever files it again needs to have nothing left. */
    enum jobs_answer answer = jobs_filed(app->options->jobs, &filing, &job, &e);
    if (answer == JOBS_ABSENT) {
        if (http_keys_charge(&app->keys, q->client, call->asked.n, &day, &p) != 0) {
            http_problem_reply(&p, q->id, r);
            return;
        }
        answer = jobs_file(app->options->jobs, &filing, &job, &is_new, &e);
        /* Somebody filed it meanwhile, or nobody can. Of one that may be filed, nobody knows. */
        if (!is_new && answer != JOBS_UNSURE)
            http_keys_return(&app->keys, q->client, call->asked.n, day);
    }
    if (answer != JOBS_DONE) {
        api_jobs_problem(answer, &e, &p);
        if (answer == JOBS_MANY)
            p.limit = (int64_t)jobs_live_max(app->options->jobs);
        http_problem_reply(&p, q->id, r);
        return;
    }
    http_reply_json(r, is_new ? 202 : 200, "application/json", api_jobs_json(app, q, &job));
    if (q->route->dialect != &api_jobs_dialect)
        http_reply_header(r, "Preference-Applied", "respond-async");
    http_reply_header(r, "Location", "%s/v1/jobs/%s", q->prefix, job.id);
}

const struct api_dialect api_jobs_dialect = {
    .media = "application/json",
    .own = sizeof(struct own),
    .pin = api_native_pin,
    .read = read_fields,
    .order = order,
    .take = take,
};
