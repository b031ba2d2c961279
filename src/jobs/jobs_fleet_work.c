/* Work: a job's images become shards a few at a time, when there are none left to take, and each
 * job in its turn; so a small job does not wait for a large one that came before it. Shards are
 * stored first and the record of how far they go follows, so what a replica leaves half done is
 * done again by the next one, and is the same.
 *
 * What is taken is asked for by others again if nothing is heard of it for JOBS_WIRE_ACK_S. Then it
 * may be worked on twice, and each image is stored once all the same. */
#include "jobs_fleet_work.h"

#include "jobs_fleet_records.h"
#include "jobs_fleet_report.h"
#include "jobs_tally.h"

#include "base_cpu.h"
#include "base_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DELIVERIES_MAX 5 /* of a shard that nobody finishes */
#define MADE_MAX 256     /* shards at a time */
#define EMPTY_NS 400000000LL
#define ROUNDS 256

#define ACKNOWLEDGED "+ACK"
#define IN_PROGRESS "+WPI"
#define GIVEN_BACK "-NAK"

#define AGAIN " again" /* ends the text of a shard that was given back */

static void say(struct jobs_wire *w, const char *reply, const char *word)
{
    jobs_wire_say(w, reply, word, strlen(word));
}

/* ---- what is held ---- */

static bool take_part(struct jobs_fleet *f, struct jobs_shard *out)
{
    bool found = false;
    lock_take(&f->lock);
    for (struct jobs_held *h = f->held; h && !found; h = h->next)
        for (size_t i = 0; i < h->part_count && !found; i++) {
            struct jobs_range_part *part = &h->parts[i];
            if (part->is_out)
                continue;
            part->is_out = found = true;
            memcpy(out->id, h->id, sizeof out->id);
            out->first = part->first;
            out->count = part->count;
        }
    lock_drop(&f->lock);
    return found;
}

/* Those of a shard's images that are not stored, in a row each. */
static void find_missing(struct jobs_held *h)
{
    for (size_t i = 0; i < h->count; i++) {
        if (h->stored >> i & 1)
            continue;
        if (i == 0 || h->stored >> (i - 1) & 1)
            h->parts[h->part_count++].first = h->first + i;
        h->parts[h->part_count - 1].count++;
    }
}

/* Notes which images of a shard somebody else has stored, who did not come to report them. */
static enum jobs_answer find_stored(struct jobs_wire *w, struct jobs_held *h, struct err *e)
{
    enum jobs_answer answer = JOBS_DONE;
    struct buf bytes;
    buf_init(&bytes, SIZE_MAX);
    for (size_t i = 0; answer == JOBS_DONE && i < h->count; i++) {
        char subject[96], note[JOBS_NOTE_SIZE];
        struct jobs_result r = {.index = h->first + i};
        snprintf(subject, sizeof subject, "pfgm.result.%s.%" PRIu64, h->id, r.index);
        buf_reset(&bytes);
        answer = jobs_wire_result(w, subject, &bytes, note, e);
        r.length = bytes.length;
        if (answer == JOBS_DONE && jobs_report_read_note(note, &r) == 0)
            jobs_fleet_keep_note(h, &r);
        if (answer == JOBS_ABSENT)
            answer = JOBS_DONE;
    }
    buf_clear(&bytes);
    return answer;
}

/* What is there of a shard already. One that nobody had before has nothing, unless it was made
 * twice. */
static enum jobs_answer look_at(struct jobs_wire *w, struct jobs_held *h, bool *is_done,
                                struct err *e)
{
    char subject[96];
    *is_done = false;
    if (!h->is_fresh)
        return find_stored(w, h, e);
    snprintf(subject, sizeof subject, JOBS_WIRE_DONE "%s.%" PRIu64, h->id, h->first);
    return jobs_wire_is_reported(w, subject, is_done, e);
}

