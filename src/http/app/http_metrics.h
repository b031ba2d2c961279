/* Counters of the HTTP side, and the Prometheus text of everything that is counted.
 *
 * All counters have a fixed size and fixed label sets: nothing that a client sends can add one, and
 * counting allocates nothing. One mutex guards them; it is held for a few additions. The text is
 * made when it is asked for, from here, from the engine's counters and from /proc. */
#ifndef HTTP_METRICS_H
#define HTTP_METRICS_H

#include "engine.h"
#include "http_problem.h"
#include "http_room.h"

#include <pthread.h>

#define HTTP_ROUTES_MAX 48
#define HTTP_METHODS 8 /* of the table in http_metrics.c, the last one is "other" */
#define HTTP_CODES 29  /* of the table in http_metrics.c, the last one is any other */

enum http_reload { HTTP_RELOAD_OK, HTTP_RELOAD_FAILED, HTTP_RELOADS };

struct http_metrics {
    pthread_mutex_t lock;
    uint64_t requests[HTTP_ROUTES_MAX][HTTP_METHODS][HTTP_CODES];
    struct engine_histogram seconds[HTTP_ROUTES_MAX];
    uint64_t rejected[HTTP_PROBLEMS];
    uint64_t reloads[HTTP_RELOADS];
};

void http_metrics_init(struct http_metrics *m);
void http_metrics_clear(struct http_metrics *m);
/* A request has ended. `route` is its place in the table of routes, HTTP_ROUTES_MAX - 1 for none;
 * `status` 499 when the client had gone. `problem` is what the answer said; a refusal (any problem
 * but a failure of the work itself) counts as rejected. */
void http_metrics_count(struct http_metrics *m, size_t route, const char *method, unsigned status,
                        enum http_problem_code problem, double seconds);
void http_metrics_reload(struct http_metrics *m, enum http_reload outcome);

struct jobs;

/* What the text needs from elsewhere. */
struct http_metrics_state {
    struct engine *engine;
    size_t connections;
    size_t requests; /* not ended yet; counted before the text is made, so that 1 says that the
                      * counters hold every other request that was ever answered */
    struct http_room room;
    bool draining;
    struct jobs *jobs; /* NULL: there are none, */
    bool jobs_broken;  /* though there should be */
    const char *version;
    const char *const *route_labels; /* HTTP_ROUTES_MAX, NULL where there is no route */
};
/* Appends the text (version 0.0.4 of the format); the last byte is a line feed. */
int http_metrics_text(struct http_metrics *m, const struct http_metrics_state *state,
                      struct buf *out, struct err *e);
/* Leaves of a text only the families that the values of "name[]" in the query name; all of them
 * when there is none. */
void http_metrics_select(const char *query, struct buf *text);
#define HTTP_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define HTTP_METRICS_MAX ((size_t)4 << 20)

/* A label's value with backslash, quote and line feed escaped. */
int http_metrics_escape(struct buf *out, const char *value, struct err *e);

/* http_process.c: the process_ metrics. */
int http_process_text(struct buf *out, struct err *e);

#endif
