/* The engine's life: workers, counters, drain. */
#include "engine_model.h"
#include "engine_queue.h"
#include "engine_request.h"
#include "engine_worker.h"

#include "base_cpu.h"
#include "base_wait.h"

#include <stdlib.h>
#include <string.h>

#define BATCH_DEFAULT 8
#define QUEUE_DEFAULT 1024

static int check_options(const struct engine_options *o, struct err *e)
{
    if (o->workers < 0 || o->workers > ENGINE_WORKERS_MAX)
        return err_fail(e, ERR_INPUT, "workers", "%d is out of range: 1 to %d, or 0 for all cores",
                        o->workers, ENGINE_WORKERS_MAX);
    if (o->batch < 0 || o->batch > ENGINE_BATCH_MAX)
        return err_fail(e, ERR_INPUT, "batch", "%d is out of range: 1 to %d, or 0 for %d", o->batch,
                        ENGINE_BATCH_MAX, BATCH_DEFAULT);
    return 0;
}

static void init_locks(struct engine *g)
{
    lock_init(&g->lock);
    wait_init(&g->work);
    wait_init(&g->changed);
}

static int start_workers(struct engine *g, struct err *e)
{
    for (; g->threads < g->workers; g->threads++) {
        struct engine_worker *w = &g->worker[g->threads];
        w->engine = g;
        w->number = g->threads;
        if (g->workers > 1 && !(w->team = nn_team_new(e)))
            return -1;
        int code = pthread_create(&w->thread, NULL, engine_worker_main, w);
        if (code != 0)
            return err_fail(e, ERR_IO, "workers",
                            "cannot start worker %d of %d: %s; allow more threads or ask for fewer "
                            "workers",
                            g->threads + 1, g->workers, strerror(code));
    }
    return 0;
}

struct engine *engine_new(const struct engine_options *options, struct err *e)
{
    if (check_options(options, e) != 0)
        return NULL;
    struct engine *g = calloc(1, sizeof *g);
    if (!g) {
        err_fail_memory(e, sizeof *g);
        return NULL;
    }
    g->magic = ENGINE_MAGIC;
    g->workers = options->workers ? options->workers : cpu_worker_count();
    if (g->workers > ENGINE_WORKERS_MAX)
        g->workers = ENGINE_WORKERS_MAX;
    g->batch = options->batch ? options->batch : BATCH_DEFAULT;
    g->stats.queue_images_max =
        options->queue_images_max ? options->queue_images_max : QUEUE_DEFAULT;
    g->deadline_ns = INT64_MAX;
    init_locks(g);
    g->places = (size_t)g->workers * (size_t)g->batch;
    g->stats.slots = g->places + (size_t)g->workers;
    g->stats.workers = g->workers;
    g->slots = calloc(g->stats.slots, sizeof *g->slots);
    g->worker = calloc((size_t)g->workers, sizeof *g->worker);
    if (!g->slots || !g->worker) {
        err_fail_memory(e, g->stats.slots * sizeof *g->slots);
        engine_free(g);
        return NULL;
    }
    for (size_t i = g->stats.slots; i-- > 0;) {
        g->slots[i].next = g->free_slots;
        g->free_slots = &g->slots[i];
    }
    if (start_workers(g, e) != 0) {
        engine_free(g);
        return NULL;
    }
    return g;
}

void engine_free(struct engine *g)
{
    if (!g)
        return;
    assert(g->magic == ENGINE_MAGIC);
    engine_drain(g);
    engine_cancel_all(g);
    engine_wait_empty(g, -1);
    lock_take(&g->lock);
    g->stopping = true;
    pthread_cond_broadcast(&g->work);
    lock_drop(&g->lock);
    for (int i = 0; i < g->threads; i++)
        pthread_join(g->worker[i].thread, NULL);
    for (int i = 0; g->worker && i < g->workers; i++) {
        nn_team_free(g->worker[i].team);
        free(g->worker[i].vectors);
    }
    while (g->turns) {
        struct engine_model *em = g->turns;
        g->turns = em->next;
        engine_model_free(em);
    }
    pthread_cond_destroy(&g->work);
    pthread_cond_destroy(&g->changed);
    lock_clear(&g->lock);
    free(g->slots);
    free(g->worker);
    g->magic = 0;
    free(g);
}

int engine_workers(const struct engine *g)
{
    return g->workers;
}

int engine_batch(const struct engine *g)
{
    return g->batch;
}

struct engine_stats engine_stats_get(struct engine *g)
{
    lock_take(&g->lock);
    struct engine_stats stats = g->stats;
    stats.workers_busy = g->busy;
    int64_t now = clock_ns();
    for (int i = 0; i < g->workers; i++) {
        int64_t since = g->worker[i].since_ns;
        double age = since ? (double)(now - since) * 1e-9 : 0.0;
        if (age > stats.step_age_s)
            stats.step_age_s = age;
    }
    lock_drop(&g->lock);
    return stats;
}

size_t engine_slots_get(struct engine *g, struct engine_slot_view *out, size_t max)
{
    size_t count = 0;
    lock_take(&g->lock);
    int64_t now = clock_ns();
    for (size_t i = 0; i < g->stats.slots && count < max; i++) {
        const struct engine_slot *slot = &g->slots[i];
        struct engine_request *r = slot->request;
        if (!r)
            continue;
        struct engine_slot_view *view = &out[count++];
        *view = (struct engine_slot_view){
            .seed = engine_request_seed(r, slot->image),
            .index = r->images[slot->image].index,
            .n = r->order.n,
            .worker = slot->worker,
            .priority = r->order.priority,
            .age_s = (double)(now - slot->admitted_ns) * 1e-9,
            .request_steps = atomic_load(&r->steps),
        };
        memcpy(view->model, r->order.model->name, sizeof view->model);
    }
    lock_drop(&g->lock);
    return count;
}

void engine_drain(struct engine *g)
{
    lock_take(&g->lock);
    g->draining = true;
    lock_drop(&g->lock);
}

bool engine_wait_empty(struct engine *g, int timeout_ms)
{
    const int64_t end_ns = wait_end_ns(timeout_ms);
    lock_take(&g->lock);
    while ((g->active || g->completing) && lock_wait(&g->lock, &g->changed, end_ns))
        ;
    bool empty = !g->active && !g->completing;
    lock_drop(&g->lock);
    return empty;
}

void engine_cancel_all(struct engine *g)
{
    struct engine_list ended = {NULL, NULL};
    struct engine_request *next;
    lock_take(&g->lock);
    for (struct engine_request *r = g->active; r; r = next) {
        next = r->next_active; /* r may leave the list */
        if (!atomic_load(&r->stop))
            engine_queue_stop_locked(r, ENGINE_CAUSE_DRAINING, "the engine is stopping", &ended);
    }
    lock_drop(&g->lock);
    engine_requests_announce(g, &ended);
}