/* Whether it is held already: then it is to be acknowledged by the newer reply. If that is to
 * another message, for a shard that was handed out anew, the older one is over: of a message that
 * nobody speaks for any more the server would take its replica for dead, and hand it out again and
 * again until its deliveries failed the job. */
static bool renew(struct jobs_fleet *f, struct jobs_wire *w, const struct jobs_held *shard)
{
    bool found = false;
    lock_take(&f->lock);
    for (struct jobs_held *h = f->held; h && !found; h = h->next)
        if (strcmp(h->id, shard->id) == 0 && h->first == shard->first) {
            if (h->sequence != shard->sequence)
                say(w, h->reply, ACKNOWLEDGED);
            memcpy(h->reply, shard->reply, sizeof h->reply);
            h->sequence = shard->sequence;
            found = true;
        }
    lock_drop(&f->lock);
    return found;
}

static void append_held(struct jobs_fleet *f, struct jobs_held *shard)
{
    lock_take(&f->lock);
    struct jobs_held **end = &f->held;
    while (*end)
        end = &(*end)->next;
    *end = shard;
    lock_drop(&f->lock);
}

/* Takes *shard over if anything of it is missing (*is_kept); otherwise it is done. */
static enum jobs_answer hold(struct jobs_fleet *f, struct jobs_wire *w, struct jobs_held *shard,
                             bool *is_kept, struct err *e)
{
    bool is_done;
    enum jobs_answer answer = look_at(w, shard, &is_done, e);
    if (answer != JOBS_DONE)
        return answer;
    if (!is_done)
        find_missing(shard);
    if (shard->part_count > 0) {
        *is_kept = true;
        append_held(f, shard);
        return JOBS_DONE;
    }
    if (!is_done)
        answer = jobs_fleet_report_shard(f, w, shard, e);
    if (answer == JOBS_DONE)
        answer = jobs_fleet_finish_whole(f, w, shard->id, e);
    if (answer == JOBS_DONE)
        say(w, shard->reply, ACKNOWLEDGED);
    return answer;
}

/* ---- taking ---- */

static bool read_shard(const struct jobs_wire_work *work, struct jobs_held *out)
{
    out->is_fresh = !strstr(work->text, AGAIN);
    return sscanf(work->text, "%36[0-9a-z-] %" SCNu64 " %zu %" SCNu64, out->id, &out->first,
                  &out->count, &out->round) == 4 &&
           out->count > 0 && out->count <= JOBS_SHARD_IMAGES && out->first < JOBS_IMAGES_MAX;
}

static enum jobs_answer give_up(struct jobs_fleet *f, struct jobs_wire *w,
                                const struct jobs_held *shard, struct err *e)
{
    struct err why = {0};
    err_fail(&why, ERR_INTERNAL, "",
             "images %" PRIu64 " to %" PRIu64 " were handed out %d times, and whoever took them "
             "ended or stalled: see the logs of the replicas",
             shard->first, shard->first + shard->count - 1, DELIVERIES_MAX);
    const enum jobs_answer answer = jobs_fleet_give_up(f, w, shard->id, &why, e);
    if (answer == JOBS_DONE)
        say(w, shard->reply, ACKNOWLEDGED);
    return answer;
}

/* What came is held (*is_kept: *shard is taken over), or over. */
static enum jobs_answer accept_shard(struct jobs_fleet *f, struct jobs_wire *w,
                                     struct jobs_held *shard, uint64_t deliveries, bool *is_kept,
                                     struct err *e)
{
    struct jobs_record r;
    enum jobs_answer answer = jobs_fleet_look(f, w, shard->id, &r, e);
    const bool is_over = answer == JOBS_ABSENT ||
                         (answer == JOBS_DONE && r.state != JOBS_QUEUED && r.state != JOBS_RUNNING);
    if (is_over || (answer == JOBS_DONE && shard->first + shard->count > r.n)) {
        say(w, shard->reply, ACKNOWLEDGED);
        return JOBS_DONE;
    }
    if (answer != JOBS_DONE || renew(f, w, shard))
        return answer;
    if (deliveries > DELIVERIES_MAX)
        return give_up(f, w, shard, e);
    shard->is_fresh = shard->is_fresh && deliveries == 1 && shard->round == 0;
    return hold(f, w, shard, is_kept, e);
}

