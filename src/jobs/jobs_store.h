/* Where jobs are kept: one table of functions for each kind of store.
 *
 * A store is asked and told in whole steps. Each is done or not done, whatever happens to the
 * process or the machine, and what it has answered with JOBS_DONE is there after a restart. Nobody
 * owns a job: a record changes only where its revision is still the one that was read, a result is
 * named by (job, index) and stored once, and work is handed out in shards, a few images each, to
 * whoever asks. So the same table serves a store that one process has to itself and one that many
 * share.
 *
 * Threads: every function may be called from any thread. Inside the room only. */
#ifndef JOBS_STORE_H
#define JOBS_STORE_H

#include "base_buf.h"
#include "jobs_record.h"

#define JOBS_OFFERS_MAX 64 /* models that a process offers */
#define JOBS_TRIES 16 /* of changing a record against others; then it stays JOBS_CONFLICT */

struct jobs_store_ops;
struct jobs_store {
    const struct jobs_store_ops *ops;
    /* Called after every change of a record or its results, from whichever thread, and without a
     * lock of the store's: somebody may have news. */
    void (*changed)(void *context, const char *id);
    void *context;
};

/* Images first to first + count − 1 of a job, none of which was stored when they were handed out.
 */
struct jobs_shard {
    char id[JOBS_ID_SIZE];
    uint64_t first;
    size_t count; /* 1 to JOBS_SHARD_IMAGES */
};

struct jobs_query {
    const char *owner; /* NULL: everybody's */
    unsigned states;   /* JOBS_BIT of each that is wanted */
    uint64_t before;   /* created before the record of that number; 0: from the newest on */
};

struct jobs_store_stats {
    uint64_t jobs[JOBS_STATES];
    uint64_t finished_bytes; /* of results of finished jobs */
    uint64_t file_bytes;     /* what the store takes */
    uint64_t images_waiting; /* of live jobs that are served, not handed out yet */
    uint64_t unserved;       /* live jobs that nobody who has the store can work on */
    uint64_t replicas;       /* that share the store, this one included; 0: it is one's own */
};

struct jobs_store_ops {
    void (*close)(struct jobs_store *s);

    /* ---- records ---- */

    /* Creates a record if neither its id nor its owner's key is there, and fills number and
     * revision. JOBS_CONFLICT: *r is the one that is there. JOBS_DONE with another id: the job of
     * its owner's key had been begun to be filed, for the same body, and now is. */
    enum jobs_answer (*create)(struct jobs_store *s, struct jobs_record *r, struct err *e);
    /* The record that has r's id, or else its owner's key: what `create` would run into. Writes
     * nothing. */
    enum jobs_answer (*same)(struct jobs_store *s, const struct jobs_record *r,
                             struct jobs_record *out, struct err *e);
    /* images_done and bytes of a live job are what was counted so far, and is_counting says whether
     * that is all. */
    enum jobs_answer (*get)(struct jobs_store *s, const char *id, struct jobs_record *out,
                            struct err *e);
    /* The same without images_done and bytes of a live job. */
    enum jobs_answer (*peek)(struct jobs_store *s, const char *id, struct jobs_record *out,
                             struct err *e);
    /* State, times and error of *r become the record's if its revision is still r->revision, which
     * then rises. JOBS_CONFLICT: it is another one; JOBS_ABSENT. A job that has ended is handed out
     * no more. */
    enum jobs_answer (*change)(struct jobs_store *s, struct jobs_record *r, struct err *e);
    /* The newest records first, *count of them at most; *count becomes how many there are. */
    enum jobs_answer (*list)(struct jobs_store *s, const struct jobs_query *query,
                             struct jobs_record *out, size_t *count, struct err *e);
    /* Of those states the one with the earliest finished_ms; `holding`: that has results. */
    enum jobs_answer (*oldest)(struct jobs_store *s, unsigned states, bool holding,
                               struct jobs_record *out, struct err *e);
    /* Deletes results of an expired job, some `max` or all at once; with the last its `bytes`
     * become 0. */
    enum jobs_answer (*sweep)(struct jobs_store *s, const char *id, size_t max, struct err *e);
    /* Deletes an expired job's record, whose results have been swept. */
    enum jobs_answer (*erase)(struct jobs_store *s, const char *id, struct err *e);
    enum jobs_answer (*stats)(struct jobs_store *s, struct jobs_store_stats *out, struct err *e);
    /* How many records the query selects. Of live ones it is quick however many have ended. */
    enum jobs_answer (*count)(struct jobs_store *s, const struct jobs_query *query, uint64_t *out,
                              struct err *e);

    /* ---- results ---- */

    /* Stores results of a live job, each once: one that is there already is left as it is. With the
     * last one of a running job the job has succeeded. JOBS_ABSENT: the job has ended, or there is
     * none, and nothing is stored. */
    enum jobs_answer (*put_results)(struct jobs_store *s, const char *id,
                                    const struct jobs_result *results, size_t count, struct err *e);
    /* *out with its bytes in `bytes`, which was initialised. JOBS_ABSENT: not yet. JOBS_BROKEN
     * also where the bytes are not those that were stored. */
    enum jobs_answer (*get_result)(struct jobs_store *s, const char *id, uint64_t index,
                                   struct jobs_result *out, struct buf *bytes, struct err *e);
    /* Results without their bytes in the order of their sequence, from the one after `after` on.
     * JOBS_AWAY also while they are being counted. */
    enum jobs_answer (*log)(struct jobs_store *s, const char *id, uint64_t after,
                            struct jobs_result *out, size_t *count, struct err *e);

    /* ---- work ---- */

    /* What this process can work on, from now on; before that it is nothing. */
    void (*offer)(struct jobs_store *s, const struct jobs_needs *models, size_t count);
    /* The next shard of those queued and running jobs that need one of the models, each job in its
     * turn. It is nobody else's until it is ended, or its process is not heard of any more.
     * JOBS_ABSENT: there is none at present. */
    enum jobs_answer (*take_shard)(struct jobs_store *s, const struct jobs_needs *models,
                                   size_t count, struct jobs_shard *out, struct err *e);
    /* The results of a shard are stored, or its job has ended; or (`again`) it is to be handed out
     * once more. */
    void (*end_shard)(struct jobs_store *s, const struct jobs_shard *shard, bool again);

    /* ---- others that share the store; NULL: nobody does ---- */

    /* How many images of a job this process has stored, and others and `get` do not know of yet:
     * those of a shard are made known together. */
    uint64_t (*untold)(struct jobs_store *s, const char *id);
    /* Whether one of them works on what needs that. */
    bool (*served)(struct jobs_store *s, const struct jobs_needs *needs);
    /* What the calling thread asks from now on waits for the servers a moment only (JOBS_AWAY), or
     * again as long as they may take. */
    void (*hurry)(bool hurries);
};

#endif
