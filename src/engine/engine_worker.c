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

/* Whose turn the next free slot is; NULL when nobody may have it. */
static struct engine_queue *choose_queue_locked(struct engine *g)
{
    struct engine_queue *first = &g->queue[ENGINE_INTERACTIVE], *second = &g->queue[ENGINE_BATCH];
    bool open = first->live + second->live < g->places;
    if (!g->free_slots)
        return NULL;
    if (open && first->first && second->first)
        return ++g->admissions % ENGINE_BATCH_TURN ? first : second;
    if (open)
        return first->first ? first : second->first ? second : NULL;
    return first->first && first->live < g->places ? first : NULL;
}

/* Gives free slots to images that wait, one image a request in turn. */
static void admit_locked(struct engine *g)
{
    struct engine_queue *q;
    while ((q = choose_queue_locked(g)) != NULL) {
        struct engine_request *r = q->first;
        enum engine_priority priority = r->order.priority;
        q->first = r->next_pending;
        if (!q->first)
            q->last = NULL;
        r->next_pending = NULL;
        struct engine_slot *slot = g->free_slots;
        g->free_slots = slot->next;
        int64_t now = clock_ns();
        if (r->begun == 0) {
            atomic_store(&r->started_ns, now);
            engine_histogram_add(&g->stats.queue_wait_s, engine_histogram_seconds,
                                 (double)(now - r->submitted_ns) * 1e-9);
        }
        *slot = (struct engine_slot){.request = r,
                                     .image = r->begun,
                                     .label = r->labels ? r->labels[r->begun] : MODEL_LABEL_NONE,
                                     .worker = -1,
                                     .admitted_ns = now};
        r->begun++;
        if (r->begun < r->order.n) {
            if (q->last)
                q->last->next_pending = r;
            else
                q->first = r;
            q->last = r;
        } else {
            r->pending = false;
            g->stats.queued[priority].requests--;
        }
        g->stats.queued_images--;
        g->stats.queued[priority].images--;
        g->stats.live_images++;
        q->live++;
        push_ready_locked(slot);
    }
}

/* The model whose turn it is, of those with something to do; it goes to the end of the line. */
static struct engine_model *choose_model_locked(struct engine *g)
{
    struct engine_model **link = &g->turns;
    while (*link && !(*link)->ready)
        link = &(*link)->next;
    struct engine_model *em = *link;
    if (!em || !em->next)
        return em;
    *link = em->next;
    while (*link)
        link = &(*link)->next;
    *link = em;
    em->next = NULL;
    return em;
}

/* The worker has nothing to evaluate, and nothing to be helped with. */
static void rest_locked(struct engine_worker *w)
{
    w->model = NULL;
    if (w->team)
        nn_team_dismiss(w->team);
}

