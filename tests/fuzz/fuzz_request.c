/* Bodies of requests for work, in the words of every interface: read, and made into an order for a
 * model. Nothing is computed. The first byte says which route it is; of a body that is no JSON the
 * first line is the query (of KServe's tensors: the length of the head), and the rest is the body.
 */
#include "fuzz.h"
#include "fuzz_world.h"

#include "api_call.h"
#include "api_route.h"

#include <stdio.h>
#include <string.h>

#define FORM_SEPARATOR '\x1e' /* between parts, each "name=data" or "name*=data" of a file */

static struct http_app app;
static struct http_options options;

static const struct entrance {
    const char *path;
    enum http_media media;
} entrances[] = {
    {"/v1/images", HTTP_MEDIA_JSON},
    {"/v1/jobs", HTTP_MEDIA_JSON},
    {"/v1/encode", HTTP_MEDIA_JSON},
    {"/v1/decode", HTTP_MEDIA_JSON},
    {"/v1/interpolate", HTTP_MEDIA_JSON},
    {"/v1/edit", HTTP_MEDIA_JSON},
    {"/v1/likelihood", HTTP_MEDIA_JSON},
    {"/v1/images/generations", HTTP_MEDIA_JSON},
    {"/v2/models/" FUZZ_MODEL "/infer", HTTP_MEDIA_JSON},
    {"/v1/images/edits", HTTP_MEDIA_FORM},
    {"/v1/images/variations", HTTP_MEDIA_FORM},
    {"/v1/encode", HTTP_MEDIA_NPY},
    {"/v1/encode", HTTP_MEDIA_PNG},
    {"/v1/decode", HTTP_MEDIA_NPY},
    {"/v1/interpolate", HTTP_MEDIA_NPY},
    {"/v1/edit", HTTP_MEDIA_PNG},
    {"/v1/edit", HTTP_MEDIA_NPY},
    {"/v1/likelihood", HTTP_MEDIA_PNG},
    {"/v1/images/7/0", HTTP_MEDIA_JSON}, /* a GET, which has a query alone */
};

static void begin(void)
{
    static const char *const names[] = {FUZZ_MODEL};
    options = (struct http_options){.n_max = FUZZ_IMAGES,
                                    .body_max = 1 << 20,
                                    .queue_images_max = 8,
                                    .connections = 8,
                                    .threads = 1,
                                    .link_lifetime_s = 60,
                                    .model_names = names,
                                    .model_count = 1};
    fuzz_world_app(&app, &options);
    atomic_store(&app.state, HTTP_STATE_READY);
}

static void end(void)
{
    fuzz_world_app_end(&app);
}

static void add_parts(struct http_form *form, const uint8_t *data, size_t length)
{
    for (size_t at = 0; at < length;) {
        const uint8_t *part = data + at, *stop = memchr(part, FORM_SEPARATOR, length - at);
        size_t size = stop ? (size_t)(stop - part) : length - at;
        const uint8_t *equals = memchr(part, '=', size);
        char name[HTTP_FORM_NAME_MAX + 1];
        at += size + 1;
        if (!equals || equals == part || equals - part > HTTP_FORM_NAME_MAX)
            continue;
        bool is_file = equals[-1] == '*';
        snprintf(name, sizeof name, "%.*s", (int)(equals - part) - is_file, (const char *)part);
        http_form_add(form, name, is_file, 0, equals + 1, size - (size_t)(equals + 1 - part),
                      1 << 20, NULL);
    }
}

/* Reads a request for work, and looks at what became of it. */
static void read_request(struct http_request *q)
{
    struct api_call call = {0};
    struct http_reply reply;
    http_reply_init(&reply);
    if (api_call_read(&app, q, &call, &reply)) {
        const struct engine_order *o = &call.asked;
        FUZZ_CHECK(o->model && o->n >= 1 && o->n <= FUZZ_IMAGES);
        FUZZ_CHECK(o->first_index <= UINT64_MAX - (o->n - 1));
    } else {
        FUZZ_CHECK((reply.status >= 400 && reply.status < 500) || reply.status == 304 ||
                   reply.status == 503); /* where there are no jobs */
        FUZZ_CHECK(reply.status == 304 || reply.body.length > 0);
    }
    api_call_end(&app, q, &call);
    http_reply_clear(&reply);
}

static void enter(const struct entrance *way, const char *line, const uint8_t *body, size_t length)
{
    static struct http_request q;
    memset(&q, 0, sizeof q);
    snprintf(q.id, sizeof q.id, "id");
    snprintf(q.scheme, sizeof q.scheme, "http");
    snprintf(q.host, sizeof q.host, "localhost");
    snprintf(q.target.path, sizeof q.target.path, "%s", way->path);
    snprintf(q.target.query, sizeof q.target.query, "%s", line);
    q.route = api_route_find(HTTP_PUBLIC, way->path, q.names);
    q.route = api_route_for(q.route, q.route && q.route->has_body ? "POST" : "GET");
    FUZZ_CHECK(q.route && q.route->dialect);
    q.media = way->media;
    buf_init(&q.body, 1 << 20);
    if (way->media == HTTP_MEDIA_FORM)
        add_parts(&q.form, body, length);
    else if (length > 0 && buf_append(&q.body, body, length, NULL) != 0)
        length = 0;
    read_request(&q);
    buf_clear(&q.body);
    http_form_clear(&q.form);
}

/* The first line, as far as it fits and up to a NUL; returns where the rest begins. */
static size_t take_line(const uint8_t *data, size_t length, char *out, size_t size)
{
    const uint8_t *stop = memchr(data, '\n', length);
    size_t used = stop ? (size_t)(stop - data) : length;
    snprintf(out, size, "%.*s", (int)used, (const char *)data);
    return stop ? used + 1 : used;
}

static void request_run(const uint8_t *data, size_t length)
{
    char line[HTTP_QUERY_MAX] = "";
    if (length == 0)
        return;
    const struct entrance *way = &entrances[data[0] % (sizeof entrances / sizeof *entrances)];
    size_t at = 1;
    if (way->media == HTTP_MEDIA_NPY || way->media == HTTP_MEDIA_PNG ||
        strcmp(way->path, "/v1/images/7/0") == 0)
        at += take_line(data + 1, length - 1, line, sizeof line);
    enter(way, line, data + at, length - at);
}

const struct fuzz_target fuzz_request = {.name = "request",
                                         .memory = 16 << 20,
                                         .memory_factor = 256,
                                         .begin = begin,
                                         .run = request_run,
                                         .end = end};

static void kserve_run(const uint8_t *data, size_t length)
{
    static struct http_request q;
    memset(&q, 0, sizeof q);
    size_t at = take_line(data, length, q.inference_length, sizeof q.inference_length);
    snprintf(q.id, sizeof q.id, "id");
    q.route = api_route_find(HTTP_PUBLIC, "/v2/models/" FUZZ_MODEL "/infer", q.names);
    buf_init(&q.body, 1 << 20);
    if (length == at || buf_append(&q.body, data + at, length - at, NULL) == 0)
        read_request(&q);
    buf_clear(&q.body);
}

const struct fuzz_target fuzz_kserve = {.name = "kserve",
                                        .memory = 16 << 20,
                                        .memory_factor = 256,
                                        .begin = begin,
                                        .run = kserve_run,
                                        .end = end};
