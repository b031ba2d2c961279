/* Jobs from their owner's side, and the room's life. Whoever calls only reads and writes records;
 * what follows from them is the jobs' thread's to do. */
#include "jobs_feed.h"

#include "jobs_order.h"
#include "jobs_sqlite.h"
#if JOBS_HAVE_NATS
#include "jobs_nats.h"
#endif

#include "base_cpu.h"
#include "base_log.h"
#include "base_wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- life ---- */

void jobs_wake(struct jobs *j)
{
    lock_take(&j->lock);
    j->wake = true;
    pthread_cond_signal(&j->changed);
    lock_drop(&j->lock);
}

static void store_changed(void *context, const char *id)
{
    struct jobs *j = context;
    jobs_wake(j);
    if (j->news)
        j->news(j->news_context, id);
}

static void say_what_is_there(struct jobs *j, const char *folder)
{
    struct jobs_store_stats stats;
    struct err e = {0};
    uint64_t live = 0, all = 0;
    if (j->store->ops->stats(j->store, &stats, &e) != JOBS_DONE)
        return; /* the first one who wants something of it says why */
    for (int state = 0; state < JOBS_STATES; state++) {
        all += stats.jobs[state];
        live += JOBS_LIVE & JOBS_BIT(state) ? stats.jobs[state] : 0;
    }
    log_line(LOG_INFO, "jobs are kept in %s: %" PRIu64 " there, %" PRIu64 " of them go on", folder,
             all, live);
}

#if JOBS_HAVE_NATS
bool jobs_knows_nats(void)
{
    return true;
}

static enum jobs_answer open_fleet(struct jobs *j, const struct jobs_options *o, struct err *e)
{
    const struct jobs_wire_options wire = {o->nats, o->nats_credentials, o->nats_ca,
                                           o->nats_replicas > 0 ? o->nats_replicas : 1};
    return jobs_nats_open(&wire, store_changed, j, &j->store, e);
}
#else
bool jobs_knows_nats(void)
{
    return false;
}

static enum jobs_answer open_fleet(struct jobs *j, const struct jobs_options *o, struct err *e)
{
    (void)j, (void)o;
    err_fail(e, ERR_UNSUPPORTED, "nats", "this pfgmd was built without NATS (libnats-dev)");
    return JOBS_BROKEN;
}
#endif

static enum jobs_answer open_store(struct jobs *j, const struct jobs_options *o, struct err *e)
{
    if (o->nats && o->nats[0])
        return open_fleet(j, o, e); /* which says itself what is there, when it is connected */
    const enum jobs_answer answer = jobs_sqlite_open(o->folder, &j->store, e);
    if (answer != JOBS_DONE)
        return answer;
    j->store->context = j;
    j->store->changed = store_changed;
    say_what_is_there(j, o->folder);
    return JOBS_DONE;
}

static void jobs_free(struct jobs *j)
{
    if (j->store)
        j->store->ops->close(j->store);
    pthread_cond_destroy(&j->changed);
    pthread_cond_destroy(&j->filed);
    lock_clear(&j->lock);
    lock_clear(&j->filing);
    free(j);
}

struct jobs *jobs_open(struct engine *g, const struct jobs_options *options, struct err *e)
{
    struct jobs *j = calloc(1, sizeof *j);
    if (!j) {
        err_fail_memory(e, sizeof *j);
        return NULL;
    }
    j->engine = g;
    j->keep_ms = (options->keep_s > 0 ? options->keep_s : JOBS_KEEP_S_DEFAULT) * 1000;
    j->keep_bytes = options->keep_bytes;
    j->records_max = options->records_max;
    j->news = options->news;
    j->news_context = options->context;
    j->live_max = options->live_max;
    lock_init(&j->lock);
    lock_init(&j->filing);
    wait_init(&j->filed);
    wait_init(&j->changed);
    if (open_store(j, options, e) == JOBS_DONE) {
        const int code = pthread_create(&j->thread, NULL, jobs_feed_main, j);
        if (code == 0)
            return j;
        err_fail(e, ERR_IO, "jobs", "cannot start a thread: %s", strerror(code));
    }
    jobs_free(j);
    return NULL;
}

void jobs_drain(struct jobs *j)
{
    j->draining = true;
    jobs_wake(j);
}

