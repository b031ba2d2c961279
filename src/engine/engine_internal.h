/* The engine's own structures. Inside the room only.
 *
 *     submit → pending (requests with images not begun) → slots on a model's ready list ⇄ a
 * worker's batch → finished → the request is complete when all its images are
 *
 * A worker with nothing to take joins the team of one that is at work, and is called back when
 * there is something to take.
 *
 * Everything marked [lock] is guarded by engine.lock. A slot in a worker's batch belongs to that
 * worker alone. */
#ifndef ENGINE_INTERNAL_H
#define ENGINE_INTERNAL_H

#include "engine.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#define ENGINE_MAGIC 0x70fe1d01u
#define ENGINE_REQUEST_MAGIC 0x70fe1d02u
#define ENGINE_MODELS_MAX 64
#define ENGINE_NAME_MAX 64

enum engine_outcome { OUTCOME_OPEN, OUTCOME_OK, OUTCOME_FAILED, OUTCOME_CANCELLED };

/* One image under way. */
struct engine_slot {
    struct engine_slot *next; /* on the free list or a ready list [lock] */
    struct engine_request *request;
    size_t image;              /* which of the request's */
    struct ode_solver *solver; /* NULL until the first worker has begun it */
    double *slope;             /* [d] */
    int64_t begun_ns;
    struct ode_counts seen; /* what of the solver's counts has been added to the totals */
    int64_t progress;       /* millionths, likewise */
    enum engine_outcome outcome;
};

struct engine_model {
    char name[ENGINE_NAME_MAX + 1];
    struct model *model;
    struct model_workspace **workspaces; /* one a worker */
    /* Slots that wait for a worker, first in first out [lock]. */
    struct engine_slot *ready_first, *ready_last;
    size_t ready;
};

struct engine_worker {
    struct engine *engine;
    pthread_t thread;
    int number;
    struct nn_team *team;       /* who helps this worker; NULL where there is only one */
    struct engine_model *model; /* that it evaluates, NULL when it does not [lock] */
    struct engine_slot *batch[ENGINE_BATCH_MAX];
    struct model_query queries[ENGINE_BATCH_MAX];
};

struct engine {
    unsigned magic;
    int workers, batch;
    size_t queue_max;
    struct engine_worker *worker;
    int threads; /* started */
    struct engine_slot *slots;

    pthread_mutex_t lock;
    pthread_cond_t work;    /* something to take, or the end */
    pthread_cond_t changed; /* a request is complete, or the engine empty */
    /* [lock] from here on */
    bool stopping, draining;
    struct engine_model *models[ENGINE_MODELS_MAX];
    size_t model_count, model_turn;
    struct engine_slot *free_slots;
    struct engine_request *pending_first, *pending_last; /* images not begun */
    struct engine_request *active;                       /* all that are not complete */
    size_t completing;                                   /* callbacks under way */
    int busy;
    int waiting; /* workers asleep */
    struct engine_stats stats;
};

struct engine_request {
    unsigned magic;
    struct engine *engine;
    struct engine_order order;
    double *latents; /* own copy, or NULL */
    struct engine_image *images;
    struct engine_image sheet;
    uint8_t *sheet_pixels; /* all images' pixels, one after the other, until the sheet is made */
    atomic_bool stop;      /* cancelled or failed: live slots end at their next visit */
    _Atomic int64_t steps, nfe, progress, encode_ns;
    _Atomic int64_t started_ns, solved_ns;
    int64_t submitted_ns;
    /* [lock] */
    struct engine_request *next_pending;
    struct engine_request *previous_active, *next_active;
    bool pending, complete;
    size_t begun, finished, ok;
    struct err error;
};

/* engine_request.c. Each is called with the lock held. */

/* Takes the images that were not begun out of the queue and marks the rest to stop. `why` becomes
 * the request's error unless it has one. */
void engine_request_stop_locked(struct engine_request *r, const char *why);
/* Counts one more finished image; true when the request is now complete: it has left the lists, and
 * the caller must call engine_request_complete without the lock. */
bool engine_request_finish_locked(struct engine_request *r, size_t images);
/* Without the lock: makes the sheet, calls `done`. The request may be gone afterwards. */
void engine_request_complete(struct engine_request *r);

/* engine_image.c */

/* Turns a solved image into what the order keeps; ERR_NUMERIC for a non-finite state. */
int engine_image_finish(struct engine_request *r, size_t image, const double *state, struct err *e);
int engine_image_make_sheet(struct engine_request *r, struct err *e);

/* engine_worker.c */

/* Something to do has come: wakes a worker that sleeps, or else calls back those that help. */
void engine_offer_work_locked(struct engine *g);
void *engine_worker_main(void *worker);

#endif
