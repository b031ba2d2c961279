/* Jobs: work that outlives the process.
 *
 * A job is an order for up to a million images. It is written down before it is acknowledged, its
 * images are stored as they are finished, and after a restart it goes on where it stood: an image
 * is a function of the seed rule's inputs, so one that has to be made again is the same image. Jobs
 * run at batch priority, a few shards ahead of the engine and each job in its turn.
 *
 * Threads: every function may be called from any thread, except where it says otherwise. Calls read
 * from or write to a disk. */
#ifndef JOBS_H
#define JOBS_H

#include "base_json.h"
#include "engine.h"
#include "jobs_record.h"

struct jobs_options {
    /* Where they are kept, one of the two: a folder, made where it is not there; or NATS servers
     * (nats://HOST:PORT), with a file of credentials and one of a certificate authority (NULL:
     * none) and the number of replicas of what is stored. */
    const char *folder;
    const char *nats, *nats_credentials, *nats_ca;
    int nats_replicas;
    int64_t keep_s;      /* how long a job is kept after its end, and as long again its tombstone */
    uint64_t keep_bytes; /* images of finished jobs above which the oldest job goes; 0: no bound */
    uint64_t records_max; /* of jobs that have ended, tombstones included, above which the oldest
                             tombstones are forgotten, and the oldest jobs go; 0: no bound */
    uint64_t live_max;    /* jobs of one owner that have not ended; 0: no bound */
    /* Called after each change of a job or its results, from any thread; it does nothing that takes
     * long. NULL: nobody listens. */
    void (*news)(void *context, const char *id);
    void *context;
};
#define JOBS_KEEP_S_DEFAULT (7 * 86400)
#define JOBS_KEEP_BYTES_DEFAULT (UINT64_C(10) << 30)
#define JOBS_RECORDS_MAX_DEFAULT 100000
#define JOBS_LIVE_MAX_DEFAULT 1000

struct jobs;
/* Whether this build can keep jobs in NATS. */
bool jobs_knows_nats(void);
/* Opens the store and goes on with what is in it, as soon as the engine has the models. NULL: one
 * line says what is wrong with the store. A NATS server that is not there is tried again and again.
 * The engine outlives it. */
struct jobs *jobs_open(struct engine *g, const struct jobs_options *options, struct err *e);
/* Hands no more work to the engine and takes back what it has; what is finished is stored. */
void jobs_drain(struct jobs *j);
/* The same, waits for it, and closes the store. Before the engine is drained, or at least freed.
 * NULL is taken. */
void jobs_close(struct jobs *j);
/* There may be a model that was not there before. */
void jobs_wake(struct jobs *j);

/* ---- jobs, as their owner sees them ----
 *
 * Other owners' jobs are JOBS_ABSENT; an expired one is JOBS_GONE. Each answer but JOBS_DONE comes
 * with an error in words. */

struct jobs_filing {
    const char *owner;                /* at most JOBS_OWNER_MAX bytes */
    const char *id;                   /* a UUID as jobs_id_parse gives it; NULL: one is drawn */
    const char *key;                  /* the owner's Idempotency-Key, any text; NULL: none */
    const char *body;                 /* digest of what is asked for, in hexadecimal */
    const char *label;                /* NULL: none */
    const struct engine_order *order; /* checked (engine_check); priority and callbacks are ours */
};
/* Whether a job was filed under that id or key already, answered as jobs_file would; `order` is not
 * looked at. JOBS_ABSENT, without words: there is none. */
enum jobs_answer jobs_filed(struct jobs *j, const struct jobs_filing *filing,
                            struct jobs_record *out, struct err *e);
/* Writes a job down. The same again (by id or key) is that job, *is_new false; something else under
 * a name that is taken: JOBS_CONFLICT. JOBS_FULL, JOBS_MANY and JOBS_AWAY: nothing was filed;
 * JOBS_UNSURE: it may be. *is_new whatever the answer: a job is there that was not there before. */
enum jobs_answer jobs_file(struct jobs *j, const struct jobs_filing *filing,
                           struct jobs_record *out, bool *is_new, struct err *e);
