/* Filling replies. The headers are a fixed array, because no route sends more than a dozen. */
#include "http_reply.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void http_reply_init(struct http_reply *r)
{
    memset(r, 0, sizeof *r);
    buf_init(&r->body, HTTP_REPLY_BODY_MAX);
}

void http_reply_clear(struct http_reply *r)
{
    buf_clear(&r->body);
}

void http_reply_restart(struct http_reply *r)
{
    buf_clear(&r->body);
    r->constant = NULL;
    r->status = 0;
    r->content_type = NULL;
    r->header_count = 0;
    r->values_length = 0;
    r->cachable = false;
}

void http_reply_constant(struct http_reply *r, const char *content_type, const void *data,
                         size_t length)
{
    buf_clear(&r->body);
    r->status = 200;
    r->content_type = content_type;
    r->constant = data;
    r->constant_length = length;
}

void http_reply_header(struct http_reply *r, const char *name, const char *format, ...)
{
    assert(r->header_count < HTTP_REPLY_HEADERS_MAX);
    const size_t room = sizeof r->values - r->values_length;
    char *value = r->values + r->values_length;
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(value, room, format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= room)
        return;
    for (unsigned char *c = (unsigned char *)value; *c; c++)
        if (*c < 0x20 || *c == 0x7f)
            *c = '?';
    r->values_length += (size_t)length + 1;
    r->headers[r->header_count++] = (struct http_reply_header){name, value};
}

void http_reply_fail(struct http_reply *r)
{
    static const char text[] =
        "{\"type\":\"urn:pfgm:problem:internal\",\"title\":\"Internal error\","
        "\"status\":500,\"code\":\"internal\",\"error\":{\"message\":\"Internal error\","
        "\"type\":\"server_error\",\"param\":null,\"code\":\"internal\"}}\n";
    buf_reset(&r->body);
    r->constant = NULL;
    r->status = 500;
    r->content_type = "application/problem+json";
    buf_string(&r->body, text, NULL); /* on failure the body stays empty; the status tells */
}

void http_reply_json(struct http_reply *r, unsigned status, const char *content_type, json_t *body)
{
    buf_reset(&r->body);
    r->constant = NULL;
    r->status = status;
    r->content_type = content_type;
    if (!body || json_append(&r->body, body, 0, NULL) != 0 || buf_string(&r->body, "\n", NULL) != 0)
        http_reply_fail(r);
    json_decref(body);
}
