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

enum slot_end { SLOT_LIVE, SLOT_SOLVED, SLOT_FAILED, SLOT_STOPPED };

/* One image under way. */
struct engine_slot {
    struct engine_slot *next; /* on the free list or a ready list [lock] */
    struct engine_request *request;
    size_t image;              /* which of the request's */
    int32_t label;             /* its class, or MODEL_LABEL_NONE */
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
    int64_t progress;       /* millionths, likewise */
    enum slot_end end;
};

struct engine_model {
    char name[ENGINE_NAME_MAX + 1];
    struct model *model;
    struct model_workspace **workspaces; /* one a worker */
    int64_t loaded_at;
    /* Slots that wait for a worker, first in first out [lock]. */
    struct engine_slot *ready_first, *ready_last;
    size_t ready;
    struct engine *engine;
    struct engine_model_stats *stats; /* of its name [lock] */
    size_t pins;                      /* who looks at it without a place in the table [lock] */
    bool retired;                     /* another one has its name [lock] */
    struct engine_model *next;        /* all models, in the order of their turns [lock] */
};

struct engine_worker {
    struct engine *engine;
    pthread_t thread;
    int number;
    struct nn_team *team;       /* who helps this worker; NULL where there is only one */
    struct engine_model *model; /* that it evaluates, NULL when it does not [lock] */
    int64_t since_ns;           /* when its evaluation began, 0 without one [lock] */
    struct engine_slot *batch[ENGINE_BATCH_MAX];
    struct model_query queries[ENGINE_BATCH_MAX];
    double *vectors; /* cotangents and products, [2][batch][d]; NULL until a likelihood is asked */
    size_t vector_doubles;
};

struct engine_queue {
    struct engine_request *first, *last; /* requests with images not begun */
    size_t live;                         /* slots that hold images of this priority */
};

struct engine {
    unsigned magic;
    int workers, batch;
    size_t places; /* slots that anybody may fill; the rest is for interactive requests */
    struct engine_worker *worker;
    int threads; /* started */
    struct engine_slot *slots;

    pthread_mutex_t lock;
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
    struct engine_request *active; /* all that are not complete */
    int64_t deadline_ns;           /* the earliest one of them, INT64_MAX without any */
    size_t completing;             /* callbacks under way */
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
    struct engine_request *next_pending;
    struct engine_request *previous_active, *next_active;
    bool pending, complete;
    bool counted; /* it holds its model */
    size_t begun, finished, ok;
    size_t dropped; /* that were never begun */
    enum engine_cause cause;
    struct err error;
};

/* engine_request.c. Each is called with the lock held. */

/* Takes the images that were not begun out of the queue and marks the rest to stop. `why` becomes
 * the request's error unless it has one. How many images were taken out: the caller finishes them.
 */
size_t engine_request_stop_locked(struct engine_request *r, enum engine_cause cause,
                                  const char *why);
/* The seed of one of its images; the index is in `images`. Needs no lock. */
uint64_t engine_request_seed(const struct engine_request *r, size_t image);
/* Counts one more finished image; true when the request is now complete: it has left the lists, and
 * the caller must call engine_request_complete without the lock. */
bool engine_request_finish_locked(struct engine_request *r, size_t images);
/* Ends every request whose deadline has passed. Lets go of the lock to complete requests. */
void engine_expire_locked(struct engine *g);
/* The outcome that images of a stopped request have. */
enum engine_outcome engine_outcome_of(enum engine_cause cause);
/* Counts images that ended in one way. */
void engine_count_images_locked(struct engine_request *r, enum engine_outcome outcome,
                                size_t images);
/* Without the lock: makes the sheet, calls `done`. The request may be gone afterwards. */
void engine_request_complete(struct engine_request *r);

/* engine_image.c */

/* Turns a solved image into what the order keeps; ERR_NUMERIC for a non-finite state. */
int engine_image_finish(struct engine_request *r, size_t image, const double *state, struct err *e);
int engine_image_make_sheet(struct engine_request *r, struct err *e);
/* The PNG of a state on its way: divided by its largest value, as it is far outside of the range of
 * pictures for most of the way. Into `out`, which is initialised. */
int engine_image_preview(const struct model *m, const double *state, struct buf *out,
                         struct err *e);

/* engine_task.c: what is particular to encode and likelihood. */

/* Checks an order's task and what belongs to it alone. */
int engine_task_check(const struct engine_order *order, struct err *e);
/* Whether the worker takes its slots to be evaluated with products. */
bool engine_task_has_products(const struct engine_order *order);
/* Goes on with the evaluations of likelihoods (their solvers want a slope) by one call of the
 * model: at least one product for each, in all as many as a batch. Those that are complete are
 * `answered` then, their slopes filled, the divergence last; the others want more visits, so that
 * many products hold up neither neighbours nor a cancellation. -1: nothing was evaluated. */
int engine_task_evaluate(struct engine_worker *w, struct engine_slot *const slots[], int n,
                         struct err *e);
/* Keeps a solved state in its image. */
int engine_task_finish(struct engine_request *r, size_t image, const double *state, struct err *e);

/* engine_model.c. Both with the lock held. */
void engine_model_pin_locked(struct engine_model *em);
/* True when this was the last hold on a retired model: the caller frees it without the lock. */
bool engine_model_unpin_locked(struct engine_model *em);
void engine_model_free(struct engine_model *em);

/* engine_worker.c */

/* Something to do has come: wakes a worker that sleeps, or else calls back those that help. */
void engine_offer_work_locked(struct engine *g);
void *engine_worker_main(void *worker);

#endif
