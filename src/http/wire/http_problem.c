/* Problems: the table of codes and the JSON of one. */
#include "http_problem.h"

#include <stdio.h>
#include <string.h>

static const struct {
    unsigned status;
    const char *word, *title;
} codes[] = {
    [HTTP_PROBLEM_NONE] = {500, "internal", "Internal error"},
    [HTTP_PROBLEM_BAD_REQUEST] = {400, "bad_request", "The request cannot be read"},
    [HTTP_PROBLEM_MALFORMED_JSON] = {400, "malformed_json", "The body is not JSON"},
    [HTTP_PROBLEM_UNAUTHENTICATED] = {401, "unauthenticated", "A key is needed"},
    [HTTP_PROBLEM_FORBIDDEN] = {403, "forbidden", "The key does not allow this"},
    [HTTP_PROBLEM_NOT_FOUND] = {404, "not_found", "No such resource"},
    [HTTP_PROBLEM_METHOD_NOT_ALLOWED] = {405, "method_not_allowed",
                                         "The resource does not take this method"},
    [HTTP_PROBLEM_NOT_ACCEPTABLE] = {406, "not_acceptable", "No acceptable format"},
    [HTTP_PROBLEM_REQUEST_TIMEOUT] = {408, "request_timeout", "The body did not arrive in time"},
    [HTTP_PROBLEM_IDEMPOTENCY_CONFLICT] = {409, "idempotency_conflict",
                                           "The name stands for another job"},
    [HTTP_PROBLEM_GONE] = {410, "gone", "The resource has expired"},
    [HTTP_PROBLEM_PRECONDITION_FAILED] = {412, "precondition_failed",
                                          "The resource is not as it was seen"},
    [HTTP_PROBLEM_CONTENT_TOO_LARGE] = {413, "content_too_large", "The body is too large"},
    [HTTP_PROBLEM_UNSUPPORTED_MEDIA_TYPE] = {415, "unsupported_media_type",
                                             "The body is of a kind that is not taken"},
    [HTTP_PROBLEM_EXPECTATION_FAILED] = {417, "expectation_failed", "The expectation is not met"},
    [HTTP_PROBLEM_MISDIRECTED] = {421, "misdirected_request", "The host is not this server's"},
    [HTTP_PROBLEM_INVALID_PARAMETER] = {422, "invalid_parameter", "A parameter is not valid"},
    [HTTP_PROBLEM_QUOTA_EXCEEDED] = {429, "quota_exceeded", "The client is over its limit"},
    [HTTP_PROBLEM_HEAD_TOO_LARGE] = {431, "head_too_large", "The head is too large"},
    [HTTP_PROBLEM_INTERNAL] = {500, "internal", "Internal error"},
    [HTTP_PROBLEM_NUMERICAL_FAILURE] = {500, "numerical_failure", "An image could not be solved"},
    [HTTP_PROBLEM_NOT_IMPLEMENTED] = {501, "not_implemented", "Not implemented"},
    [HTTP_PROBLEM_QUEUE_FULL] = {503, "queue_full", "The queue is full"},
    [HTTP_PROBLEM_LOADING] = {503, "loading", "The model is still loading"},
    [HTTP_PROBLEM_DRAINING] = {503, "draining", "The server is stopping"},
    [HTTP_PROBLEM_JOBS_OFF] = {503, "jobs_off", "There are no jobs here"},
    [HTTP_PROBLEM_DEADLINE_EXCEEDED] = {504, "deadline_exceeded", "The deadline has passed"},
    [HTTP_PROBLEM_STORE_FULL] = {507, "store_full", "The store of jobs is full"},
};

void http_problem_init(struct http_problem *p)
{
    memset(p, 0, sizeof *p);
    p->limit = -1;
}

void http_problem_clear(struct http_problem *p)
{
    json_decref(p->errors);
    json_decref(p->available);
    p->errors = p->available = NULL;
}

unsigned http_problem_status(enum http_problem_code code)
{
    return codes[code].status;
}

const char *http_problem_word(enum http_problem_code code)
{
    return codes[code].word;
}

enum http_problem_code http_problem_of(unsigned status)
{
    for (int code = HTTP_PROBLEM_NONE + 1; code < HTTP_PROBLEMS; code++)
        if (codes[code].status == status)
            return (enum http_problem_code)code;
    return HTTP_PROBLEM_BAD_REQUEST;
}

