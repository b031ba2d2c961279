/* What is said about finished images, in whichever format: JSON, headers, and the problem that a
 * failed request is. For the files of src/http/api only. */
#ifndef API_ANSWER_H
#define API_ANSWER_H

#include "api_call.h"

/* {"index", "mime", "b64", "sha256", "nfe", "steps_rejected"}, and "class", or "classes" of a
 * sheet, where the model knows any; with `name` in the place of mime and
 * b64 it is an archive's member. New reference or NULL. */
json_t *api_answer_image(const struct engine_image *image, const char *name);
/* The base64 of some bytes as a string. New reference or NULL. */
json_t *api_answer_base64(const void *data, size_t length);
/* {"index", "step", "mime", "b64"} of a state on the path to an image. New reference or NULL. */
json_t *api_answer_preview(uint64_t index, int64_t step, const struct buf *png);
/* A class's number, or null for none. New reference. */
json_t *api_answer_label(int32_t label);
/* The same with "url", the link of an image that has one (http_link.h), relative to the server. */
json_t *api_answer_linked(struct http_app *app, const struct http_request *q,
                          const struct engine_order *order, const struct engine_image *image);
/* The request as it was resolved. */
json_t *api_answer_parameters(const struct api_call *call, const struct engine_order *order);
/* The head with "images" and "timings". Takes both references over; NULL of either counts as out of
 * memory. New reference or NULL. */
json_t *api_answer_whole(json_t *head, json_t *images, const struct api_call *call);
/* Everything but the images: "id", "model" … "parameters". */
json_t *api_answer_head(const char *id, const struct api_call *call,
                        const struct engine_order *order);
json_t *api_answer_timings(const struct api_call *call);
/* The pictures of a request that has ended well: one for a sheet, else n. */
size_t api_answer_count(const struct engine_order *order);
const struct engine_image *api_answer_picture(const struct engine_request *done, size_t i);

/* The problem of a request that did not end well; `p` was initialised. */
void api_answer_problem(struct http_app *app, const struct engine_request *done,
                        struct http_problem *p);
/* What the engine refused, under the pointer of the field. */
void api_answer_refusal(struct http_app *app, const struct err *e, struct http_problem *p);

/* X-Pfgm-Seed, X-Pfgm-Model, X-Pfgm-Kernel. */
void api_answer_headers(const struct engine_order *order, struct http_reply *r);

#endif
