/* The request target as it stood on the wire. The HTTP library decodes the path before a handler
 * sees it and cuts it at an encoded NUL, so routing works on the raw text: path and query are split
 * here, nothing is normalised, and what no resource name can hold is refused. */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include "http_problem.h"

#define HTTP_PATH_MAX 512
#define HTTP_QUERY_MAX 1024

struct http_target {
    char path[HTTP_PATH_MAX];   /* raw, starts with '/', or is "*" */
    char query[HTTP_QUERY_MAX]; /* raw, without '?'; empty when absent */
};

/* Splits a raw target: origin form, "*", or absolute form, whose scheme and authority are dropped.
 * 400 for bytes outside 0x21…0x7e, %00, a '%' without two hexadecimal digits, a fragment, and
 * targets that are too long. */
int http_target_parse(const char *raw, struct http_target *out, struct http_problem *p);

/* Takes the values of parameters that may be secrets (a key, a token, a link's signature) out of a
 * raw target, for the log. */
void http_target_redact(char *target);

/* Decodes %XX of `length` bytes into `out`; false when it does not fit or holds NUL. '+' stays. */
bool http_percent_decode(const char *text, size_t length, char *out, size_t size);

/* Walks the query: each call takes the next "key=value" or "key" at *at (start with 0), decoded;
 * '+' is a blank there. false at the end. Parts that do not fit are cut short to an empty key. */
bool http_query_next(const char *query, size_t *at, char *key, size_t key_size, char *value,
                     size_t value_size);
/* The first value of a key ("" when it has none), in `value`; false when it is absent. */
bool http_query_find(const char *query, const char *key, char *value, size_t size);

#endif
