/* The head as it lies in the HTTP library's buffer.
 *
 * The library of this platform is lenient with lines, and what it makes of them does not show: it
 * ends one at a bare line feed, cuts a value at a NUL, and appends a folded line to the name of the
 * field before it, so that a folded Content-Length is none and its body is read as the next
 * request. But it takes a head apart in place. Where every line ends as it should, the pieces that
 * it hands out lie one behind the other, exactly; and where they do not, the head is one of those.
 * Pure functions, no HTTP library; the bytes are only read, and only within the head. */
#ifndef HTTP_LAYOUT_H
#define HTTP_LAYOUT_H

#include "http_guard.h"

struct http_layout {
    const char *method, *target, *version; /* the pieces of the first line, each terminated */
    size_t target_length;                  /* as it came: the library decodes it in place */
    size_t length;                         /* of the head, from the method to its empty line */
};

/* 0, or -1 with a 400 that closes the connection. Fields are those of the head, in order. */
int http_layout_check(const struct http_layout *head, const struct http_field *fields, size_t count,
                      struct http_problem *p);

#endif
