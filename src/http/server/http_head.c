/* Judging a request by its head: framing, target, route, origin, key, limits, state, kind of body.
 * What needs no key is judged before the key, what needs none of the server's state before that. */
#include "http_exchange.h"

#include "api_dialect.h"
#include "http_cors.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define TRACEPARENT 55 /* "00-" trace-id "-" parent-id "-" flags */

/* The client's id, when it is one that may stand in a log and a header. */
static void take_id(struct http_request *q, const struct http_field *f)
{
    if (!f || f->value_length < 1 || f->value_length > HTTP_ID_MAX)
        return;
    for (size_t i = 0; i < f->value_length; i++) {
        char c = f->value[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!plain && c != '.' && c != '_' && c != '-')
            return;
    }
    memcpy(q->id, f->value, f->value_length);
    q->id[f->value_length] = '\0';
}

/* What every answer says back, refusals of any head among them. `origin` as it came, or empty. */
static void take_returned(struct http_exchange *x, const struct http_head *head, char *origin,
                          size_t size)
{
    struct http_request *q = &x->request;
    take_id(q, http_field_find(head->fields, head->count, "X-Request-Id"));
    if (http_field_join(head->fields, head->count, "Origin", origin, size))
        http_cors_judge(x->app->options, q, origin);
}

static bool is_hex(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!strchr("0123456789abcdef", text[i]) || !text[i])
            return false;
    return true;
}

/* Version 00 of W3C Trace Context: "00-" 32 digits "-" 16 digits "-" 2 digits. */
static void take_trace(struct http_request *q, const struct http_field *f)
{
    if (!f || f->value_length != TRACEPARENT || memcmp(f->value, "00-", 3) != 0)
        return;
    const char *v = f->value;
    if (is_hex(v + 3, 32) && v[35] == '-' && is_hex(v + 36, 16) && v[52] == '-' &&
        is_hex(v + 53, 2))
        snprintf(q->trace, sizeof q->trace, "%.49s", v + 3);
}

/* A browser lets any web page send a form without asking first, so foreign ones are refused here.
 */
static int take_form(bool bounded, struct http_request *q, struct http_problem *p)
{
    q->media = HTTP_MEDIA_FORM;
    if (!bounded)
        http_problem_set(
            p, HTTP_PROBLEM_BAD_REQUEST,
            "the Content-Type multipart/form-data needs a boundary of 2 to 70 letters, "
            "digits or other plain characters behind it");
    else if (q->foreign)
        http_problem_set(p, HTTP_PROBLEM_FORBIDDEN,
                         "a web page of another origin sent this form; its origin must stand in "
                         "\"cors_origins\"");
    else
        return 0;
    p->close = true;
    return -1;
}

/* The body of work is JSON in plain bytes, or what the dialect takes; a request may leave its type
 * unsaid, unless a foreign web page sent it: a browser asks first whether a page may send JSON, but
 * not when it sends bytes without a type. What `curl -d` and other plain clients call any body is
 * taken as well, unless a web page sent it: a form on a foreign page may post that type to a daemon
 * on loopback without asking first, and then the browser names the page's origin. */
