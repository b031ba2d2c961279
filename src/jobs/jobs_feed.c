/* From the store to the engine and back, on one thread: shards are handed to the engine, a little
 * more than it has slots for, and finished images are stored.
 *
 * Images are stored many at a time, because a commit waits for the disk: when COMMIT_IMAGES of them
 * are there, or the first of them is COMMIT_NS old. They lie in the engine's request until then, so
 * that a store without room holds up the work and loses nothing. */
#include "jobs_feed.h"

#include "jobs_order.h"
#include "jobs_pause.h"
#include "jobs_retain.h"

#include "base_cpu.h"
#include "base_wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMIT_IMAGES 256
#define COMMIT_NS 100000000LL
#define LOOK_NS 1000000000LL /* for models, cancellations, old jobs: at least this often */
#define RETAIN_NS 2000000000LL
#define ROOM_ROUNDS 8 /* of retention, before a full store is given results again */
#define PREVIEW_MAX ((size_t)64 << 20)

/* ---- what the engine says ---- */

static void image_finished(struct engine_request *r, size_t i, void *context)
{
    struct jobs_run *run = context;
    struct jobs *j = run->jobs;
    (void)r;
    lock_take(&j->lock);
    run->finished[run->finished_count++] = (uint8_t)i;
    if (j->unkept++ == 0)
        j->unkept_since_ns = clock_ns();
    if (j->unkept == 1 || j->unkept >= COMMIT_IMAGES)
        pthread_cond_signal(&j->changed);
    lock_drop(&j->lock);
}

static void state_shown(struct engine_request *r, size_t i, int64_t step, const struct buf *png,
                        void *context)
{
    struct jobs_run *run = context;
    struct jobs *j = run->jobs;
    (void)r;
    lock_take(&j->lock);
    buf_reset(&run->preview.png);
    const bool kept = buf_append(&run->preview.png, png->data, png->length, NULL) == 0;
    run->preview.number = kept ? ++j->previews : 0; /* they are a courtesy */
    run->preview.index = run->shard.first + i;
    run->preview.step = step;
    lock_drop(&j->lock);
}

static void run_ended(struct engine_request *r, void *context)
{
    struct jobs_run *run = context;
    struct jobs *j = run->jobs;
    (void)r;
    lock_take(&j->lock);
    run->ended = true;
    j->wake = true;
    pthread_cond_signal(&j->changed);
    lock_drop(&j->lock);
}

/* ---- storing ---- */

static void describe(const struct jobs_run *run, size_t i, struct jobs_result *out)
{
    const struct engine_image *image = engine_request_image(run->request, i);
    const struct model *m = engine_model_get(engine_request_order(run->request)->model);
    const size_t d = model_dimension(m);
    *out = (struct jobs_result){
        .index = run->shard.first + i,
        .label = image->label_count > 0 ? image->labels[0] : MODEL_CLASS_NONE,
        .nfe = image->counts.nfe,
        .steps_rejected = image->counts.rejected,
        .bytes = image->png.data,
        .length = image->png.length,
    };
    memcpy(out->sha256, image->sha256, sizeof out->sha256);
    if (image->png.data)
        return;
    out->bytes = image->pixels ? (const void *)image->pixels : (const void *)image->sample;
    out->length = image->pixels ? d : d * sizeof *image->sample;
}

/* How many of a run's images are finished. */
static size_t finished_of(struct jobs *j, const struct jobs_run *run)
{
    lock_take(&j->lock);
    const size_t count = run->finished_count;
    lock_drop(&j->lock);
    return count;
}

/* What is finished of the job that the run is of, of this run and those after it: at most `max`
 * results. -1: out of memory. */
static int collect(struct jobs *j, struct jobs_run *from, struct jobs_result *out, size_t max,
                   size_t *count)
{
    *count = 0;
    for (struct jobs_run *run = from; run; run = run->next) {
        run->taken = run->kept;
        if (strcmp(run->shard.id, from->shard.id) != 0)
            continue;
        const size_t finished = finished_of(j, run);
        for (; run->taken < finished && *count < max; run->taken++) {
            struct jobs_result *result = &out[(*count)++];
            describe(run, run->finished[run->taken], result);
            if (!result->sha256[0] &&
                sha256_hex(result->bytes, result->length, result->sha256, NULL) != 0)
                return -1;
        }
    }
    return 0;
}

