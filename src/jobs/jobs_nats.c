/* The table of the fleet's store: results, figures, and its beginning and end. Records, work and
 * the connection have files of their own. */
#include "jobs_nats.h"

#include "jobs_fleet_filing.h"
#include "jobs_fleet_keep.h"
#include "jobs_fleet_records.h"
#include "jobs_fleet_report.h"
#include "jobs_fleet_work.h"
#include "jobs_tally.h"

#include "base_cpu.h"
#include "base_wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_NS 5000000000LL /* the start waits for so long at most */

static struct jobs_fleet *of(struct jobs_store *s)
{
    return (struct jobs_fleet *)s;
}

/* ---- results ---- */

/* Those results that are not known to be there, as messages. */
static size_t describe(struct jobs_fleet *f, const char *id, uint64_t n,
                       const struct jobs_result *results, size_t count,
                       struct jobs_wire_message *out)
{
    size_t used = 0;
    lock_take(&f->lock);
    for (size_t i = 0; i < count; i++) {
        const struct jobs_result *r = &results[i];
        if (r->index >= n || jobs_fleet_is_noted(f, id, r->index))
            continue;
        struct jobs_wire_message *m = &out[used++];
        *m = (struct jobs_wire_message){.data = r->bytes, .length = r->length};
        snprintf(m->subject, sizeof m->subject, "pfgm.result.%s.%" PRIu64, id, r->index);
        snprintf(m->id, sizeof m->id, "%s.%" PRIu64, id, r->index);
        jobs_report_write_note(r, m->note);
    }
    lock_drop(&f->lock);
    return used;
}

static enum jobs_answer put_messages(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                     struct jobs_wire_message *messages, size_t count,
                                     struct err *e)
{
    struct err why = {0};
    enum jobs_answer answer = jobs_wire_publish(w, messages, count, &why);
    if (answer == JOBS_BROKEN && why.code == ERR_LIMIT) { /* it is too large for ever */
        answer = jobs_fleet_give_up(f, w, id, &why, e);
        return answer == JOBS_DONE ? JOBS_ABSENT : answer;
    }
    if (answer != JOBS_DONE && e)
        *e = why;
    return answer;
}

/* Says to others what is stored now, and ends the job with the last of it. */
static enum jobs_answer report(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                               const struct jobs_result *results, size_t count, struct err *e)
{
    struct jobs_reported what = {false};
    const enum jobs_answer answer = jobs_fleet_report(f, w, id, results, count, &what, e);
    if (answer == JOBS_DONE && what.other)
        return jobs_fleet_finish(f, w, id, e);
    return answer == JOBS_DONE && what.shard ? jobs_fleet_finish_whole(f, w, id, e) : answer;
}

static enum jobs_answer put(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                            const struct jobs_result *results, size_t count, struct err *e)
{
    struct jobs_record r;
    /* Not from the mirror: whoever stood still for a while may be the last to hear of an end. */
    enum jobs_answer answer = jobs_fleet_refresh(f, w, id, &r, e);
    if (answer == JOBS_DONE && !(JOBS_LIVE & JOBS_BIT(r.state))) {
        err_fail(e, ERR_INPUT, "", "the job has ended");
        answer = JOBS_ABSENT;
    }
    struct jobs_wire_message *messages = calloc(count + 1, sizeof *messages);
    if (!messages) {
        err_fail_memory(e, count * sizeof *messages);
        answer = JOBS_BROKEN;
    }
    if (answer == JOBS_DONE)
        answer =
            put_messages(f, w, id, messages, describe(f, id, r.n, results, count, messages), e);
    free(messages);
    return answer == JOBS_DONE ? report(f, w, id, results, count, e) : answer;
}

static enum jobs_answer put_results(struct jobs_store *s, const char *id,
                                    const struct jobs_result *results, size_t count, struct err *e)
{
    struct jobs_fleet *f = of(s);
    struct jobs_wire *w = jobs_fleet_wire(f, e);
    const enum jobs_answer answer = w ? put(f, w, id, results, count, e) : JOBS_AWAY;
    jobs_wire_release(w);
    if (answer == JOBS_DONE)
        jobs_fleet_tell(f, id);
    return answer;
}

