/* Requests: admission, the queue, cancellation, completion, and what a caller may ask of one. */
#include "engine_internal.h"

#include "base_cpu.h"
#include "base_size.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int check_order(const struct engine_order *o, struct err *e)
{
    const struct model *m = o->model->model;
    if (o->n < 1)
        return err_fail(e, ERR_INPUT, "n", "at least one image must be asked for");
    if (o->n - 1 > UINT64_MAX - o->first_index)
        return err_fail(e, ERR_INPUT, "first_index", "%llu + %zu images goes past 2^64",
                        (unsigned long long)o->first_index, o->n);
    if (engine_task_check(o, e) != 0)
        return -1;
    if (model_vectors(m) && (o->output != ENGINE_OUTPUT_SAMPLE || o->preview_every != 0))
        return err_fail(e, ERR_UNSUPPORTED, o->preview_every ? "preview_every" : "format",
                        "the model makes vectors, of which there is no picture: ask for float32 "
                        "as npy or safetensors");
    if (o->output == ENGINE_OUTPUT_SHEET) {
        struct image_shape sheet;
        if (o->grid.columns < 1 || o->grid.scale < 1 || o->grid.gap < 0)
            return err_fail(e, ERR_INPUT, "grid", "columns and scale start at 1");
        if (image_grid_shape(o->grid, model_shape(m), o->n, &sheet, e) != 0)
            return err_fail(e, e ? e->code : ERR_LIMIT, "grid", "%s", e ? e->text : "");
    }
    if (o->priority >= ENGINE_PRIORITIES || o->preview_every < 0)
        return err_fail(e, ERR_INPUT, "preview_every", "must not be negative");
    if (!(o->temperature >= ENGINE_TEMPERATURE_MIN && o->temperature <= ENGINE_TEMPERATURE_MAX))
        return err_fail(e, ERR_INPUT, "temperature", "must be %g to %g, is %g",
                        ENGINE_TEMPERATURE_MIN, ENGINE_TEMPERATURE_MAX, o->temperature);
    if (!o->seeds != !o->indices ||
        (o->seeds && (o->latents || o->output == ENGINE_OUTPUT_PNG ||
                      o->output == ENGINE_OUTPUT_SHEET || o->preview_every)))
        return err_fail(e, ERR_UNSUPPORTED, "seed",
                        "a seed an image goes with arrays only, and not with latents");
    if (o->latents && o->temperature != 1.0)
        return err_fail(e, ERR_INPUT, "temperature", "does not apply to latents that are given");
    return engine_class_check(m, &o->class, e) ? -1 : model_solver_check(m, &o->solver, e);
}

uint64_t engine_request_seed(const struct engine_request *r, size_t image)
{
    return r->seeds ? r->seeds[image] : r->order.seed;
}

/* Which images they are: what the order lists, or one after the other. */
static int name_images(struct engine_request *r, struct err *e)
{
    const struct engine_order *o = &r->order;
    const size_t n = o->n;
    if (o->seeds) {
        r->seeds = calloc(n, 2 * sizeof *r->seeds);
        if (!r->seeds)
            return err_fail_memory(e, n * 2 * sizeof *r->seeds);
        memcpy(r->seeds, o->seeds, n * sizeof *r->seeds);
        memcpy(r->seeds + n, o->indices, n * sizeof *r->seeds);
        r->order.seeds = r->seeds;
        r->order.indices = r->seeds + n;
    }
    for (size_t i = 0; i < n; i++)
        r->images[i].index = r->seeds ? r->seeds[n + i] : o->first_index + i;
    return 0;
}

/* The classes of the images; nothing where the model knows none. */
static int label_images(struct engine_request *r, struct err *e)
{
    const size_t n = r->order.n;
    if (model_label_count(r->order.model->model) == 0)
        return 0;
    r->labels = calloc(n, sizeof *r->labels);
    if (!r->labels)
        return err_fail_memory(e, n * sizeof *r->labels);
    struct engine_order one = r->order;
    for (size_t i = 0; i < n; i++) {
        one.seed = engine_request_seed(r, i);
        r->labels[i] = engine_order_label(&one, r->images[i].index);
        r->images[i].labels = r->labels + i;
        r->images[i].label_count = 1;
    }
    r->order.labels = r->labels;
    r->sheet.labels = r->labels;
    r->sheet.label_count = n;
    return 0;
}