/* What was collected is stored, or is not to be; `dropped`: not this time. */
static void count_kept(struct jobs *j, struct jobs_run *from, bool dropped)
{
    lock_take(&j->lock);
    for (struct jobs_run *run = from; run; run = run->next) {
        run->dropped = run->dropped || (dropped && run->taken > run->kept);
        j->unkept -= run->taken - run->kept;
        run->kept = run->taken;
    }
    j->unkept_since_ns = clock_ns();
    lock_drop(&j->lock);
}

static void cancel_runs(struct jobs *j, const char *id)
{
    for (struct jobs_run *run = j->runs; run; run = run->next)
        if (!run->cancelled && (!id || strcmp(run->shard.id, id) == 0)) {
            run->cancelled = true;
            engine_request_cancel(run->request);
        }
}

/* Stores what is finished of one job; false where the store refuses. */
static bool keep_some(struct jobs *j, struct jobs_run *run)
{
    struct jobs_result results[COMMIT_IMAGES];
    struct err e = {0};
    size_t count = 0;
    if (collect(j, run, results, COMMIT_IMAGES, &count) != 0)
        return false;
    if (count == 0)
        return true;
    const enum jobs_answer answer =
        j->store->ops->put_results(j->store, run->shard.id, results, count, &e);
    const bool is_over = jobs_note_write(j, answer, &e) || j->stopping;
    if (answer == JOBS_ABSENT)
        cancel_runs(j, run->shard.id);
    if (is_over) /* what is not stored at the stop is made again, here or by another replica */
        count_kept(j, run, answer != JOBS_DONE && answer != JOBS_ABSENT);
    return is_over;
}

static bool is_due(struct jobs *j)
{
    lock_take(&j->lock);
    const bool due = j->unkept >= COMMIT_IMAGES || j->draining ||
                     (j->unkept > 0 && clock_ns() - j->unkept_since_ns >= COMMIT_NS);
    lock_drop(&j->lock);
    return due;
}

static void keep(struct jobs *j)
{
    if (!is_due(j) || (jobs_paused(j) && !j->stopping))
        return;
    for (struct jobs_run *run = j->runs; run; run = run->next)
        while (run->kept < finished_of(j, run))
            if (!keep_some(j, run))
                return;
}

/* ---- ends ---- */

/* The job fails by this error, unless it has ended already. False: try again later. */
static bool fail_job(struct jobs *j, const char *id, const struct err *why)
{
    struct jobs_record r;
    struct err e = {0};
    enum jobs_answer answer = JOBS_CONFLICT;
    for (int i = 0; answer == JOBS_CONFLICT && i < JOBS_TRIES; i++) {
        answer = j->store->ops->get(j->store, id, &r, &e);
        if (answer != JOBS_DONE || !jobs_state_may(r.state, JOBS_FAILED))
            break;
        r.state = JOBS_FAILED;
        r.error = *why;
        r.finished_ms = jobs_now_ms();
        answer = j->store->ops->change(j->store, &r, &e);
    }
    if (!jobs_note_write(j, answer, &e) || answer == JOBS_CONFLICT)
        return false;
    cancel_runs(j, id);
    return true;
}

/* An image's failure under its number in the job. */
static struct err error_of(const struct jobs_run *run)
{
    struct err why = *engine_request_error(run->request);
    unsigned long i;
    if (sscanf(why.at, "/images/%lu", &i) == 1)
        snprintf(why.at, sizeof why.at, "/images/%llu", (unsigned long long)run->shard.first + i);
    return why;
}

/* Lets go of a run whose images are stored. False: it is not over yet. */
static bool settle_run(struct jobs *j, struct jobs_run *run)
{
    lock_take(&j->lock);
    const bool over = run->ended && run->kept == run->finished_count;
    lock_drop(&j->lock);
    if (!over)
        return false;
    const struct err *error = engine_request_error(run->request);
    if (error && engine_request_cause(run->request) == ENGINE_CAUSE_FAILURE) {
        const struct err why = error_of(run);
        if ((jobs_paused(j) || !fail_job(j, run->shard.id, &why)) && !j->stopping)
            return false;
    }
    j->store->ops->end_shard(j->store, &run->shard, error != NULL || run->dropped);
    return true;
}

static void settle(struct jobs *j)
{
    struct jobs_run **link = &j->runs;
    while (*link) {
        struct jobs_run *run = *link;
        if (!settle_run(j, run)) {
            link = &run->next;
            continue;
        }
        lock_take(&j->lock);
        *link = run->next;
        lock_drop(&j->lock);
        engine_request_free(run->request);
        buf_clear(&run->preview.png);
        free(run);
    }
}

