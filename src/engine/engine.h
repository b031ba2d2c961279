/* The engine: requests in, images out; continuous batching at the level of one solver step.
 *
 * A request becomes n slots. A slot is one image: (seed, index) → a point on t = T → solver steps →
 * a point on t = t_min → pixels → bytes. Each worker takes up to `batch` live slots of one model,
 * of whichever requests, evaluates the field for them once, advances them and puts them back. No
 * barrier between workers, and nothing in a slot depends on its neighbours: the seed rule lives
 * here.
 *
 * Threads: every function may be called from any thread unless it says otherwise. One mutex guards
 * the queue, the lists and the counters; it is never held during an evaluation, an encoding or a
 * callback. */
#ifndef ENGINE_H
#define ENGINE_H

#include "engine_histogram.h"
#include "model.h"

struct engine_options {
    int workers; /* threads; 0: as many as the machine gives us (cpu_worker_count) */
    int batch;   /* live slots a worker evaluates at once, 1 to ENGINE_BATCH_MAX; 0: 8 */
    size_t queue_images_max; /* images waiting that are not live yet; 0: 1024 */
};
#define ENGINE_WORKERS_MAX 256
#define ENGINE_BATCH_MAX 64

struct engine;
/* Starts the workers. NULL: all that was begun is undone. */
struct engine *engine_new(const struct engine_options *options, struct err *e);
/* Cancels what is left, waits for the workers and frees everything, models too. Not from a
 * callback. */
void engine_free(struct engine *g);
int engine_workers(const struct engine *g);
int engine_batch(const struct engine *g);

/* A model in the engine, with a workspace a worker. */
struct engine_model;
/* Takes `m` over (also on failure, when it is freed) and offers it under `name`: 1 to 64 letters,
 * digits,
 * '.', '_', '-'. Warms up first: one field evaluation at each batch size and two Euler steps must
 * be finite. The first model added is the default. */
struct engine_model *engine_model_add(struct engine *g, const char *name, struct model *m,
                                      struct err *e);
/* Puts `m` (taken over, also on failure) in the place of the model of that name once it has warmed
 * up; requests that have the old one end on it, and it is freed with the last of them. A name that
 * is new is added. NULL: the old one stays as it was. */
struct engine_model *engine_model_replace(struct engine *g, const char *name, struct model *m,
                                          struct err *e);
/* By name, or the default for NULL; NULL when there is none of that name. What is found stays valid
 * until engine_model_release, also when it is replaced meanwhile; one that is never released lasts
 * until engine_free. */
struct engine_model *engine_model_find(struct engine *g, const char *name);
void engine_model_release(struct engine_model *em); /* may be NULL */
size_t engine_model_count(struct engine *g);
/* In the order of adding; to be released like one that was found. */
struct engine_model *engine_model_at(struct engine *g, size_t i);
const char *engine_model_name(const struct engine_model *em);
const struct model *engine_model_get(const struct engine_model *em);
int64_t engine_model_loaded_at(const struct engine_model *em); /* seconds since 1970 */

/* What is kept of a finished image. */
enum engine_output {
    ENGINE_OUTPUT_PNG,    /* its PNG and the PNG's digest */
    ENGINE_OUTPUT_SHEET,  /* one PNG of all images (struct image_grid), and its digest */
    ENGINE_OUTPUT_PIXELS, /* uint8 [H,W,C] */
    ENGINE_OUTPUT_SAMPLE, /* float [C,H,W] in data scale, before quantising */
    ENGINE_OUTPUT_ARRAYS  /* both of them */
};

/* Two queues share the slots. While both wait, one place in ENGINE_PRIORITY_TURN goes to batch; and
 * when batch holds every place, a spare one per worker is left for interactive. Where interactive
 * holds every place, and one request several, the spare ones are for requests without any. At each
 * step those of interactive go first, and by themselves; while there are some, batch has one part
 * in ENGINE_BATCH_REST + 1 of the time. So neither waits for ever. */
enum engine_priority { ENGINE_PRIORITY_INTERACTIVE, ENGINE_PRIORITY_BATCH, ENGINE_PRIORITIES };
#define ENGINE_BATCH_REST 8
#define ENGINE_PRIORITY_TURN 4

