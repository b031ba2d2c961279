/* What the routes share: the engine, the limits and the state of life; and the table of routes.
 *
 * A request arrives here complete and parsed as far as HTTP goes; a handler fills a reply. The HTTP
 * library is not visible: http_server.c is the only place where both worlds meet. Handlers run on
 * the server's threads and never wait; work is handed to the engine through a ticket. */
#ifndef HTTP_APP_H
#define HTTP_APP_H

#include "engine.h"
#include "http_guard.h"
#include "http_negotiate.h"
#include "http_target.h"
#include "http_wait.h"

#include <pthread.h>
#include <stdatomic.h>

enum http_state { HTTP_STATE_LOADING, HTTP_STATE_READY, HTTP_STATE_DRAINING };

struct http_app {
    struct engine *engine; /* not owned */
    size_t n_max, body_max, queue_images_max;
    const char *const *model_names; /* as configured, also those that are not loaded yet */
    size_t model_count;
    _Atomic int state;            /* enum http_state; only ever rises */
    pthread_mutex_t loading_lock; /* guards loading_what */
    char loading_what[128];       /* "model 1 of 2 (digits8)" */
};

#define HTTP_ID_MAX 128

struct http_request {
    char id[HTTP_ID_MAX + 1]; /* the client's X-Request-Id when it is sane, else drawn */
    struct http_target target;
    const struct http_route *route;
    char name[HTTP_PATH_MAX]; /* the decoded {name} of a route that has one */
    bool has_accept;
    char accept[1024]; /* all Accept fields */
    struct buf body;
};

typedef void http_handler(struct http_app *app, const struct http_request *q, struct http_reply *r);

struct http_route {
    const char *path;  /* ends in "/" when a name follows */
    bool post;         /* POST only; else GET and HEAD */
    bool work;         /* needs a loaded model and goes through the engine */
    http_handler *get; /* of routes that answer at once */
};

/* Finds the route of a raw path, by exact comparison; fills `name` [HTTP_PATH_MAX] where the route
 * has one. NULL: 404. */
const struct http_route *http_route_find(const char *path, char *name);
/* Checks the method against the route: 0, or -1 with 405 (and what is allowed) or 501 for a method
 * that HTTP does not know. `route` may be NULL. *options is set for a plain OPTIONS. */
int http_route_method(const struct http_route *route, const char *method, bool *options,
                      struct http_problem *p);
const char *http_route_allow(const struct http_route *route);

/* 0 when work is taken now; else the 503 that says why not. */
int http_app_ready(struct http_app *app, struct http_problem *p);
/* Seconds after which another try makes sense, from the queue and the recent time an image took. */
int http_app_retry_after(struct http_app *app);

/* http_server.c: the version of the HTTP library. */
const char *http_library_version(void);

/* http_info.c */
http_handler http_info_live, http_info_ready, http_info_models, http_info_model,
    http_info_capabilities, http_info_version;

/* http_images.c: POST /v1/images in two halves. Begin reads the body and submits: NULL means the
 * reply is complete, else the answer follows after the ticket is finished. */
struct http_ticket *http_images_begin(struct http_app *app, struct http_wait *wait,
                                      struct http_request *q, enum http_format *format,
                                      struct http_reply *r);
void http_images_finish(struct http_app *app, const struct http_request *q, enum http_format format,
                        struct engine_request *done, struct http_reply *r);

#endif