static bool has_run(const struct jobs *j, const char *id)
{
    for (const struct jobs_run *run = j->runs; run; run = run->next)
        if (strcmp(run->shard.id, id) == 0)
            return true;
    return false;
}

/* Where there is no room for them, finished images of a job that is to be cancelled are not stored.
 */
static void drop_results(struct jobs *j, const char *id)
{
    lock_take(&j->lock);
    for (struct jobs_run *run = j->runs; run; run = run->next)
        if (strcmp(run->shard.id, id) == 0) {
            j->unkept -= run->finished_count - run->kept;
            run->kept = run->finished_count;
        }
    lock_drop(&j->lock);
}

/* Jobs that are to be cancelled: their images stop, and with the last of them they are. */
static void obey_cancels(struct jobs *j)
{
    struct jobs_record r;
    struct err e = {0};
    enum jobs_answer answer;
    int conflicts = 0;
    do {
        answer = j->store->ops->oldest(j->store, JOBS_BIT(JOBS_CANCELLING), false, &r, &e);
        if (!jobs_note_read(j, answer, &e) || answer != JOBS_DONE)
            return;
        cancel_runs(j, r.id);
        if (j->is_full)
            drop_results(j, r.id);
        if (has_run(j, r.id))
            return;
        r.state = JOBS_CANCELLED;
        r.finished_ms = jobs_now_ms();
        answer = j->store->ops->change(j->store, &r, &e);
        conflicts += answer == JOBS_CONFLICT;
    } while (jobs_note_write(j, answer, &e) && conflicts < JOBS_TRIES);
}

/* Where others share the store, one of them may have ended a job of which images are in flight
 * here: nobody waits for them any more. */
static void obey_ends(struct jobs *j)
{
    struct jobs_record r;
    const char *last = "";
    for (struct jobs_run *run = j->runs; run && j->store->ops->served; run = run->next) {
        struct err e = {0};
        if (run->cancelled || strcmp(run->shard.id, last) == 0)
            continue;
        last = run->shard.id;
        const enum jobs_answer answer = j->store->ops->peek(j->store, last, &r, &e);
        if (!jobs_note_read(j, answer, &e))
            return;
        if (answer == JOBS_ABSENT || !(JOBS_LIVE & JOBS_BIT(r.state)))
            cancel_runs(j, last);
    }
}

/* ---- feeding ---- */

static size_t list_models(struct jobs *j, struct jobs_needs *out, size_t max)
{
    struct engine_model *em;
    size_t count = 0;
    while (count < max && (em = engine_model_at(j->engine, count)) != NULL) {
        jobs_order_needs(em, &out[count++]);
        engine_model_release(em);
    }
    return count;
}

/* Whether the engine should have more: as many images as it has slots, and a shard that waits. */
static bool has_room(struct jobs *j)
{
    const size_t places = (size_t)engine_workers(j->engine) * (size_t)engine_batch(j->engine);
    size_t working = 0, all = 0;
    lock_take(&j->lock);
    for (const struct jobs_run *run = j->runs; run; run = run->next) {
        all += run->shard.count;
        working += run->ended ? 0 : run->shard.count - run->finished_count;
    }
    const bool room = !j->draining && working < places + JOBS_SHARD_IMAGES / 2 &&
                      all < 2 * places + 2 * JOBS_SHARD_IMAGES + COMMIT_IMAGES;
    lock_drop(&j->lock);
    return room && !jobs_paused(j);
}

/* Hands the order of a shard to the engine. */
static int submit(struct jobs *j, const struct jobs_shard *shard, struct engine_order *order,
                  struct err *e)
{
    struct jobs_run *run = calloc(1, sizeof *run);
    if (!run)
        return err_fail_memory(e, sizeof *run);
    run->jobs = j;
    run->shard = *shard;
    buf_init(&run->preview.png, PREVIEW_MAX);
    order->outside_queue = true;
    order->image = image_finished;
    order->preview = state_shown;
    order->done = run_ended;
    order->context = run;
    if (engine_submit(j->engine, order, &run->request, e) != 0) {
        free(run);
        return -1;
    }
    lock_take(&j->lock);
    struct jobs_run **end = &j->runs;
    while (*end)
        end = &(*end)->next;
    *end = run;
    lock_drop(&j->lock);
    return 0;
}

