/* The worker's loop: take slots, evaluate the field for them once, advance each, put them back.
 *
 * Fairness: requests that wait take turns image by image, and live slots go round by first in,
 * first out, so a request for one image is not held up by one for a thousand. With fewer slots than
 * workers could hold, a worker takes only its share, so that the others have something to do as
 * well; and a worker that finds nothing helps one that evaluates. */
#include "engine_internal.h"

#include "base_cpu.h"

#include <stdlib.h>
#include <string.h>

/* More hardly find a piece of one image to work on. */
#define HELPERS_MAX 7

static void push_ready_locked(struct engine_slot *slot)
{
    struct engine_model *em = slot->request->order.model;
    slot->next = NULL;
    if (em->ready_last)
        em->ready_last->next = slot;
    else
        em->ready_first = slot;
    em->ready_last = slot;
    em->ready++;
}

/* Gives free slots to images that wait, one image a request in turn. */
static void admit_locked(struct engine *g)
{
    while (g->free_slots && g->pending_first) {
        struct engine_request *r = g->pending_first;
        g->pending_first = r->next_pending;
        if (!g->pending_first)
            g->pending_last = NULL;
        r->next_pending = NULL;
        struct engine_slot *slot = g->free_slots;
        g->free_slots = slot->next;
        *slot = (struct engine_slot){.request = r, .image = r->begun++};
        if (r->begun < r->order.n) {
            if (g->pending_last)
                g->pending_last->next_pending = r;
            else
                g->pending_first = r;
            g->pending_last = r;
        } else {
            r->pending = false;
        }
        g->stats.queued_images--;
        g->stats.live_images++;
        push_ready_locked(slot);
    }
}

/* Fills the worker's batch with slots of one model; how many, 0 when there is nothing to do. */
static int take_batch_locked(struct engine *g, struct engine_worker *w)
{
    admit_locked(g);
    struct engine_model *em = NULL;
    for (size_t i = 0; i < g->model_count && !em; i++) {
        struct engine_model *candidate = g->models[(g->model_turn + i) % g->model_count];
        if (candidate->ready) {
            em = candidate;
            g->model_turn = (g->model_turn + i + 1) % g->model_count;
        }
    }
    if (!em)
        return 0;
    size_t idle = (size_t)(g->workers - g->busy); /* this one included */
    size_t share = (em->ready + idle - 1) / idle;
    int count = share < (size_t)g->batch ? (int)share : g->batch;
    for (int i = 0; i < count; i++) {
        w->batch[i] = em->ready_first;
        em->ready_first = em->ready_first->next;
        em->ready--;
    }
    if (!em->ready_first)
        em->ready_last = NULL;
    else
        engine_offer_work_locked(g); /* the rest is for the next one */
    w->model = em;
    return count;
}

void engine_offer_work_locked(struct engine *g)
{
    if (g->waiting) { /* who is woken passes on what it leaves */
        pthread_cond_signal(&g->work);
        return;
    }
    for (int i = 0; i < g->workers; i++)
        if (g->worker[i].model && g->worker[i].team)
            nn_team_dismiss(g->worker[i].team);
}

/* The worker at work with the fewest helpers, if it has room for one. */
static struct engine_worker *find_to_help_locked(struct engine *g)
{
    struct engine_worker *found = NULL;
    int fewest = HELPERS_MAX;
    for (int i = 0; i < g->workers; i++) {
        struct engine_worker *w = &g->worker[i];
        int helpers = w->model && w->team ? nn_team_helpers(w->team) : HELPERS_MAX;
        if (helpers < fewest) {
            fewest = helpers;
            found = w;
        }
    }
    return found;
}

/* The worker has nothing to evaluate, and nothing to be helped with. */
static void rest_locked(struct engine_worker *w)
{
    w->model = NULL;
    if (w->team)
        nn_team_dismiss(w->team);
}