enum jobs_answer jobs_get(struct jobs *j, const char *owner, const char *id,
                          struct jobs_record *out, struct err *e);
/* Whether others have the same jobs, and what they store of them is counted as it is heard of:
 * until then a live job's is_counting says so. */
bool jobs_are_shared(const struct jobs *j);
/* The owner's jobs in those states (JOBS_BIT), the newest first, from before the one of that number
 * on (0: the newest); *count at most, and how many there are. */
enum jobs_answer jobs_list(struct jobs *j, const char *owner, unsigned states, uint64_t before,
                           struct jobs_record *out, size_t *count, struct err *e);
/* Cancels a job that is live, forgets one that has ended; *out is what it then is. Repeatable. With
 * the revision of a record that was seen (0: whatever it is) only while the job is as it was then:
 * else JOBS_CHANGED, *out is what it is, and nothing was done. */
enum jobs_answer jobs_remove(struct jobs *j, const char *owner, const char *id, uint64_t revision,
                             struct jobs_record *out, struct err *e);

/* What is kept of a job's order (jobs_order.c), as far as others than its makers need it. */
struct jobs_kept {
    json_t *all; /* owned */
    uint64_t seed, first_index;
    enum engine_output output; /* PNG, pixels or samples, which are what is stored */
    struct image_shape shape;  /* of at most IMAGE_PIXELS_MAX values */
    int classes;               /* that the model knows */
};
/* A store may be damaged, or another program's. ERR_INPUT where the record is not what was filed,
 * or could not have been; *out is empty then. */
int jobs_kept_read(const struct jobs_record *r, struct jobs_kept *out, struct err *e);
void jobs_kept_clear(struct jobs_kept *k);

/* Of a job that jobs_get gave. JOBS_ABSENT: the image is not there yet. `bytes` was initialised. */
enum jobs_answer jobs_image(struct jobs *j, const char *id, uint64_t index, struct jobs_result *out,
                            struct buf *bytes, struct err *e);
/* What was stored after result `after` (0: from the first on), in that order and without the
 * bytes; JOBS_AWAY also while it is being counted. A result's sequence never changes, so whoever
 * was told up to some number goes on from there, after a restart too. */
enum jobs_answer jobs_log(struct jobs *j, const char *id, uint64_t after, struct jobs_result *out,
                          size_t *count, struct err *e);

struct jobs_progress {
    double fraction; /* 0 to 1, images in flight counted by their steps */
    int64_t steps;   /* of images in flight, where the solver takes so many per image as were asked
                        for */
};
struct jobs_progress jobs_progress_get(struct jobs *j, const struct jobs_record *r);
/* Which one a queued job is among those that are to be begun, from 1; 0 for another job. */
enum jobs_answer jobs_position(struct jobs *j, const struct jobs_record *r, uint64_t *out,
                               struct err *e);
/* A state on the path to an image that is being made. */
struct jobs_preview {
    uint64_t number; /* in which order they came */
    uint64_t index;  /* of the job's images */
    int64_t step;
    struct buf png;
};
/* The newest of a job that was filed with preview_every; `after`: newer than that number. `png` was
 * initialised. False: there is none. */
bool jobs_preview_get(struct jobs *j, const char *id, uint64_t after, struct jobs_preview *out);
/* Whether a model that the job needs is loaded, here or by another process that shares the store;
 * else `why` [size] says which it waits for. */
bool jobs_served(struct jobs *j, const struct jobs_record *r, char *why, size_t size);

uint64_t jobs_live_max(const struct jobs *j);

struct jobs_stats {
    uint64_t jobs[JOBS_STATES];
    uint64_t store_bytes;
    uint64_t images_waiting; /* of live jobs that are served, not handed out yet */
    uint64_t unserved;       /* live jobs that neither this process nor a replica can work on */
    uint64_t replicas;       /* that share the store; 0: it is this process's own */
    struct err trouble;      /* why results cannot be stored at present; ERR_NONE: they can */
};
enum jobs_answer jobs_stats_get(struct jobs *j, struct jobs_stats *out, struct err *e);

#endif
