/* Retention: finished → expired (a tombstone, whose images are deleted in small pieces so that
 * results and filings go in between) → nothing. Each step is one transaction, and what it was is
 * seen from the records; a restart goes on with it. */
#include "jobs_retain.h"

#include "jobs_pause.h"

#define SWEEP_RESULTS 512

static bool is_due(const struct jobs *j, const struct jobs_record *r)
{
    return r->finished_ms <= jobs_now_ms() - j->keep_ms;
}

/* By age, or by bytes the oldest; the one that finished last is kept whatever it takes. */
static bool expire_one(struct jobs *j)
{
    struct jobs_store_stats stats;
    struct jobs_record r;
    struct err e = {0};
    enum jobs_answer answer = j->store->ops->oldest(j->store, JOBS_FINISHED, false, &r, &e);
    if (answer == JOBS_DONE)
        answer = j->store->ops->stats(j->store, &stats, &e);
    if (answer != JOBS_DONE) {
        jobs_note_read(j, answer, &e);
        return false;
    }
    const uint64_t finished =
        stats.jobs[JOBS_SUCCEEDED] + stats.jobs[JOBS_FAILED] + stats.jobs[JOBS_CANCELLED];
    const bool too_much = j->keep_bytes > 0 && stats.finished_bytes > j->keep_bytes && finished > 1;
    if (!too_much && !is_due(j, &r))
        return false;
    r.state = JOBS_EXPIRED;
    r.finished_ms = jobs_now_ms();
    return jobs_note_write(j, j->store->ops->change(j->store, &r, &e), &e);
}

static bool sweep_some(struct jobs *j)
{
    struct jobs_record r;
    struct err e = {0};
    enum jobs_answer answer = j->store->ops->oldest(j->store, JOBS_BIT(JOBS_EXPIRED), true, &r, &e);
    if (answer == JOBS_DONE)
        return jobs_note_write(j, j->store->ops->sweep(j->store, r.id, SWEEP_RESULTS, &e), &e);
    jobs_note_read(j, answer, &e);
    return false;
}

static bool erase_one(struct jobs *j)
{
    struct jobs_record r;
    struct err e = {0};
    enum jobs_answer answer =
        j->store->ops->oldest(j->store, JOBS_BIT(JOBS_EXPIRED), false, &r, &e);
    if (answer == JOBS_DONE && r.bytes == 0 && is_due(j, &r))
        return jobs_note_write(j, j->store->ops->erase(j->store, r.id, &e), &e);
    jobs_note_read(j, answer, &e);
    return false;
}

bool jobs_retain(struct jobs *j)
{
    const bool expired = expire_one(j), swept = sweep_some(j), erased = erase_one(j);
    return expired || swept || erased;
}
