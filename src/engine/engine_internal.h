/* The engine's own structures. Inside the room only.
 *
 *     submit → queue (requests with images not begun) → slots on a model's ready list ⇄ a worker's
 * batch → retired → the request is ended when all its images are → announced
 *
 * The files, each of which sees only those before it: engine_lock (the mutex, and who holds it),
 * engine_order (what an order may say), engine_seed (the seed rule in words), engine_image (a state
 * becomes a picture), engine_likelihood, engine_edit and engine_slot (one image's life, without the
 * lock), engine_model (the table of models), engine_queue (everything that the lock guards),
 * engine_request (what a caller does with a request), engine_worker (the loop), engine (start and
 * end).
 *
 * Everything marked [lock] is guarded by engine.lock. A function whose name ends in _locked is
 * called with the lock held and never lets go of it; every other one is called without. A slot in a
 * worker's batch belongs to that worker alone. */
#ifndef ENGINE_INTERNAL_H
#define ENGINE_INTERNAL_H

#include "engine.h"
#include "base_lock.h"

#include <assert.h>
#include <stdatomic.h>

#define ENGINE_MAGIC 0x70fe1d01u
#define ENGINE_REQUEST_MAGIC 0x70fe1d02u
#define ENGINE_MODELS_MAX 64

enum slot_end { SLOT_LIVE, SLOT_SOLVED, SLOT_FAILED, SLOT_STOPPED };

/* One image under way. */
struct engine_slot {
    struct engine_slot *next; /* on the free list or a ready list [lock] */
    struct engine_request *request;
    size_t image;              /* which of the request's */
    int32_t label;             /* its class, or MODEL_CLASS_NONE */
    int worker;                /* -1: none [lock] */
    int64_t admitted_ns;       /* [lock] */
    struct ode_solver *solver; /* NULL until the first worker has begun it */
    double *slope;             /* [d], and one more of ENGINE_TASK_LIKELIHOOD */
    /* Of ENGINE_TASK_LIKELIHOOD, the evaluation under way: products done, their sum, and whether
     * the last visit has made it complete. */
    int vectors;
    double products;
    bool answered;
    struct ode_counts seen; /* what of the solver's counts has been added to the totals */
    /* Of an edit: the latent that its image goes towards [d], and the solver's nodes. */
    double *latent, *nodes;
    int rows;         /* of its next evaluation: 2 where it is guided */
    bool unchanged;   /* the image stays as it is, and there is no solver */
    int64_t progress; /* millionths that have been added to the request's */
    enum slot_end end;
    struct err error; /* of SLOT_FAILED */
};

/* Slots that wait for a worker, first in first out. */
struct engine_ready {
    struct engine_slot *first, *last;
    size_t count;
};

struct engine_model {
    char name[ENGINE_NAME_MAX + 1];
    struct model *model;
    struct model_workspace **workspaces; /* one a worker */
    int64_t loaded_at;
    struct engine_ready ready[ENGINE_PRIORITIES]; /* [lock] */
    struct engine *engine;
    struct engine_model_stats *stats; /* of its name [lock] */
    size_t pins;                      /* who looks at it without a place in the table [lock] */
    bool retired;                     /* another one has its name [lock] */
    struct engine_model *next;        /* all models, in the order of their turns [lock] */
};

/* Requests, first in first out. A request is in one list at most. */
struct engine_list {
    struct engine_request *first, *last;
};

struct engine_worker {
    struct engine *engine;
    pthread_t thread;
    int number;
    struct nn_team *team;          /* who helps this worker; NULL where there is only one */
    struct engine_model *model;    /* that it evaluates, NULL when it does not [lock] */
    enum engine_priority priority; /* of its batch [lock] */
    int64_t since_ns;              /* when its evaluation began, 0 without one [lock] */
    struct engine_slot *batch[ENGINE_BATCH_MAX];
    struct model_query queries[ENGINE_BATCH_MAX];
    double *vectors; /* cotangents and products, [2][batch][d]; NULL until a likelihood is asked */
    size_t vector_doubles;
    struct engine_list ended; /* requests that this worker saw end, to be announced */
};

struct engine_queue {
    struct engine_list waiting; /* requests with images not begun */
    size_t live;                /* slots that hold images of this priority */
    size_t holders;             /* requests whose images those are */
};

struct engine {
    unsigned magic;
    int workers, batch;
    /* Slots that anybody may fill. The rest is for interactive requests: while batch holds places,
     * or for those that have no slot while others have several. */
    size_t places;
    struct engine_worker *worker;
    int threads; /* started */
    struct engine_slot *slots;

    struct lock lock;
    pthread_cond_t work;    /* something to take, or the end */
    pthread_cond_t changed; /* a request is complete, or the engine empty */
    /* [lock] from here on */
    bool stopping, draining;
    struct engine_model *models[ENGINE_MODELS_MAX];
    struct engine_model_stats model_stats[ENGINE_MODELS_MAX]; /* of the names in `models` */
    size_t model_count;
    struct engine_model *turns; /* all models, retired ones too */
    struct engine_slot *free_slots;
    struct engine_queue queue[ENGINE_PRIORITIES];
    unsigned admissions;           /* while both queues waited */
    int64_t batch_rests_ns;        /* while interactive images are ready, batch waits until then */
    size_t outside_images;         /* of stats.queued_images, those that the limit is not for */
    struct engine_request *active; /* all that are not complete */
    int64_t deadline_ns;           /* the earliest one of them, INT64_MAX without any */
    size_t completing;             /* requests that have ended and are not announced yet */
    int busy;
    int waiting; /* workers asleep */
    struct engine_stats stats;
};

struct engine_request {
    unsigned magic;
    struct engine *engine;
    struct engine_order order;
    double *starts;  /* own copy of order.latents or order.points, or NULL */
    float *epsilon;  /* own copy, or NULL */
    double *edited;  /* own copy of order.edit.image, or NULL */
    uint8_t *kept;   /* own copy of order.edit.kept, or NULL */
    uint64_t *seeds; /* own copy of order.seeds, then order.indices; or NULL */
    int32_t *labels; /* [n], or NULL where the model knows no classes */
    struct engine_image *images;
    struct engine_image sheet;
    uint8_t *sheet_pixels; /* all images' pixels, one after the other, until the sheet is made */
    atomic_bool stop;      /* cancelled or failed: live slots end at their next visit */
    _Atomic int64_t steps, nfe, progress, encode_ns;
    _Atomic int64_t started_ns, solved_ns;
    int64_t submitted_ns;
    /* [lock] */
    struct engine_request *next; /* in the queue, or among those that have ended */
    struct engine_request *previous_active, *next_active;
    bool pending, complete; /* in the queue; announced */
    bool counted;           /* it holds its model */
    size_t begun, finished, ok;
    size_t dropped; /* that were never begun */
    enum engine_cause cause;
    struct err error;
};

/* The seed of one of a request's images; the index is in `images`. */
static inline uint64_t engine_request_seed(const struct engine_request *r, size_t image)
{
    return r->seeds ? r->seeds[image] : r->order.seed;
}

#endif
