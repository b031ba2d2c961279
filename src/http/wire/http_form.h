/* The parts of a multipart/form-data body, as they came: names and bytes, which nobody has judged.
 * Owned by the request; one thread at a time. */
#ifndef HTTP_FORM_H
#define HTTP_FORM_H

#include "base_buf.h"

#include <stdbool.h>

#define HTTP_FORM_PARTS_MAX 64
#define HTTP_FORM_NAME_MAX 64 /* bytes */

struct http_part {
    char name[HTTP_FORM_NAME_MAX + 1];
    bool is_file; /* it has a file name */
    struct buf data;
};

struct http_form {
    struct http_part *parts; /* [HTTP_FORM_PARTS_MAX], or NULL without any */
    size_t count;
};

/* Bytes of a part, which begins with `offset` 0; a call without bytes may come before its first. A
 * part holds at most `max`. ERR_INPUT for a name that is missing, too long or not UTF-8, ERR_LIMIT
 * for too many parts or bytes, ERR_MEMORY. */
int http_form_add(struct http_form *form, const char *name, bool is_file, uint64_t offset,
                  const void *data, size_t length, size_t max, struct err *e);
/* The part of that name from `*at` on, which moves behind it, or NULL. */
const struct http_part *http_form_find(const struct http_form *form, const char *name, size_t *at);
/* Leaves an empty one. */
void http_form_clear(struct http_form *form);

/* Whether a Content-Type field is multipart/form-data with "boundary=" as its only parameter, which
 * is 2 to 70 of the characters of RFC 2046 without the blank, quoted or not: 1, 0 for another type,
 * -1 where only the boundary is wrong. */
int http_form_type(const char *field);

#endif
