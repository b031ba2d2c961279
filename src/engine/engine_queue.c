/* The queue: who waits, who has a slot, who is over, and the counters of all that.
 *
 * Fairness: an image that somebody waits for goes before one of batch at every step, but for a
 * small share of the time. Among those of one priority, requests that wait take turns image by
 * image, and live slots go round by first in, first out, so a request for one image is not held up
 * by one for a thousand. With fewer slots than workers could hold, a worker takes only its share,
 * so that the others have something to do as well. */
#include "engine_queue.h"

#include "engine_model.h"
#include "engine_slot.h"

#include "base_cpu.h"

#include <string.h>

static void list_push(struct engine_list *list, struct engine_request *r)
{
    r->next = NULL;
    if (list->last)
        list->last->next = r;
    else
        list->first = r;
    list->last = r;
}

struct engine_request *engine_list_pop(struct engine_list *list)
{
    struct engine_request *r = list->first;
    if (!r)
        return NULL;
    list->first = r->next;
    if (!list->first)
        list->last = NULL;
    r->next = NULL;
    return r;
}

static void list_remove(struct engine_list *list, struct engine_request *r)
{
    struct engine_request **at = &list->first, *previous = NULL;
    while (*at != r) {
        previous = *at;
        at = &previous->next;
    }
    *at = r->next;
    if (list->last == r)
        list->last = previous;
    r->next = NULL;
}

int engine_queue_admits_locked(const struct engine *g, const struct engine_order *order,
                               struct err *e)
{
    const size_t limit = g->stats.queue_images_max;
    const size_t waiting = g->stats.queued_images - g->outside_images;
    lock_assert_held(&g->lock);
    if (order->continues)
        return 0;
    if (g->draining)
        return err_fail(e, ERR_CANCELLED, "", "draining: no new work is taken");
    if (order->outside_queue || (waiting <= limit && order->n <= limit - waiting))
        return 0;
    return err_fail(e, ERR_LIMIT, "queue", "full: %zu images wait and %zu are the limit", waiting,
                    limit);
}

void engine_queue_add_locked(struct engine *g, struct engine_request *r)
{
    lock_assert_held(&g->lock);
    r->pending = true;
    list_push(&g->queue[r->order.priority].waiting, r);
    r->next_active = g->active;
    if (g->active)
        g->active->previous_active = r;
    g->active = r;
    engine_model_pin_locked(r->order.model);
    r->counted = true;
    if (r->order.deadline_ns && r->order.deadline_ns < g->deadline_ns)
        g->deadline_ns = r->order.deadline_ns;
    g->stats.queued_images += r->order.n;
    g->outside_images += r->order.outside_queue ? r->order.n : 0;
    g->stats.queued[r->order.priority].images += r->order.n;
    g->stats.queued[r->order.priority].requests++;
    g->stats.images_admitted += r->order.n;
    r->order.model->stats->images_admitted += r->order.n;
    engine_queue_offer_locked(g);
}

/* The outcome that images of a stopped request have. */
static enum engine_outcome outcome_of(enum engine_cause cause)
{
    return cause == ENGINE_CAUSE_DEADLINE   ? ENGINE_OUTCOME_DEADLINE
           : cause == ENGINE_CAUSE_DRAINING ? ENGINE_OUTCOME_DRAINING
                                            : ENGINE_OUTCOME_CANCELLED;
}

