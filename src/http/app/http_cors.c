/* Origins are compared as a whole, and the answer names the one that asked. */
#include "http_cors.h"

#include <stdio.h>
#include <string.h>

/* What a page may read of an answer, and what it may send: every field of ours, and that we look
 * at.
 */
#define EXPOSED                                                                                    \
    "X-Request-Id, Server-Timing, X-Pfgm-Seed, X-Pfgm-Model, X-Pfgm-Kernel, Retry-After, ETag, "   \
    "Content-Disposition, Content-Location, Location, Preference-Applied, "                        \
    "Inference-Header-Content-Length"
#define ALLOWED                                                                                    \
    "Authorization, Content-Type, X-Request-Id, traceparent, If-None-Match, If-Match, "            \
    "Last-Event-ID, Prefer, Idempotency-Key, Inference-Header-Content-Length"
#define PREFLIGHT_S 7200 /* the longest that any browser keeps */

/* Whether `origin` is a word of the list, compared as a whole; "*" is any. */
static bool is_listed(const char *list, const char *origin)
{
    const size_t length = strlen(origin);
    for (const char *at = list; *at;) {
        at += strspn(at, " ,");
        size_t word = strcspn(at, " ,");
        if ((word == 1 && *at == '*') || (word == length && strncmp(at, origin, word) == 0))
            return word > 0;
        at += word;
    }
    return false;
}

bool http_cors_lists(const struct http_options *o, const char *origin)
{
    return o->cors_origins && *o->cors_origins && is_listed(o->cors_origins, origin);
}

void http_cors_judge(const struct http_options *o, struct http_request *q, const char *origin)
{
    if (strlen(origin) < sizeof q->origin && http_cors_lists(o, origin))
        snprintf(q->origin, sizeof q->origin, "%s", origin);
}

void http_cors_headers(const struct http_options *o, const struct http_request *q,
                       struct http_reply *r)
{
    const char *list = o->cors_origins;
    if (!list || !*list)
        return;
    if (strcmp(list, "*") != 0)
        http_reply_header(r, "Vary", "Origin");
    if (!q->origin[0])
        return;
    http_reply_header(r, "Access-Control-Allow-Origin", "%s",
                      strcmp(list, "*") == 0 ? "*" : q->origin);
    http_reply_header(r, "Access-Control-Expose-Headers", "%s", EXPOSED);
}

void http_cors_preflight(const char *allow, struct http_reply *r)
{
    r->status = 204;
    http_reply_header(r, "Allow", "%s", allow);
    http_reply_header(r, "Access-Control-Allow-Methods", "%s", allow);
    http_reply_header(r, "Access-Control-Allow-Headers", "%s", ALLOWED);
    http_reply_header(r, "Access-Control-Max-Age", "%d", PREFLIGHT_S);
}