static int check_media_type(const struct http_head *head, struct http_request *q,
                            struct http_problem *p)
{
    const struct api_dialect *dialect = q->route->dialect;
    const char *types = dialect ? dialect->media : "application/json";
    char type[256];
    const struct http_field *f = http_field_find(head->fields, head->count, "Content-Encoding");
    if (f && !http_field_is(f, "identity")) {
        http_problem_set(p, HTTP_PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                         "compressed bodies are not taken; send it as it is");
        return -1;
    }
    if (!http_field_join(head->fields, head->count, "Content-Type", type, sizeof type)) {
        if (!q->foreign)
            return 0;
        http_problem_set(
            p, HTTP_PROBLEM_FORBIDDEN,
            "a web page of another origin sent this, without a Content-Type; it has to "
            "say application/json, and its origin must stand in \"cors_origins\"");
        p->close = true;
        return -1;
    }
    const int form = strstr(types, "multipart/form-data") ? http_form_type(type) : 0;
    if (form != 0)
        return take_form(form > 0, q, p);
    type[strcspn(type, "; \t")] = '\0';
    if (strcasecmp(type, "application/json") == 0 ||
        (dialect && dialect->octets && strcasecmp(type, "application/octet-stream") == 0))
        return 0;
    for (enum http_media m = HTTP_MEDIA_PNG; m <= HTTP_MEDIA_NPY; m++) {
        const char *name =
            http_format_type(m == HTTP_MEDIA_PNG ? HTTP_FORMAT_PNG : HTTP_FORMAT_NPY);
        if (strcasecmp(type, name) == 0 && strstr(types, name)) {
            q->media = m;
            return 0;
        }
    }
    if (strcasecmp(type, "application/x-www-form-urlencoded") == 0 &&
        !http_field_find(head->fields, head->count, "Origin"))
        return 0;
    http_problem_set(p, HTTP_PROBLEM_UNSUPPORTED_MEDIA_TYPE, "the body must be %s, not \"%s\"",
                     types, type);
    return -1;
}

void http_head_too_large(const struct http_exchange *x, struct http_problem *p)
{
    size_t limit = api_route_body_max(x->app, x->request.route);
    http_problem_set(p, HTTP_PROBLEM_CONTENT_TOO_LARGE, "a body may have %zu bytes", limit);
    p->limit = (int64_t)limit;
    p->close = true;
}

/* Whether a web page sent this that neither came from here nor may ask: by what the browser says of
 * itself, or by the origin. */
static bool is_foreign(const struct http_exchange *x, const struct http_head *head,
                       const char *origin)
{
    const struct http_request *q = &x->request;
    const struct http_field *site = http_field_find(head->fields, head->count, "Sec-Fetch-Site");
    if (q->origin[0])
        return false;
    if (site)
        return !http_field_is(site, "same-origin") && !http_field_is(site, "none");
    return *origin && !http_front_is_own(&x->app->front, origin, q->host);
}

/* The names by which the client knows the server, and the client's address. A Host field that could
 * be anything but a host and a port is left out, and addresses in answers are relative then. */
static int take_names(struct http_exchange *x, const struct http_head *head, const char *origin,
                      struct http_problem *p)
{
    struct http_request *q = &x->request;
    const struct http_front *front = &x->app->front;
    struct http_forwarded told;
    char host[HTTP_HOST_MAX + 2] = "";
    http_field_join(head->fields, head->count, "Host", host, sizeof host);
    if (x->listener->where == HTTP_PUBLIC &&
        !http_front_answers(front, host, x->listener->loopback)) {
        http_problem_set(p, HTTP_PROBLEM_MISDIRECTED,
                         "this server does not answer to the host \"%.100s\"; names that it is to "
                         "answer to belong into the setting \"hosts\" or \"public_url\"",
                         host);
        p->close = true;
        return -1;
    }
    if (http_front_forwarded(front, x->connection->peer, head->fields, head->count, &told, p) != 0)
        return -1;
    if (told.address[0])
        http_connection_name(&x->app->wait, x->connection, told.address);
    snprintf(q->scheme, sizeof q->scheme, "%s",
             told.scheme[0]     ? told.scheme
             : x->listener->tls ? "https"
                                : "http");
    http_front_plain_host(told.host[0] ? told.host : host, q->host);
    snprintf(q->prefix, sizeof q->prefix, "%s", told.prefix);
    q->foreign = is_foreign(x, head, origin);
    if (front->scheme[0]) {
        snprintf(q->scheme, sizeof q->scheme, "%s", front->scheme);
        snprintf(q->host, sizeof q->host, "%s", front->authority);
        snprintf(q->prefix, sizeof q->prefix, "%s", front->prefix);
    }
    return 0;
}

