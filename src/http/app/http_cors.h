/* Cross-origin requests, as the options name origins. Off unless origins are configured; a
 * preflight needs no key, because browsers send none with it; refusals carry the headers too, so
 * that a page can read them. */
#ifndef HTTP_CORS_H
#define HTTP_CORS_H

#include "http_options.h"
#include "http_reply.h"
#include "http_request.h"

/* Whether pages of an origin may ask. */
bool http_cors_lists(const struct http_options *o, const char *origin);
/* Keeps the origin in q->origin when it may read answers. */
void http_cors_judge(const struct http_options *o, struct http_request *q, const char *origin);
/* The answer to a preflight: the route's methods, as in the Allow field, and the usual fields. */
void http_cors_preflight(const char *allow, struct http_reply *r);
/* What every answer to such an origin carries. */
void http_cors_headers(const struct http_options *o, const struct http_request *q,
                       struct http_reply *r);

#endif