void jobs_close(struct jobs *j)
{
    if (!j)
        return;
    j->stopping = true;
    jobs_drain(j);
    pthread_join(j->thread, NULL);
    jobs_free(j);
}

/* ---- filing ---- */

/* What is asked for a client holds up a thread that serves others, too. */
static void hurry(const struct jobs *j, bool hurries)
{
    if (j->store->ops->hurry)
        j->store->ops->hurry(hurries);
}

/* Who files it, and under which names. */
static int fill_names(const struct jobs_filing *f, struct jobs_record *r, struct err *e)
{
    memset(r, 0, sizeof *r);
    if (strlen(f->owner) > JOBS_OWNER_MAX)
        return err_fail(e, ERR_LIMIT, "owner", "is longer than %d bytes", JOBS_OWNER_MAX);
    snprintf(r->owner, sizeof r->owner, "%s", f->owner);
    snprintf(r->id, sizeof r->id, "%s", f->id ? f->id : "");
    return f->key ? sha256_hex(f->key, strlen(f->key), r->key, e) : 0;
}

static int fill(const struct jobs_filing *f, struct jobs_record *r, struct err *e)
{
    if (fill_names(f, r, e) != 0 || (!f->id && jobs_id_draw(r->id, e) != 0))
        return -1;
    snprintf(r->body, sizeof r->body, "%s", f->body);
    snprintf(r->label, sizeof r->label, "%s", f->label ? f->label : "");
    r->submitted_ms = jobs_now_ms();
    return jobs_order_write(f->order, r, e);
}

/* What a record that is there already means to whoever files. */
static enum jobs_answer judge(const struct jobs_filing *f, const struct jobs_record *there,
                              struct err *e)
{
    const bool is_it = strcmp(there->owner, f->owner) == 0 && strcmp(there->body, f->body) == 0 &&
                       (!f->id || strcmp(there->id, f->id) == 0); /* a key may be another job's */
    if (!is_it) {
        err_fail(e, ERR_INPUT, "", "there is a job of that name already");
        return JOBS_CONFLICT;
    }
    if (there->state != JOBS_EXPIRED)
        return JOBS_DONE;
    err_fail(e, ERR_INPUT, "", "this job has expired");
    return JOBS_GONE;
}

enum jobs_answer jobs_filed(struct jobs *j, const struct jobs_filing *filing,
                            struct jobs_record *out, struct err *e)
{
    struct jobs_record names;
    if (fill_names(filing, &names, e) != 0)
        return JOBS_BROKEN;
    if (!filing->id && !filing->key)
        return JOBS_ABSENT;
    hurry(j, true);
    const enum jobs_answer answer = j->store->ops->same(j->store, &names, out, e);
    hurry(j, false);
    return answer == JOBS_DONE ? judge(filing, out, e) : answer;
}

static uint64_t count_pending(const struct jobs *j, const char *owner)
{
    uint64_t count = 0;
    for (const struct jobs_pending *p = j->pending; p; p = p->next)
        count += strcmp(p->owner, owner) == 0;
    return count;
}

/* Whether the owner may have one more. Those that are being filed count; where it depends on what
 * becomes of them, that is waited for. [filing] */
static enum jobs_answer check_live_locked(struct jobs *j, const char *owner, struct err *e)
{
    const struct jobs_query live = {.owner = owner, .states = JOBS_LIVE};
    uint64_t count = 0, pending;
    lock_assert_held(&j->filing);
    if (j->live_max == 0)
        return JOBS_DONE;
    for (;;) {
        const enum jobs_answer answer = j->store->ops->count(j->store, &live, &count, e);
        pending = count_pending(j, owner);
        if (answer != JOBS_DONE || count + pending < j->live_max)
            return answer;
        if (pending == 0 || count >= j->live_max + pending)
            break;
        lock_wait(&j->filing, &j->filed, clock_ns() + 1000000000LL);
    }
    err_fail(e, ERR_LIMIT, "",
             "%" PRIu64 " jobs wait or run already, and there may be no more: file this one when "
             "one of them has ended, or cancel one",
             count);
    return JOBS_MANY;
}