static void count_images_locked(struct engine_request *r, enum engine_outcome outcome,
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

/* Counts finished images; with the last one the request leaves the lists and has ended. */
static void finish_images_locked(struct engine_request *r, size_t images, struct engine_list *ended)
{
    struct engine *g = r->engine;
    r->finished += images;
    if (images == 0 || r->finished < r->order.n)
        return;
    if (r->previous_active)
        r->previous_active->next_active = r->next_active;
    else
        g->active = r->next_active;
    if (r->next_active)
        r->next_active->previous_active = r->previous_active;
    g->completing++;
    list_push(ended, r);
}

void engine_queue_stop_locked(struct engine_request *r, enum engine_cause cause, const char *why,
                              struct engine_list *ended)
{
    struct engine *g = r->engine;
    lock_assert_held(&g->lock);
    if (r->error.code == ERR_NONE)
        err_fail(&r->error, ERR_CANCELLED, "", "%s", why);
    r->cause = cause;
    atomic_store(&r->stop, true);
    g->stats.cancellations[cause]++;
    if (!r->pending)
        return;
    size_t dropped = r->order.n - r->begun;
    r->dropped = dropped;
    list_remove(&g->queue[r->order.priority].waiting, r);
    r->pending = false;
    r->begun = r->order.n;
    g->stats.queued[r->order.priority].requests--;
    g->stats.queued[r->order.priority].images -= dropped;
    g->stats.queued_images -= dropped;
    g->outside_images -= r->order.outside_queue ? dropped : 0;
    count_images_locked(r, outcome_of(cause), dropped);
    finish_images_locked(r, dropped, ended);
}

static void expire_one_locked(struct engine_request *r, struct engine_list *ended)
{
    char why[160];
    const double limit_s = r->order.deadline_s > 0
                               ? r->order.deadline_s
                               : (double)(r->order.deadline_ns - r->submitted_ns) * 1e-9;
    const int digits = r->order.deadline_s > 0 || limit_s >= 100.0 ? 6 : 3;
    if (atomic_load(&r->started_ns) == 0)
        snprintf(why, sizeof why, "the deadline of %.*g s passed in the queue", digits, limit_s);
    else
        snprintf(why, sizeof why,
                 "the deadline of %.*g s passed in compute, with %zu of %zu images finished",
                 digits, limit_s, r->ok, r->order.n);
    engine_queue_stop_locked(r, ENGINE_CAUSE_DEADLINE, why, ended);
}

void engine_queue_expire_locked(struct engine *g, struct engine_list *ended)
{
    lock_assert_held(&g->lock);
    if (g->deadline_ns == INT64_MAX)
        return;
    const int64_t now = clock_ns();
    if (now < g->deadline_ns)
        return;
    g->deadline_ns = INT64_MAX;
    struct engine_request *next;
    for (struct engine_request *r = g->active; r; r = next) {
        const int64_t deadline = r->order.deadline_ns;
        next = r->next_active; /* r may leave the list */
        if (deadline == 0 || atomic_load(&r->stop))
            continue;
        if (deadline <= now)
            expire_one_locked(r, ended);
        else if (deadline < g->deadline_ns)
            g->deadline_ns = deadline;
    }
}

static void push_ready_locked(struct engine_slot *slot)
{
    const struct engine_order *order = &slot->request->order;
    struct engine_ready *ready = &order->model->ready[order->priority];
    slot->next = NULL;
    if (ready->last)
        ready->last->next = slot;
    else
        ready->first = slot;
    ready->last = slot;
    ready->count++;
}

/* Whether images of the request hold slots. */
static bool is_live_locked(const struct engine_request *r)
{
    return r->begun > r->finished;
}

/* Puts the first request that waits without a live slot before the others: whether there is one.
 * Those before it have a slot each, so they are no more than there are slots. */
static bool advance_idle_locked(struct engine_list *waiting)
{
    struct engine_request *r = waiting->first;
    while (r && is_live_locked(r))
        r = r->next;
    if (!r || r == waiting->first)
        return r != NULL;
    list_remove(waiting, r);
    r->next = waiting->first;
    waiting->first = r;
    return true;
}

/* Whose turn the next free slot is; NULL when nobody may have it. Beyond the places that all may
 * fill, interactive requests find a place where batch holds some. Where interactive ones hold all
 * and some of them several, those find one that have none. */
static struct engine_queue *choose_queue_locked(struct engine *g)
{
    struct engine_queue *first = &g->queue[ENGINE_PRIORITY_INTERACTIVE],
                        *second = &g->queue[ENGINE_PRIORITY_BATCH];
    bool open = first->live + second->live < g->places;
    if (!g->free_slots)
        return NULL;
    if (open && first->waiting.first && second->waiting.first)
        return ++g->admissions % ENGINE_PRIORITY_TURN ? first : second;
    if (open)
        return first->waiting.first ? first : second->waiting.first ? second : NULL;
    if (first->live < g->places)
        return first->waiting.first ? first : NULL;
    return first->holders < g->places && advance_idle_locked(&first->waiting) ? first : NULL;
}

/* Gives free slots to images that wait, one image of each request in turn. */
static void admit_locked(struct engine *g)
{
    struct engine_queue *q;
    while ((q = choose_queue_locked(g)) != NULL) {
        struct engine_request *r = engine_list_pop(&q->waiting);
        const enum engine_priority priority = r->order.priority;
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
                                     .label = r->labels ? r->labels[r->begun] : MODEL_CLASS_NONE,
                                     .worker = -1,
                                     .rows = ode_options_guided(&r->order.solver.ode) ? 2 : 1,
                                     .admitted_ns = now};
        q->holders += !is_live_locked(r);
        r->begun++;
        if (r->begun < r->order.n) {
            list_push(&q->waiting, r);
        } else {
            r->pending = false;
            g->stats.queued[priority].requests--;
        }
        g->stats.queued_images--;
        g->outside_images -= r->order.outside_queue;
        g->stats.queued[priority].images--;
        g->stats.live_images++;
        q->live++;
        push_ready_locked(slot);
    }
}

static bool is_ready_locked(const struct engine *g, enum engine_priority priority)
{
    const struct engine_model *em = g->turns;
    while (em && em->ready[priority].count == 0)
        em = em->next;
    return em != NULL;
}

/* Whose step is next. An image that somebody waits for shares no step with one that can wait, or
 * its step would take as long as both: while there is such an image, batch has one step in a time
 * of ENGINE_BATCH_REST + 1. */
static enum engine_priority choose_priority_locked(const struct engine *g)
{
    if (!is_ready_locked(g, ENGINE_PRIORITY_INTERACTIVE))
        return ENGINE_PRIORITY_BATCH;
    return is_ready_locked(g, ENGINE_PRIORITY_BATCH) && clock_ns() >= g->batch_rests_ns
               ? ENGINE_PRIORITY_BATCH
               : ENGINE_PRIORITY_INTERACTIVE;
}