static enum jobs_answer check_result(struct jobs_fleet *f, const char *note, uint64_t index,
                                     const struct buf *bytes, struct jobs_result *out,
                                     struct err *e)
{
    char sha256[SHA256_HEX_SIZE];
    *out = (struct jobs_result){.index = index, .bytes = bytes->data, .length = bytes->length};
    if (sha256_hex(bytes->data, bytes->length, sha256, e) != 0)
        return JOBS_BROKEN;
    if (jobs_report_read_note(note, out) == 0 && strcmp(sha256, out->sha256) == 0)
        return JOBS_DONE;
    err_fail(e, ERR_INPUT, f->shown,
             "the store of jobs is damaged: the bytes of an image are not those that were stored");
    return JOBS_BROKEN;
}

static enum jobs_answer get_result(struct jobs_store *s, const char *id, uint64_t index,
                                   struct jobs_result *out, struct buf *bytes, struct err *e)
{
    struct jobs_fleet *f = of(s);
    char subject[96], note[JOBS_NOTE_SIZE];
    struct jobs_wire *w = jobs_fleet_wire(f, e);
    snprintf(subject, sizeof subject, "pfgm.result.%s.%" PRIu64, id, index);
    enum jobs_answer answer = w ? jobs_wire_result(w, subject, bytes, note, e) : JOBS_AWAY;
    jobs_wire_release(w);
    if (answer == JOBS_ABSENT)
        err_fail(e, ERR_INPUT, "", "this image is not there yet");
    return answer == JOBS_DONE ? check_result(f, note, index, bytes, out, e) : answer;
}

static enum jobs_answer log_of(struct jobs_fleet *f, const struct jobs_record *r, uint64_t after,
                               struct jobs_result *out, size_t *count, struct err *e)
{
    const size_t max = *count;
    bool is_whole;
    *count = 0;
    lock_take(&f->lock);
    const struct jobs_tally *t = jobs_tally_look_locked(f, r->id, r->n, &is_whole);
    const uint64_t there = is_whole ? t->count : 0;
    /* What came from others after the end was counted is not of the job. */
    const bool is_live = JOBS_LIVE & JOBS_BIT(r->state);
    const uint64_t end = is_live || there < r->images_done ? there : r->images_done;
    for (uint64_t i = after; i < end && *count < max; i++)
        out[(*count)++] = jobs_report_result(&t->results[i], i + 1);
    lock_drop(&f->lock);
    if (is_whole)
        return JOBS_DONE;
    err_fail(e, ERR_IO, f->shown, "what is stored of the job is being counted");
    return JOBS_AWAY;
}

static enum jobs_answer log_results(struct jobs_store *s, const char *id, uint64_t after,
                                    struct jobs_result *out, size_t *count, struct err *e)
{
    struct jobs_fleet *f = of(s);
    struct jobs_record r;
    struct jobs_wire *w = jobs_fleet_wire(f, e);
    enum jobs_answer answer = w ? jobs_fleet_look(f, w, id, &r, e) : JOBS_AWAY;
    if (answer == JOBS_DONE)
        answer = log_of(f, &r, after, out, count, e);
    if (answer != JOBS_DONE)
        *count = 0;
    jobs_wire_release(w);
    return answer == JOBS_ABSENT ? JOBS_DONE : answer;
}

/* ---- figures ---- */

static enum jobs_answer stats(struct jobs_store *s, struct jobs_store_stats *out, struct err *e)
{
    struct jobs_fleet *f = of(s);
    struct jobs_wire *w = jobs_fleet_wire(f, e);
    *out = (struct jobs_store_stats){.file_bytes = 0};
    if (!w)
        return JOBS_AWAY;
    lock_take(&f->lock);
    for (struct jobs_entry *entry = NULL; (entry = jobs_mirror_next(&f->mirror, entry)) != NULL;) {
        out->jobs[entry->state]++;
        if (JOBS_FINISHED & JOBS_BIT(entry->state))
            out->finished_bytes += entry->bytes;
        if (entry->state != JOBS_QUEUED && entry->state != JOBS_RUNNING)
            continue;
        /* More replicas of the same kind would not help with what none of them can make. */
        if (jobs_fleet_serves_locked(f, entry->work))
            out->images_waiting += entry->n - entry->handed;
        else
            out->unserved++;
    }
    for (const struct jobs_replica *r = f->replicas; r; r = r->next)
        out->replicas++;
    out->file_bytes = f->file_bytes;
    lock_drop(&f->lock);
    jobs_wire_release(w);
    return JOBS_DONE;
}

