/* A thread that reads large bodies.
 *
 * The server's few threads serve all connections, so none may be kept by one body: parsing 64 MiB
 * of JSON, unpacking its base64 and its pictures takes a second or more. Small bodies are read
 * where they arrive; a large one waits here for its turn while its connection sleeps. One thread
 * for all of them keeps what they can take of processor and memory to what one can take. */
#ifndef HTTP_READER_H
#define HTTP_READER_H

#include "base_err.h"

#include <pthread.h>
#include <stdbool.h>

#define HTTP_READ_AT_ONCE 16384 /* bytes of a body that is not worth the detour */

/* One body's turn. Owned by the caller, who keeps it until `run` has been called. */
struct http_reading {
    struct http_reading *next;
    void (*run)(void *context, bool stopping); /* stopping: it is to end without reading */
    void *context;
};

struct http_reader {
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    pthread_t thread;
    struct http_reading *first, **last;
    bool stopping;
};

int http_reader_start(struct http_reader *r, struct err *e);
/* Takes no more: ends what waits without reading it, and waits for what is being read. */
void http_reader_stop(struct http_reader *r);
/* After that, when nobody can put anything any more. */
void http_reader_clear(struct http_reader *r);
/* Gives it a turn, in the order of the calls; after http_reader_stop at once, without reading. */
void http_reader_put(struct http_reader *r, struct http_reading *reading);

#endif
