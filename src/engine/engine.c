/* The engine's life: workers, models, counters, drain. Requests are in engine_request.c, the loop
 * in engine_worker.c. */
#include "engine_internal.h"

#include "base_cpu.h"

#include <errno.h>
#include <math.h>
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
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->work, &monotonic);
    pthread_cond_init(&g->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
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
    g->queue_max = options->queue_images_max ? options->queue_images_max : QUEUE_DEFAULT;
    init_locks(g);
    g->stats.slots = (size_t)g->workers * (size_t)g->batch;
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

static void engine_model_free(const struct engine *g, struct engine_model *em)
{
    for (int i = 0; em->workspaces && i < g->workers; i++)
        model_workspace_free(em->workspaces[i]);
    free(em->workspaces);
    model_free(em->model);
    free(em);
}

void engine_free(struct engine *g)
{
    if (!g)
        return;
    assert(g->magic == ENGINE_MAGIC);
    engine_drain(g);
    engine_cancel_all(g);
    engine_wait_empty(g, -1);
    pthread_mutex_lock(&g->lock);
    g->stopping = true;
    pthread_cond_broadcast(&g->work);
    pthread_mutex_unlock(&g->lock);
    for (int i = 0; i < g->threads; i++)
        pthread_join(g->worker[i].thread, NULL);
    for (int i = 0; g->worker && i < g->workers; i++)
        nn_team_free(g->worker[i].team);
    for (size_t i = 0; i < g->model_count; i++)
        engine_model_free(g, g->models[i]);
    pthread_cond_destroy(&g->work);
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->lock);
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

static bool name_is_good(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length <= ENGINE_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               length;
}

/* Runs a few images of every batch size through two Euler steps; what is not finite here would not
 * be for a client either. */
static int warm_up(const struct engine *g, const struct engine_model *em, struct err *e)
{
    const struct model *m = em->model;
    const size_t d = model_dimension(m);
    struct model_solver solver = model_solver_default(m);
    struct model_query queries[ENGINE_BATCH_MAX];
    double *x = malloc(2 * d * sizeof *x);
    if (!x)
        return err_fail_memory(e, 2 * d * sizeof *x);
    model_prior_draw(m, &solver, 0, 0, x);
    double t = solver.t_max;
    bool finite = true;
    for (int n = 1; n <= g->batch; n++) {
        for (int i = 0; i < n; i++)
            queries[i] = (struct model_query){x, t, ODE_SLOPE_DT, x + d};
        model_slopes(m, em->workspaces[0], n, queries);
        if (n > 2)
            continue;
        double next = n == 1 ? sqrt(solver.t_max * solver.t_min) : solver.t_min;
        for (size_t j = 0; j < d; j++) {
            x[j] += (next - t) * x[d + j];
            finite = finite && isfinite(x[j]);
        }
        t = next;
    }
    free(x);
    return finite
               ? 0
               : err_fail(e, ERR_NUMERIC, em->name,
                          "the field is not finite after two steps: the checkpoint is damaged or "
                          "its description is wrong");
}

struct engine_model *engine_model_add(struct engine *g, const char *name, struct model *m,
                                      struct err *e)
{
    struct engine_model *em = calloc(1, sizeof *em);
    if (!em) {
        model_free(m);
        err_fail_memory(e, sizeof *em);
        return NULL;
    }
    em->model = m;
    em->workspaces = calloc((size_t)g->workers, sizeof *em->workspaces);
    bool ready = em->workspaces != NULL;
    if (!ready)
        err_fail_memory(e, (size_t)g->workers * sizeof *em->workspaces);
    if (ready && !name_is_good(name)) {
        err_fail(e, ERR_INPUT, name,
                 "is no model name: use 1 to %d letters, digits, '.', '_' and '-'",
                 ENGINE_NAME_MAX);
        ready = false;
    }
    if (ready)
        memcpy(em->name, name, strlen(name) + 1);
    for (int i = 0; i < g->workers && ready; i++) {
        em->workspaces[i] = model_workspace_new(m, g->batch, e);
        ready = em->workspaces[i] != NULL;
    }
    ready = ready && warm_up(g, em, e) == 0;
    for (int i = 0; i < g->workers && ready; i++)
        model_workspace_team(em->workspaces[i], g->worker[i].team);
    if (ready) {
        pthread_mutex_lock(&g->lock);
        for (size_t i = 0; i < g->model_count && ready; i++)
            ready = strcmp(g->models[i]->name, name) != 0;
        if (!ready)
            err_fail(e, ERR_INPUT, name, "is the name of two models");
        else if (g->model_count == ENGINE_MODELS_MAX)
            ready = err_fail(e, ERR_LIMIT, name, "is one model too many: the limit is %d",
                             ENGINE_MODELS_MAX) == 0;
        else
            g->models[g->model_count++] = em;
        pthread_mutex_unlock(&g->lock);
    }
    if (ready)
        return em;
    engine_model_free(g, em);
    return NULL;
}

struct engine_model *engine_model_find(struct engine *g, const char *name)
{
    struct engine_model *found = NULL;
    pthread_mutex_lock(&g->lock);
    for (size_t i = 0; i < g->model_count && !found; i++)
        if (!name || strcmp(g->models[i]->name, name) == 0)
            found = g->models[i];
    pthread_mutex_unlock(&g->lock);
    return found;
}

size_t engine_model_count(struct engine *g)
{
    pthread_mutex_lock(&g->lock);
    size_t count = g->model_count;
    pthread_mutex_unlock(&g->lock);
    return count;
}

struct engine_model *engine_model_at(struct engine *g, size_t i)
{
    pthread_mutex_lock(&g->lock);
    struct engine_model *em = i < g->model_count ? g->models[i] : NULL;
    pthread_mutex_unlock(&g->lock);
    return em;
}

const char *engine_model_name(const struct engine_model *em)
{
    return em->name;
}

const struct model *engine_model_get(const struct engine_model *em)
{
    return em->model;
}

struct engine_stats engine_stats_get(struct engine *g)
{
    pthread_mutex_lock(&g->lock);
    struct engine_stats stats = g->stats;
    stats.workers_busy = g->busy;
    pthread_mutex_unlock(&g->lock);
    return stats;
}

void engine_drain(struct engine *g)
{
    pthread_mutex_lock(&g->lock);
    g->draining = true;
    pthread_mutex_unlock(&g->lock);
}

bool engine_wait_empty(struct engine *g, int timeout_ms)
{
    int64_t end = clock_ns() + (int64_t)timeout_ms * 1000000;
    const struct timespec deadline = {end / 1000000000, end % 1000000000};
    int code = 0;
    pthread_mutex_lock(&g->lock);
    while ((g->active || g->completing) && code != ETIMEDOUT)
        code = timeout_ms < 0 ? pthread_cond_wait(&g->changed, &g->lock)
                              : pthread_cond_timedwait(&g->changed, &g->lock, &deadline);
    bool empty = !g->active && !g->completing;
    pthread_mutex_unlock(&g->lock);
    return empty;
}

void engine_cancel_all(struct engine *g)
{
    for (;;) {
        pthread_mutex_lock(&g->lock);
        struct engine_request *r = g->active;
        while (r && atomic_load(&r->stop))
            r = r->next_active;
        bool complete = false;
        if (r) {
            size_t dropped = r->order.n - r->begun;
            engine_request_stop_locked(r, "the engine is stopping");
            complete = dropped && engine_request_finish_locked(r, dropped);
        }
        pthread_mutex_unlock(&g->lock);
        if (!r)
            return;
        if (complete)
            engine_request_complete(r);
    }
}
