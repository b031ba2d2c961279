/* What goes through the flow besides sampling: POST /v1/encode, /v1/decode, /v1/interpolate and
 * /v1/likelihood.
 *
 * They go the way of POST /v1/images (http_images.c): fields → order → ticket → answer, with the
 * same limits, formats, deadlines and refusals. What is their own is here: which fields each takes,
 * what it begins with (images, latents, or two ends of a way), and the answers that hold no images.
 *
 *     encode       images → latents                 ENGINE_TASK_ENCODE
 *     likelihood   images → numbers                 ENGINE_TASK_LIKELIHOOD
 *     decode       latents → images                 ENGINE_TASK_SAMPLE with latents
 *     interpolate  two ends → latents on the great  likewise; ends that are images are encoded
 *                  circle between → images          first, by a request of their own
 *
 * A body is JSON, or the bytes of what the route begins with, and then the fields are in the query.
 * They are of all data where no class is given: the way up and the way down then are the same flow.
 * Runs on the server's threads; `work` is the exchange's. */
#ifndef HTTP_FLOW_H
#define HTTP_FLOW_H

#include "http_app.h"

#define HTTP_FRAMES 10 /* of an interpolation that does not say how many */
#define HTTP_PROBES 1  /* of a likelihood, likewise */

/* Our fields out of the request, a new reference; NULL with a problem. What they leave over stays
 * in work->flow and, of a binary body, in q->body. */
json_t *http_flow_fields(struct http_app *app, struct http_request *q, struct http_work *work,
                         struct http_problem *p);
/* The model's solver with what the request changes: of encode and likelihood the way up. */
int http_flow_solver(const struct http_work *work, const struct model *m, struct model_solver *out,
                     struct http_problem *p);
/* What the flow begins with, into an order that has everything else; it borrows from `work`. */
int http_flow_order(struct http_app *app, const struct http_request *q, struct http_work *work,
                    struct engine_order *out, struct http_problem *p);
/* Images that are to be made after those of the order, for what a key may ask. */
size_t http_flow_later(const struct http_work *work);
/* Frees what only the reading needed. */
void http_flow_settle(struct http_work *work);
void http_flow_clear(struct http_work *work);

/* Whether the ticket's request encodes the ends of an interpolation that is to follow. */
bool http_flow_follows(const struct http_work *work);
/* When that request has ended well: puts the interpolation's ticket in the place of its own. False:
 * the reply is complete. */
bool http_flow_follow(struct http_app *app, const struct http_request *q, struct http_work *work,
                      struct http_link *link, struct http_reply *r);

/* Whether the answer holds no images: of encode and likelihood. */
bool http_flow_upward(const struct http_work *work);
/* http_flow_answer.c: that answer, of a request that ended well. */
void http_flow_answer(const struct http_request *q, const struct http_work *work,
                      const struct engine_request *done, struct http_reply *r);

/* The default of an interpolation's frames under a limit of images. */
size_t http_flow_frames(size_t n_max);

#endif
