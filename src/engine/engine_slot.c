/* One image's life: its start is drawn, its solver is fed, its state becomes what the order keeps.
 * The lock is never needed: what others may see of a slot is counted in the request's atomics, and
 * what went wrong stays in the slot until it is given back. */
#include "engine_slot.h"

#include "engine_edit.h"
#include "engine_image.h"
#include "engine_likelihood.h"

#include "base_cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Answers what the solver asks for beside slopes, and sees to what an edit keeps. */
static void answer_noise(struct engine_slot *slot)
{
    const struct engine_request *r = slot->request;
    model_solver_noise(r->order.model->model, slot->solver, engine_request_seed(r, slot->image),
                       r->images[slot->image].index, slot->slope);
    engine_edit_hold(slot);
}

/* Draws the start of a fresh slot, or takes the latent that was given. */
static int begin_plain(struct engine_slot *slot, struct err *e)
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
    return ode_solver_start(slot->solver, slot->slope, t, o->solver.t_min, e);
}

static int begin_slot(struct engine_slot *slot, struct err *e)
{
    const bool edit = slot->request->order.edit.image != NULL;
    if ((edit ? engine_edit_begin(slot, e) : begin_plain(slot, e)) != 0)
        return -1;
    if (!slot->unchanged)
        answer_noise(slot);
    return 0;
}

static void fail_slot(struct engine_slot *slot, const struct err *why)
{
    char at[48], line[sizeof why->at + sizeof why->text];
    slot->end = SLOT_FAILED;
    snprintf(at, sizeof at, "/images/%zu", slot->image);
    err_fail(&slot->error, why->code, at, "%s", err_line(why, line, sizeof line));
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
    buf_clear(&png);
}

static void finish_slot(struct engine_slot *slot)
{
    struct engine_request *r = slot->request;
    struct err e = {0};
    int64_t begin = clock_ns();
    int64_t solved = atomic_load(&r->solved_ns);
    while (solved < begin && !atomic_compare_exchange_weak(&r->solved_ns, &solved, begin))
        ;
    if (!slot->unchanged)
        r->images[slot->image].counts = ode_solver_counts(slot->solver);
    const double *state =
        r->order.edit.image ? engine_edit_state(slot) : ode_solver_state(slot->solver);
    int result = r->order.task == ENGINE_TASK_SAMPLE
                     ? engine_image_finish(r, slot->image, state, &e)
                     : engine_likelihood_finish(r, slot->image, state, &e);
    if (result == 0)
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
    answer_noise(slot);
    count_progress(slot, totals);
    enum ode_status status = ode_solver_status(slot->solver);
    if (status == ODE_DONE)
        finish_slot(slot);
    else if (status == ODE_FAILED)
        fail_slot(slot, ode_solver_error(slot->solver));
    else
        preview_slot(slot, steps_before);
    slot->rows = ode_solver_guided(slot->solver) ? 2 : 1;
}

/* Those of likelihoods, which need products too, are evaluated after the others. */
void engine_slots_advance(struct engine_worker *w, int count, struct ode_counts *totals)
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
        } else if (slot->unchanged) {
            atomic_fetch_add(&slot->request->progress, 1000000);
            finish_slot(slot);
        } else if (slot->request->order.task == ENGINE_TASK_LIKELIHOOD) {
            deriving[derivatives++] = slot;
        } else {
            w->queries[n] = model_query_of(slot->solver, slot->label, slot->slope);
            asking[n++] = slot;
        }
    }
    if (n > 0)
        model_slopes(em->model, em->workspaces[w->number], n, w->queries);
    for (int i = 0; i < n; i++)
        feed_slot(asking[i], totals);
    struct err e = {0};
    bool derived = derivatives > 0 && engine_likelihood_evaluate(w, deriving, derivatives, &e) == 0;
    for (int i = 0; i < derivatives; i++) {
        if (!derived)
            fail_slot(deriving[i], &e);
        else if (deriving[i]->answered)
            feed_slot(deriving[i], totals);
    }
}

void engine_slot_clear(struct engine_slot *slot)
{
    ode_solver_free(slot->solver);
    free(slot->slope);
    free(slot->latent);
    free(slot->nodes);
    slot->solver = NULL;
    slot->slope = slot->latent = slot->nodes = NULL;
}
