/* Records: the server's word counts, and the mirror is what it said last. Whoever writes says which
 * revision it has seen, so the slower of two is told so. */
#include "jobs_fleet_records.h"

#include "jobs_fleet_report.h"
#include "jobs_json.h"
#include "jobs_tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one ---- */

static void name_record(const char *id, char out[JOBS_KEY_SIZE])
{
    snprintf(out, JOBS_KEY_SIZE, "jobs.%s.record", id);
}

/* A record came from the server, or was written there. What a lost connection said is not taken:
 * the server may have been set back since. */
static void note(struct jobs_fleet *f, const struct jobs_wire *w, const char *id,
                 const struct buf *text, uint64_t revision)
{
    struct err e = {0};
    lock_take(&f->lock);
    if (f->wire == w)
        jobs_mirror_record(&f->mirror, id, text->data, text->length, revision, &e);
    pthread_cond_broadcast(&f->changed);
    lock_drop(&f->lock);
}

enum jobs_answer jobs_fleet_absent(struct err *e)
{
    err_fail(e, ERR_INPUT, "", "there is no such job");
    return JOBS_ABSENT;
}

bool jobs_fleet_is_word(const char *id)
{
    return *id && strspn(id, "0123456789abcdefghijklmnopqrstuvwxyz-") == strlen(id);
}

enum jobs_answer jobs_fleet_refresh(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                    struct jobs_record *out, struct err *e)
{
    char key[JOBS_KEY_SIZE];
    struct buf text;
    uint64_t revision = 0;
    if (!jobs_fleet_is_word(id))
        return jobs_fleet_absent(e);
    name_record(id, key);
    buf_init(&text, JOBS_JSON_MAX);
    enum jobs_answer answer = jobs_wire_get(w, key, &text, &revision, e);
    if (answer == JOBS_DONE && jobs_json_read(text.data, text.length, id, out, e) != 0)
        answer = JOBS_BROKEN;
    if (answer == JOBS_DONE) {
        out->revision = revision;
        out->number = out->number ? out->number : revision;
        note(f, w, id, &text, revision);
    }
    buf_clear(&text);
    return answer == JOBS_ABSENT ? jobs_fleet_absent(e) : answer;
}

enum jobs_answer jobs_fleet_look(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                 struct jobs_record *out, struct err *e)
{
    lock_take(&f->lock);
    const struct jobs_entry *entry = jobs_mirror_find(&f->mirror, id);
    const bool is_there = entry && entry->text;
    const int result = is_there ? jobs_mirror_read(entry, out, e) : 0;
    lock_drop(&f->lock);
    if (is_there)
        return result == 0 ? JOBS_DONE : JOBS_BROKEN;
    return jobs_fleet_refresh(f, w, id, out, e);
}

enum jobs_answer jobs_fleet_write(struct jobs_fleet *f, struct jobs_wire *w, struct jobs_record *r,
                                  struct err *e)
{
    char key[JOBS_KEY_SIZE];
    struct buf text;
    struct jobs_record there;
    struct err ignored = {0};
    uint64_t revision = r->revision;
    name_record(r->id, key);
    buf_init(&text, JOBS_JSON_MAX);
    enum jobs_answer answer = jobs_json_write(r, &text, e) == 0 ? JOBS_DONE : JOBS_BROKEN;
    if (answer == JOBS_DONE)
        answer = jobs_wire_put(w, key, text.data, text.length, &revision, e);
    if (answer == JOBS_DONE) {
        r->revision = revision;
        r->number = r->number ? r->number : revision;
        note(f, w, r->id, &text, revision);
        jobs_fleet_tell(f, r->id);
    } else if (answer == JOBS_CONFLICT) {
        jobs_fleet_refresh(f, w, r->id, &there, &ignored);
    }
    buf_clear(&text);
    return answer;
}

/* How many images of a live job are stored, and their bytes. */
static enum jobs_answer count_results(struct jobs_fleet *f, struct jobs_wire *w,
                                      struct jobs_record *r, struct err *e)
{
    struct jobs_tally *t;
    const enum jobs_answer answer = jobs_tally_lock(f, w, r->id, r->n, &t, e);
    if (answer != JOBS_DONE)
        return answer;
    r->images_done = t->count;
    r->bytes = t->bytes;
    lock_drop(&f->lock);
    return JOBS_DONE;
}

