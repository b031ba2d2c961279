/* Waiting: which connections are open, which of them sleep until the engine is done, and the thread
 * that watches both.
 *
 * The HTTP library neither notices that the client of a suspended connection has gone, nor ends one
 * that sends a byte a second, and it aborts the process when it is stopped with a suspended
 * connection. So every connection has an entry here, with its socket and the phase it is in, and
 * every request that is in the engine has a ticket.
 *
 * A ticket is shared by the exchange (server thread) and the engine's callback (worker thread) and
 * freed by whoever lets go of it last. One mutex guards connections and tickets. A connection is
 * put to sleep and woken under it, so a result can neither come too early nor wake one that is
 * gone. The engine is never called under it. */
#ifndef HTTP_WAIT_H
#define HTTP_WAIT_H

#include "engine.h"
#include "http_keys.h"

#include <pthread.h>

enum http_phase {
    HTTP_PHASE_HEAD, /* between requests, or a head is coming in */
    HTTP_PHASE_BODY,
    HTTP_PHASE_WORK, /* asleep until the engine is done: no time limit here */
    HTTP_PHASE_SEND,
    HTTP_PHASES
};

struct http_preview {
    size_t image; /* which of the request's */
    int64_t step;
    struct buf png;
};
#define HTTP_PREVIEWS 8 /* kept for a reader that is slow; the oldest make room */

/* What the engine has told of a request whose answer is sent piece by piece. */
struct http_news {
    size_t *images; /* [n] which are finished, in the order in which they came; NULL: not asked */
    size_t count;
    struct http_preview previews[HTTP_PREVIEWS];
    size_t first, waiting;
};

/* Which key pays for a ticket's images. It gets back what the request did not make, before anybody
 * hears of the request's end. */
struct http_charge {
    struct http_keys *keys; /* NULL: nobody pays. They outlive all tickets */
    char name[HTTP_KEY_NAME_MAX + 1];
    int64_t day; /* of whose images it paid */
};

struct http_ticket {
    struct http_wait *wait;
    struct engine_request *request; /* set by engine_submit; freed with the ticket */
    int holders;                    /* the rest is guarded by wait->lock */
    bool finished;                  /* the engine's callback has run */
    bool asleep;
    int64_t wake_ns; /* while asleep: when to wake in any case, 0: never */
    bool gone;       /* the client left before */
    void *handle;    /* of the connection, the library's; only to be woken, and only while asleep */
    struct http_news news;
    struct http_charge charge; /* set before the ticket is submitted */
};

/* What a body has of the memory that all bodies share (http_room.h). */
enum http_hold_kind { HTTP_HOLD_NONE, HTTP_HOLD_USUAL, HTTP_HOLD_LARGE, HTTP_HOLD_KINDS };
struct http_hold {
    enum http_hold_kind kind;
    int64_t since_ns, last_ns; /* when its rate began to be taken, and when something came last */
    size_t came;               /* bytes since the former */
    size_t room;               /* bytes that count towards the kind's */
};

/* What of the memory for answers (http_room.h) one has: of work, for as long as it is made too, or
 * of what is told at once. */
enum http_answer_kind { HTTP_ANSWER_WORK, HTTP_ANSWER_TOLD, HTTP_ANSWERS };

struct http_connection {
    struct http_connection *previous, *next;
    int fd;
    bool plain;       /* no TLS */
    bool local;       /* a unix socket */
    char peer[48];    /* the other end's address, without the port */
    char address[48]; /* of the client: the peer, or who a trusted proxy says that it speaks for */
    enum http_phase phase;
    int64_t since_ns; /* while an answer is sent: when the other end has last taken some of it */
    uint64_t taken;   /* how much that was, as http_connection_look_locked counts */
    bool cut;         /* shut down by the watcher, or for another's sake: */
    bool displaced;
    bool ended; /* in its body, at the last look of the watcher, which found all of it taken */
    struct http_hold hold; /* of its body */
    size_t answer;         /* bytes that count towards the kind's */
    enum http_answer_kind answer_kind;
    struct http_ticket *ticket;
    struct http_exchange *exchange; /* that has begun and not ended; its own thread's */
};