/* Why a request ended before its images were done. */
enum engine_cause {
    ENGINE_CAUSE_NONE,
    ENGINE_CAUSE_CLIENT, /* engine_request_cancel */
    ENGINE_CAUSE_DEADLINE,
    ENGINE_CAUSE_DRAINING, /* engine_cancel_all */
    ENGINE_CAUSE_FAILURE,  /* one of its images failed */
    ENGINE_CAUSES
};

/* Which class an image is of, where the model knows classes. What counts for its bytes is the class
 * alone, not how it was chosen: an image whose class was drawn is, byte for byte, the one that is
 * asked for with that class. */
enum engine_class_rule {
    ENGINE_CLASS_DRAWN, /* uniformly by (seed, index): rng_below of RNG_CLASS */
    ENGINE_CLASS_GIVEN,
    ENGINE_CLASS_NONE,  /* of all data */
    ENGINE_CLASS_EACH,  /* the image's index modulo the number of classes: one after the other */
    ENGINE_CLASS_LISTED /* engine_order.labels */
};
struct engine_class {
    enum engine_class_rule rule;
    int32_t label; /* of ENGINE_CLASS_GIVEN */
};
/* From a word: a class as model_class_find takes it, else "drawn", "none" or "each". */
int engine_class_parse(const struct model *m, const char *word, struct engine_class *out,
                       struct err *e);

/* Where images between two begin and end. */
struct engine_end {
    enum { ENGINE_END_SEED, ENGINE_END_IMAGE, ENGINE_END_LATENT } kind;
    uint64_t seed, index; /* of ENGINE_END_SEED: that image, the class that it draws included */
};
/* The class of images between two ends where none is named: that of the ends that are seeds, which
 * an image takes over, since what is encoded and decoded in one class comes back. None without such
 * ends. ERR_INPUT, `at` "class", where they are of two classes, or the other is a latent, which
 * does not say of which class it is. */
int engine_class_between(const struct model *m, const struct engine_end ends[2],
                         struct engine_class *out, struct err *e);

/* ERR_INPUT, `at` "class", for one that the model does not have. */
int engine_class_check(const struct model *m, const struct engine_class *class, struct err *e);

/* Bounds of the factor on the prior's radius. */
#define ENGINE_TEMPERATURE_MIN 0.001
#define ENGINE_TEMPERATURE_MAX 10.0

/* What is done with an image. */
enum engine_task {
    ENGINE_TASK_SAMPLE,    /* from a start at t_max down to an image */
    ENGINE_TASK_ENCODE,    /* from an image at t_min up to its latent at t_max */
    ENGINE_TASK_LIKELIHOOD /* up too, with the divergence of the flow along the path */
};

/* An image that goes up towards the latent of each (seed, index), as far as `strength` says, and
 * down again (model_edit.c). With 0 it is given back as it is; with 1 and nothing kept the image is
 * not looked at, and the order is one for plain samples. What is kept is put onto its own line at
 * each step, and is the image's own at the end. */
struct engine_edit {
    const double *image; /* [d] in data scale; copied. NULL: no edit */
    const uint8_t *kept; /* [d], not 0 where a value is kept; copied. NULL: nothing is */
    double strength;     /* 0 to 1 */
};