static enum jobs_answer get_by(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                               struct jobs_record *out, struct err *e)
{
    const enum jobs_answer answer = jobs_fleet_look(f, w, id, out, e);
    if (answer != JOBS_DONE || (out->state != JOBS_RUNNING && out->state != JOBS_CANCELLING))
        return answer;
    return count_results(f, w, out, e);
}

enum jobs_answer jobs_fleet_so_far(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                   bool of_many, struct jobs_record *out, struct err *e)
{
    const struct jobs_tally *t = NULL;
    bool is_whole = true;
    const enum jobs_answer answer = jobs_fleet_look(f, w, id, out, e);
    if (answer != JOBS_DONE || (out->state != JOBS_RUNNING && out->state != JOBS_CANCELLING))
        return answer;
    lock_take(&f->lock);
    if (!of_many || jobs_tally_fits_locked(f, out->id, out->n))
        t = jobs_tally_look_locked(f, out->id, out->n, &is_whole);
    out->images_done = t ? t->count : 0;
    out->bytes = t ? t->bytes : 0;
    out->is_counting = !is_whole;
    lock_drop(&f->lock);
    return JOBS_DONE;
}

enum jobs_answer jobs_fleet_get(struct jobs_store *s, const char *id, struct jobs_record *out,
                                struct err *e)
{
    struct jobs_fleet *f = (struct jobs_fleet *)s;
    struct jobs_wire *w = jobs_fleet_wire(f, e);
    const enum jobs_answer answer = w ? jobs_fleet_so_far(f, w, id, false, out, e) : JOBS_AWAY;
    jobs_wire_release(w);
    return answer;
}

enum jobs_answer jobs_fleet_peek(struct jobs_store *s, const char *id, struct jobs_record *out,
                                 struct err *e)
{
    struct jobs_fleet *f = (struct jobs_fleet *)s;
    struct jobs_wire *w = jobs_fleet_wire(f, e);
    const enum jobs_answer answer = w ? jobs_fleet_look(f, w, id, out, e) : JOBS_AWAY;
    jobs_wire_release(w);
    return answer;
}

/* ---- changes ---- */

static enum jobs_answer may_change(struct jobs_fleet *f, const struct jobs_record *r, struct err *e)
{
    enum jobs_answer answer = JOBS_DONE;
    lock_take(&f->lock);
    const struct jobs_entry *entry = jobs_mirror_find(&f->mirror, r->id);
    if (!entry || !entry->text) {
        answer = jobs_fleet_absent(e);
    } else if (entry->revision != r->revision) {
        err_fail(e, ERR_INPUT, "", "the job was changed meanwhile");
        answer = JOBS_CONFLICT;
    } else if (!jobs_state_may(entry->state, r->state)) {
        err_fail(e, ERR_INTERNAL, "", "a job cannot go from %s to %s",
                 jobs_state_word(entry->state), jobs_state_word(r->state));
        answer = JOBS_BROKEN;
    }
    lock_drop(&f->lock);
    return answer;
}

enum jobs_answer jobs_fleet_change(struct jobs_store *s, struct jobs_record *r, struct err *e)
{
    struct jobs_fleet *f = (struct jobs_fleet *)s;
    struct jobs_wire *w = jobs_fleet_wire(f, e);
    enum jobs_answer answer = w ? may_change(f, r, e) : JOBS_AWAY;
    const bool ends = JOBS_FINISHED & JOBS_BIT(r->state);
    if (answer == JOBS_DONE && ends)
        answer = jobs_fleet_report_parts(f, w, r->id, e);
    if (answer == JOBS_DONE && ends)
        answer = count_results(f, w, r, e);
    if (answer == JOBS_DONE)
        answer = jobs_fleet_write(f, w, r, e);
    jobs_wire_release(w);
    return answer;
}

/* Whether the server still has every image of the job: what it acknowledged last before its machine
 * lost power may be gone, and the report of it may not. */
