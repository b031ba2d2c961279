/* Which format an answer takes: ?format= beats Accept (RFC 9110 section 12.5.1, quality values and
 * the most specific range), and no Accept means JSON. Pure functions. */
#ifndef HTTP_NEGOTIATE_H
#define HTTP_NEGOTIATE_H

#include <stdbool.h>
#include <stddef.h>

enum http_format {
    HTTP_FORMAT_JSON,
    HTTP_FORMAT_PNG,
    HTTP_FORMAT_NPY,
    HTTP_FORMAT_NPZ,
    HTTP_FORMAT_ZIP,
    HTTP_FORMAT_TAR,
    HTTP_FORMAT_EVENTS,
    HTTP_FORMAT_APNG,
    HTTP_FORMATS
};

/* "application/json", "image/png" … */
const char *http_format_type(enum http_format format);
/* "json", "png", "npy", "npz", "zip", "tar", "events" and "apng". */
const char *http_format_word(enum http_format format);
/* -1 for another word. */
int http_format_parse(const char *word, enum http_format *out);

/* Chooses among the formats that are `available` for this request. `accept` is the whole Accept
 * field or NULL; `word` the value of ?format= or NULL. Of equal quality the one that was named more
 * exactly wins, then the first of the list above. An element that cannot be read is passed over.
 * -1: nothing fits. */
int http_negotiate(const char *accept, const char *word, const bool available[HTTP_FORMATS],
                   enum http_format *out);
/* Whether Accept leaves the choice among the available formats open: it is absent or empty, or
 * takes all of them by a bare wildcard alone, as a browser's does for an address that is opened. */
bool http_accepts_anything(const char *accept, const bool available[HTTP_FORMATS]);

#endif