/* ---- life ---- */

static void fleet_free(struct jobs_fleet *f)
{
    while (f->replicas) {
        struct jobs_replica *r = f->replicas;
        f->replicas = r->next;
        free(r->work);
        free(r);
    }
    jobs_mirror_clear(&f->mirror);
    pthread_cond_destroy(&f->changed);
    lock_clear(&f->lock);
    free(f);
}

static void close_store(struct jobs_store *s)
{
    struct jobs_fleet *f = of(s);
    lock_take(&f->lock);
    f->stopping = true;
    pthread_cond_broadcast(&f->changed);
    lock_drop(&f->lock);
    pthread_join(f->thread, NULL);
    fleet_free(f);
}

static const struct jobs_store_ops nats_ops = {
    .close = close_store,
    .create = jobs_fleet_create,
    .same = jobs_fleet_same,
    .hurry = jobs_wire_hurry,
    .get = jobs_fleet_get,
    .peek = jobs_fleet_peek,
    .change = jobs_fleet_change,
    .list = jobs_fleet_list,
    .oldest = jobs_fleet_oldest,
    .sweep = jobs_fleet_sweep,
    .erase = jobs_fleet_erase,
    .stats = stats,
    .count = jobs_fleet_count,
    .put_results = put_results,
    .get_result = get_result,
    .log = log_results,
    .take_shard = jobs_fleet_take,
    .end_shard = jobs_fleet_end,
    .untold = jobs_fleet_untold,
    .offer = jobs_fleet_offer,
    .served = jobs_fleet_served,
};

/* The options are kept, as their texts are the caller's. */
static int copy_options(struct jobs_fleet *f, const struct jobs_wire_options *o, struct err *e)
{
    const char *credentials = o->credentials ? o->credentials : "", *ca = o->ca ? o->ca : "";
    if (strlen(o->servers) >= sizeof f->servers || strlen(credentials) >= sizeof f->credentials ||
        strlen(ca) >= sizeof f->ca)
        return err_fail(e, ERR_LIMIT, "nats", "is too long, or a file's name is");
    snprintf(f->servers, sizeof f->servers, "%s", o->servers);
    snprintf(f->credentials, sizeof f->credentials, "%s", credentials);
    snprintf(f->ca, sizeof f->ca, "%s", ca);
    jobs_wire_show(f->servers, f->shown);
    f->wanted = (struct jobs_wire_options){f->servers, f->credentials, f->ca, o->replicas};
    return jobs_id_draw(f->name, e);
}

static void wait_for_first_try(struct jobs_fleet *f)
{
    const int64_t end_ns = clock_ns() + OPEN_NS;
    lock_take(&f->lock);
    while (!f->was_tried && lock_wait(&f->lock, &f->changed, end_ns))
        ;
    lock_drop(&f->lock);
}

enum jobs_answer jobs_nats_open(const struct jobs_wire_options *options,
                                void (*changed)(void *context, const char *id), void *context,
                                struct jobs_store **out, struct err *e)
{
    struct jobs_fleet *f = calloc(1, sizeof *f);
    if (!f) {
        err_fail_memory(e, sizeof *f);
        return JOBS_BROKEN;
    }
    f->store = (struct jobs_store){&nats_ops, changed, context};
    f->stuck_ns = JOBS_STUCK_NS;
    f->anyway_ns = JOBS_ANYWAY_NS;
    lock_init(&f->lock);
    wait_init(&f->changed);
    int code = copy_options(f, options, e);
    if (code == 0 && (code = pthread_create(&f->thread, NULL, jobs_fleet_keep, f)) != 0)
        err_fail(e, ERR_IO, "jobs", "cannot start a thread: %s", strerror(code));
    if (code != 0) {
        fleet_free(f);
        return JOBS_BROKEN;
    }
    wait_for_first_try(f);
    *out = &f->store;
    return JOBS_DONE;
}