static enum jobs_answer has_all(struct jobs_wire *w, const struct jobs_record *r, bool *out,
                                struct err *e)
{
    char subjects[64];
    uint64_t count = 0;
    snprintf(subjects, sizeof subjects, "pfgm.result.%s.*", r->id);
    const enum jobs_answer answer = jobs_wire_count(w, JOBS_WIRE_RESULTS, subjects, &count, e);
    *out = count >= r->n;
    return answer;
}

enum jobs_answer jobs_fleet_finish(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                   struct err *e)
{
    struct jobs_record r;
    bool all = false;
    enum jobs_answer answer = JOBS_CONFLICT;
    for (int i = 0; answer == JOBS_CONFLICT && i < JOBS_TRIES; i++) {
        answer = get_by(f, w, id, &r, e);
        if (answer != JOBS_DONE || r.state != JOBS_RUNNING || r.images_done < r.n)
            return answer == JOBS_ABSENT ? JOBS_DONE : answer;
        answer = has_all(w, &r, &all, e);
        if (answer != JOBS_DONE || !all)
            return answer;
        r.state = JOBS_SUCCEEDED;
        r.finished_ms = jobs_now_ms();
        answer = jobs_fleet_write(f, w, &r, e);
    }
    return answer;
}

enum jobs_answer jobs_fleet_count_shards(struct jobs_wire *w, const char *id, uint64_t *out,
                                         struct err *e)
{
    char subjects[64];
    snprintf(subjects, sizeof subjects, JOBS_WIRE_DONE "%s.*", id);
    return jobs_wire_count(w, JOBS_WIRE_REPORTS, subjects, out, e);
}

enum jobs_answer jobs_fleet_count_reports(struct jobs_wire *w, const char *id, uint64_t *out,
                                          struct err *e)
{
    char subjects[64];
    snprintf(subjects, sizeof subjects, JOBS_WIRE_DONE "%s.>", id);
    return jobs_wire_count(w, JOBS_WIRE_REPORTS, subjects, out, e);
}

enum jobs_answer jobs_fleet_finish_whole(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                         struct err *e)
{
    uint64_t shards = 0, whole = 0;
    lock_take(&f->lock);
    const struct jobs_entry *entry = jobs_mirror_find(&f->mirror, id);
    const bool is_handed = entry && entry->text && entry->handed >= entry->n;
    if (is_handed)
        shards = jobs_fleet_shards(entry->n);
    lock_drop(&f->lock);
    if (!is_handed)
        return JOBS_DONE;
    const enum jobs_answer answer = jobs_fleet_count_shards(w, id, &whole, e);
    return answer == JOBS_DONE && whole >= shards ? jobs_fleet_finish(f, w, id, e) : answer;
}

enum jobs_answer jobs_fleet_give_up(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                    const struct err *why, struct err *e)
{
    struct jobs_record r;
    enum jobs_answer answer = JOBS_CONFLICT;
    for (int i = 0; answer == JOBS_CONFLICT && i < JOBS_TRIES; i++) {
        answer = get_by(f, w, id, &r, e);
        if (answer != JOBS_DONE || !jobs_state_may(r.state, JOBS_FAILED))
            return answer == JOBS_ABSENT ? JOBS_DONE : answer;
        r.state = JOBS_FAILED;
        r.error = *why;
        r.finished_ms = jobs_now_ms();
        answer = jobs_fleet_write(f, w, &r, e);
    }
    return answer;
}

/* ---- many ---- */

struct found {
    uint64_t number;
    char id[JOBS_ID_SIZE];
};

static bool is_selected(const struct jobs_entry *entry, const struct jobs_query *query)
{
    return (!query->before || entry->number < query->before) &&
           (query->states & JOBS_BIT(entry->state)) &&
           (!query->owner || strcmp(query->owner, entry->owner) == 0);
}

enum jobs_answer jobs_fleet_count(struct jobs_store *s, const struct jobs_query *query,
                                  uint64_t *out, struct err *e)
{
    struct jobs_fleet *f = (struct jobs_fleet *)s;
    struct jobs_wire *w = jobs_fleet_wire(f, e);
    *out = 0;
    if (!w)
        return JOBS_AWAY;
    lock_take(&f->lock);
    for (struct jobs_entry *entry = NULL; (entry = jobs_mirror_next(&f->mirror, entry)) != NULL;)
        *out += is_selected(entry, query);
    lock_drop(&f->lock);
    jobs_wire_release(w);
    return JOBS_DONE;
}

