/* Jobs that do not go on: what was handed out of them and was lost is handed out anew.
 *
 * The keeper's thread does it, and whoever holds a shard is heard of through that thread: so it
 * waits for nothing but a few answers of the server, says between them what is held, and asks about
 * a job only after it has been handed out for a while. */
#include "jobs_fleet_revive.h"

#include "jobs_fleet_records.h"
#include "jobs_fleet_work.h"
#include "jobs_tally.h"

#include "base_cpu.h"
#include "base_log.h"

#include <inttypes.h>
#include <string.h>

#define SECOND_NS 1000000000LL
#define REVIVED_MAX 4 /* jobs that are asked about in a row */

/* A job that this replica could work on, that has been handed out whole for a while, and that was
 * not asked about for as long: of those the one that was asked about longest ago. False: none. */
static bool find_handed(struct jobs_fleet *f, struct jobs_entry *out)
{
    const int64_t now = clock_ns();
    struct jobs_entry *best = NULL;
    lock_take(&f->lock);
    for (struct jobs_entry *entry = NULL; (entry = jobs_mirror_next(&f->mirror, entry)) != NULL;) {
        size_t i = 0;
        if (!jobs_fleet_is_open(entry) || entry->handed < entry->n) {
            entry->seen_ns = 0;
            continue;
        }
        if (entry->seen_ns == 0) {
            entry->seen_ns = entry->asked_ns = now;
            entry->seen_count = 0;
        }
        if (now - entry->asked_ns < f->stuck_ns || (best && best->asked_ns <= entry->asked_ns))
            continue;
        while (i < f->offer_count && strcmp(f->offers[i], entry->work) != 0)
            i++;
        if (i < f->offer_count)
            best = entry;
    }
    if (best)
        *out = *best;
    lock_drop(&f->lock);
    return best != NULL;
}

/* Notes that there are so many reports of it. Whether there was not one more for too long. A shard
 * of slow images may take longer than that, and is reported image by image. */
static bool note_reports(struct jobs_fleet *f, const char *id, uint64_t count)
{
    const int64_t now = clock_ns();
    lock_take(&f->lock);
    struct jobs_entry *there = jobs_mirror_find(&f->mirror, id);
    if (there && (there->seen_ns == 0 || there->seen_count != count)) {
        there->seen_ns = now;
        there->seen_count = count;
    }
    const bool too_long = there && now - there->seen_ns >= f->anyway_ns;
    lock_drop(&f->lock);
    return too_long;
}

/* `again`: it is to be asked about at the next look. */
static void note_asked(struct jobs_fleet *f, const char *id, bool again)
{
    lock_take(&f->lock);
    struct jobs_entry *there = jobs_mirror_find(&f->mirror, id);
    if (there)
        there->asked_ns = clock_ns() - (again ? f->stuck_ns - SECOND_NS : 0);
    lock_drop(&f->lock);
}

static bool is_still_open(struct jobs_fleet *f, const char *id)
{
    lock_take(&f->lock);
    const struct jobs_entry *there = jobs_mirror_find(&f->mirror, id);
    const bool open = there && there->text && jobs_fleet_is_open(there);
    lock_drop(&f->lock);
    return open;
}

/* The first image that was not reported; 0 where all were, and yet something is amiss. */
static enum jobs_answer find_first(struct jobs_fleet *f, struct jobs_wire *w,
                                   const struct jobs_entry *entry, uint64_t *out, struct err *e)
{
    struct jobs_tally *t;
    const enum jobs_answer answer = jobs_tally_lock(f, w, entry->id, entry->n, &t, e);
    if (answer != JOBS_DONE)
        return answer;
    *out = 0;
    while (*out < t->n && jobs_tally_has(t, *out))
        ++*out;
    if (*out == t->n)
        *out = 0;
    lock_drop(&f->lock);
    return JOBS_DONE;
}

/* Has the job handed out anew from there on where a shard of it is missing. */
static void hand_out_anew(struct jobs_fleet *f, struct jobs_wire *w, const struct jobs_entry *entry)
{
    struct err e = {0};
    uint64_t first = 0;
    if (find_first(f, w, entry, &first, &e) != JOBS_DONE)
        return;
    log_line(LOG_WARN, "job %s does not go on: its images from %" PRIu64 " on are handed out anew",
             entry->id, first);
    jobs_fleet_write_handed(f, w, entry, first - first % JOBS_SHARD_IMAGES, entry->round + 1, &e);
    jobs_fleet_tell(f, entry->id);
}

/* Looks after one job. If nobody works on any of its kind, nobody does on it; and if some always
 * do, it counts as forgotten after a long while without one more image. Which of it is so is asked
 * before its shards are counted, as one may end in between. False: it is to be looked at again
 * soon, when all reports of it are read. */
static bool revive(struct jobs_fleet *f, struct jobs_wire *w, const struct jobs_entry *entry)
{
    struct err e = {0};
    uint64_t whole = 0, reports = 0;
    bool idle = false, is_read = false;
    if (jobs_wire_is_idle(w, entry->work, &idle, &e) != JOBS_DONE)
        return true;
    jobs_fleet_say_held(f, w);
    if (jobs_fleet_count_shards(w, entry->id, &whole, &e) != JOBS_DONE)
        return true;
    jobs_fleet_say_held(f, w);
    if (jobs_fleet_count_reports(w, entry->id, &reports, &e) != JOBS_DONE)
        return true;
    jobs_fleet_say_held(f, w);
    const bool is_stuck = note_reports(f, entry->id, reports) || idle;
    const bool is_whole = whole >= jobs_fleet_shards(entry->n);
    if (!is_stuck && !is_whole)
        return true;
    if (jobs_tally_is_read(f, w, entry->id, entry->n, &is_read, &e) != JOBS_DONE || !is_read)
        return false;
    if (is_whole)
        jobs_fleet_finish(f, w, entry->id, &e); /* whoever stored the last one did not come to it */
    if (is_stuck && is_still_open(f, entry->id))
        hand_out_anew(f, w, entry);
    return true;
}

void jobs_fleet_revive(struct jobs_fleet *f, struct jobs_wire *w)
{
    struct jobs_entry entry;
    for (int i = 0; i < REVIVED_MAX && find_handed(f, &entry); i++) {
        note_asked(f, entry.id, !revive(f, w, &entry));
        jobs_fleet_say_held(f, w);
    }
}
