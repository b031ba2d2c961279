/* One request on a connection, as the HTTP library sees it. Inside the room only; with
 * http_server.c, http_incoming.c, http_multipart.c and http_last_word.c the only files that know
 * the library. */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include "api_route.h"
#include "api_stream.h"
#include "http_layout.h"
#include "http_multipart.h"

#include <microhttpd.h>

/* A listening socket with the library's threads behind it. */
struct http_listener {
    struct http_listener *next;
    struct http_app *app;
    struct MHD_Daemon *daemon;
    int quiesced_fd; /* the socket on which it listened, to be closed behind it; else -1 */
    unsigned where;  /* HTTP_PUBLIC or HTTP_ADMIN */
    bool tls;
    bool loopback; /* only this machine reaches it */
};

enum http_stage {
    HTTP_STAGE_HEAD,
    HTTP_STAGE_BODY,
    HTTP_STAGE_READ, /* asleep: a large body is the reader's */
    HTTP_STAGE_WORK,
    HTTP_STAGE_ANSWERED
};

struct http_exchange {
    struct http_app *app;
    const struct http_listener *listener;
    struct http_connection *connection;
    enum http_stage stage;
    int64_t started_ns;
    char method[16];
    char *raw_target;
    struct http_request request;
    struct http_reply reply;
    bool refused;  /* the reply is decided; the body is dropped */
    bool bodiless; /* of a HEAD, whose answer ends with its head */
    size_t body_seen;
    bool endless; /* far more than a body may have, so that its end is not waited for */
    bool holds;   /* its body has some of the memory that all bodies share */
    struct http_multipart *multipart; /* of a form, while it comes */
    struct http_reading reading;
    struct MHD_Connection *asleep; /* until that has been done */
    bool asks;                     /* it has been, and there is an order; else a reply */
    bool gone;                     /* the client left meanwhile */
    struct api_call call;
    struct api_stream *stream; /* of an answer in pieces */
    bool timed;                /* its work has ended, and took: */
    struct engine_timings times;
};

/* The library's callbacks; the context of each is the listener. */
void http_exchange_connection(void *context, struct MHD_Connection *mhd, void **socket_context,
                              enum MHD_ConnectionNotificationCode what);
void *http_exchange_uri(void *context, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result http_exchange_access(void *context, struct MHD_Connection *mhd, const char *url,
                                     const char *method, const char *version, const char *data,
                                     size_t *size, void **request_context);
void http_exchange_completed(void *context, struct MHD_Connection *mhd, void **request_context,
                             enum MHD_RequestTerminationCode code);

/* http_account.c: one line of the log, and the counters. The target's secrets are cut out of it. */
void http_exchange_account(struct http_exchange *x, bool delivered);
#define HTTP_CLIENT_GONE 499 /* in the log and the metrics only, as nginx writes it */

/* http_incoming.c: the next piece of the body, its end, and letting go of it. The first two may
 * decide the reply, and mark it `refused`. */
#define HTTP_LINGER_FACTOR 4 /* bodies up to this many times the limit are read before the 413 */
enum MHD_Result http_incoming_piece(struct http_exchange *x, struct MHD_Connection *mhd,
                                    const char *data, size_t *size);
void http_incoming_end(struct http_exchange *x);
void http_incoming_clear(struct http_exchange *x);

/* http_head.c: everything that can be decided from the head alone, in the order in which it
 * matters. 0, or -1 with a problem; a reply that is complete already is marked `refused`. */
struct http_head {
    struct http_field fields[HTTP_FIELDS_MAX];
    size_t count;
    bool overflow;
    struct http_layout layout;
};
/* Before anything of it is judged: problems are said as the interface says them to which the raw
 * target belongs. */
void http_head_speak(struct http_exchange *x);
int http_head_judge(struct http_exchange *x, const struct http_head *head, bool http_1_0,
                    struct http_framing *framing, struct http_problem *p);
void http_head_too_large(const struct http_exchange *x, struct http_problem *p);
/* Whether what comes behind the request may be a part of it, so that the connection has to end. */
bool http_head_may_hide(const char *method, const struct http_framing *framing);

#endif