static struct engine_request *request_new(struct engine *g, const struct engine_order *o,
                                          struct err *e)
{
    const size_t d = model_dimension(o->model->model);
    const double *from = o->task == ENGINE_TASK_SAMPLE ? o->latents : o->points;
    size_t starts = 0, pixels = 0, epsilon = 0;
    if (!size_mul(o->n, d, &pixels) || !size_mul(pixels, sizeof(double), &starts) ||
        !size_mul(pixels, sizeof(float) * (o->epsilon ? (size_t)o->likelihood.probes : 0),
                  &epsilon)) {
        err_fail(e, ERR_LIMIT, "n", "%zu images of %zu values are too many", o->n, d);
        return NULL;
    }
    struct engine_request *r = calloc(1, sizeof *r);
    if (!r) {
        err_fail_memory(e, sizeof *r);
        return NULL;
    }
    r->magic = ENGINE_REQUEST_MAGIC;
    r->engine = g;
    r->order = *o;
    r->images = calloc(o->n, sizeof *r->images);
    r->starts = from ? malloc(starts) : NULL;
    r->epsilon = o->epsilon ? malloc(epsilon) : NULL;
    r->sheet_pixels = o->output == ENGINE_OUTPUT_SHEET ? malloc(pixels) : NULL;
    if (!r->images || (from && !r->starts) || (o->epsilon && !r->epsilon) ||
        (o->output == ENGINE_OUTPUT_SHEET && !r->sheet_pixels)) {
        err_fail_memory(e, o->n * sizeof *r->images + pixels + starts + epsilon);
        engine_request_free(r);
        return NULL;
    }
    if (from)
        memcpy(r->starts, from, starts);
    if (o->epsilon)
        memcpy(r->epsilon, o->epsilon, epsilon);
    r->order.latents = o->latents ? r->starts : NULL;
    r->order.points = o->points ? r->starts : NULL;
    r->order.epsilon = r->epsilon;
    if (name_images(r, e) != 0 || label_images(r, e) != 0) {
        engine_request_free(r);
        return NULL;
    }
    r->submitted_ns = clock_ns();
    return r;
}

static void enqueue_locked(struct engine *g, struct engine_request *r)
{
    struct engine_queue *q = &g->queue[r->order.priority];
    r->pending = true;
    if (q->last)
        q->last->next_pending = r;
    else
        q->first = r;
    q->last = r;
    r->next_active = g->active;
    if (g->active)
        g->active->previous_active = r;
    g->active = r;
    engine_model_pin_locked(r->order.model);
    r->counted = true;
    if (r->order.deadline_ns && r->order.deadline_ns < g->deadline_ns)
        g->deadline_ns = r->order.deadline_ns;
    g->stats.queued_images += r->order.n;
    g->stats.queued[r->order.priority].images += r->order.n;
    g->stats.queued[r->order.priority].requests++;
    g->stats.images_admitted += r->order.n;
    r->order.model->stats->images_admitted += r->order.n;
    engine_offer_work_locked(g);
}

int engine_submit(struct engine *g, const struct engine_order *order, struct engine_request **out,
                  struct err *e)
{
    assert(g->magic == ENGINE_MAGIC);
    struct err own = {0};
    struct engine_order settled = *order;
    if (settled.temperature == 0.0)
        settled.temperature = 1.0;
    if (settled.task != ENGINE_TASK_SAMPLE) {
        settled.output = ENGINE_OUTPUT_SAMPLE; /* nothing but numbers comes of it */
        if (settled.class.rule == ENGINE_CLASS_DRAWN)
            settled.class.rule = ENGINE_CLASS_NONE;
    }
    if (model_solver_settle(order->model->model, &settled.solver, &own) != 0 ||
        check_order(&settled, &own) != 0) {
        if (e)
            *e = own;
        return -1;
    }
    struct engine_request *r = request_new(g, &settled, e);
    if (!r)
        return -1;
    int result = 0;
    pthread_mutex_lock(&g->lock);
    const size_t limit = g->stats.queue_images_max, waiting = g->stats.queued_images;
    size_t room = limit > waiting ? limit - waiting : 0;
    if (g->draining)
        result = err_fail(e, ERR_CANCELLED, "", "draining: no new work is taken");
    else if (order->n > room)
        result = err_fail(e, ERR_LIMIT, "queue", "full: %zu images wait and %zu are the limit",
                          waiting, limit);
    if (result == 0) {
        *out = r;
        enqueue_locked(g, r);
    }
    pthread_mutex_unlock(&g->lock);
    if (result != 0)
        engine_request_free(r);
    return result;
}

