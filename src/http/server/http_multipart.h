/* Bodies of multipart/form-data, taken apart by libmicrohttpd's post processor while they come, so
 * that only the parts are kept. Inside the room only. */
#ifndef HTTP_MULTIPART_H
#define HTTP_MULTIPART_H

#include "http_form.h"
#include "http_problem.h"

#include <microhttpd.h>

struct http_multipart;
/* For a request whose Content-Type http_form_type has accepted; the parts go to `form`, which is
 * the caller's, each of at most `max` bytes. NULL: out of memory. */
struct http_multipart *http_multipart_new(struct MHD_Connection *mhd, struct http_form *form,
                                          size_t max);
/* The next piece of the body, or with `data` NULL its end. -1 with a problem; then nothing more is
 * to be fed. */
int http_multipart_feed(struct http_multipart *m, const char *data, size_t length,
                        struct http_problem *p);
void http_multipart_free(struct http_multipart *m);

#endif
