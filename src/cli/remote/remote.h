/* Asking a pfgmd over HTTP, by libcurl, with patience: what may pass is asked again after growing
 * pauses. One thread per connection.
 *
 * The key comes from a file or from the environment, never from the command line, which every user
 * of the machine can read. Certificates are verified; no redirection is followed. */
#ifndef REMOTE_H
#define REMOTE_H

#include "base_json.h"

struct remote_options {
    const char *server;   /* http:// or https://, with a path where the server stands below one */
    const char *key_file; /* its first line is the key; NULL: $PFGM_KEY, or none */
    const char *ca;       /* certificates that are trusted in place of the system's; or NULL */
    int64_t patience_s;   /* how long nothing may come before it gives up */
};

struct remote;
/* NULL: an option is wrong, or this build has no libcurl. Connects to nobody. */
struct remote *remote_open(const struct remote_options *o, struct err *e);
void remote_close(struct remote *r); /* may be NULL */
int64_t remote_patience_s(const struct remote *r);

#define REMOTE_TAG_SIZE 128
struct remote_answer {
    int status;                 /* 0: there was none */
    bool whole;                 /* all of it came */
    bool passes;                /* of a failure: another try may have a better end */
    int64_t after_s;            /* Retry-After; -1: none */
    bool has_ranges;            /* Accept-Ranges: bytes */
    char etag[REMOTE_TAG_SIZE]; /* with its quotes; "" without */
    char range[64];             /* Content-Range */
    char location[240];         /* where a 3xx would lead; "" without */
    struct buf body;            /* of an answer that was not taken in pieces */
};
void remote_answer_clear(struct remote_answer *a);

struct remote_call {
    const char *method, *path; /* behind the server's address */
    const char *body;          /* JSON, or NULL */
    const char *accept;        /* or NULL */
    const char *headers[2];    /* more of them, "Name: value"; or NULL */
    /* Gets the body of a 200 or 206 in pieces, the head being in `a`. Not 0 ends the call. NULL:
     * the body is kept. */
    int (*take)(void *context, const struct remote_answer *a, const void *data, size_t length);
    void *context;
};

/* One try. 0: an answer of 2xx that came whole, or that `take` ended; else -1 and the error,
 * with what the server said: ERR_INPUT for a request that it refuses, ERR_IO for what is no fault
 * of the request. `a` is to be cleared in any case. */
int remote_ask(struct remote *r, const struct remote_call *call, struct remote_answer *a,
               struct err *e);

/* How long is to be waited between tries. Zeroed, it begins; after a success it is zeroed again. */
struct remote_pause {
    int64_t since_ns, next_ms;
};
/* After a failure: waits and returns 0 if another try makes sense, else -1 with `why`. */
int remote_pause(struct remote *r, struct remote_pause *p, const struct remote_answer *a,
                 const struct err *why, struct err *e);

/* remote_ask with as many tries as patience allows; for calls whose body is kept. */
int remote_insist(struct remote *r, const struct remote_call *call, struct remote_answer *a,
                  struct err *e);
/* The same for an answer of JSON: a new reference, or NULL. */
json_t *remote_json(struct remote *r, const char *method, const char *path, const char *body,
                    struct err *e);
/* The same without a body, for what has a tag: GET notes it; any other method is obeyed only while
 * it is still that, and *changed says (with NULL and the error) that it is not. */
json_t *remote_tagged(struct remote *r, const char *method, const char *path,
                      char tag[REMOTE_TAG_SIZE], bool *changed, struct err *e);

#endif