/* Nothing to take: helps another worker, or sleeps, until that may have changed. */
static void idle_locked(struct engine *g, struct engine_worker *w)
{
    rest_locked(w);
    struct engine_worker *other = find_to_help_locked(g);
    if (other) {
        struct engine_model *em = other->model;
        unsigned call = nn_team_call(other->team);
        pthread_mutex_unlock(&g->lock);
        model_workspace_help(em->workspaces[w->number], other->team, call);
        pthread_mutex_lock(&g->lock);
        return;
    }
    g->waiting++;
    pthread_cond_wait(&g->work, &g->lock);
    g->waiting--;
}

/* Draws the start of a fresh slot, or takes the latent that was given. */
static int begin_slot(struct engine_slot *slot, struct err *e)
{
    struct engine_request *r = slot->request;
    const struct engine_order *o = &r->order;
    const struct model *m = o->model->model;
    const size_t d = model_dimension(m);
    slot->begun_ns = clock_ns();
    int64_t unset = 0;
    atomic_compare_exchange_strong(&r->started_ns, &unset, slot->begun_ns);
    slot->slope = malloc(d * sizeof *slot->slope);
    slot->solver = slot->slope ? ode_solver_new(&o->solver.ode, d, e) : NULL;
    if (!slot->slope)
        err_fail_memory(e, d * sizeof *slot->slope);
    if (!slot->solver)
        return -1;
    const double *start = r->latents ? r->latents + slot->image * d : slot->slope;
    if (!r->latents)
        model_prior_draw(m, &o->solver, o->seed, o->first_index + slot->image, slot->slope);
    return ode_solver_start(slot->solver, start, o->solver.t_max, o->solver.t_min, e);
}

/* Ends a slot in failure. The request's first failure is the one that is told. */
static void fail_slot(struct engine_slot *slot, const struct err *why)
{
    struct engine_request *r = slot->request;
    slot->outcome = OUTCOME_FAILED;
    pthread_mutex_lock(&r->engine->lock);
    if (r->error.code == ERR_NONE) {
        char at[48], line[sizeof why->at + sizeof why->text];
        snprintf(at, sizeof at, "/images/%zu", slot->image);
        err_fail(&r->error, why->code, at, "%s", err_line(why, line, sizeof line));
    }
    pthread_mutex_unlock(&r->engine->lock);
}

/* Adds what the solver has done since the last visit to the request's and the worker's totals. */
static void count_progress(struct engine_slot *slot, struct ode_counts *totals)
{
    struct engine_request *r = slot->request;
    struct ode_counts now = ode_solver_counts(slot->solver);
    int64_t progress = (int64_t)(ode_solver_progress(slot->solver) * 1e6);
    atomic_fetch_add(&r->steps, now.accepted - slot->seen.accepted);
    atomic_fetch_add(&r->nfe, now.nfe - slot->seen.nfe);
    atomic_fetch_add(&r->progress, progress - slot->progress);
    totals->nfe += now.nfe - slot->seen.nfe;
    totals->accepted += now.accepted - slot->seen.accepted;
    totals->rejected += now.rejected - slot->seen.rejected;
    slot->seen = now;
    slot->progress = progress;
}

static void finish_slot(struct engine_slot *slot)
{
    struct engine_request *r = slot->request;
    struct err e = {0};
    int64_t begin = clock_ns();
    int64_t solved = atomic_load(&r->solved_ns);
    while (solved < begin && !atomic_compare_exchange_weak(&r->solved_ns, &solved, begin))
        ;
    r->images[slot->image].counts = ode_solver_counts(slot->solver);
    if (engine_image_finish(r, slot->image, ode_solver_state(slot->solver), &e) == 0)
        slot->outcome = OUTCOME_OK;
    else
        fail_slot(slot, &e);
    atomic_fetch_add(&r->encode_ns, clock_ns() - begin);
}

/* One evaluation for all slots of the batch that are to go on, and one step of each one's solver.
 */
