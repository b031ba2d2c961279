/* GET /v1/images/{seed}/{index}: an image by what it is a function of.
 * For the files of src/http/api only. */
#ifndef API_LOOKUP_H
#define API_LOOKUP_H

#include "api_call.h"

/* Path and query as the fields of a POST: seed and index from the path; from the query model, the
 * members of the solver by their own names, format, dtype, layout, embed_metadata, timeout_s,
 * priority and label. New reference, or NULL with a 422. */
json_t *api_lookup_fields(const struct http_request *q, struct http_problem *p);
/* The query as fields, added to `o` (taken over; NULL counts as out of memory): members of the
 * solver by their own names, numbers and booleans as what they read as. `any`: those of the grid
 * in the same form, and all other names as they are, for the caller to judge; else what a link can
 * say. */
json_t *api_lookup_query(const struct http_request *q, bool any, json_t *o, struct http_problem *p);

/* One value of a query or a form as JSON: what reads as a JSON number, true or false is one,
 * anything else a string. New reference or NULL. */
json_t *api_lookup_value(const char *text);

/* The strong entity tag, without quotes: a digest of all that the answer's bytes depend on, so that
 * it is known before there is an image. */
int api_lookup_tag(const struct api_call *call, const struct engine_order *order,
                   char out[SHA256_HEX_SIZE]);
/* Whether an If-None-Match field names the tag, or is "*". */
bool api_lookup_matches(const char *if_none_match, const char *tag);
/* ETag and for how long the answer may be kept: for ever, and by nobody else where keys are
 * needed. */
void api_lookup_headers(const struct http_request *q, const struct api_call *call,
                        struct http_reply *r);

#endif
