/* A request from its order to its end, as its caller sees it: made, queued, cancelled, announced,
 * asked. */
#include "engine_request.h"

#include "engine_image.h"
#include "engine_queue.h"

#include "base_cpu.h"
#include "base_size.h"
#include "base_wait.h"

#include <stdlib.h>
#include <string.h>

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
    if (model_class_count(r->order.model->model) == 0)
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

/* Copies of the image that is edited and of what is kept of it. */
static int take_edit(struct engine_request *r, size_t d, struct err *e)
{
    struct engine_edit *edit = &r->order.edit;
    if (!edit->image)
        return 0;
    r->edited = malloc(d * sizeof *r->edited);
    r->kept = edit->kept ? malloc(d) : NULL;
    if (!r->edited || (edit->kept && !r->kept))
        return err_fail_memory(e, d * sizeof *r->edited);
    memcpy(r->edited, edit->image, d * sizeof *r->edited);
    if (edit->kept)
        memcpy(r->kept, edit->kept, d);
    edit->image = r->edited;
    edit->kept = r->kept;
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
    if (take_edit(r, d, e) != 0 || name_images(r, e) != 0 || label_images(r, e) != 0) {
        engine_request_free(r);
        return NULL;
    }
    r->submitted_ns = clock_ns();
    return r;
}

int engine_check(const struct engine_order *order, struct err *e)
{
    struct engine_order resolved;
    return engine_order_resolve(order, &resolved, e);
}

int engine_submit(struct engine *g, const struct engine_order *order, struct engine_request **out,
                  struct err *e)
{
    assert(g->magic == ENGINE_MAGIC);
    struct engine_order resolved;
    if (engine_order_resolve(order, &resolved, e) != 0)
        return -1;
    struct engine_request *r = request_new(g, &resolved, e);
    if (!r)
        return -1;
    lock_take(&g->lock);
    int result = engine_queue_admits_locked(g, order, e);
    if (result == 0) {
        *out = r;
        engine_queue_add_locked(g, r);
    }
    lock_drop(&g->lock);
    if (result != 0)
        engine_request_free(r);
    return result;
}

static void announce(struct engine *g, struct engine_request *r)
{
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
    lock_take(&g->lock);
    if (!has_callback)
        r->complete = true; /* with a callback the request may be gone by now */
    g->completing--;
    pthread_cond_broadcast(&g->changed);
    lock_drop(&g->lock);
}

void engine_requests_announce(struct engine *g, struct engine_list *ended)
{
    struct engine_request *r;
    while ((r = engine_list_pop(ended)) != NULL)
        announce(g, r);
}

void engine_request_cancel(struct engine_request *r)
{
    assert(r->magic == ENGINE_REQUEST_MAGIC);
    struct engine *g = r->engine;
    struct engine_list ended = {NULL, NULL};
    lock_take(&g->lock);
    if (!atomic_load(&r->stop) && r->finished < r->order.n)
        engine_queue_stop_locked(r, ENGINE_CAUSE_CLIENT, "the request was cancelled", &ended);
    lock_drop(&g->lock);
    engine_requests_announce(g, &ended);
}

void engine_request_free(struct engine_request *r)
{
    if (!r)
        return;
    assert(r->magic == ENGINE_REQUEST_MAGIC);
    if (r->counted)
        engine_model_release(r->order.model);
    for (size_t i = 0; r->images && i < r->order.n; i++) {
        buf_clear(&r->images[i].png);
        free(r->images[i].pixels);
        free(r->images[i].sample);
        free(r->images[i].state);
    }
    buf_clear(&r->sheet.png);
    free(r->images);
    free(r->starts);
    free(r->epsilon);
    free(r->edited);
    free(r->kept);
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
    lock_take(&r->engine->lock);
    p.images_done = r->ok;
    lock_drop(&r->engine->lock);
    return p;
}

bool engine_request_wait(struct engine_request *r, int timeout_ms)
{
    assert(r->magic == ENGINE_REQUEST_MAGIC);
    struct engine *g = r->engine;
    const int64_t end_ns = wait_end_ns(timeout_ms);
    lock_take(&g->lock);
    while (!r->complete && lock_wait(&g->lock, &g->changed, end_ns))
        ;
    bool complete = r->complete;
    lock_drop(&g->lock);
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
