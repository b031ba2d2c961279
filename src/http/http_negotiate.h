/* Which format an answer takes: ?format= beats Accept (RFC 9110 section 12.5.1, quality values and
 * the most specific range), and no Accept means JSON. Pure functions. */
#ifndef HTTP_NEGOTIATE_H
#define HTTP_NEGOTIATE_H

#include <stdbool.h>
#include <stddef.h>

enum http_format { HTTP_FORMAT_JSON, HTTP_FORMAT_PNG, HTTP_FORMATS };

/* "application/json" and "image/png". */
const char *http_format_type(enum http_format format);
/* "json" and "png". */
const char *http_format_word(enum http_format format);

/* Chooses among the formats that are `available` for this request. `accept` is the whole Accept
 * field or NULL; `word` the value of ?format= or NULL. Of equal quality the one that was named more
 * exactly wins, then JSON. An element that cannot be read is passed over. -1: nothing fits. */
int http_negotiate(const char *accept, const char *word, const bool available[HTTP_FORMATS],
                   enum http_format *out);

#endif