/* The model whose turn it is, of those with something to do; it goes to the end of the line. */
static struct engine_model *choose_model_locked(struct engine *g, enum engine_priority priority)
{
    struct engine_model **link = &g->turns;
    while (*link && (*link)->ready[priority].count == 0)
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

int engine_queue_take_locked(struct engine_worker *w)
{
    struct engine *g = w->engine;
    lock_assert_held(&g->lock);
    admit_locked(g);
    const enum engine_priority priority = choose_priority_locked(g);
    struct engine_model *em = choose_model_locked(g, priority);
    if (!em)
        return 0;
    struct engine_ready *ready = &em->ready[priority];
    size_t idle = (size_t)(g->workers - g->busy); /* this one included */
    size_t share = (ready->count + idle - 1) / idle;
    int count = 0;
    for (int rows = 0; (size_t)count < share; count++) {
        struct engine_slot *slot = ready->first;
        rows += slot->rows;
        if (count > 0 && rows > g->batch)
            break;
        w->batch[count] = slot;
        slot->worker = w->number;
        ready->first = slot->next;
        ready->count--;
    }
    if (!ready->first)
        ready->last = NULL;
    if (is_ready_locked(g, ENGINE_PRIORITY_INTERACTIVE) ||
        is_ready_locked(g, ENGINE_PRIORITY_BATCH))
        engine_queue_offer_locked(g); /* the rest is for the next one */
    w->model = em;
    w->priority = priority;
    w->since_ns = clock_ns();
    g->busy++;
    return count;
}

void engine_queue_offer_locked(struct engine *g)
{
    lock_assert_held(&g->lock);
    if (g->waiting) { /* who is woken passes on what it leaves */
        pthread_cond_signal(&g->work);
        return;
    }
    for (int i = 0; i < g->workers; i++)
        if (g->worker[i].model && g->worker[i].team)
            nn_team_dismiss(g->worker[i].team);
}

void engine_queue_rest_locked(struct engine_worker *w)
{
    lock_assert_held(&w->engine->lock);
    w->model = NULL;
    if (w->team)
        nn_team_dismiss(w->team);
}

/* Frees what a finished slot held and counts its image. */
static void retire_slot_locked(struct engine_worker *w, struct engine_slot *slot)
{
    struct engine *g = w->engine;
    struct engine_request *r = slot->request;
    if (slot->end == SLOT_SOLVED) {
        double took = (double)(clock_ns() - slot->admitted_ns) * 1e-9;
        double mean = g->stats.recent_image_s;
        g->stats.recent_image_s = mean == 0.0 ? took : mean + (took - mean) / 16.0;
        engine_histogram_add(&r->order.model->stats->image_s, engine_histogram_seconds, took);
        count_images_locked(r, ENGINE_OUTCOME_OK, 1);
        r->ok++;
    } else if (slot->end == SLOT_FAILED) {
        count_images_locked(r, ENGINE_OUTCOME_FAILED, 1);
        if (r->error.code == ERR_NONE)
            r->error = slot->error;
        /* One image less makes the whole request worthless: the rest of it ends too. */
        if (!atomic_load(&r->stop))
            engine_queue_stop_locked(r, ENGINE_CAUSE_FAILURE, "", &w->ended);
    } else {
        count_images_locked(r, outcome_of(r->cause), 1);
    }
    g->queue[r->order.priority].live--;
    g->stats.live_images--;
    engine_slot_clear(slot);
    *slot = (struct engine_slot){.next = g->free_slots};
    g->free_slots = slot;
    finish_images_locked(r, 1, &w->ended);
    g->queue[r->order.priority].holders -= !is_live_locked(r);
}

static void count_step_locked(struct engine_worker *w, int count, const struct ode_counts *totals)
{
    struct engine_stats *stats = &w->engine->stats;
    stats->field_evaluations += (uint64_t)totals->nfe;
    stats->steps += (uint64_t)totals->accepted;
    stats->steps_rejected += (uint64_t)totals->rejected;
    w->model->stats->field_evaluations += (uint64_t)totals->nfe;
    const int64_t now = clock_ns(), took = now - w->since_ns;
    engine_histogram_add(&stats->step_s, engine_histogram_seconds, (double)took * 1e-9);
    if (w->priority == ENGINE_PRIORITY_BATCH)
        w->engine->batch_rests_ns = now + ENGINE_BATCH_REST * took;
    engine_histogram_add(&stats->batch_images, engine_histogram_images, count);
    w->since_ns = 0;
}

void engine_queue_give_back_locked(struct engine_worker *w, int count,
                                   const struct ode_counts *totals)
{
    lock_assert_held(&w->engine->lock);
    w->engine->busy--;
    count_step_locked(w, count, totals);
    for (int i = 0; i < count; i++) {
        struct engine_slot *slot = w->batch[i];
        slot->worker = -1;
        if (slot->end == SLOT_LIVE)
            push_ready_locked(slot);
        else
            retire_slot_locked(w, slot);
    }
}