void http_problem_set(struct http_problem *p, enum http_problem_code code, const char *format, ...)
{
    if (p->code != HTTP_PROBLEM_NONE)
        return;
    p->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(p->detail, sizeof p->detail, format, args);
    va_end(args);
}

void http_problem_point(struct http_problem *p, const char *pointer, const char *format, ...)
{
    char detail[512];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    http_problem_set(p, HTTP_PROBLEM_INVALID_PARAMETER, "%s: %s", *pointer ? pointer : "the body",
                     detail);
    if (p->error_count == HTTP_PROBLEM_ERRORS_MAX)
        return;
    if (p->error_count++ == 0)
        p->errors = json_array();
    p->errors = json_plus(p->errors, json_pack("{s:o, s:o}", "pointer", json_text(pointer),
                                               "detail", json_text(detail)));
}

void http_problem_no_model(struct http_problem *p, const char *name)
{
    p->no_model = p->no_model || p->code == HTTP_PROBLEM_NONE;
    http_problem_set(p, HTTP_PROBLEM_NOT_FOUND,
                     "there is no model \"%s\"; GET /v1/models lists those that there are", name);
}

void http_pointer_step(char *pointer, size_t size, const char *key)
{
    size_t used = strlen(pointer);
    if (used + 1 < size)
        pointer[used++] = '/';
    for (; *key && used + 3 < size; key++) {
        if (*key == '~' || *key == '/') {
            pointer[used++] = '~';
            pointer[used++] = *key == '~' ? '0' : '1';
        } else {
            pointer[used++] = *key;
        }
    }
    pointer[used] = '\0';
}

/* Kinds of errors, for clients that know no status. */
static const char *error_type(unsigned status)
{
    if (status == 401)
        return "authentication_error";
    if (status == 403)
        return "permission_error";
    if (status == 429)
        return "rate_limit_error";
    return status >= 500 ? "server_error" : "invalid_request_error";
}

json_t *http_problem_error(const struct http_problem *p)
{
    const char *pointer =
        json_string_value(json_object_get(json_array_get(p->errors, 0), "pointer"));
    json_t *error = json_pack("{s:o, s:s}", "message", json_text(p->detail), "type",
                              error_type(codes[p->code].status));
    error =
        json_with(error, "param", pointer && pointer[0] ? json_string(pointer + 1) : json_null());
    return json_with(error, "code",
                     json_string(p->no_model ? "model_not_found" : codes[p->code].word));
}

/* Text members first, then what only some problems have. */
json_t *http_problem_json(const struct http_problem *p, const char *id)
{
    char type[96], instance[192];
    snprintf(type, sizeof type, "urn:pfgm:problem:%s", codes[p->code].word);
    snprintf(instance, sizeof instance, "urn:pfgm:request:%s", id);
    json_t *o = json_pack("{s:s, s:s, s:i, s:o, s:s, s:s}", "type", type, "title",
                          codes[p->code].title, "status", (int)codes[p->code].status, "detail",
                          json_text(p->detail), "instance", instance, "code", codes[p->code].word);
    if (p->error_count > 0)
        o = json_with(o, "errors", json_incref(p->errors));
    if (p->retry_after_s > 0)
        o = json_with(o, "retry_after_s", json_integer(p->retry_after_s));
    if (p->limit >= 0)
        o = json_with(o, "limit", json_integer(p->limit));
    if (p->code == HTTP_PROBLEM_NOT_ACCEPTABLE)
        o = json_with(o, "available", json_incref(p->available));
    return json_with(o, "error", http_problem_error(p));
}

void http_problem_reply(struct http_problem *p, const char *id, struct http_reply *r)
{
    unsigned status = codes[p->code].status;
    r->problem = p->code;
    if (r->problem_json)
        http_reply_json(r, status, "application/json", r->problem_json(p));
    else
        http_reply_json(r, status, "application/problem+json", http_problem_json(p, id));
    if (p->retry_after_s > 0)
        http_reply_header(r, "Retry-After", "%d", p->retry_after_s);
    if (status == 401)
        http_reply_header(r, "WWW-Authenticate", "Bearer realm=\"pfgmd\"");
    if (status == 405)
        http_reply_header(r, "Allow", "%s", p->allow);
    if (p->close)
        r->close = true;
    http_problem_clear(p);
}