static void take_fields(struct http_exchange *x, const struct http_head *head)
{
    struct http_request *q = &x->request;
    take_trace(q, http_field_find(head->fields, head->count, "traceparent"));
    q->has_accept =
        http_field_join(head->fields, head->count, "Accept", q->accept, sizeof q->accept);
    http_field_join(head->fields, head->count, "If-None-Match", q->if_none_match,
                    sizeof q->if_none_match);
    http_field_join(head->fields, head->count, "If-Match", q->if_match, sizeof q->if_match);
    http_field_join(head->fields, head->count, "Last-Event-ID", q->last_event_id,
                    sizeof q->last_event_id);
    http_field_join(head->fields, head->count, "Prefer", q->prefer, sizeof q->prefer);
    http_field_join(head->fields, head->count, "Idempotency-Key", q->idempotency_key,
                    sizeof q->idempotency_key);
    http_field_join(head->fields, head->count, "Inference-Header-Content-Length",
                    q->inference_length, sizeof q->inference_length);
}

/* Finds the route and looks at the method. */
static int judge_route(struct http_exchange *x, bool *options, struct http_problem *p)
{
    struct http_request *q = &x->request;
    unsigned where = x->listener->where;
    q->route = api_route_find(where, q->target.path, q->names);
    if (q->route && q->route->answer == api_info_metrics && where == HTTP_PUBLIC &&
        !x->app->options->public_metrics)
        q->route = NULL;
    if (q->route)
        x->reply.problem_json = q->route->dialect ? q->route->dialect->problem : NULL;
    q->route = api_route_for(q->route, x->method);
    bool whole_server = strcmp(q->target.path, "*") == 0 && strcmp(x->method, "OPTIONS") == 0;
    if (api_route_method(q->route, x->method, options, p) != 0)
        return -1;
    if (q->route || whole_server)
        return 0;
    http_problem_set(p, HTTP_PROBLEM_NOT_FOUND, "there is nothing at %s", q->target.path);
    return -1;
}

static void answer_options(struct http_exchange *x, const struct http_head *head)
{
    struct http_request *q = &x->request;
    if (q->origin[0] &&
        http_field_find(head->fields, head->count, "Access-Control-Request-Method")) {
        http_cors_preflight(api_route_allow(q->route), &x->reply);
    } else {
        x->reply.status = 204;
        http_reply_header(&x->reply, "Allow", "%s", api_route_allow(q->route));
    }
    x->refused = true;
}

/* Beyond the limits health and the rest still answer, but there is no work. */
static int judge_connections(struct http_exchange *x, struct http_problem *p)
{
    const struct http_options *o = x->app->options;
    /* The library leaves what is beyond its limit unanswered; so the last few before it are. */
    const size_t limit = (size_t)o->connections, spare = limit / 16 < 64 ? limit / 16 : 64,
                 most = limit - spare;
    size_t same = 0, all = http_connection_count(&x->app->wait, x->connection, &same);
    if (o->connections_per_address > 0 && same > (size_t)o->connections_per_address) {
        http_problem_set(p, HTTP_PROBLEM_QUOTA_EXCEEDED,
                         "%zu connections are open from this address and %d are the limit", same,
                         o->connections_per_address);
        p->limit = o->connections_per_address;
    } else if (all > most) {
        http_problem_set(p, HTTP_PROBLEM_QUEUE_FULL, "%zu connections are open, and %zu get work",
                         all, most);
        p->limit = (int64_t)most;
    } else {
        return 0;
    }
    p->retry_after_s = http_app_retry_after(x->app);
    p->close = true;
    return -1;
}

/* A browser fetches an image for any page that names one, and does not ask whether it may. So a
 * daemon that it knows as this machine makes none for a page of another site, which has no business
 * there. Of a server with a public name, and of a link that is signed, images are meant to stand on
 * pages; and a person who follows a link is none. */