/* Takes one message. JOBS_ABSENT: there is none. */
static enum jobs_answer fetch(struct jobs_fleet *f, struct jobs_wire *w,
                              const char work[JOBS_WORK_SIZE], struct err *e)
{
    struct jobs_wire_work got;
    bool is_kept = false;
    enum jobs_answer answer = jobs_wire_take(w, work, &got, e);
    if (answer != JOBS_DONE)
        return answer;
    struct jobs_held *shard = calloc(1, sizeof *shard);
    if (!shard) {
        err_fail_memory(e, sizeof *shard);
        return JOBS_BROKEN;
    }
    memcpy(shard->reply, got.reply, sizeof shard->reply);
    shard->sequence = got.sequence;
    memcpy(shard->work, work, sizeof shard->work);
    if (read_shard(&got, shard)) {
        answer = accept_shard(f, w, shard, got.deliveries, &is_kept, e);
    } else {
        log_line(LOG_WARN, "a message of %s is no shard, and is thrown away", work);
        say(w, got.reply, ACKNOWLEDGED);
    }
    if (!is_kept)
        free(shard);
    return answer;
}

/* Which of the models have a job that needs them. */
static void find_needed(struct jobs_fleet *f, char (*work)[JOBS_WORK_SIZE], size_t count,
                        bool needed[JOBS_OFFERS_MAX])
{
    memset(needed, 0, JOBS_OFFERS_MAX * sizeof *needed);
    lock_take(&f->lock);
    for (struct jobs_entry *entry = NULL; (entry = jobs_mirror_next(&f->mirror, entry)) != NULL;)
        for (size_t i = 0; jobs_fleet_is_open(entry) && i < count; i++)
            needed[i] = needed[i] || strcmp(entry->work, work[i]) == 0;
    lock_drop(&f->lock);
}

/* ---- making ---- */

/* The job whose turn it is to be handed out further; false: none is. */
static bool choose(struct jobs_fleet *f, char (*work)[JOBS_WORK_SIZE], size_t count,
                   struct jobs_entry *out, size_t *shards)
{
    struct jobs_entry *best = NULL;
    size_t replicas = 0;
    lock_take(&f->lock);
    for (struct jobs_entry *entry = NULL; (entry = jobs_mirror_next(&f->mirror, entry)) != NULL;) {
        size_t i = 0;
        if (!jobs_fleet_is_open(entry) || entry->handed >= entry->n)
            continue;
        while (i < count && strcmp(entry->work, work[i]) != 0)
            i++;
        if (i < count && (!best || entry->turn < best->turn ||
                          (entry->turn == best->turn && entry->number < best->number)))
            best = entry;
    }
    if (best) {
        best->turn = ++f->turn;
        *out = *best; /* without its text, which is not looked at */
    }
    for (const struct jobs_replica *r = f->replicas; r; r = r->next)
        replicas++;
    lock_drop(&f->lock);
    *shards = 2 + 2 * replicas < MADE_MAX ? 2 + 2 * replicas : MADE_MAX;
    return best != NULL;
}

static void describe(const char *work, const char *id, uint64_t first, size_t count, uint64_t round,
                     const char *more, struct jobs_wire_message *out, char text[96])
{
    *out = (struct jobs_wire_message){.data = text};
    snprintf(out->subject, sizeof out->subject, "%s", work);
    snprintf(out->id, sizeof out->id, "%s.%" PRIu64 ".%" PRIu64 "%s", id, first, round, more);
    out->length = (size_t)snprintf(text, 96, "%s %" PRIu64 " %zu %" PRIu64 "%s", id, first, count,
                                   round, more[0] ? AGAIN : "");
}