/* The job's record, which runs from now on. JOBS_ABSENT: there is nothing to be done for it. */
static enum jobs_answer begin_job(struct jobs *j, const char *id, struct jobs_record *r,
                                  struct err *e)
{
    enum jobs_answer answer = JOBS_CONFLICT; /* another replica begins it too */
    for (int i = 0; answer == JOBS_CONFLICT && i < JOBS_TRIES; i++) {
        answer = j->store->ops->peek(j->store, id, r, e);
        if (answer == JOBS_DONE && r->state != JOBS_QUEUED && r->state != JOBS_RUNNING)
            return JOBS_ABSENT;
        if (answer != JOBS_DONE || r->state == JOBS_RUNNING)
            return answer;
        r->state = JOBS_RUNNING;
        r->started_ms = jobs_now_ms();
        answer = j->store->ops->change(j->store, r, e);
    }
    return answer;
}

/* Whether there may be more to feed. A shard that cannot be begun now is handed out again. */
static bool feed_shard(struct jobs *j, const struct jobs_shard *shard)
{
    struct jobs_record r;
    struct engine_order order;
    struct err e = {0};
    const enum jobs_answer answer = begin_job(j, shard->id, &r, &e);
    if (answer != JOBS_DONE) {
        j->store->ops->end_shard(j->store, shard, answer != JOBS_ABSENT);
        return jobs_note_write(j, answer, &e) && answer != JOBS_CONFLICT;
    }
    struct engine_model *em = jobs_order_model(j->engine, &r.needs);
    if (!em) { /* it was there a moment ago */
        j->store->ops->end_shard(j->store, shard, true);
        return false;
    }
    int result = jobs_order_read(&r, em, shard->first, shard->count, &order, &e);
    if (result == 0)
        result = submit(j, shard, &order, &e);
    engine_model_release(em);
    if (result == 0)
        return true;
    const bool passes = e.code == ERR_CANCELLED || e.code == ERR_MEMORY;
    if (!passes)
        fail_job(j, r.id, &e);
    j->store->ops->end_shard(j->store, shard, true);
    return !passes;
}

static void feed(struct jobs *j)
{
    struct jobs_needs models[JOBS_OFFERS_MAX];
    const size_t count = list_models(j, models, sizeof models / sizeof *models);
    struct jobs_shard shard;
    if (!j->draining)
        j->store->ops->offer(j->store, models, count);
    struct err e = {0};
    while (has_room(j)) {
        enum jobs_answer answer = j->store->ops->take_shard(j->store, models, count, &shard, &e);
        if (!jobs_note_read(j, answer, &e) || answer != JOBS_DONE || !feed_shard(j, &shard))
            break;
    }
}

/* ---- the loop ---- */

static bool may_retain(const struct jobs *j)
{
    return !jobs_paused(j) && !j->stopping;
}

/* Results would only find a full store full again, so what makes room comes before them. */
static void make_room(struct jobs *j)
{
    jobs_begin_room(j);
    obey_cancels(j);
    for (int i = 0; i < ROOM_ROUNDS && jobs_retain(j); i++)
        ;
    jobs_end_room(j);
}

static bool is_over_locked(const struct jobs *j)
{
    lock_assert_held(&j->lock);
    return j->stopping && !j->runs;
}

/* Sleeps until there is something to do; false: it is over. */
static bool wait_for_work(struct jobs *j)
{
    const int64_t look_ns = clock_ns() + LOOK_NS;
    lock_take(&j->lock);
    for (;;) {
        int64_t until = look_ns;
        if (j->wake || is_over_locked(j) || (j->retain_ns == 0 && may_retain(j)) ||
            (j->unkept >= COMMIT_IMAGES && !jobs_paused(j)))
            break;
        if (j->unkept > 0 && j->unkept_since_ns + COMMIT_NS < until)
            until = j->unkept_since_ns + COMMIT_NS;
        if (jobs_paused(j) && j->paused_until_ns > until)
            until = j->paused_until_ns;
        if (!lock_wait(&j->lock, &j->changed, until))
            break;
    }
    j->wake = false;
    const bool goes_on = !is_over_locked(j);
    lock_drop(&j->lock);
    return goes_on;
}

void *jobs_feed_main(void *jobs)
{
    struct jobs *j = jobs;
    jobs_retain_begin(j);
    while (wait_for_work(j)) {
        if (j->draining)
            cancel_runs(j, NULL);
        if (j->is_full && may_retain(j))
            make_room(j);
        keep(j);
        settle(j);
        if (!jobs_paused(j) && !j->stopping) {
            obey_cancels(j);
            obey_ends(j);
        }
        feed(j);
        if (may_retain(j) && clock_ns() >= j->retain_ns)
            j->retain_ns = jobs_retain(j) ? 0 : clock_ns() + RETAIN_NS;
    }
    return NULL;
}
