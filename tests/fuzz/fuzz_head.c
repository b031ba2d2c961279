/* Heads of requests, field by field: everything that is read of one before there is a body, and
 * without the HTTP library in between. The first line is "METHOD TARGET", the others "Name: value"
 * up to a line feed. */
#include "fuzz.h"
#include "fuzz_world.h"

#include "api_dialect.h"
#include "api_lookup.h"
#include "api_route.h"
#include "http_cors.h"
#include "http_prefer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD_MAX 1024

static struct http_app app;
static struct http_options options;

static void begin(void)
{
    static const char *const names[] = {FUZZ_MODEL};
    options = (struct http_options){.n_max = FUZZ_IMAGES,
                                    .body_max = FUZZ_BODY,
                                    .queue_images_max = 8,
                                    .connections = 8,
                                    .threads = 1,
                                    .public_url = "https://pfgm.example/prefix",
                                    .hosts = "pfgm.example other.example",
                                    .trusted_proxies = "10.0.0.0/8 fd00::/8",
                                    .cors_origins = "https://page.example",
                                    .keys_file = fuzz_world_keys(),
                                    .link_lifetime_s = 60,
                                    .model_names = names,
                                    .model_count = 1};
    fuzz_world_app(&app, &options);
}

static void end(void)
{
    fuzz_world_app_end(&app);
}

/* The routes, links and queries that a target leads to. */
static void look_at_target(const char *method, const char *raw, char *redacted)
{
    static struct http_request q;
    struct http_problem p;
    bool is_options = false;
    http_problem_init(&p);
    memset(&q, 0, sizeof q);
    http_target_redact(redacted);
    if (http_target_parse(raw, &q.target, &p) == 0) {
        char key[64], value[64];
        size_t at = 0;
        http_front_strip(&app.front, q.target.path);
        while (http_query_next(q.target.query, &at, key, sizeof key, value, sizeof value))
            FUZZ_CHECK(strlen(key) < sizeof key && strlen(value) < sizeof value);
        q.route = api_route_find(HTTP_PUBLIC | HTTP_ADMIN, q.target.path, q.names);
        q.route = api_route_for(q.route, method);
        if (api_route_method(q.route, method, &is_options, &p) == 0 && q.route && !is_options) {
            FUZZ_CHECK(api_route_number(q.route) < HTTP_ROUTES_MAX - 1);
            if (q.route->linked && http_link_is_signed(&q)) {
                http_link_judge(&app, &q, &p);
                http_link_strip(&q);
            }
            if (q.route->dialect == &api_link)
                json_decref(api_lookup_fields(&q, &p));
        }
        struct buf text;
        buf_init(&text, FIELD_MAX);
        buf_string(&text, "# HELP a b\n# TYPE a gauge\na 1\n", NULL);
        http_metrics_select(q.target.query, &text);
        buf_clear(&text);
    } else {
        FUZZ_CHECK(p.code != HTTP_PROBLEM_NONE);
    }
    http_problem_clear(&p);
}

static void look_at_names(const struct http_field *fields, size_t count, struct http_problem *p)
{
    char host[FIELD_MAX], origin[FIELD_MAX], plain[HTTP_HOST_MAX + 1];
    static struct http_request q;
    static struct http_forwarded forwarded;
    struct http_reply reply;
    if (!http_field_join(fields, count, "Host", host, sizeof host))
        host[0] = '\0';
    http_front_answers(&app.front, host, true);
    http_front_answers(&app.front, host, false);
    http_front_plain_host(host, plain);
    FUZZ_CHECK(!strpbrk(plain, "\"<>\\ \r\n"));
    if (http_field_join(fields, count, "Origin", origin, sizeof origin)) {
        memset(&q, 0, sizeof q);
        http_front_is_own(&app.front, origin, host);
        http_cors_judge(&options, &q, origin);
        http_reply_init(&reply);
        http_cors_headers(&options, &q, &reply);
        http_reply_clear(&reply);
    }
    http_front_forwarded(&app.front, "10.1.2.3", fields, count, &forwarded, p);
    http_front_forwarded(&app.front, "192.0.2.1", fields, count, &forwarded, p);
    FUZZ_CHECK(!forwarded.address[0] && !forwarded.host[0]); /* from who is not trusted: nothing */
}

static void look_at_wishes(const struct http_field *fields, size_t count, struct http_problem *p)
{
    static const bool all[HTTP_FORMATS] = {true, true, true, true, true, true, true, true};
    char value[FIELD_MAX], name[HTTP_KEY_NAME_MAX + 1] = "", text[64];
    enum http_format format = HTTP_FORMATS;
    if (http_field_join(fields, count, "Accept", value, sizeof value)) {
        http_accepts_anything(value, all);
        if (http_negotiate(value, NULL, all, &format) == 0)
            FUZZ_CHECK(format < HTTP_FORMATS && http_format_type(format));
    }
    if (http_field_join(fields, count, "Prefer", value, sizeof value)) {
        http_prefers(value, "wait", text, sizeof text);
        http_prefers(value, "respond-async", text, sizeof text);
    }
    if (http_field_join(fields, count, "Content-Type", value, sizeof value))
        http_form_type(value);
    if (http_field_join(fields, count, "If-None-Match", value, sizeof value))
        api_lookup_matches(value,
                           "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    bool shown = http_field_join(fields, count, "Authorization", value, sizeof value);
    if (http_keys_judge(&app.keys, shown ? value : NULL, true, name, p) == 0)
        FUZZ_CHECK(shown && strcmp(name, "all") == 0);
}

static void look_at_fields(const struct http_field *fields, size_t count)
{
    struct http_framing framing = {0};
    struct http_problem p;
    http_problem_init(&p);
    if (http_guard_check(fields, count, false, &framing, &p) == 0)
        FUZZ_CHECK(!framing.chunked || !framing.has_length);
    else
        FUZZ_CHECK(p.close);
    look_at_names(fields, count, &p);
    look_at_wishes(fields, count, &p);
    http_problem_clear(&p);
}

/* Cuts the line that begins at *at off, and moves behind it. */
static char *next_line(char *text, size_t length, size_t *at)
{
    if (*at >= length)
        return NULL;
    char *line = text + *at, *stop = memchr(line, '\n', length - *at);
    *at = stop ? (size_t)(stop - text) + 1 : length;
    text[stop ? *at - 1 : length] = '\0';
    return line;
}

static void run(const uint8_t *data, size_t length)
{
    struct http_field fields[HTTP_FIELDS_MAX];
    size_t count = 0, at = 0;
    char *text = malloc(length + 1), *line;
    FUZZ_CHECK(text);
    memcpy(text, data, length);
    text[length] = '\0';
    char *first = next_line(text, length, &at);
    while (count < HTTP_FIELDS_MAX && (line = next_line(text, length, &at))) {
        const char *value = strchr(line, ':');
        const size_t name = value ? (size_t)(value - line) : strlen(line);
        value = value ? value + 1 + strspn(value + 1, " ") : "";
        fields[count++] = (struct http_field){line, value, name, strlen(value)};
    }
    if (first) {
        char *target = strchr(first, ' '), *redacted;
        if (target)
            *target++ = '\0';
        FUZZ_CHECK((redacted = strdup(target ? target : "/")));
        look_at_target(first, target ? target : "/", redacted);
        free(redacted);
    }
    look_at_fields(fields, count);
    free(text);
}

const struct fuzz_target fuzz_head = {
    .name = "head", .memory = 4 << 20, .memory_factor = 64, .begin = begin, .run = run, .end = end};