struct engine_request;
struct engine_order {
    struct engine_model *model;
    uint64_t seed, first_index; /* image i is (seed, first_index + i) */
    size_t n;                   /* ≥ 1 */
    enum engine_task task;
    /* [n,d] in data scale, where the flow begins at t_min: of encode and likelihood, which take no
     * output, preview, latents or temperature, and are of all data where no class is given; copied.
     */
    const double *points;
    struct model_likelihood likelihood; /* of ENGINE_TASK_LIKELIHOOD */
    /* [n,probes,d]: probes to use instead of those that are drawn by (seed, first_index + i);
     * copied. Or NULL. */
    const float *epsilon;
    /* [n] each: image i is (seeds[i], indices[i]) instead; copied. For pixels and samples only, and
     * in the place of latents. Or both NULL. */
    const uint64_t *seeds, *indices;
    struct model_solver solver;
    struct engine_class class;
    const int32_t *labels; /* [n] of ENGINE_CLASS_LISTED, MODEL_CLASS_NONE: of none; copied */
    double temperature;    /* 0: 1 */
    const double *
        latents; /* [n,d]: starts to use instead of the prior, taken as they are; copied. Or NULL */
    /* Of ENGINE_TASK_SAMPLE without latents or seeds per image. */
    struct engine_edit edit;
    enum engine_output output;
    struct image_grid grid; /* of ENGINE_OUTPUT_SHEET */
    bool no_metadata;       /* leave the seed rule's inputs out of the PNG */
    enum engine_priority priority;
    /* Not held to queue_images_max, and takes no place there: its submitter sees to it that little
     * waits. */
    bool outside_queue;
    /* The rest of work that was taken: neither a full queue nor a drain refuses it. */
    bool continues;
    /* On clock_ns; past it what waits is dropped and live images stop within a step. 0: never. */
    int64_t deadline_ns;
    double deadline_s; /* as it was asked for, for its error; 0: from when the order was taken */
    /* Called from a worker, without a lock, whenever image i is finished (never for a sheet). The
     * image may be read from then on, until the request is freed. Or NULL. */
    void (*image)(struct engine_request *r, size_t i, void *context);
    /* Called from a worker, without a lock, after every `preview_every` steps of image i, with a
     * PNG of its state, scaled to the range of the picture. 0 or NULL: no previews. */
    int preview_every;
    void (*preview)(struct engine_request *r, size_t i, int64_t step, const struct buf *png,
                    void *context);
    /* Called once, from a worker or from the thread that cancels, when every image of the request
     * is finished, failed or cancelled; no lock is held. The request may be freed inside. */
    void (*done)(struct engine_request *r, void *context);
    void *context;
};

/* The class of an image of the order by its index, or MODEL_CLASS_NONE. */
int32_t engine_order_label(const struct engine_order *order, uint64_t index);

/* Copies `order` with every default filled in (temperature, solver, what encode and likelihood
 * leave open) and checks it. ERR_INPUT, ERR_LIMIT or ERR_UNSUPPORTED with the option's name in
 * `at`. 0 or -1. */
int engine_order_resolve(const struct engine_order *order, struct engine_order *out, struct err *e);
/* What engine_submit would say of the order itself, whatever waits: 0, or -1 with its errors. */
int engine_check(const struct engine_order *order, struct err *e);

/* About how many bytes a request of the order keeps for each of its images until it is freed; those
 * of a sheet itself are not among them. */
size_t engine_order_bytes(const struct engine_order *order);

/* Queues the order. NULL: ERR_INPUT or ERR_LIMIT with the option's name in `at` ("n",
 * "first_index", "steps", "grid", "class" …); ERR_LIMIT with at = "queue" when the queue is full;
 * ERR_CANCELLED when draining. `done` is not called then. On success the caller owns the request
 * and frees it after `done`. `done` may run before this returns; *out is set before that. 0 or -1.
 */
int engine_submit(struct engine *g, const struct engine_order *order, struct engine_request **out,
                  struct err *e);
/* Images that wait are dropped at once, live ones stop within one solver step; `done` follows.
 * Idempotent. */
void engine_request_cancel(struct engine_request *r);
/* After `done` only. */
void engine_request_free(struct engine_request *r);

struct engine_progress {
    size_t images_done, images_total;
    int64_t steps, nfe; /* over all images so far: steps taken, evaluations */
    double fraction;    /* 0 to 1 */
};
struct engine_progress engine_request_progress(struct engine_request *r);
/* Waits for `done` to have returned, at most `timeout_ms` (-1: for ever); true when it has. For
 * callers without a callback. */
bool engine_request_wait(struct engine_request *r, int timeout_ms);

/* After `done`: NULL for success, else the first failure; its `at` is "/images/i". ERR_CANCELLED
 * when cancelled. */
const struct err *engine_request_error(const struct engine_request *r);
/* After `done`: what ended it early. */
enum engine_cause engine_request_cause(const struct engine_request *r);
const struct engine_order *engine_request_order(const struct engine_request *r);