static enum jobs_answer begin_filing(struct jobs *j, struct jobs_pending *pending, struct err *e)
{
    lock_take(&j->filing);
    const enum jobs_answer answer = check_live_locked(j, pending->owner, e);
    if (answer == JOBS_DONE) {
        pending->next = j->pending;
        j->pending = pending;
    }
    lock_drop(&j->filing);
    return answer;
}

static void end_filing(struct jobs *j, const struct jobs_pending *pending)
{
    lock_take(&j->filing);
    struct jobs_pending **link = &j->pending;
    while (*link != pending)
        link = &(*link)->next;
    *link = pending->next;
    pthread_cond_broadcast(&j->filed);
    lock_drop(&j->filing);
}

enum jobs_answer jobs_file(struct jobs *j, const struct jobs_filing *filing,
                           struct jobs_record *out, bool *is_new, struct err *e)
{
    struct jobs_pending pending = {.owner = filing->owner};
    *is_new = false;
    if (fill(filing, out, e) != 0)
        return JOBS_BROKEN;
    enum jobs_answer answer = begin_filing(j, &pending, e);
    if (answer == JOBS_DONE) {
        hurry(j, true);
        answer = j->store->ops->create(j->store, out, e);
        hurry(j, false);
        end_filing(j, &pending);
    }
    *is_new = answer == JOBS_DONE;
    return answer == JOBS_CONFLICT || answer == JOBS_DONE ? judge(filing, out, e) : answer;
}

/* ---- looking and removing ---- */

enum jobs_answer jobs_get(struct jobs *j, const char *owner, const char *id,
                          struct jobs_record *out, struct err *e)
{
    hurry(j, true);
    const enum jobs_answer answer = j->store->ops->get(j->store, id, out, e);
    hurry(j, false);
    if (answer != JOBS_DONE)
        return answer;
    if (strcmp(out->owner, owner) != 0) {
        err_fail(e, ERR_INPUT, "", "there is no such job");
        return JOBS_ABSENT;
    }
    if (out->state != JOBS_EXPIRED)
        return JOBS_DONE;
    err_fail(e, ERR_INPUT, "", "this job has expired");
    return JOBS_GONE;
}

enum jobs_answer jobs_list(struct jobs *j, const char *owner, unsigned states, uint64_t before,
                           struct jobs_record *out, size_t *count, struct err *e)
{
    const struct jobs_query query = {.owner = owner, .states = states, .before = before};
    hurry(j, true);
    const enum jobs_answer answer = j->store->ops->list(j->store, &query, out, count, e);
    hurry(j, false);
    return answer;
}

enum jobs_answer jobs_remove(struct jobs *j, const char *owner, const char *id, uint64_t revision,
                             struct jobs_record *out, struct err *e)
{
    enum jobs_answer answer = JOBS_CONFLICT; /* somebody was faster */
    for (int i = 0; answer == JOBS_CONFLICT && i < JOBS_TRIES; i++) {
        struct err gone = {0};
        answer = jobs_get(j, owner, id, out, &gone);
        if (answer == JOBS_GONE || (answer == JOBS_DONE && out->state == JOBS_CANCELLING))
            return JOBS_DONE;
        if (answer != JOBS_DONE) {
            if (e)
                *e = gone;
            return answer;
        }
        if (revision && out->revision != revision) {
            err_fail(e, ERR_INPUT, "", "the job is not any more as it was seen: it is %s",
                     jobs_state_word(out->state));
            return JOBS_CHANGED;
        }
        if (JOBS_LIVE & JOBS_BIT(out->state)) {
            out->state = JOBS_CANCELLING;
        } else {
            out->state = JOBS_EXPIRED;
            out->finished_ms = jobs_now_ms();
        }
        hurry(j, true);
        answer = j->store->ops->change(j->store, out, &gone);
        hurry(j, false);
        if (answer != JOBS_DONE && e)
            *e = gone;
    }
    if (answer != JOBS_CONFLICT)
        return answer;
    err_fail(e, ERR_IO, "", "the job is changed by others again and again at present");
    return JOBS_AWAY;
}

enum jobs_answer jobs_image(struct jobs *j, const char *id, uint64_t index, struct jobs_result *out,
                            struct buf *bytes, struct err *e)
{
    hurry(j, true);
    const enum jobs_answer answer = j->store->ops->get_result(j->store, id, index, out, bytes, e);
    hurry(j, false);
    return answer;
}

