/* The table of models: adding, replacing while the old one is in use, finding.
 *
 * A model is held by its place in the table, by every request that was ordered from it, by whoever
 * found it, and by a worker that helps another one with it. One that was replaced is freed with
 * its last hold; until then it takes its turns like the others. Loading and warming up happen
 * before the lock is taken, on the caller's thread. */
#include "engine_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void engine_model_free(struct engine_model *em)
{
    for (int i = 0; em->workspaces && i < em->engine->workers; i++)
        model_workspace_free(em->workspaces[i]);
    free(em->workspaces);
    model_free(em->model);
    free(em);
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
static int warm_up(const struct engine_model *em, struct err *e)
{
    const struct engine *g = em->engine;
    const struct model *m = em->model;
    const size_t d = model_dimension(m);
    struct model_solver solver = model_solver_default(m);
    struct model_query queries[ENGINE_BATCH_MAX];
    double *x = malloc(2 * d * sizeof *x);
    if (!x)
        return err_fail_memory(e, 2 * d * sizeof *x);
    model_prior_draw(m, &solver, 1.0, 0, 0, x);
    double t = solver.t_max;
    bool finite = true;
    for (int n = 1; n <= g->batch; n++) {
        for (int i = 0; i < n; i++)
            queries[i] = (struct model_query){
                .x = x, .t = t, .form = ODE_SLOPE_DT, .label = MODEL_CLASS_NONE, .slope = x + d};
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

/* A model with its workspaces, warmed up, in no table yet. */
static struct engine_model *prepare(struct engine *g, const char *name, struct model *m,
                                    struct err *e)
{
    struct engine_model *em = calloc(1, sizeof *em);
    if (!em) {
        model_free(m);
        err_fail_memory(e, sizeof *em);
        return NULL;
    }
    em->engine = g;
    em->model = m;
    em->loaded_at = (int64_t)time(NULL);
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
    ready = ready && warm_up(em, e) == 0;
    for (int i = 0; i < g->workers && ready; i++)
        model_workspace_team(em->workspaces[i], g->worker[i].team);
    if (ready)
        return em;
    engine_model_free(em);
    return NULL;
}

void engine_model_pin_locked(struct engine_model *em)
{
    lock_assert_held(&em->engine->lock);
    em->pins++;
}

/* True when this was the last hold on a retired model: the caller frees it without the lock. */
static bool unpin_locked(struct engine_model *em)
{
    lock_assert_held(&em->engine->lock);
    assert(em->pins > 0);
    if (--em->pins > 0 || !em->retired)
        return false;
    struct engine_model **link = &em->engine->turns;
    while (*link != em)
        link = &(*link)->next;
    *link = em->next;
    return true;
}

static size_t place_locked(const struct engine *g, const char *name)
{
    size_t i = 0;
    while (i < g->model_count && strcmp(g->models[i]->name, name) != 0)
        i++;
    return i;
}

static int enter_locked(struct engine *g, struct engine_model *em, struct err *e)
{
    size_t place = g->model_count;
    if (place == ENGINE_MODELS_MAX)
        return err_fail(e, ERR_LIMIT, em->name, "is one model too many: the limit is %d",
                        ENGINE_MODELS_MAX);
    g->models[g->model_count++] = em;
    em->stats = &g->model_stats[place];
    em->next = g->turns;
    g->turns = em;
    return 0;
}

struct engine_model *engine_model_add(struct engine *g, const char *name, struct model *m,
                                      struct err *e)
{
    struct engine_model *em = prepare(g, name, m, e);
    if (!em)
        return NULL;
    lock_take(&g->lock);
    int result = place_locked(g, name) < g->model_count
                     ? err_fail(e, ERR_INPUT, name, "is the name of two models")
                     : enter_locked(g, em, e);
    lock_drop(&g->lock);
    if (result == 0)
        return em;
    engine_model_free(em);
    return NULL;
}

struct engine_model *engine_model_replace(struct engine *g, const char *name, struct model *m,
                                          struct err *e)
{
    struct engine_model *em = prepare(g, name, m, e), *old = NULL;
    if (!em)
        return NULL;
    bool free_old = false;
    int result = 0;
    lock_take(&g->lock);
    size_t place = place_locked(g, name);
    if (place == g->model_count) {
        result = enter_locked(g, em, e);
    } else {
        old = g->models[place];
        g->models[place] = em;
        em->stats = old->stats;
        em->next = g->turns;
        g->turns = em;
        engine_model_pin_locked(old);
        old->retired = true;
        free_old = unpin_locked(old);
    }
    lock_drop(&g->lock);
    if (free_old)
        engine_model_free(old);
    if (result == 0)
        return em;
    engine_model_free(em);
    return NULL;
}

void engine_model_release(struct engine_model *em)
{
    if (!em)
        return;
    struct lock *lock = &em->engine->lock; /* the engine outlives its models */
    lock_take(lock);
    bool last = unpin_locked(em);
    lock_drop(lock);
    if (last)
        engine_model_free(em);
}

struct engine_model *engine_model_find(struct engine *g, const char *name)
{
    lock_take(&g->lock);
    size_t place = name ? place_locked(g, name) : 0;
    struct engine_model *found = place < g->model_count ? g->models[place] : NULL;
    if (found)
        engine_model_pin_locked(found);
    lock_drop(&g->lock);
    return found;
}

size_t engine_model_count(struct engine *g)
{
    lock_take(&g->lock);
    size_t count = g->model_count;
    lock_drop(&g->lock);
    return count;
}

struct engine_model *engine_model_at(struct engine *g, size_t i)
{
    lock_take(&g->lock);
    struct engine_model *em = i < g->model_count ? g->models[i] : NULL;
    if (em)
        engine_model_pin_locked(em);
    lock_drop(&g->lock);
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

int64_t engine_model_loaded_at(const struct engine_model *em)
{
    return em->loaded_at;
}

struct engine_model_stats engine_model_stats_get(struct engine_model *em)
{
    lock_take(&em->engine->lock);
    struct engine_model_stats stats = *em->stats;
    lock_drop(&em->engine->lock);
    return stats;
}