static void unqueue_locked(struct engine *g, struct engine_request *r)
{
    struct engine_queue *q = &g->queue[r->order.priority];
    struct engine_request **link = &q->first, *previous = NULL;
    while (*link != r) {
        previous = *link;
        link = &previous->next_pending;
    }
    *link = r->next_pending;
    if (q->last == r)
        q->last = previous;
    r->next_pending = NULL;
    r->pending = false;
    g->stats.queued[r->order.priority].requests--;
}

enum engine_outcome engine_outcome_of(enum engine_cause cause)
{
    return cause == ENGINE_CAUSE_DEADLINE   ? ENGINE_OUTCOME_DEADLINE
           : cause == ENGINE_CAUSE_DRAINING ? ENGINE_OUTCOME_DRAINING
                                            : ENGINE_OUTCOME_CANCELLED;
}

void engine_count_images_locked(struct engine_request *r, enum engine_outcome outcome,
                                size_t images)
{
    struct engine_stats *stats = &r->engine->stats;
    r->order.model->stats->images[outcome] += images;
    if (outcome == ENGINE_OUTCOME_OK)
        stats->images_ok += images;
    else if (outcome == ENGINE_OUTCOME_FAILED)
        stats->images_failed += images;
    else
        stats->images_cancelled += images;
}

size_t engine_request_stop_locked(struct engine_request *r, enum engine_cause cause,
                                  const char *why)
{
    struct engine *g = r->engine;
    if (r->error.code == ERR_NONE)
        err_fail(&r->error, ERR_CANCELLED, "", "%s", why);
    r->cause = cause;
    atomic_store(&r->stop, true);
    g->stats.cancellations[cause]++;
    if (!r->pending)
        return 0;
    size_t dropped = r->order.n - r->begun;
    r->dropped = dropped;
    unqueue_locked(g, r);
    r->begun = r->order.n;
    g->stats.queued_images -= dropped;
    g->stats.queued[r->order.priority].images -= dropped;
    engine_count_images_locked(r, engine_outcome_of(cause), dropped);
    return dropped;
}

static void expire_one_locked(struct engine *g, struct engine_request *r)
{
    char why[160];
    double limit_s = (double)(r->order.deadline_ns - r->submitted_ns) * 1e-9;
    if (atomic_load(&r->started_ns) == 0)
        snprintf(why, sizeof why, "the deadline of %.3g s passed in the queue", limit_s);
    else
        snprintf(why, sizeof why,
                 "the deadline of %.3g s passed in compute, with %zu of %zu images finished",
                 limit_s, r->ok, r->order.n);
    size_t dropped = engine_request_stop_locked(r, ENGINE_CAUSE_DEADLINE, why);
    if (!dropped || !engine_request_finish_locked(r, dropped))
        return;
    pthread_mutex_unlock(&g->lock);
    engine_request_complete(r);
    pthread_mutex_lock(&g->lock);
}

void engine_expire_locked(struct engine *g)
{
    while (g->deadline_ns != INT64_MAX && clock_ns() >= g->deadline_ns) {
        int64_t now = clock_ns(), next = INT64_MAX;
        struct engine_request *late = NULL;
        for (struct engine_request *r = g->active; r; r = r->next_active) {
            int64_t deadline = r->order.deadline_ns;
            if (deadline == 0 || atomic_load(&r->stop))
                continue;
            if (deadline <= now && !late)
                late = r;
            else if (deadline < next)
                next = deadline;
        }
        g->deadline_ns = next;
        if (late)
            expire_one_locked(g, late); /* the list may be another one afterwards */
    }
}

bool engine_request_finish_locked(struct engine_request *r, size_t images)
{
    struct engine *g = r->engine;
    r->finished += images;
    if (r->finished < r->order.n)
        return false;
    if (r->previous_active)
        r->previous_active->next_active = r->next_active;
    else
        g->active = r->next_active;
    if (r->next_active)
        r->next_active->previous_active = r->previous_active;
    g->completing++;
    return true;
}