/* The newest first; at most `max`. */
static size_t find_newest(struct jobs_fleet *f, const struct jobs_query *query, struct found *out,
                          size_t max)
{
    size_t count = 0;
    lock_take(&f->lock);
    for (struct jobs_entry *entry = NULL; (entry = jobs_mirror_next(&f->mirror, entry)) != NULL;) {
        if (!is_selected(entry, query) || (count == max && out[count - 1].number > entry->number))
            continue;
        size_t at = count < max ? count++ : count - 1;
        for (; at > 0 && out[at - 1].number < entry->number; at--)
            out[at] = out[at - 1];
        out[at].number = entry->number;
        memcpy(out[at].id, entry->id, sizeof out[at].id);
    }
    lock_drop(&f->lock);
    return count;
}

enum jobs_answer jobs_fleet_list(struct jobs_store *s, const struct jobs_query *query,
                                 struct jobs_record *out, size_t *count, struct err *e)
{
    struct jobs_fleet *f = (struct jobs_fleet *)s;
    struct jobs_wire *w = jobs_fleet_wire(f, e);
    struct found *found = calloc(*count + 1, sizeof *found);
    enum jobs_answer answer = w ? JOBS_DONE : JOBS_AWAY;
    if (w && !found) {
        err_fail_memory(e, *count * sizeof *found);
        answer = JOBS_BROKEN;
    }
    const size_t there =
        answer == JOBS_DONE && *count > 0 ? find_newest(f, query, found, *count) : 0;
    *count = 0;
    for (size_t i = 0; answer == JOBS_DONE && i < there; i++) {
        answer = jobs_fleet_so_far(f, w, found[i].id, true, &out[*count], e);
        if (answer == JOBS_ABSENT) /* erased this moment */
            answer = JOBS_DONE;
        else
            ++*count;
    }
    free(found);
    jobs_wire_release(w);
    return answer;
}

enum jobs_answer jobs_fleet_oldest(struct jobs_store *s, unsigned states, bool holding,
                                   struct jobs_record *out, struct err *e)
{
    struct jobs_fleet *f = (struct jobs_fleet *)s;
    struct jobs_wire *w = jobs_fleet_wire(f, e);
    const struct jobs_entry *first = NULL;
    int result = 0;
    if (!w)
        return JOBS_AWAY;
    lock_take(&f->lock);
    for (struct jobs_entry *entry = NULL; (entry = jobs_mirror_next(&f->mirror, entry)) != NULL;)
        if ((states & JOBS_BIT(entry->state)) && (!holding || entry->bytes > 0) &&
            (!first || entry->finished_ms < first->finished_ms))
            first = entry;
    const bool is_there = first != NULL;
    if (first)
        result = jobs_mirror_read(first, out, e);
    lock_drop(&f->lock);
    jobs_wire_release(w);
    return !is_there ? jobs_fleet_absent(e) : result == 0 ? JOBS_DONE : JOBS_BROKEN;
}

/* ---- expiring ---- */

enum jobs_answer jobs_fleet_sweep(struct jobs_store *s, const char *id, size_t max, struct err *e)
{
    struct jobs_fleet *f = (struct jobs_fleet *)s;
    struct jobs_wire *w = jobs_fleet_wire(f, e);
    struct jobs_record r;
    (void)max; /* the server does it in one step */
    enum jobs_answer answer = w ? jobs_fleet_look(f, w, id, &r, e) : JOBS_AWAY;
    if (answer == JOBS_DONE && r.state == JOBS_EXPIRED)
        answer = jobs_wire_purge_job(w, id, e);
    r.bytes = 0;
    if (answer == JOBS_DONE && r.state == JOBS_EXPIRED)
        answer = jobs_fleet_write(f, w, &r, e);
    jobs_wire_release(w);
    return answer == JOBS_CONFLICT || answer == JOBS_ABSENT ? JOBS_DONE
                                                            : answer; /* others do too */
}
