/* What a serving process keeps: the engine, the limits, the state of life, and what the other files
 * of this folder hold. It knows requests and their tickets, but neither what a route does nor the
 * HTTP library. */
#ifndef HTTP_APP_H
#define HTTP_APP_H

#include "engine.h"
#include "http_front.h"
#include "http_keys.h"
#include "http_link.h"
#include "http_metrics.h"
#include "http_options.h"
#include "http_reader.h"
#include "http_wait.h"

#include <pthread.h>
#include <stdatomic.h>

enum http_state { HTTP_STATE_LOADING, HTTP_STATE_READY, HTTP_STATE_DRAINING };

struct http_app {
    struct engine *engine; /* not owned */
    const struct http_options *options;
    _Atomic int state;           /* enum http_state; only ever rises */
    int64_t started_at;          /* seconds of the epoch */
    const char *library_version; /* of the HTTP library; set by who runs it */
    _Atomic bool leaving;        /* not ready, but work is taken: the delay before a drain */
    pthread_mutex_t lock;        /* guards the two below */
    char loading_what[128];      /* "model 1 of 2 (digits8), 40 %" */
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

/* `suspend` and `resume` put a connection of the HTTP library to sleep and wake it. Options and
 * engine must outlive it. -1: there is nothing to clear. */
int http_app_init(struct http_app *app, struct engine *g, const struct http_options *o,
                  void (*suspend)(void *), void (*resume)(void *), struct err *e);
/* After the HTTP library has been stopped. */
void http_app_clear(struct http_app *app);

/* What is being loaded: "model 2 of 2 (digits8), 40 %". */
void http_app_loading(struct http_app *app, const char *what);
/* The state only rises: a drain that came while loading is not undone by the loader. */
void http_app_raise(struct http_app *app, enum http_state state);
/* A model's reload has begun, or has ended: well, or for the reason `why`. */
void http_app_reloading(struct http_app *app, size_t model);
void http_app_reloaded(struct http_app *app, size_t model, const char *why);

/* Whether no evaluation is older than the watchdog's limit; its age in any case. */
bool http_app_alive(struct http_app *app, double *age_s);
/* 0 when work is taken now; else the 503 that says why not. */
int http_app_ready(struct http_app *app, struct http_problem *p);
/* Seconds after which another try makes sense, from the queue and the recent time an image took. */
int http_app_retry_after(struct http_app *app);
/* The place of a configured model, or -1. */
int http_app_model(const struct http_app *app, const char *name);

#endif