enum jobs_answer jobs_fleet_write_handed(struct jobs_fleet *f, struct jobs_wire *w,
                                         const struct jobs_entry *entry, uint64_t handed,
                                         uint64_t round, struct err *e)
{
    char key[96], text[64];
    struct buf there;
    struct err ignored = {0};
    uint64_t revision = entry->handed_revision;
    snprintf(key, sizeof key, "jobs.%s.handed", entry->id);
    buf_init(&there, sizeof text);
    snprintf(text, sizeof text, "%" PRIu64 " %" PRIu64, handed, round);
    enum jobs_answer answer = jobs_wire_put(w, key, text, strlen(text), &revision, e);
    int result = answer == JOBS_DONE ? buf_string(&there, text, e) : 0;
    if (answer == JOBS_CONFLICT)
        answer = jobs_wire_get(w, key, &there, &revision, e);
    lock_take(&f->lock);
    if (answer == JOBS_DONE && result == 0 && f->wire == w)
        jobs_mirror_handed(&f->mirror, entry->id, there.data, there.length, revision, &ignored);
    lock_drop(&f->lock);
    buf_clear(&there);
    return answer == JOBS_ABSENT ? JOBS_DONE : answer; /* the job is gone */
}

/* Makes the next shards of one job. JOBS_ABSENT: there is nothing to make them of. */
static enum jobs_answer make_shards(struct jobs_fleet *f, struct jobs_wire *w,
                                    char (*work)[JOBS_WORK_SIZE], size_t count, struct err *e)
{
    struct jobs_entry entry;
    size_t most, made = 0;
    if (!choose(f, work, count, &entry, &most))
        return JOBS_ABSENT;
    struct jobs_wire_message *messages = calloc(most, sizeof *messages);
    char(*texts)[96] = calloc(most, sizeof *texts);
    uint64_t at = entry.handed;
    for (; messages && texts && made < most && at < entry.n; made++) {
        const uint64_t left = entry.n - at;
        const size_t images = left < JOBS_SHARD_IMAGES ? (size_t)left : JOBS_SHARD_IMAGES;
        describe(entry.work, entry.id, at, images, entry.round, "", &messages[made], texts[made]);
        at += images;
    }
    enum jobs_answer answer = JOBS_BROKEN;
    if (messages && texts)
        answer = jobs_wire_publish(w, messages, made, e);
    else
        err_fail_memory(e, most * sizeof *messages);
    if (answer == JOBS_DONE)
        answer = jobs_fleet_write_handed(f, w, &entry, at, entry.round, e);
    if (answer == JOBS_DONE && at == entry.n) /* others may be done with it already */
        answer = jobs_fleet_finish_whole(f, w, entry.id, e);
    free(messages);
    free(texts);
    if (answer == JOBS_DONE)
        jobs_fleet_tell(f, entry.id);
    return answer;
}

static bool is_empty(struct jobs_fleet *f)
{
    lock_take(&f->lock);
    const bool empty = clock_ns() < f->empty_until_ns;
    lock_drop(&f->lock);
    return empty;
}

static void note_empty(struct jobs_fleet *f)
{
    lock_take(&f->lock);
    f->empty_until_ns = clock_ns() + EMPTY_NS;
    lock_drop(&f->lock);
}

static enum jobs_answer take_from(struct jobs_fleet *f, struct jobs_wire *w,
                                  char (*work)[JOBS_WORK_SIZE], size_t count,
                                  struct jobs_shard *out, struct err *e)
{
    bool needed[JOBS_OFFERS_MAX];
    enum jobs_answer answer = JOBS_DONE;
    for (int round = 0; answer == JOBS_DONE && round < ROUNDS; round++) {
        if (take_part(f, out))
            return JOBS_DONE;
        if (is_empty(f))
            return JOBS_ABSENT;
        find_needed(f, work, count, needed);
        answer = JOBS_ABSENT;
        for (size_t i = 0; answer == JOBS_ABSENT && i < count; i++)
            if (needed[i])
                answer = fetch(f, w, work[i], e);
        if (answer == JOBS_ABSENT)
            answer = make_shards(f, w, work, count, e);
    }
    if (answer == JOBS_ABSENT)
        note_empty(f);
    return answer == JOBS_DONE ? JOBS_ABSENT : answer;
}

