/* The HTTP server: sockets on one side, the engine on the other.
 *
 * Life: start (LOADING: health answers, work gets 503) → ready → drain (work gets 503, what runs
 * goes on) → stop. The caller owns the engine and frees it after the stop. Functions may be called
 * from any thread; start, reload_tls and stop from one. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "engine.h"
#include "http_options.h"

struct http_server;
struct http_server *http_server_start(struct engine *g, const struct http_options *options,
                                      struct err *e);
/* What is being loaded, for those who ask meanwhile: "model 2 of 2 (digits8), 40 %". */
void http_server_loading(struct http_server *s, const char *what);
void http_server_ready(struct http_server *s);
/* A model's reload has begun, or has ended: well, or for the reason `why` (it keeps serving as it
 * did). */
void http_server_reloading(struct http_server *s, size_t model);
void http_server_reloaded(struct http_server *s, size_t model, const char *why);
/* Reads the keys anew; -1 when the file cannot be used, and the old ones stay. */
int http_server_reload_keys(struct http_server *s, struct err *e);
/* The same with the secret that signs links. */
int http_server_reload_links(struct http_server *s, struct err *e);
/* New connections get this certificate; those that are open keep theirs. -1 when the library does
 * not take it, and the old one stays. Only with TLS from the start. */
int http_server_reload_tls(struct http_server *s, const char *certificate, const char *key,
                           struct err *e);
/* Ends what served an older certificate and has no connection left; true while there is more of it.
 * To be called again about a second later then, on the thread of reload_tls. */
bool http_server_sweep(struct http_server *s);
/* Not ready any more, but work is still taken. */
void http_server_leave(struct http_server *s);
/* Refuses new work from now on. */
void http_server_drain(struct http_server *s);
/* Waits until no request is between its first byte and the end of its answer, at most timeout_ms.
 */
bool http_server_wait_idle(struct http_server *s, int timeout_ms);
/* Requests that have come and whose answers have not gone out. */
size_t http_server_answers(struct http_server *s);
/* Whether no evaluation is older than the watchdog's limit. */
bool http_server_alive(struct http_server *s);
/* Closes the listening socket and wakes what still sleeps, which gets 503. */
void http_server_dismiss(struct http_server *s);
/* Closes the listening socket, wakes what still sleeps (it gets 503), and ends all connections. The
 * engine must have been drained; requests that are still in it are cancelled. */
void http_server_stop(struct http_server *s);

#endif
