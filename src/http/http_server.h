/* The HTTP server: sockets on one side, the engine on the other.
 *
 * Life: start (LOADING: health answers, work gets 503) → ready → drain (work gets 503, what runs
 * goes on) → stop. The caller owns the engine and frees it after the stop. Functions may be called
 * from any thread; start and stop from one. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "engine.h"

struct http_options {
    int listen_fd; /* bound and listening; taken over, also on failure */
    size_t n_max, body_max, queue_images_max;
    int connections; /* open at once; more wait in the backlog */
    int threads;     /* that serve connections */
    int idle_s;      /* a connection without a request, or a client that does not read */
    int read_s;      /* the longest a body may take to arrive */
    const char *const *model_names; /* as configured, in order; must outlive the server */
    size_t model_count;
};

struct http_server;
struct http_server *http_server_start(struct engine *g, const struct http_options *options,
                                      struct err *e);
/* What is being loaded, for those who ask meanwhile: "model 1 of 2 (digits8)". */
void http_server_loading(struct http_server *s, const char *what);
void http_server_ready(struct http_server *s);
/* Refuses new work from now on. */
void http_server_drain(struct http_server *s);
/* Waits until no request is between its first byte and the end of its answer, at most timeout_ms.
 */
bool http_server_wait_idle(struct http_server *s, int timeout_ms);
/* Closes the listening socket, wakes what still sleeps (it gets 503), and ends all connections. The
 * engine must have been drained; requests that are still in it are cancelled. */
void http_server_stop(struct http_server *s);

#endif