enum jobs_answer jobs_log(struct jobs *j, const char *id, uint64_t after, struct jobs_result *out,
                          size_t *count, struct err *e)
{
    hurry(j, true);
    const enum jobs_answer answer = j->store->ops->log(j->store, id, after, out, count, e);
    hurry(j, false);
    return answer;
}

struct jobs_progress jobs_progress_get(struct jobs *j, const struct jobs_record *r)
{
    struct jobs_progress out = {.steps = 0};
    const struct jobs_store_ops *ops = j->store->ops;
    double images = (double)(r->images_done + (ops->untold ? ops->untold(j->store, r->id) : 0));
    lock_take(&j->lock);
    for (const struct jobs_run *run = j->runs; run; run = run->next) {
        if (strcmp(run->shard.id, r->id) != 0)
            continue;
        const struct engine_progress p = engine_request_progress(run->request);
        const int64_t steps = engine_request_order(run->request)->solver.ode.steps;
        images += p.fraction * (double)run->shard.count - (double)run->kept;
        out.steps += p.steps - (int64_t)run->kept * steps;
    }
    lock_drop(&j->lock);
    const double fraction = images / (double)r->n;
    out.fraction = fraction < 0.0 ? 0.0 : fraction > 1.0 ? 1.0 : fraction;
    out.steps = out.steps > 0 ? out.steps : 0;
    return out;
}

enum jobs_answer jobs_position(struct jobs *j, const struct jobs_record *r, uint64_t *out,
                               struct err *e)
{
    const struct jobs_query before = {.states = JOBS_BIT(JOBS_QUEUED), .before = r->number};
    *out = 0;
    if (r->state != JOBS_QUEUED)
        return JOBS_DONE;
    const enum jobs_answer answer = j->store->ops->count(j->store, &before, out, e);
    ++*out;
    return answer;
}

bool jobs_preview_get(struct jobs *j, const char *id, uint64_t after, struct jobs_preview *out)
{
    const struct jobs_run *newest = NULL;
    lock_take(&j->lock);
    for (const struct jobs_run *run = j->runs; run; run = run->next)
        if (run->preview.number > (newest ? newest->preview.number : after) &&
            strcmp(run->shard.id, id) == 0)
            newest = run;
    const bool found = newest && buf_append(&out->png, newest->preview.png.data,
                                            newest->preview.png.length, NULL) == 0;
    if (found) {
        out->number = newest->preview.number;
        out->index = newest->preview.index;
        out->step = newest->preview.step;
    }
    lock_drop(&j->lock);
    return found;
}

bool jobs_are_shared(const struct jobs *j)
{
    return j->store->ops->served != NULL;
}

uint64_t jobs_live_max(const struct jobs *j)
{
    return j->live_max;
}

bool jobs_served(struct jobs *j, const struct jobs_record *r, char *why, size_t size)
{
    struct engine_model *em = jobs_order_model(j->engine, &r->needs);
    if (em) {
        engine_model_release(em);
        return true;
    }
    const struct jobs_store_ops *ops = j->store->ops;
    if (ops->served && ops->served(j->store, &r->needs))
        return true;
    snprintf(why, size, "waits for model %s (SHA-256 %.12s…) on kernel %s in %s, which %s",
             r->needs.model, r->needs.sha256, r->needs.kernel, r->needs.precision,
             ops->served ? "no replica has loaded" : "is not loaded");
    return false;
}

enum jobs_answer jobs_stats_get(struct jobs *j, struct jobs_stats *out, struct err *e)
{
    struct jobs_store_stats stats;
    *out = (struct jobs_stats){.store_bytes = 0};
    lock_take(&j->lock);
    out->trouble = j->trouble;
    lock_drop(&j->lock);
    const enum jobs_answer answer = j->store->ops->stats(j->store, &stats, e);
    if (answer == JOBS_DONE) {
        memcpy(out->jobs, stats.jobs, sizeof out->jobs);
        out->store_bytes = stats.file_bytes;
        out->images_waiting = stats.images_waiting;
        out->unserved = stats.unserved;
        out->replicas = stats.replicas;
    }
    return answer;
}
