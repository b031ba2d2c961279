/* One message per shard, and not one per image: whoever follows a job hears of 64 images at once.
 *
 *     pfgm.done.ID.FIRST          a shard that is whole, by its first image: stored once
 *     pfgm.done.ID.FIRST.REPLICA… some more of its images, while it is at work
 *
 * Shards that are whole are counted by the first kind. Whoever reads reports takes each image once,
 * so a report that comes twice says nothing new. Images are stored before they are reported; if a
 * replica dies in between, whoever gets its shard finds them and reports them. */
#include "jobs_fleet_report.h"

#include "jobs_tally.h"

#include "base_cpu.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REPORT_MAX ((size_t)256 << 10)

_Static_assert(JOBS_SHARD_IMAGES == 64, "a shard's images are bits of one word");

/* ---- notes ---- */

static uint64_t bit_of(const struct jobs_held *h, uint64_t index)
{
    return UINT64_C(1) << (index - h->first);
}

static bool has_image(const struct jobs_held *h, const char *id, uint64_t index)
{
    return index >= h->first && index - h->first < h->count && strcmp(h->id, id) == 0;
}

static struct jobs_held *find_held(const struct jobs_fleet *f, const char *id, uint64_t index)
{
    struct jobs_held *h = f->held;
    while (h && !has_image(h, id, index))
        h = h->next;
    return h;
}

void jobs_fleet_keep_note(struct jobs_held *h, const struct jobs_result *r)
{
    jobs_report_keep(r, &h->images[r->index - h->first]);
    h->stored |= bit_of(h, r->index);
}

bool jobs_fleet_is_noted(const struct jobs_fleet *f, const char *id, uint64_t index)
{
    const struct jobs_held *h = find_held(f, id, index);
    return h && (h->stored & bit_of(h, index));
}

bool jobs_fleet_is_whole(const struct jobs_held *h)
{
    return h->stored == UINT64_MAX >> (JOBS_SHARD_IMAGES - h->count);
}

uint64_t jobs_fleet_untold(struct jobs_store *s, const char *id)
{
    struct jobs_fleet *f = (struct jobs_fleet *)s;
    uint64_t count = 0;
    lock_take(&f->lock);
    for (const struct jobs_held *h = f->held; h; h = h->next)
        for (uint64_t left = strcmp(h->id, id) == 0 ? h->stored & ~h->told : 0; left; count++)
            left &= left - 1;
    lock_drop(&f->lock);
    return count;
}

/* ---- reports ---- */

/* One that is to be said. */
struct report {
    char id[JOBS_ID_SIZE];
    uint64_t first, told;
    bool is_whole;
    struct buf text;
};

/* What there is to say of a shard. -1: out of memory; 0: nothing; 1. */
static int write_report(const struct jobs_held *h, struct report *out, struct err *e)
{
    const bool is_whole = jobs_fleet_is_whole(h);
    const uint64_t news = is_whole ? h->stored : h->stored & ~h->told;
    if (is_whole ? h->is_reported : !news)
        return 0;
    memcpy(out->id, h->id, sizeof out->id);
    out->first = h->first;
    out->told = news;
    out->is_whole = is_whole;
    buf_reset(&out->text);
    for (size_t i = 0; i < h->count; i++)
        if (news >> i & 1 && jobs_report_write(&h->images[i], &out->text, e) != 0)
            return -1;
    return 1;
}

static enum jobs_answer send(struct jobs_fleet *f, struct jobs_wire *w, const struct report *r,
                             uint64_t *last, struct err *e)
{
    struct jobs_wire_message m = {.data = r->text.data, .length = r->text.length};
    int used = snprintf(m.subject, sizeof m.subject, JOBS_WIRE_DONE "%s.%" PRIu64, r->id, r->first);
    if (!r->is_whole)
        snprintf(m.subject + used, sizeof m.subject - (size_t)used, ".%.8s%" PRId64, f->name,
                 clock_ns());
    snprintf(m.id, sizeof m.id, "%.95s", m.subject + strlen(JOBS_WIRE_DONE));
    /* Parts are the keeper's to say, who may not wait for the images that go out meanwhile. */
    const enum jobs_answer answer =
        r->is_whole ? jobs_wire_publish(w, &m, 1, e) : jobs_wire_publish_one(w, &m, e);
    if (answer == JOBS_DONE && m.sequence > *last)
        *last = m.sequence;
    return answer;
}

