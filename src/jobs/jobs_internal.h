/* The room's own structures. Inside the room only.
 *
 *     filed → (turns) → shard → engine → finished images → stored → … → the job has succeeded
 *
 * One thread does all that follows the filing (jobs_feed.c). The engine's callbacks only note what
 * is finished; an image stays in the engine's request until it is stored. */
#ifndef JOBS_INTERNAL_H
#define JOBS_INTERNAL_H

#include "jobs.h"
#include "jobs_store.h"

#include "base_lock.h"

#include <pthread.h>
#include <stdatomic.h>

/* A shard in the engine. */
struct jobs_run {
    struct jobs_run *next; /* [lock], written by the jobs' thread alone */
    struct jobs *jobs;
    struct jobs_shard shard;
    struct engine_request *request;
    uint8_t finished[JOBS_SHARD_IMAGES]; /* which images, in the order in which they were [lock] */
    size_t finished_count;               /* [lock] */
    size_t kept;                         /* of them that are stored [lock] */
    bool ended;                          /* `done` was called [lock] */
    size_t taken;                        /* of them that the commit under way stores */
    struct jobs_preview preview;         /* the last; number 0: none yet [lock] */
    bool cancelled;
    bool dropped; /* some of them were not stored, and are to be made again */
};

/* A job that is being filed, of the thread that does. */
struct jobs_pending {
    struct jobs_pending *next;
    const char *owner;
};

struct jobs {
    struct engine *engine;
    struct jobs_store *store;
    int64_t keep_ms;
    uint64_t keep_bytes, records_max, live_max;
    void (*news)(void *context, const char *id);
    void *news_context;
    pthread_t thread;

    struct lock filing; /* held while an owner's jobs are counted */
    pthread_cond_t filed;
    struct jobs_pending *pending; /* that were counted, and are not written yet [filing] */
    struct lock lock;
    pthread_cond_t changed;
    /* [lock] from here on */
    bool wake; /* there is something to do */
    struct jobs_run *runs;
    size_t unkept;           /* finished images that are not stored */
    int64_t unkept_since_ns; /* the first of them */
    uint64_t previews;       /* that there were */
    struct err trouble;      /* what the store said last; ERR_NONE: it took what it was given */

    atomic_bool draining, stopping;

    /* Of the jobs' thread. */
    int64_t paused_until_ns; /* the store is left in peace until then */
    int64_t pause_ns, retain_ns;
    int64_t clock_gap_ms; /* wall clock minus clock_ns, as it is believed */
    int64_t stepped_ns;   /* since when the wall clock is far ahead of that; 0: it is not */
    bool is_full;         /* the store, when it was given something last */
    bool is_making_room, has_made_room; /* jobs_begin_room */
};

#endif