enum jobs_answer jobs_fleet_take(struct jobs_store *s, const struct jobs_needs *models,
                                 size_t count, struct jobs_shard *out, struct err *e)
{
    struct jobs_fleet *f = (struct jobs_fleet *)s;
    char work[JOBS_OFFERS_MAX][JOBS_WORK_SIZE];
    struct jobs_wire *w = jobs_fleet_wire(f, e);
    if (!w)
        return JOBS_AWAY;
    if (count > JOBS_OFFERS_MAX)
        count = JOBS_OFFERS_MAX;
    for (size_t i = 0; i < count; i++)
        jobs_mirror_work(&models[i], work[i]);
    const enum jobs_answer answer = take_from(f, w, work, count, out, e);
    jobs_wire_release(w);
    return answer;
}

/* ---- ending ---- */

/* Counts a part as ended; the shard, if that was the last one, which the caller frees. */
static struct jobs_held *end_part(struct jobs_fleet *f, const struct jobs_shard *shard, bool again)
{
    struct jobs_held *ended = NULL;
    lock_take(&f->lock);
    for (struct jobs_held **link = &f->held; *link && !ended; link = &(*link)->next) {
        struct jobs_held *h = *link;
        size_t i = 0;
        while (i < h->part_count && !(h->parts[i].is_out && h->parts[i].first == shard->first))
            i++;
        if (i == h->part_count || strcmp(h->id, shard->id) != 0)
            continue;
        h->again = h->again || again;
        h->parts[i].first = UINT64_MAX;
        if (++h->ended < h->part_count)
            break;
        *link = h->next;
        ended = h;
        break;
    }
    lock_drop(&f->lock);
    return ended;
}

void jobs_fleet_end(struct jobs_store *s, const struct jobs_shard *shard, bool again)
{
    struct jobs_fleet *f = (struct jobs_fleet *)s;
    struct jobs_wire_message message;
    struct err e = {0};
    char text[96], more[40];
    struct jobs_held *h = end_part(f, shard, again);
    struct jobs_wire *w = h ? jobs_fleet_wire(f, &e) : NULL;
    if (w && h->again)
        jobs_fleet_report_shard(f, w, h, &e); /* if that fails, whoever gets the rest does it */
    if (w &&
        h->again) { /* as a new message, whose deliveries are counted anew: this was no failure */
        snprintf(more, sizeof more, ".%.8s%" PRId64, f->name, clock_ns());
        describe(h->work, h->id, h->first, h->count, h->round, more, &message, text);
        say(w, h->reply,
            jobs_wire_publish(w, &message, 1, &e) == JOBS_DONE ? ACKNOWLEDGED : GIVEN_BACK);
        jobs_fleet_tell(f, h->id);
    } else if (w) {
        say(w, h->reply, ACKNOWLEDGED);
    }
    jobs_wire_release(w);
    free(h);
}

void jobs_fleet_say_held(struct jobs_fleet *f, struct jobs_wire *w)
{
    lock_take(&f->lock);
    for (const struct jobs_held *h = f->held; h; h = h->next)
        say(w, h->reply, IN_PROGRESS);
    lock_drop(&f->lock);
}

void jobs_fleet_drop_held(struct jobs_fleet *f, struct jobs_wire *w)
{
    lock_take(&f->lock);
    while (f->held) {
        struct jobs_held *h = f->held;
        f->held = h->next;
        if (w)
            say(w, h->reply, GIVEN_BACK);
        free(h);
    }
    lock_drop(&f->lock);
}
