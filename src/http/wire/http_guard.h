/* Framing guards: the first thing that looks at a request's head.
 *
 * The HTTP library of this platform accepts heads that two parsers read differently: Content-Length
 * beside Transfer-Encoding, several lengths, unknown encodings, names with blanks. Behind a proxy
 * each of them lets one request hide in another's body. Here they are refused and the connection is
 * closed, before any byte of a body is taken. Pure functions, no state, no HTTP library. */
#ifndef HTTP_GUARD_H
#define HTTP_GUARD_H

#include "http_problem.h"

/* One header field as it came, in the order of arrival; not terminated, not owned. */
struct http_field {
    const char *name, *value;
    size_t name_length, value_length;
};
#define HTTP_FIELDS_MAX 128

/* How the body is framed, after the guard. */
struct http_framing {
    bool chunked;
    bool has_length;
    uint64_t length;
    bool expects_continue;
};

/* Fills `framing`, or sets a problem with `close` set and returns -1: 400 for a head that can be
 * read in two ways, 501 for an unknown transfer coding, 417 for an unknown expectation. */
int http_guard_check(const struct http_field *fields, size_t count, bool http_1_0,
                     struct http_framing *framing, struct http_problem *p);

/* The only field of that name (compared without case), the first of several, or NULL. */
const struct http_field *http_field_find(const struct http_field *fields, size_t count,
                                         const char *name);
/* All values of a name joined by ", " into `out` (cut to fit); false when there is none. */
bool http_field_join(const struct http_field *fields, size_t count, const char *name, char *out,
                     size_t size);
/* Compares a field's value with a word, without case. */
bool http_field_is(const struct http_field *field, const char *word);

/* One rule for methods: a token of RFC 9110 or nothing. */
bool http_is_token(const char *text, size_t length);

#endif