static void note_told(struct jobs_fleet *f, const struct report *r)
{
    lock_take(&f->lock);
    struct jobs_held *h = find_held(f, r->id, r->first);
    if (h) {
        h->told |= r->told;
        h->is_reported = h->is_reported || r->is_whole;
    }
    lock_drop(&f->lock);
}

/* What comes after a job's end may come after it was forgotten, and would stay for ever. */
static bool is_live(const struct jobs_fleet *f, const char *id)
{
    const struct jobs_entry *entry = jobs_mirror_find(&f->mirror, id);
    return entry && entry->text && (JOBS_LIVE & JOBS_BIT(entry->state));
}

/* The next one of the job, or of any (NULL): of a shard that is whole, or of one that is not
 * (`parts`). -1, 0, 1 as above. */
static int next_report(struct jobs_fleet *f, const char *id, bool parts, struct report *out,
                       struct err *e)
{
    int result = 0;
    lock_take(&f->lock);
    for (const struct jobs_held *h = f->held; h && result == 0; h = h->next)
        if ((!id || strcmp(h->id, id) == 0) && jobs_fleet_is_whole(h) != parts && is_live(f, h->id))
            result = write_report(h, out, e);
    lock_drop(&f->lock);
    return result;
}

/* *whole: whether a shard was reported that is whole. */
static enum jobs_answer send_all(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                 bool parts, bool *whole, uint64_t *last, struct err *e)
{
    enum jobs_answer answer = JOBS_DONE;
    struct report r;
    int more = 1;
    *whole = false;
    buf_init(&r.text, REPORT_MAX);
    while (answer == JOBS_DONE && (more = next_report(f, id, parts, &r, e)) == 1) {
        answer = send(f, w, &r, last, e);
        if (answer == JOBS_DONE) {
            note_told(f, &r);
            *whole = *whole || r.is_whole;
        }
    }
    buf_clear(&r.text);
    return more < 0 ? JOBS_BROKEN : answer;
}

/* Notes what is of a shard that is held; the lines of the others. -1: out of memory. */
static int note_results(struct jobs_fleet *f, const char *id, const struct jobs_result *results,
                        size_t count, struct report *others, struct err *e)
{
    struct jobs_tallied one;
    int result = 0;
    lock_take(&f->lock);
    for (size_t i = 0; i < count && result == 0; i++) {
        struct jobs_held *h = find_held(f, id, results[i].index);
        if (h) {
            jobs_fleet_keep_note(h, &results[i]);
            continue;
        }
        if (others->text.length == 0)
            others->first = results[i].index;
        jobs_report_keep(&results[i], &one);
        result = jobs_report_write(&one, &others->text, e);
    }
    lock_drop(&f->lock);
    return result;
}

enum jobs_answer jobs_fleet_report(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                   const struct jobs_result *results, size_t count,
                                   struct jobs_reported *out, struct err *e)
{
    struct report others = {.first = 0};
    uint64_t last = 0;
    snprintf(others.id, sizeof others.id, "%s", id);
    buf_init(&others.text, REPORT_MAX);
    enum jobs_answer answer =
        note_results(f, id, results, count, &others, e) == 0 ? JOBS_DONE : JOBS_BROKEN;
    out->other = others.text.length > 0;
    if (answer == JOBS_DONE && out->other)
        answer = send(f, w, &others, &last, e);
    buf_clear(&others.text);
    if (answer == JOBS_DONE)
        answer = send_all(f, w, id, false, &out->shard, &last, e);
    jobs_tally_catch_up(f, id, last);
    return answer;
}

enum jobs_answer jobs_fleet_report_parts(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                         struct err *e)
{
    bool ignored;
    uint64_t last = 0;
    const enum jobs_answer answer = send_all(f, w, id, true, &ignored, &last, e);
    if (id)
        jobs_tally_catch_up(f, id, last);
    return answer;
}

enum jobs_answer jobs_fleet_report_shard(struct jobs_fleet *f, struct jobs_wire *w,
                                         const struct jobs_held *h, struct err *e)
{
    enum jobs_answer answer = JOBS_DONE;
    struct report r;
    uint64_t last = 0;
    lock_take(&f->lock);
    const bool live = is_live(f, h->id);
    lock_drop(&f->lock);
    buf_init(&r.text, REPORT_MAX);
    const int result = live ? write_report(h, &r, e) : 0;
    if (result == 1)
        answer = send(f, w, &r, &last, e);
    buf_clear(&r.text);
    if (result < 0)
        return JOBS_BROKEN;
    jobs_tally_catch_up(f, h->id, last);
    return answer;
}
