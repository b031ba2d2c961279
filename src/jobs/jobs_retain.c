/* Retention: finished → expired (a tombstone, whose images are deleted in small pieces so that
 * results and filings go in between) → nothing. Each step is one transaction, and what it was is
 * seen from the records; a restart goes on with it. Several steps of a kind are taken in a row, so
 * that jobs do not end faster than they go. */
#include "jobs_retain.h"

#include "jobs_pause.h"

#define STEPS 32 /* of a kind in a row */
#define SWEEP_RESULTS 512

static bool is_due(const struct jobs *j, const struct jobs_record *r)
{
    return r->finished_ms <= jobs_now_ms() - j->keep_ms;
}

static uint64_t finished_of(const struct jobs_store_stats *s)
{
    return s->jobs[JOBS_SUCCEEDED] + s->jobs[JOBS_FAILED] + s->jobs[JOBS_CANCELLED];
}

/* By age; or, the oldest, by bytes, where the one that finished last is kept whatever it takes; or
 * by the number of records (`too_many`). Takes it out of the figures. */
static bool expire_one(struct jobs *j, bool too_many, struct jobs_store_stats *stats)
{
    struct jobs_record r;
    struct err e = {0};
    const enum jobs_answer answer = j->store->ops->oldest(j->store, JOBS_FINISHED, false, &r, &e);
    if (answer != JOBS_DONE) {
        jobs_note_read(j, answer, &e);
        return false;
    }
    const bool too_much =
        j->keep_bytes > 0 && stats->finished_bytes > j->keep_bytes && finished_of(stats) > 1;
    if (!too_many && !too_much && !is_due(j, &r))
        return false;
    stats->jobs[r.state]--;
    stats->finished_bytes -= r.bytes < stats->finished_bytes ? r.bytes : stats->finished_bytes;
    r.state = JOBS_EXPIRED;
    r.finished_ms = jobs_now_ms();
    return jobs_note_write(j, j->store->ops->change(j->store, &r, &e), &e);
}

static bool sweep_some(struct jobs *j)
{
    struct jobs_record r;
    struct err e = {0};
    uint64_t results = 0;
    int steps = 0;
    for (; steps < STEPS && results < SWEEP_RESULTS; steps++) {
        const enum jobs_answer answer =
            j->store->ops->oldest(j->store, JOBS_BIT(JOBS_EXPIRED), true, &r, &e);
        if (answer != JOBS_DONE) {
            jobs_note_read(j, answer, &e);
            break;
        }
        if (!jobs_note_write(j, j->store->ops->sweep(j->store, r.id, SWEEP_RESULTS, &e), &e))
            break;
        results += r.images_done;
    }
    return steps > 0;
}

/* `too_many`: also before its time. */
static bool erase_one(struct jobs *j, bool too_many)
{
    struct jobs_record r;
    struct err e = {0};
    enum jobs_answer answer =
        j->store->ops->oldest(j->store, JOBS_BIT(JOBS_EXPIRED), false, &r, &e);
    if (answer == JOBS_DONE && r.bytes == 0 && (too_many || is_due(j, &r)))
        return jobs_note_write(j, j->store->ops->erase(j->store, r.id, &e), &e);
    jobs_note_read(j, answer, &e);
    return false;
}

bool jobs_retain(struct jobs *j)
{
    struct jobs_store_stats stats;
    struct err e = {0};
    const enum jobs_answer answer = j->store->ops->stats(j->store, &stats, &e);
    if (answer != JOBS_DONE) {
        jobs_note_read(j, answer, &e);
        return false;
    }
    /* Tombstones go first: whoever asks for one is told nothing but that it was there. */
    const uint64_t ended = finished_of(&stats) + stats.jobs[JOBS_EXPIRED];
    const uint64_t excess =
        j->records_max > 0 && ended > j->records_max ? ended - j->records_max : 0;
    const uint64_t tombstones =
        excess < stats.jobs[JOBS_EXPIRED] ? excess : stats.jobs[JOBS_EXPIRED];
    uint64_t expired = 0, erased = 0;
    while (expired < STEPS && expire_one(j, expired < excess - tombstones, &stats))
        expired++;
    const bool swept = sweep_some(j);
    while (erased < STEPS && erase_one(j, erased < tombstones))
        erased++;
    return expired > 0 || swept || erased > 0;
}