static void advance_batch(struct engine_worker *w, int count, struct ode_counts *totals)
{
    struct engine_model *em = w->batch[0]->request->order.model;
    struct engine_slot *asking[ENGINE_BATCH_MAX];
    int n = 0;
    for (int i = 0; i < count; i++) {
        struct engine_slot *slot = w->batch[i];
        struct err e = {0};
        if (atomic_load(&slot->request->stop)) {
            slot->outcome = OUTCOME_CANCELLED;
        } else if (!slot->solver && begin_slot(slot, &e) != 0) {
            fail_slot(slot, &e);
        } else {
            w->queries[n] = (struct model_query){
                .x = ode_solver_point(slot->solver),
                .t = ode_solver_time(slot->solver),
                .form = ode_solver_form(slot->solver),
                .slope = slot->slope,
            };
            asking[n++] = slot;
        }
    }
    if (n == 0)
        return;
    model_slopes(em->model, em->workspaces[w->number], n, w->queries);
    for (int i = 0; i < n; i++) {
        struct engine_slot *slot = asking[i];
        ode_solver_feed(slot->solver, slot->slope);
        count_progress(slot, totals);
        enum ode_status status = ode_solver_status(slot->solver);
        if (status == ODE_DONE)
            finish_slot(slot);
        else if (status == ODE_FAILED)
            fail_slot(slot, ode_solver_error(slot->solver));
    }
}

/* Frees what a finished slot held and counts its image. True when its request is complete. */
static bool retire_slot_locked(struct engine *g, struct engine_slot *slot)
{
    struct engine_request *r = slot->request;
    size_t images = 1;
    if (slot->outcome == OUTCOME_OK) {
        double took = (double)(clock_ns() - slot->begun_ns) * 1e-9;
        double mean = g->stats.recent_image_s;
        g->stats.recent_image_s = mean == 0.0 ? took : mean + (took - mean) / 16.0;
        g->stats.images_ok++;
        r->ok++;
    } else if (slot->outcome == OUTCOME_FAILED) {
        g->stats.images_failed++;
        if (!atomic_load(&r->stop)) {
            /* One image less makes the whole request worthless: the rest of it ends too. */
            images += r->order.n - r->begun;
            engine_request_stop_locked(r, "");
        }
    } else {
        g->stats.images_cancelled++;
    }
    g->stats.live_images--;
    ode_solver_free(slot->solver);
    free(slot->slope);
    *slot = (struct engine_slot){.next = g->free_slots};
    g->free_slots = slot;
    return engine_request_finish_locked(r, images);
}

void *engine_worker_main(void *arg)
{
    struct engine_worker *w = arg;
    struct engine *g = w->engine;
    pthread_mutex_lock(&g->lock);
    for (;;) {
        int count;
        while ((count = take_batch_locked(g, w)) == 0 && !g->stopping)
            idle_locked(g, w);
        if (count == 0)
            break;
        g->busy++;
        if (g->waiting && w->team && nn_team_helpers(w->team) < HELPERS_MAX)
            pthread_cond_signal(&g->work); /* to help, if there is nothing else */
        pthread_mutex_unlock(&g->lock);
        struct ode_counts totals = {0};
        advance_batch(w, count, &totals);
        pthread_mutex_lock(&g->lock);
        g->busy--;
        g->stats.field_evaluations += (uint64_t)totals.nfe;
        g->stats.steps += (uint64_t)totals.accepted;
        g->stats.steps_rejected += (uint64_t)totals.rejected;
        struct engine_request *complete[ENGINE_BATCH_MAX];
        int completed = 0;
        for (int i = 0; i < count; i++) {
            struct engine_slot *slot = w->batch[i];
            struct engine_request *r = slot->request;
            if (slot->outcome == OUTCOME_OPEN)
                push_ready_locked(slot);
            else if (retire_slot_locked(g, slot))
                complete[completed++] = r;
        }
        if (completed == 0)
            continue; /* what was put back is taken, or passed on, at once */
        engine_offer_work_locked(g);
        pthread_mutex_unlock(&g->lock);
        for (int i = 0; i < completed; i++)
            engine_request_complete(complete[i]);
        pthread_mutex_lock(&g->lock);
    }
    rest_locked(w);
    pthread_mutex_unlock(&g->lock);
    return NULL;
}
