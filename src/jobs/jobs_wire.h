/* A connection to NATS with JetStream, in the terms of the fleet's store: records in a key-value
 * bucket, results, reports and shards in streams, followers that are told of what is new.
 *
 * A connection that has been lost stays lost: whoever owns it makes a new one. Everything that
 * waits for an answer then ends with JOBS_AWAY. Threads: every function may be called from any
 * thread. Inside the room only. */
#ifndef JOBS_WIRE_H
#define JOBS_WIRE_H

#include "base_buf.h"
#include "jobs_record.h"

struct jobs_wire_options {
    const char *servers;     /* nats://HOST:PORT, or several with commas between them */
    const char *credentials; /* file; "" or NULL: none */
    const char *ca;          /* PEM file, and TLS is a must; "" or NULL: none */
    int replicas;            /* of each stream */
};

#define JOBS_WIRE_SHOWN 256
/* The servers without the names and passwords that their addresses may have. */
void jobs_wire_show(const char *servers, char out[JOBS_WIRE_SHOWN]);

struct jobs_wire;
/* Connects, and makes the streams that are not there. JOBS_AWAY: one line says why not; it may be
 * otherwise later. */
enum jobs_answer jobs_wire_connect(const struct jobs_wire_options *o, struct jobs_wire **out,
                                   struct err *e);
struct jobs_wire *jobs_wire_hold(struct jobs_wire *w);
void jobs_wire_release(struct jobs_wire *w); /* NULL is taken; the last one frees it */
/* Waits until what was said has gone out. */
void jobs_wire_flush(struct jobs_wire *w);
/* Ends it for everybody. */
void jobs_wire_close(struct jobs_wire *w);
bool jobs_wire_is_open(struct jobs_wire *w);
/* Why it is not. */
void jobs_wire_trouble(struct jobs_wire *w, struct err *e);
/* Whoever serves many: the calling thread waits for answers to what it asks (records, results) for
 * less than a second, and is told JOBS_AWAY; the connection stays. While a server is late, one
 * thread asks it at a time, once in a while, and others are told so at once. */
void jobs_wire_hurry(bool hurries);
/* Bytes of all streams. */
enum jobs_answer jobs_wire_size(struct jobs_wire *w, uint64_t *out, struct err *e);

/* ---- records ---- */

/* Stores a value whose revision is still `revision` (0: if there is none), which becomes the new
 * one. JOBS_CONFLICT: it is another one. */
enum jobs_answer jobs_wire_put(struct jobs_wire *w, const char *key, const void *data,
                               size_t length, uint64_t *revision, struct err *e);
enum jobs_answer jobs_wire_get(struct jobs_wire *w, const char *key, struct buf *value,
                               uint64_t *revision, struct err *e);
/* The key, or all that a pattern with wildcards fits, up to that revision: what was written later
 * stays. */
enum jobs_answer jobs_wire_delete(struct jobs_wire *w, const char *keys, uint64_t revision,
                                  struct err *e);

/* ---- results, reports and shards ---- */

#define JOBS_WIRE_DONE "pfgm.done." /* begins the subject of a report */

#define JOBS_WIRE_SUBJECT 256
struct jobs_wire_message {
    char subject[JOBS_WIRE_SUBJECT];
    char id[96];    /* the same again within two minutes is stored once */
    char note[192]; /* goes before the bytes; may be empty */
    const void *data;
    size_t length;
    uint64_t sequence; /* where it is stored; 0: it was there already */
};
/* Stores them all, several at a time; a result or report whose subject is taken counts as stored.
 * JOBS_FULL, JOBS_AWAY: some may be stored. JOBS_BROKEN with ERR_LIMIT: one is too large. */
enum jobs_answer jobs_wire_publish(struct jobs_wire *w, struct jobs_wire_message *messages,
                                   size_t count, struct err *e);
/* One, without a wait for others that are being published. */
enum jobs_answer jobs_wire_publish_one(struct jobs_wire *w, struct jobs_wire_message *message,
                                       struct err *e);
/* What is stored under a result's subject. */
enum jobs_answer jobs_wire_result(struct jobs_wire *w, const char *subject, struct buf *bytes,
                                  char note[192], struct err *e);
/* Whether a report is stored under that very subject. */
enum jobs_answer jobs_wire_is_reported(struct jobs_wire *w, const char *subject, bool *out,
                                       struct err *e);
enum jobs_wire_what { JOBS_WIRE_RECORDS, JOBS_WIRE_RESULTS, JOBS_WIRE_REPORTS };
/* How many are stored under such subjects. */
enum jobs_answer jobs_wire_count(struct jobs_wire *w, enum jobs_wire_what what,
                                 const char *subjects, uint64_t *out, struct err *e);
/* Deletes all of a job's results and reports. */
enum jobs_answer jobs_wire_purge_job(struct jobs_wire *w, const char *id, struct err *e);

/* ---- following ---- */

struct jobs_wire_news {
    const char *name; /* the key of a record, the subject of a report */
    uint64_t sequence;
    bool is_gone; /* the key was deleted */
    const void *data;
    size_t length;
};
typedef void jobs_wire_follow(void *context, const struct jobs_wire_news *news);
struct jobs_wire_tail;
/* Tells of everything that fits the keys or subjects, what is there and then what comes, in order.
 * `follow` is called from another thread, until jobs_wire_tail_close has returned.
 * *present: how many are there at the beginning. */
enum jobs_answer jobs_wire_tail_open(struct jobs_wire *w, enum jobs_wire_what what,
                                     const char *names, jobs_wire_follow *follow, void *context,
                                     struct jobs_wire_tail **out, uint64_t *present, struct err *e);
/* Whether nothing was missed, and the server was heard of lately. */
bool jobs_wire_tail_is_whole(struct jobs_wire_tail *t);
void jobs_wire_tail_close(struct jobs_wire_tail *t); /* NULL is taken */

/* Calls between replicas, which nobody keeps. */
typedef void jobs_wire_hear(void *context, const void *data, size_t length);
enum jobs_answer jobs_wire_listen(struct jobs_wire *w, const char *subject, jobs_wire_hear *hear,
                                  void *context, struct jobs_wire_tail **out, struct err *e);
void jobs_wire_say(struct jobs_wire *w, const char *subject, const void *data, size_t length);

/* ---- work ---- */

#define JOBS_WIRE_ACK_S 10 /* a shard of which nothing is heard for so long is handed out again */
struct jobs_wire_work {
    char text[192];
    char reply[JOBS_WIRE_SUBJECT]; /* where to say how it goes: +WPI, +ACK */
    uint64_t deliveries;           /* this one included */
    uint64_t sequence;             /* of the message: it has the same each time it comes */
};
/* The next message on the subject that nobody is at work on. JOBS_ABSENT: none. */
enum jobs_answer jobs_wire_take(struct jobs_wire *w, const char *subject,
                                struct jobs_wire_work *out, struct err *e);
/* Whether none waits and nobody is at work on any. */
enum jobs_answer jobs_wire_is_idle(struct jobs_wire *w, const char *subject, bool *out,
                                   struct err *e);

#endif
