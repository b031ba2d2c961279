/* A call: what a request for work asks for, and how far it is, from the reading of its fields to
 * the last byte of its answer. The exchange owns it and takes it through these steps; each asks the
 * call's interface (api_dialect.h) what is its own. */
#ifndef API_CALL_H
#define API_CALL_H

#include "api_order.h"
#include "http_app.h"
#include "http_reply.h"
#include "http_request.h"

struct api_dialect;

struct api_call {
    struct api_order order;
    enum http_format format;
    const struct api_dialect *dialect; /* its interface, once it is read */
    void *own;                         /* what that one keeps beside the order; see api_dialect.h */
    json_t *document;                  /* its fields as they came, until they have been read */
    struct engine_order asked;  /* what has been read and not yet submitted; holds its model */
    struct engine_order *next;  /* what is to follow when that has ended well, or NULL */
    char etag[SHA256_HEX_SIZE]; /* of what GET answers, or empty */
    struct http_connection *connection; /* whose request it is */
    struct http_ticket *ticket;         /* NULL when there is none */
    struct engine_timings before;       /* of the request that the ticket's has followed on, or 0 */
    size_t charged;      /* images that the key has paid for and no ticket has taken on */
    int64_t charged_day; /* of which */
};

/* The steps; where one returns false the reply is complete. Read makes an order of the request's
 * bytes, which may take long and is done on any thread. Begin charges and submits it; then the
 * answer follows when the ticket of `call` has news.
 */
bool api_call_read(struct http_app *app, struct http_request *q, struct api_call *call,
                   struct http_reply *r);
bool api_call_begin(struct http_app *app, const struct http_request *q, struct api_call *call,
                    struct http_reply *r);
/* Gives back what was charged and never handed to the engine, and frees what the reading kept.
 * Before the answer goes out, so that who has it finds the images given back; harmless again. */
void api_call_end(struct http_app *app, const struct http_request *q, struct api_call *call);
/* Whether the answer is sent in pieces. Of one that another request follows on, events alone: the
 * others begin with an image. */
bool api_call_streams(const struct api_call *call);
/* api_answer.c: what the engine took for it so far, for both requests where there were two. */
struct engine_timings api_call_timings(const struct api_call *call);
/* The order of the answer's images: of the ticket's request, or of the one that is to follow. */
struct engine_order api_call_order(const struct api_call *call);
/* api_bytes.c: about how many bytes a call that has been read takes until its answer is sent; 0
 * where nothing is made for this connection. `most`: what `queue` images of its kind take twice. */
size_t api_call_bytes(const struct api_call *call, size_t queue, size_t *most);
/* Whether another request follows on the ticket's, as an interpolation does on the encoding of its
 * ends. When that one has ended well: puts the next one's ticket in the place of its own; -1 with a
 * problem, and the ticket is as it was. */
bool api_call_follows(const struct api_call *call);
int api_call_follow(struct http_app *app, const struct http_request *q, struct api_call *call,
                    struct http_problem *p);
/* The whole answer of a finished request. */
void api_call_finish(struct http_app *app, const struct http_request *q,
                     const struct api_call *call, struct http_reply *r);
/* Status and headers of an answer in pieces. */
void api_call_head(const struct http_request *q, const struct api_call *call, struct http_reply *r);

#endif
