/* Retention: finished → expired (a tombstone, whose images are deleted in small pieces so that
 * results and filings go in between) → nothing. Each step is one transaction, and what it was is
 * seen from the records; a restart goes on with it. Several steps of a kind are taken in a row, so
 * that jobs do not end faster than they go.
 *
 * Ages are told by the wall clock, as they outlive the process. One forward step of that clock, by
 * a wrong hand or a wrong server of time, would make every job old at once. So after such a step
 * nothing goes by its age, until the clock has stayed so for a day. */
#include "jobs_retain.h"

#include "jobs_pause.h"

#include "base_cpu.h"
#include "base_log.h"

#define STEPS 32 /* of a kind in a row */
#define SWEEP_RESULTS 512

#define STEP_MS INT64_C(3600000)            /* of the wall clock, that is not believed at once */
#define BELIEVED_NS INT64_C(86400000000000) /* after which it is */

static int64_t clock_gap_ms(void)
{
    return jobs_now_ms() - clock_ns() / 1000000;
}

void jobs_retain_begin(struct jobs *j)
{
    j->clock_gap_ms = clock_gap_ms();
    j->stepped_ns = 0;
}

/* Notes how the wall clock goes. */
static void look_at_clock(struct jobs *j)
{
    const int64_t gap_ms = clock_gap_ms(), step_ms = gap_ms - j->clock_gap_ms;
    if (step_ms > STEP_MS && j->stepped_ns == 0) {
        j->stepped_ns = clock_ns();
        log_line(LOG_WARN,
                 "the clock went forward by %lld s at once: no job is deleted for its age until it "
                 "has stayed so for a day",
                 (long long)(step_ms / 1000));
    } else if (step_ms <= STEP_MS || clock_ns() - j->stepped_ns >= BELIEVED_NS) {
        j->clock_gap_ms = gap_ms;
        j->stepped_ns = 0;
    }
}

static bool is_due(const struct jobs *j, const struct jobs_record *r)
{
    return j->stepped_ns == 0 && r->finished_ms <= jobs_now_ms() - j->keep_ms;
}

static uint64_t finished_of(const struct jobs_store_stats *s)
{
    return s->jobs[JOBS_SUCCEEDED] + s->jobs[JOBS_FAILED] + s->jobs[JOBS_CANCELLED];
}

/* How many records there are too many; tombstones go first: whoever asks for one is told nothing
 * but that it was there. */
static uint64_t excess_of(const struct jobs *j, const struct jobs_store_stats *s)
{
    const uint64_t ended = finished_of(s) + s->jobs[JOBS_EXPIRED];
    return j->records_max > 0 && ended > j->records_max ? ended - j->records_max : 0;
}

/* The figures. Where others share the store they take the same steps, so each step looks anew;
 * else what they were before is what this thread has changed in them. */
static bool look(struct jobs *j, bool is_first, struct jobs_store_stats *stats)
{
    struct err e = {0};
    if (!is_first && !jobs_are_shared(j))
        return true;
    const enum jobs_answer answer = j->store->ops->stats(j->store, stats, &e);
    if (answer != JOBS_DONE)
        jobs_note_read(j, answer, &e);
    return answer == JOBS_DONE;
}

/* By age; or, the oldest, by bytes, where the one that finished last is kept whatever it takes; or
 * by the number of records. Takes it out of the figures. */
static bool expire_one(struct jobs *j, struct jobs_store_stats *stats)
{
    const bool too_many = excess_of(j, stats) > stats->jobs[JOBS_EXPIRED];
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
    stats->jobs[JOBS_EXPIRED]++;
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

/* When it is due, or before where there are too many. Takes it out of the figures. */
static bool erase_one(struct jobs *j, struct jobs_store_stats *stats)
{
    const bool too_many = excess_of(j, stats) > 0;
    struct jobs_record r;
    struct err e = {0};
    enum jobs_answer answer =
        j->store->ops->oldest(j->store, JOBS_BIT(JOBS_EXPIRED), false, &r, &e);
    if (answer == JOBS_DONE && r.bytes == 0 && (too_many || is_due(j, &r))) {
        stats->jobs[JOBS_EXPIRED]--;
        return jobs_note_write(j, j->store->ops->erase(j->store, r.id, &e), &e);
    }
    jobs_note_read(j, answer, &e);
    return false;
}

bool jobs_retain(struct jobs *j)
{
    struct jobs_store_stats stats;
    uint64_t expired = 0, erased = 0;
    look_at_clock(j);
    if (!look(j, true, &stats))
        return false;
    while (expired < STEPS && look(j, false, &stats) && expire_one(j, &stats))
        expired++;
    const bool swept = sweep_some(j);
    while (erased < STEPS && look(j, false, &stats) && erase_one(j, &stats))
        erased++;
    return expired > 0 || swept || erased > 0;
}
