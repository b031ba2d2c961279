/* The field Prefer (RFC 7240). Pure; no HTTP library. */
#ifndef HTTP_PREFER_H
#define HTTP_PREFER_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the field has that preference; its value, "" where it has none, in `value`, cut where it
 * does not fit. Names count without case, a value may be quoted, and of several the first one
 * counts. */
bool http_prefers(const char *prefer, const char *name, char *value, size_t size);

#endif
