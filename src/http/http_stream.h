/* Answers that are sent piece by piece while images are still being made: NPY, NPZ, ZIP, TAR and
 * server-sent events.
 *
 * Nothing is produced before the reader has room for it: the images lie in the request, and a
 * piece is made when the one before it has gone out. A reader that stalls therefore holds its own
 * request's memory and nothing else. All functions run on the thread that serves the connection;
 * what the engine tells comes through the ticket. */
#ifndef HTTP_STREAM_H
#define HTTP_STREAM_H

#include "http_app.h"
#include "archive_zip_stream.h"

struct http_stream {
    struct http_app *app;
    const struct http_request *request;
    const struct http_work *work;
    struct buf out; /* the piece that is going out, from `at` on */
    size_t at;
    bool ended;
    uint64_t sent, length; /* bytes that went out; of the whole, UINT64_MAX until it shows */
    size_t taken;          /* of the ticket's finished images */
    uint8_t *ready;        /* [n] arrays go out in the order of their indices */
    size_t next;
    struct archive_zip_stream *zip;
    struct { /* events only */
        unsigned long number;
        bool queued, started, whole; /* what was said: the last, that all is made */
        int64_t progress_ns, said_ns;
        int64_t steps;
    } events;
};

/* Opens the answer of a request that has begun; NULL when memory ran out. `q` and `work` must
 * outlive it.
 */
struct http_stream *http_stream_new(struct http_app *app, const struct http_request *q,
                                    const struct http_work *work);
void http_stream_free(struct http_stream *s);
/* Whether everything has gone out. */
bool http_stream_complete(const struct http_stream *s);

enum { HTTP_STREAM_WAIT = 0, HTTP_STREAM_END = -1, HTTP_STREAM_BROKEN = -2 };
/* Fills `buffer` with 1 to `max` bytes and returns how many; or HTTP_STREAM_WAIT, with when to look
 * again in any case (0: when there is news); or the end; or BROKEN, when the rest will never come.
 */
ssize_t http_stream_read(struct http_stream *s, char *buffer, size_t max, int64_t *wake_ns);

/* http_events.c: the next events into s->out; a result like that of http_stream_read, > 0 when
 * there are some. */
int http_events_fill(struct http_stream *s, const struct http_look *look, int64_t *wake_ns);

#endif
