/* What the routes share: the engine, the limits and the state of life; and the table of routes.
 *
 * A request arrives here complete and parsed as far as HTTP goes; a handler fills a reply. The HTTP
 * library is not visible: http_exchange.c is the only place where both worlds meet. Handlers run on
 * the server's threads and never wait; large bodies are read on a thread of their own
 * (http_reader.h), and work is handed to the engine through a ticket. */
#ifndef HTTP_APP_H
#define HTTP_APP_H

#include "engine.h"
#include "http_front.h"
#include "http_guard.h"
#include "http_keys.h"
#include "http_link.h"
#include "http_metrics.h"
#include "http_negotiate.h"
#include "http_order.h"
#include "http_reader.h"
#include "http_server.h"
#include "http_target.h"
#include "http_wait.h"

#include <pthread.h>
#include <stdatomic.h>

struct api_dialect;

#define HTTP_LARGE_BODY_MAX ((size_t)64 << 20)

enum http_state { HTTP_STATE_LOADING, HTTP_STATE_READY, HTTP_STATE_DRAINING };

struct http_app {
    struct engine *engine; /* not owned */
    const struct http_options *options;
    _Atomic int state;      /* enum http_state; only ever rises */
    int64_t started_at;     /* seconds of the epoch */
    _Atomic bool leaving;   /* not ready, but work is taken: the delay before a drain */
    pthread_mutex_t lock;   /* guards the two below */
    char loading_what[128]; /* "model 1 of 2 (digits8), 40 %" */
    struct http_reload_note {
        char state[16]; /* "", "loading", "ok" or "failed" */
        char why[512];
    } reloads[HTTP_MODELS_MAX]; /* in the order of options->model_names */
    struct http_front front;
    struct http_keys keys;
    struct http_links links;
    struct http_metrics metrics;
    struct http_wait wait;
    struct http_reader reader;
};

/* What a body is. */
enum http_media { HTTP_MEDIA_JSON, HTTP_MEDIA_PNG, HTTP_MEDIA_NPY };

#define HTTP_ID_MAX 128
#define HTTP_NAMES_MAX 2

struct http_request {
    char id[HTTP_ID_MAX + 1]; /* the client's X-Request-Id when it is sane, else drawn */
    struct http_target target;
    const struct http_route *route;
    char names[HTTP_NAMES_MAX][HTTP_PATH_MAX]; /* the decoded variable segments of the path */
    bool has_accept;
    char accept[1024];        /* all Accept fields */
    char if_none_match[1024]; /* all of these fields, or empty */
    char trace[64];           /* trace-id and parent-id of a valid traceparent, or empty */
    char origin[256];         /* an Origin that may read the answer, or empty */
    char client[HTTP_KEY_NAME_MAX + 1]; /* the name of the key that was shown, or empty */
    bool by_link;                       /* it was shown by a signed link */
    /* Where the client reached the server, as far as that is known: public_url, or what a trusted
     * proxy says, or the Host field when it is a plain one. */
    char scheme[8];
    char host[HTTP_HOST_MAX + 1];     /* or empty */
    char prefix[HTTP_PREFIX_MAX + 1]; /* before all paths, or empty */
    bool foreign;              /* a web page of another origin sent it, and is none that may ask */
    char inference_length[32]; /* Inference-Header-Content-Length, or empty */
    enum http_media media;
    struct buf body;
};

/* A request in the engine, from the reading of its fields to the last byte of its answer. */
struct http_work {
    struct http_order order;
    enum http_format format;
    const struct api_dialect *dialect; /* its interface, once it is read */
    void *own;                         /* what that one keeps beside the order; see api_dialect.h */
    json_t *document;                  /* its fields as they came, until they have been read */
    struct engine_order asked;  /* what has been read and not yet submitted; holds its model */
    struct engine_order *next;  /* what is to follow when that has ended well, or NULL */
    char etag[SHA256_HEX_SIZE]; /* of what GET answers, or empty */
    struct http_ticket *ticket; /* NULL when there is none */
    size_t charged;             /* images that the key has paid for and no ticket has taken on */
};

typedef void http_handler(struct http_app *app, const struct http_request *q, struct http_reply *r);

enum { HTTP_PUBLIC = 1, HTTP_ADMIN = 2 }; /* listeners */

