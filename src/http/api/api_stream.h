/* Answers that are sent piece by piece while images are still being made: NPY, NPZ, ZIP, TAR and
 * server-sent events.
 *
 * Nothing is produced before the reader has room for it: the images lie in the request, and a
 * piece is made when the one before it has gone out. A reader that stalls therefore holds its own
 * request's memory and nothing else. All functions run on the thread that serves the connection;
 * what the engine tells comes through the ticket. */
#ifndef API_STREAM_H
#define API_STREAM_H

#include "api_call.h"
#include "archive_npy.h"
#include "archive_zip_stream.h"

struct api_stream;
/* Where the pieces come from: images of a request in the engine, or of a job. */
struct api_stream_ops {
    /* The next piece into s->out; a result like that of api_stream_read, > 0 when there is one. */
    int (*fill)(struct api_stream *s, const struct http_look *look, int64_t *wake_ns);
    void (*free)(void *own); /* NULL: nothing */
};

struct api_stream {
    const struct api_stream_ops *ops;
    void *own; /* of the ops */
    struct http_app *app;
    const struct http_request *request;
    struct api_call *call;
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

/* Opens the answer of a request that has begun; NULL when memory ran out. `q` and `call` must
 * outlive it.
 */
struct api_stream *api_stream_new(struct http_app *app, const struct http_request *q,
                                  struct api_call *call);
/* One of another kind: nothing has been said yet, and its length is not known. */
struct api_stream *api_stream_make(struct http_app *app, const struct http_request *q,
                                   struct api_call *call, const struct api_stream_ops *ops,
                                   void *own);
/* Appends a whole member to an archive (ZIP where s->zip is there, else tar), or an NPZ's
 * one-dimensional array. */
int api_stream_member(struct api_stream *s, const char *name, const void *data, size_t length);
int api_stream_numbers(struct api_stream *s, const char *name, enum archive_npy_type type,
                       uint64_t (*value)(const struct api_stream *s, uint64_t i), uint64_t n);
void api_stream_free(struct api_stream *s);
/* Whether everything has gone out. */
bool api_stream_complete(const struct api_stream *s);

enum { API_STREAM_WAIT = 0, API_STREAM_END = -1, API_STREAM_BROKEN = -2 };
/* Fills `buffer` with 1 to `max` bytes and returns how many; or API_STREAM_WAIT, with when to look
 * again in any case (0: when there is news); or the end; or BROKEN, when the rest will never come.
 */
ssize_t api_stream_read(struct api_stream *s, char *buffer, size_t max, int64_t *wake_ns);

/* api_events.c: the next events into s->out; a result like that of api_stream_read, > 0 when
 * there are some. */
int api_events_fill(struct api_stream *s, const struct http_look *look, int64_t *wake_ns);

#endif