static int judge_embedding(const struct http_exchange *x, const struct http_head *head,
                           struct http_problem *p)
{
    const struct http_request *q = &x->request;
    const struct http_field *site = http_field_find(head->fields, head->count, "Sec-Fetch-Site"),
                            *dest = http_field_find(head->fields, head->count, "Sec-Fetch-Dest");
    char from[HTTP_HOST_MAX + 16] = "";
    if (!q->foreign || q->by_link || !http_front_is_loopback(q->host) ||
        (site && http_field_is(site, "same-site")) || (dest && http_field_is(dest, "document")))
        return 0;
    if (http_field_join(head->fields, head->count, "Referer", from, sizeof from)) {
        const char *authority = strstr(from, "://");
        if (authority)
            from[(size_t)(authority - from) + 3 + strcspn(authority + 3, "/?#")] = '\0';
    }
    if (http_cors_lists(x->app->options, from))
        return 0;
    http_problem_set(p, HTTP_PROBLEM_FORBIDDEN,
                     "a web page of another site asks this machine for an image; its origin must "
                     "stand in \"cors_origins\"");
    p->close = true;
    return -1;
}

static int judge_key(struct http_exchange *x, const struct http_head *head, struct http_problem *p)
{
    char field[1024];
    struct http_request *q = &x->request;
    if (x->listener->where == HTTP_ADMIN || !q->route || q->route->free)
        return 0; /* who may open the admin socket is the file system's to say */
    bool has = http_field_join(head->fields, head->count, "Authorization", field, sizeof field);
    if (q->route->linked && http_link_is_signed(q)) {
        int verdict = !has && http_keys_required(&x->app->keys) ? http_link_judge(x->app, q, p) : 1;
        http_link_strip(q);
        if (verdict <= 0)
            return verdict;
    }
    return http_keys_judge(&x->app->keys, has ? field : NULL, q->route->work || q->route->writes,
                           q->client, p);
}

/* Where a body may have been hidden from us, what came behind it must not be taken for a request:
 * where there is none though the method is one that has, and where it is in chunks, in whose lines
 * the library is more lenient than can be seen. */
bool http_head_may_hide(const char *method, const struct http_framing *framing)
{
    static const char *const without[] = {"GET", "HEAD", "DELETE", "OPTIONS"};
    for (size_t i = 0; i < sizeof without / sizeof *without; i++)
        if (strcmp(method, without[i]) == 0)
            return framing->chunked;
    return !framing->has_length;
}

void http_head_speak(struct http_exchange *x)
{
    char path[HTTP_PATH_MAX];
    snprintf(path, sizeof path, "%s", x->raw_target);
    http_front_strip(&x->app->front, path);
    const struct api_dialect *dialect = api_route_speaks(x->listener->where, path);
    x->reply.problem_json = dialect ? dialect->problem : NULL;
}

int http_head_judge(struct http_exchange *x, const struct http_head *head, bool http_1_0,
                    struct http_framing *framing, struct http_problem *p)
{
    struct http_request *q = &x->request;
    char origin[sizeof q->origin] = "";
    bool options = false;
    take_returned(x, head, origin, sizeof origin);
    if (head->overflow) {
        http_problem_set(p, HTTP_PROBLEM_BAD_REQUEST, "more than %d header fields",
                         HTTP_FIELDS_MAX);
        p->close = true;
        return -1;
    }
    if (http_layout_check(&head->layout, head->fields, head->count, p) != 0)
        return -1;
    if (http_guard_check(head->fields, head->count, http_1_0, framing, p) != 0)
        return -1;
    if (http_target_parse(x->raw_target, &q->target, p) != 0)
        return -1;
    http_front_strip(&x->app->front, q->target.path);
    take_fields(x, head);
    if (take_names(x, head, origin, p) != 0 || judge_route(x, &options, p) != 0)
        return -1;
    if (!options && judge_key(x, head, p) != 0)
        return -1;
    if (!options && q->route->work && !q->route->has_body && judge_embedding(x, head, p) != 0)
        return -1;
    q->body.max = api_route_body_max(x->app, q->route);
    if (framing->length > q->body.max) {
        http_head_too_large(x, p);
        return -1;
    }
    if (options) {
        answer_options(x, head);
        return 0;
    }
    if (q->route->work && (http_app_ready(x->app, p) != 0 || judge_connections(x, p) != 0))
        return -1;
    return q->route->has_body ? check_media_type(head, q, p) : 0;
}