struct http_route {
    const char *path;                  /* a segment "*" stands for any one that is not empty */
    const char *label;                 /* in the metrics and in the OpenAPI document */
    const char *allow;                 /* the methods, as in the Allow field */
    unsigned where;                    /* on which listeners */
    bool work;                         /* needs a loaded model and goes through the engine */
    bool free;                         /* needs no key */
    bool linked;                       /* signed links lead here, and are as good as a key */
    bool has_body;                     /* read into the request: JSON, or what the dialect takes */
    const struct api_dialect *dialect; /* how it says requests and problems; NULL: only ours */
    http_handler *answer;              /* of routes that answer at once */
};

/* Finds the route of a raw path on a listener, by exact comparison; fills `names` where it has
 * variable segments. NULL: 404. */
const struct http_route *http_route_find(unsigned where, const char *path,
                                         char names[HTTP_NAMES_MAX][HTTP_PATH_MAX]);
/* Its place in the table; HTTP_ROUTES_MAX - 1 for NULL. */
size_t http_route_number(const struct http_route *route);
/* Labels by place, for the metrics. */
const char *const *http_route_labels(void);
/* Checks the method against the route: 0, or -1 with 405 (and what is allowed) or 501 for a method
 * that HTTP does not know. `route` may be NULL. *options is set for a plain OPTIONS. */
int http_route_method(const struct http_route *route, const char *method, bool *options,
                      struct http_problem *p);
const char *http_route_allow(const struct http_route *route);

/* The most bytes that its body may have. */
size_t http_route_body_max(const struct http_app *app, const struct http_route *route);

/* 0 when work is taken now; else the 503 that says why not. */
int http_app_ready(struct http_app *app, struct http_problem *p);
/* Seconds after which another try makes sense, from the queue and the recent time an image took. */
int http_app_retry_after(struct http_app *app);
/* The place of a configured model, or -1. */
int http_app_model(const struct http_app *app, const char *name);

/* http_server.c: the version of the HTTP library. */
const char *http_library_version(void);

/* http_info.c */
http_handler http_info_live, http_info_ready, http_info_models, http_info_model,
    http_info_capabilities, http_info_health, http_info_version, http_info_openapi,
    http_info_metrics;
/* http_page.c */
http_handler http_page_answer;
/* http_admin.c */
http_handler http_admin_reload, http_admin_drain, http_admin_log_level, http_admin_slots;

/* http_cors.c: cross-origin requests, as the options name origins. The origin is kept in q->origin
 * when it may read answers. */
void http_cors_judge(const struct http_app *app, struct http_request *q, const char *origin);
/* The answer to a preflight: what the route's methods and the usual fields are. */
void http_cors_preflight(const struct http_request *q, struct http_reply *r);
/* What every answer to such an origin carries. */
void http_cors_headers(const struct http_app *app, const struct http_request *q,
                       struct http_reply *r);

/* http_images.c: what goes through the engine, in steps; where one returns false the reply is
 * complete. Read makes an order of the request's bytes, which may take long and is done on any
 * thread. Begin charges and submits it; then the answer follows when the ticket of `work` has news.
 */
bool http_images_read(struct http_app *app, struct http_request *q, struct http_work *work,
                      struct http_reply *r);
bool http_images_begin(struct http_app *app, const struct http_request *q, struct http_work *work,
                       struct http_reply *r);
/* Gives back what was charged and never handed to the engine, and frees what the reading kept.
 * Before the answer goes out, so that who has it finds the images given back; harmless again. */
void http_images_end(struct http_app *app, const struct http_request *q, struct http_work *work);
/* Whether the answer is sent in pieces, and whether it starts before there is any image. */
bool http_images_streams(const struct http_work *work);
/* Whether another request follows on the ticket's, as an interpolation does on the encoding of its
 * ends. When that one has ended well: puts the next one's ticket in the place of its own. */
bool http_images_follows(const struct http_work *work);
bool http_images_follow(struct http_app *app, const struct http_request *q, struct http_work *work,
                        struct http_link *link, struct http_reply *r);
/* The whole answer of a finished request. */
void http_images_finish(struct http_app *app, const struct http_request *q,
                        const struct http_work *work, struct http_reply *r);
/* Status and headers of an answer in pieces. */
void http_images_head(const struct http_request *q, const struct http_work *work,
                      struct http_reply *r);

#endif