void engine_request_complete(struct engine_request *r)
{
    struct engine *g = r->engine;
    int64_t unset = 0;
    int64_t now = clock_ns();
    atomic_compare_exchange_strong(&r->solved_ns, &unset, now);
    if (r->error.code == ERR_NONE && r->order.output == ENGINE_OUTPUT_SHEET) {
        engine_image_make_sheet(r, &r->error); /* a failure shows as the request's error */
        atomic_fetch_add(&r->encode_ns, clock_ns() - now);
    }
    bool has_callback = r->order.done != NULL;
    if (has_callback)
        r->order.done(r, r->order.context);
    pthread_mutex_lock(&g->lock);
    if (!has_callback)
        r->complete = true; /* with a callback the request may be gone by now */
    g->completing--;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

void engine_request_cancel(struct engine_request *r)
{
    assert(r->magic == ENGINE_REQUEST_MAGIC);
    struct engine *g = r->engine;
    pthread_mutex_lock(&g->lock);
    bool complete = false;
    if (!atomic_load(&r->stop) && r->finished < r->order.n) {
        size_t dropped =
            engine_request_stop_locked(r, ENGINE_CAUSE_CLIENT, "the request was cancelled");
        complete = dropped && engine_request_finish_locked(r, dropped);
    }
    pthread_mutex_unlock(&g->lock);
    if (complete)
        engine_request_complete(r);
}

void engine_request_free(struct engine_request *r)
{
    if (!r)
        return;
    assert(r->magic == ENGINE_REQUEST_MAGIC);
    if (r->counted)
        engine_model_release(r->order.model);
    for (size_t i = 0; r->images && i < r->order.n; i++) {
        buf_free(&r->images[i].png);
        free(r->images[i].pixels);
        free(r->images[i].sample);
        free(r->images[i].state);
    }
    buf_free(&r->sheet.png);
    free(r->images);
    free(r->starts);
    free(r->epsilon);
    free(r->seeds);
    free(r->labels);
    free(r->sheet_pixels);
    r->magic = 0;
    free(r);
}

struct engine_progress engine_request_progress(struct engine_request *r)
{
    assert(r->magic == ENGINE_REQUEST_MAGIC);
    struct engine_progress p = {
        .images_total = r->order.n,
        .steps = atomic_load(&r->steps),
        .nfe = atomic_load(&r->nfe),
        .fraction = (double)atomic_load(&r->progress) / 1e6 / (double)r->order.n,
    };
    pthread_mutex_lock(&r->engine->lock);
    p.images_done = r->ok;
    pthread_mutex_unlock(&r->engine->lock);
    return p;
}

bool engine_request_wait(struct engine_request *r, int timeout_ms)
{
    assert(r->magic == ENGINE_REQUEST_MAGIC);
    struct engine *g = r->engine;
    int64_t end = clock_ns() + (int64_t)timeout_ms * 1000000;
    const struct timespec deadline = {end / 1000000000, end % 1000000000};
    int code = 0;
    pthread_mutex_lock(&g->lock);
    while (!r->complete && code != ETIMEDOUT)
        code = timeout_ms < 0 ? pthread_cond_wait(&g->changed, &g->lock)
                              : pthread_cond_timedwait(&g->changed, &g->lock, &deadline);
    bool complete = r->complete;
    pthread_mutex_unlock(&g->lock);
    return complete;
}

const struct err *engine_request_error(const struct engine_request *r)
{
    return r->error.code == ERR_NONE ? NULL : &r->error;
}

enum engine_cause engine_request_cause(const struct engine_request *r)
{
    return r->cause;
}

const struct engine_order *engine_request_order(const struct engine_request *r)
{
    return &r->order;
}

const struct engine_image *engine_request_image(const struct engine_request *r, size_t i)
{
    return i < r->order.n ? &r->images[i] : NULL;
}

const struct engine_image *engine_request_sheet(const struct engine_request *r)
{
    return &r->sheet;
}

size_t engine_request_unmade(const struct engine_request *r)
{
    return r->cause == ENGINE_CAUSE_CLIENT ? r->dropped : r->order.n - r->ok;
}

struct engine_timings engine_request_timings(const struct engine_request *r)
{
    int64_t started = atomic_load(&r->started_ns), solved = atomic_load(&r->solved_ns);
    if (started == 0) /* nothing of it ever ran */
        return (struct engine_timings){.queue_ns = solved - r->submitted_ns};
    return (struct engine_timings){
        .started_ns = started,
        .queue_ns = started - r->submitted_ns,
        .compute_ns = solved - started,
        .encode_ns = atomic_load(&r->encode_ns),
    };
}