struct engine_image {
    uint64_t index;
    /* Its class, or of a sheet those of its images in their order (MODEL_CLASS_NONE: none); NULL
     * and 0 where the model knows no classes. */
    const int32_t *labels;
    size_t label_count;
    struct ode_counts counts;
    struct buf png;               /* ENGINE_OUTPUT_PNG */
    char sha256[SHA256_HEX_SIZE]; /* of the PNG */
    uint8_t *pixels;              /* ENGINE_OUTPUT_PIXELS */
    float *sample;                /* ENGINE_OUTPUT_SAMPLE */
    double *state; /* [d], the latent at t_max: ENGINE_TASK_ENCODE and ENGINE_TASK_LIKELIHOOD */
    double log_likelihood, bits_per_dimension; /* ENGINE_TASK_LIKELIHOOD */
};
/* After a success. Owned by the request. */
const struct engine_image *engine_request_image(const struct engine_request *r, size_t i);
/* ENGINE_OUTPUT_SHEET: the sheet's PNG and digest (index = first_index, counts = sums). */
const struct engine_image *engine_request_sheet(const struct engine_request *r);

struct engine_timings {
    int64_t started_ns; /* on clock_ns; 0: not yet */
    int64_t queue_ns;   /* from submission until the first image was taken up */
    int64_t compute_ns; /* from there until the last image was solved */
    int64_t encode_ns;  /* spent in quantising and encoding, over all images */
};
/* Before `done` only started_ns and queue_ns are of use. */
struct engine_timings engine_request_timings(const struct engine_request *r);

/* How many images of an ended request nobody should pay for: those that were not made, and where
 * the client left, who could have had them, those that were never begun. */
size_t engine_request_unmade(const struct engine_request *r);

/* The inputs of the seed rule as compact JSON, in a fixed order: what the PNG's text chunk holds,
 * and enough to make the image again. `index` of the image; for a sheet also n and the grid (pass
 * grid NULL for one image). Latents that were given are marked, as they cannot be told by a seed.
 */
int engine_seed_text(const struct engine_order *order, uint64_t index,
                     const struct image_grid *grid, struct buf *out, struct err *e);
enum engine_outcome {
    ENGINE_OUTCOME_OK,
    ENGINE_OUTCOME_CANCELLED, /* the client's doing, or a neighbour in the request failed */
    ENGINE_OUTCOME_DEADLINE,
    ENGINE_OUTCOME_FAILED,
    ENGINE_OUTCOME_DRAINING,
    ENGINE_OUTCOMES
};

struct engine_stats {
    size_t queued_images, live_images; /* waiting; in slots */
    size_t slots;                      /* workers × batch, and a spare one a worker */
    size_t queue_images_max;
    struct {
        size_t images, requests;
    } queued[ENGINE_PRIORITIES];
    int workers, workers_busy;
    uint64_t images_admitted, images_ok, images_failed;
    uint64_t images_cancelled; /* every other outcome */
    uint64_t field_evaluations, steps, steps_rejected;
    uint64_t cancellations[ENGINE_CAUSES]; /* requests that ended early, by cause */
    double recent_image_s; /* moving mean of an image's time in its slot; 0 before the first */
    double step_age_s;     /* since the oldest evaluation under way began; 0 with none */
    struct engine_histogram queue_wait_s; /* requests, until their first image is taken up */
    struct engine_histogram step_s;       /* one evaluation of a batch with all that follows */
    struct engine_histogram batch_images;
};
struct engine_stats engine_stats_get(struct engine *g);

/* Of a name, over all models that have stood under it. */
struct engine_model_stats {
    uint64_t images_admitted, images[ENGINE_OUTCOMES], field_evaluations;
    struct engine_histogram image_s; /* an image's time in its slot, when it ended well */
};
struct engine_model_stats engine_model_stats_get(struct engine_model *em);

#define ENGINE_NAME_MAX 64 /* characters of a model's name */

/* A live image. */
struct engine_slot_view {
    char model[ENGINE_NAME_MAX + 1]; /* its name: the model itself may end as soon as it is seen */
    uint64_t seed, index;
    size_t n;   /* images of its request */
    int worker; /* that evaluates it, -1 while it waits for its turn */
    enum engine_priority priority;
    double age_s;
    int64_t request_steps; /* taken so far, over all images of the request */
};
/* Fills at most `max` views and returns how many. */
size_t engine_slots_get(struct engine *g, struct engine_slot_view *out, size_t max);

/* From now on engine_submit refuses. Then, or at any time: */
void engine_drain(struct engine *g);
/* waits until nothing is queued or live, at most timeout_ms; true when empty. */
bool engine_wait_empty(struct engine *g, int timeout_ms);
/* Cancels every request. */
void engine_cancel_all(struct engine *g);

#endif