/* Fills the worker's batch with slots of one model; how many, 0 when there is nothing to do. */
static int take_batch_locked(struct engine *g, struct engine_worker *w)
{
    if (g->deadline_ns != INT64_MAX && clock_ns() >= g->deadline_ns) {
        rest_locked(w); /* what this worker had may end while the lock is free */
        engine_expire_locked(g);
    }
    admit_locked(g);
    struct engine_model *em = choose_model_locked(g);
    if (!em)
        return 0;
    size_t idle = (size_t)(g->workers - g->busy); /* this one included */
    size_t share = (em->ready + idle - 1) / idle;
    int count = share < (size_t)g->batch ? (int)share : g->batch;
    for (int i = 0; i < count; i++) {
        w->batch[i] = em->ready_first;
        w->batch[i]->worker = w->number;
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

/* Nothing to take: helps another worker, or sleeps, until that may have changed. */
static void idle_locked(struct engine *g, struct engine_worker *w)
{
    rest_locked(w);
    struct engine_worker *other = find_to_help_locked(g);
    if (other) {
        struct engine_model *em = other->model;
        unsigned call = nn_team_call(other->team);
        engine_model_pin_locked(em);
        pthread_mutex_unlock(&g->lock);
        model_workspace_help(em->workspaces[w->number], other->team, call);
        pthread_mutex_lock(&g->lock);
        if (engine_model_unpin_locked(em)) {
            pthread_mutex_unlock(&g->lock);
            engine_model_free(em);
            pthread_mutex_lock(&g->lock);
        }
        return;
    }
    g->waiting++;
    pthread_cond_wait(&g->work, &g->lock);
    g->waiting--;
}

static void settle_noise(struct engine_slot *slot)
{
    const struct engine_request *r = slot->request;
    model_solver_noise(r->order.model->model, slot->solver, engine_request_seed(r, slot->image),
                       r->images[slot->image].index, slot->slope);
}

/* Draws the start of a fresh slot, or takes the latent that was given. */
static int begin_slot(struct engine_slot *slot, struct err *e)
{
    struct engine_request *r = slot->request;
    const struct engine_order *o = &r->order;
    const struct model *m = o->model->model;
    const size_t d = model_dimension(m), n = d + (o->task == ENGINE_TASK_LIKELIHOOD);
    slot->slope = malloc(n * sizeof *slot->slope);
    slot->solver = slot->slope ? ode_solver_new(&o->solver.ode, n, e) : NULL;
    if (!slot->slope)
        err_fail_memory(e, n * sizeof *slot->slope);
    if (!slot->solver)
        return -1;
    slot->slope[n - 1] = 0.0; /* a likelihood's integral begins at 0 */
    if (r->starts)
        memcpy(slot->slope, r->starts + slot->image * d, d * sizeof *slot->slope);
    else
        model_prior_draw(m, &o->solver, o->temperature, engine_request_seed(r, slot->image),
                         r->images[slot->image].index, slot->slope);
    if (o->task != ENGINE_TASK_SAMPLE)
        return ode_solver_start(slot->solver, slot->slope, o->solver.t_min, o->solver.t_max, e);
    double t = model_solver_begin(m, &o->solver, slot->slope);
    if (ode_solver_start(slot->solver, slot->slope, t, o->solver.t_min, e) != 0)
        return -1;
    settle_noise(slot);
    return 0;
}

/* Ends a slot in failure. The request's first failure is the one that is told. */
static void fail_slot(struct engine_slot *slot, const struct err *why)
{
    struct engine_request *r = slot->request;
    slot->end = SLOT_FAILED;
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

/* Shows the state of an image that goes on. A picture that cannot be made is left out: the image
 * itself will say what is wrong. */
static void preview_slot(struct engine_slot *slot, int64_t steps_before)
{
    struct engine_request *r = slot->request;
    const int every = r->order.preview_every;
    int64_t steps = slot->seen.accepted;
    if (every == 0 || !r->order.preview || steps / every == steps_before / every)
        return;
    struct buf png;
    buf_init(&png, (size_t)2 * IMAGE_PIXELS_MAX);
    if (engine_image_preview(r->order.model->model, ode_solver_state(slot->solver), &png, NULL) ==
        0)
        r->order.preview(r, slot->image, steps, &png, r->order.context);
    buf_free(&png);
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
    const double *state = ode_solver_state(slot->solver);
    int bad = r->order.task == ENGINE_TASK_SAMPLE ? engine_image_finish(r, slot->image, state, &e)
                                                  : engine_task_finish(r, slot->image, state, &e);
    if (!bad)
        slot->end = SLOT_SOLVED;
    else
        fail_slot(slot, &e);
    atomic_fetch_add(&r->encode_ns, clock_ns() - begin);
    if (slot->end == SLOT_SOLVED && r->order.image && r->order.output != ENGINE_OUTPUT_SHEET)
        r->order.image(r, slot->image, r->order.context);
}

/* Gives a slot's solver its answer, and sees to what has come of it. */
static void feed_slot(struct engine_slot *slot, struct ode_counts *totals)
{
    int64_t steps_before = slot->seen.accepted;
    ode_solver_feed(slot->solver, slot->slope);
    settle_noise(slot);
    count_progress(slot, totals);
    enum ode_status status = ode_solver_status(slot->solver);
    if (status == ODE_DONE)
        finish_slot(slot);
    else if (status == ODE_FAILED)
        fail_slot(slot, ode_solver_error(slot->solver));
    else
        preview_slot(slot, steps_before);
}

/* One evaluation for all slots of the batch that are to go on, and one step of each one's solver.
 * Those of likelihoods, which need products too, are evaluated after the others. */
static void advance_batch(struct engine_worker *w, int count, struct ode_counts *totals)
{
    struct engine_model *em = w->batch[0]->request->order.model;
    struct engine_slot *asking[ENGINE_BATCH_MAX], *deriving[ENGINE_BATCH_MAX];
    int n = 0, derivatives = 0;
    for (int i = 0; i < count; i++) {
        struct engine_slot *slot = w->batch[i];
        struct err e = {0};
        if (atomic_load(&slot->request->stop)) {
            slot->end = SLOT_STOPPED;
        } else if (!slot->solver && begin_slot(slot, &e) != 0) {
            fail_slot(slot, &e);
        } else if (engine_task_has_products(&slot->request->order)) {
            deriving[derivatives++] = slot;
        } else {
            w->queries[n] = (struct model_query){
                .x = ode_solver_point(slot->solver),
                .t = ode_solver_time(slot->solver),
                .form = ode_solver_form(slot->solver),
                .label = slot->label,
                .slope = slot->slope,
            };
            asking[n++] = slot;
        }
    }
    if (n > 0)
        model_slopes(em->model, em->workspaces[w->number], n, w->queries);
    for (int i = 0; i < n; i++)
        feed_slot(asking[i], totals);
    struct err e = {0};
    bool derived = derivatives > 0 && engine_task_evaluate(w, deriving, derivatives, &e) == 0;
    for (int i = 0; i < derivatives; i++) {
        if (!derived)
            fail_slot(deriving[i], &e);
        else if (deriving[i]->answered)
            feed_slot(deriving[i], totals);
    }
}

/* Frees what a finished slot held and counts its image. True when its request is complete. */
static bool retire_slot_locked(struct engine *g, struct engine_slot *slot)
{
    struct engine_request *r = slot->request;
    size_t images = 1;
    if (slot->end == SLOT_SOLVED) {
        double took = (double)(clock_ns() - slot->admitted_ns) * 1e-9;
        double mean = g->stats.recent_image_s;
        g->stats.recent_image_s = mean == 0.0 ? took : mean + (took - mean) / 16.0;
        engine_histogram_add(&r->order.model->stats->image_s, engine_histogram_seconds, took);
        engine_count_images_locked(r, ENGINE_OUTCOME_OK, 1);
        r->ok++;
    } else if (slot->end == SLOT_FAILED) {
        engine_count_images_locked(r, ENGINE_OUTCOME_FAILED, 1);
        /* One image less makes the whole request worthless: the rest of it ends too. */
        if (!atomic_load(&r->stop))
            images += engine_request_stop_locked(r, ENGINE_CAUSE_FAILURE, "");
    } else {
        engine_count_images_locked(r, engine_outcome_of(r->cause), 1);
    }
    g->queue[r->order.priority].live--;
    g->stats.live_images--;
    ode_solver_free(slot->solver);
    free(slot->slope);
    *slot = (struct engine_slot){.next = g->free_slots};
    g->free_slots = slot;
    return engine_request_finish_locked(r, images);
}

static void count_step_locked(struct engine_worker *w, int count, const struct ode_counts *totals)
{
    struct engine_stats *stats = &w->engine->stats;
    stats->field_evaluations += (uint64_t)totals->nfe;
    stats->steps += (uint64_t)totals->accepted;
    stats->steps_rejected += (uint64_t)totals->rejected;
    w->model->stats->field_evaluations += (uint64_t)totals->nfe;
    engine_histogram_add(&stats->step_s, engine_histogram_seconds,
                         (double)(clock_ns() - w->since_ns) * 1e-9);
    engine_histogram_add(&stats->batch_images, engine_histogram_images, count);
    w->since_ns = 0;
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
        w->since_ns = clock_ns();
        if (g->waiting && w->team && nn_team_helpers(w->team) < HELPERS_MAX)
            pthread_cond_signal(&g->work); /* to help, if there is nothing else */
        pthread_mutex_unlock(&g->lock);
        struct ode_counts totals = {0};
        advance_batch(w, count, &totals);
        pthread_mutex_lock(&g->lock);
        g->busy--;
        count_step_locked(w, count, &totals);
        struct engine_request *complete[ENGINE_BATCH_MAX];
        int completed = 0;
        for (int i = 0; i < count; i++) {
            struct engine_slot *slot = w->batch[i];
            struct engine_request *r = slot->request;
            slot->worker = -1;
            if (slot->end == SLOT_LIVE)
                push_ready_locked(slot);
            else if (retire_slot_locked(g, slot))
                complete[completed++] = r;
        }
        if (completed == 0)
            continue;   /* what was put back is taken, or passed on, at once */
        rest_locked(w); /* the model may go with its last request */
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