struct http_wait {
    struct lock lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool started, stopping;
    struct http_connection *connections;
    size_t connection_count, exchange_count, ticket_count;
    size_t large_count, room[HTTP_HOLD_KINDS]; /* of bodies, */
    size_t answers[HTTP_ANSWERS];              /* and of answers */
    void (*suspend)(void *connection);
    void (*resume)(void *connection);
    int64_t limits_ns[HTTP_PHASES]; /* how long a phase may last; 0: for ever */
};

/* Starts the watcher thread. `limits_s`: how long each phase may last, in seconds; 0: for ever. */
int http_wait_start(struct http_wait *w, void (*suspend)(void *), void (*resume)(void *),
                    const int limits_s[HTTP_PHASES], struct err *e);
/* After the HTTP library has been stopped: waits until the engine has let go of the last ticket
 * (cancelled ones end within a solver step), then ends the watcher. */
void http_wait_stop(struct http_wait *w);

/* A connection was accepted; NULL when memory ran out. */
struct http_connection *http_connection_open(struct http_wait *w, int fd, bool plain);
/* The client behind a proxy, which may be another one with each request. */
void http_connection_name(struct http_wait *w, struct http_connection *c, const char *address);
/* Open connections, in all and from the address of `c`. */
size_t http_connection_count(struct http_wait *w, const struct http_connection *c,
                             size_t *same_address);
void http_connection_close(struct http_wait *w, struct http_connection *c);
void http_connection_phase(struct http_wait *w, struct http_connection *c, enum http_phase phase);
/* Looks whether the other end has taken more of the answer that is sent to it, which begins the
 * phase anew. The library has handed over long before what a slow reader has yet to take, so this
 * asks the system, and counts what has been acknowledged. With the lock. */
void http_connection_look_locked(struct http_wait *w, struct http_connection *c, int64_t now);
/* The last byte of a body has come, so that no time limit runs until there is an answer. False when
 * the connection was cut before: then nothing may begin for it. */
bool http_connection_body_ended(struct http_wait *w, struct http_connection *c);
/* Whether the watcher has ended it for lateness, or another took its place. */
bool http_connection_cut(struct http_wait *w, const struct http_connection *c);
/* Whether the client has closed its side. For who knows that the connection is open, as one that
 * sleeps is. */
bool http_connection_left(const struct http_connection *c);
/* Counts exchanges between their first byte and their end, for the drain. */
void http_wait_count(struct http_wait *w, int change);
size_t http_wait_exchanges(struct http_wait *w);
/* Those of them that have come and await their answer, or the rest of it. */
size_t http_wait_answers(struct http_wait *w);

/* A ticket held by the caller and, once submitted, by the engine. One that never is serves a
 * connection that waits for something else and looks for itself when it is woken. */
struct http_ticket *http_ticket_new(struct http_wait *w, struct err *e);
/* engine_submit with the ticket's callbacks; `news`: also those that tell of single images. On
 * failure the caller still holds the ticket. */
int http_ticket_submit(struct http_ticket *t, struct engine *g, struct engine_order *order,
                       bool news, struct err *e);
/* Puts the connection to sleep until the ticket is finished, or there are more than `seen` images,
 * or a preview, or it is `wake_ns` (0: never). False when it is so already, and then the connection
 * stays awake. */
bool http_ticket_sleep(struct http_ticket *t, struct http_connection *c, void *handle, size_t seen,
                       int64_t wake_ns);

struct http_look {
    bool finished; /* the engine is done with it */
    bool gone;     /* because the client left */
    bool stopping; /* the server is */
    size_t images; /* how many entries of news.images may be read without the lock */
};
struct http_look http_ticket_look(struct http_ticket *t);
/* Takes the oldest preview; the caller frees its PNG. False when there is none. */
bool http_ticket_preview(struct http_ticket *t, struct http_preview *out);
/* The exchange lets go: an unfinished request is cancelled. */
void http_ticket_drop(struct http_ticket *t, struct http_connection *c);
/* Wakes every sleeping connection, finished or not; their exchanges then see an unfinished ticket.
 */
void http_wait_wake_all(struct http_wait *w);

#endif
