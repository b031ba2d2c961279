/* The names of jobs: how they are taken and given back. A job that is filed under an owner's key
 * has two, and the server takes them one after the other: the key, with the record as it was filed,
 * and then the record. Whoever comes in between, or after somebody who ended in between, writes the
 * record down in the other's place; whoever has written it has filed the job, and pays for it. */
#include "jobs_fleet_filing.h"

#include "jobs_fleet_records.h"
#include "jobs_json.h"

#include <stdio.h>
#include <string.h>

#define ABANDONED_MS 300000 /* after which nobody is about to write the record of a key */

/* ---- looking ---- */

/* What lies under an owner's key; revision 0: nothing. */
struct taken {
    struct jobs_record filed;
    uint64_t revision;
    bool is_stale; /* another job got the id of that one */
};

static int name_key(const struct jobs_record *r, char out[JOBS_KEY_SIZE], struct err *e)
{
    char both[sizeof r->owner + sizeof r->key + 1], digest[SHA256_HEX_SIZE];
    const int length = snprintf(both, sizeof both, "%s\n%s", r->owner, r->key);
    if (sha256_hex(both, (size_t)length, digest, e) != 0)
        return -1;
    snprintf(out, JOBS_KEY_SIZE, "keys.%s", digest);
    return 0;
}

static enum jobs_answer read_key(struct jobs_wire *w, const char *key, struct taken *out,
                                 struct err *e)
{
    struct buf text;
    buf_init(&text, JOBS_JSON_MAX);
    enum jobs_answer answer = jobs_wire_get(w, key, &text, &out->revision, e);
    if (answer == JOBS_DONE && jobs_json_read(text.data, text.length, key, &out->filed, e) != 0)
        answer = JOBS_BROKEN;
    buf_clear(&text);
    return answer;
}

/* The record that has r's id, or else its key. JOBS_ABSENT: there is none, whatever *key says. */
static enum jobs_answer find_same(struct jobs_fleet *f, struct jobs_wire *w,
                                  const struct jobs_record *r, struct taken *key,
                                  struct jobs_record *out, struct err *e)
{
    char name[JOBS_KEY_SIZE];
    key->revision = 0;
    key->is_stale = false;
    enum jobs_answer answer =
        r->id[0] ? jobs_fleet_so_far(f, w, r->id, false, out, e) : JOBS_ABSENT;
    if (answer != JOBS_ABSENT || !r->key[0])
        return answer;
    answer = name_key(r, name, e) == 0 ? read_key(w, name, key, e) : JOBS_BROKEN;
    if (answer == JOBS_DONE)
        answer = jobs_fleet_look(f, w, key->filed.id, out, e);
    if (answer != JOBS_DONE || strcmp(out->key, r->key) == 0)
        return answer;
    key->is_stale = true;
    return jobs_fleet_absent(e);
}

enum jobs_answer jobs_fleet_same(struct jobs_store *s, const struct jobs_record *r,
                                 struct jobs_record *out, struct err *e)
{
    struct jobs_fleet *f = (struct jobs_fleet *)s;
    struct taken key;
    struct err found = {0};
    struct jobs_wire *w = jobs_fleet_wire(f, e);
    const enum jobs_answer answer = w ? find_same(f, w, r, &key, out, &found) : JOBS_AWAY;
    jobs_wire_release(w);
    if (w && answer != JOBS_DONE && answer != JOBS_ABSENT && e)
        *e = found;
    return answer;
}

/* ---- filing ---- */

/* JOBS_CONFLICT: the key is taken. */
static enum jobs_answer take_key(struct jobs_wire *w, const struct jobs_record *r,
                                 const struct taken *there, struct err *e)
{
    char key[JOBS_KEY_SIZE];
    struct buf text;
    uint64_t revision = 0;
    if (!r->key[0])
        return JOBS_DONE;
    if (name_key(r, key, e) != 0)
        return JOBS_BROKEN;
    enum jobs_answer answer =
        there->is_stale ? jobs_wire_delete(w, key, there->revision, e) : JOBS_DONE;
    buf_init(&text, JOBS_JSON_MAX);
    if (answer == JOBS_DONE && jobs_json_write(r, &text, e) != 0)
        answer = JOBS_BROKEN;
    if (answer == JOBS_DONE)
        answer = jobs_wire_put(w, key, text.data, text.length, &revision, e);
    buf_clear(&text);
    return answer;
}

/* JOBS_GONE: *r is there. JOBS_CONFLICT: somebody has its id or key by now; which one is to be
 * looked for. */
static enum jobs_answer try_create(struct jobs_fleet *f, struct jobs_wire *w, struct jobs_record *r,
                                   struct err *e)
{
    struct jobs_record there;
    struct taken key;
    enum jobs_answer answer = find_same(f, w, r, &key, &there, e);
    if (answer == JOBS_DONE) {
        *r = there;
        return JOBS_GONE;
    }
    if (answer != JOBS_ABSENT)
        return answer;
    const bool is_it = key.revision > 0 && strcmp(key.filed.body, r->body) == 0;
    /* Whoever took the key did not come to the record, or is about to write it. */
    if (key.revision > 0 && !is_it && jobs_now_ms() - key.filed.submitted_ms > ABANDONED_MS)
        key.is_stale = true;
    if (key.revision == 0 || key.is_stale) {
        answer = take_key(w, r, &key, e);
        if (answer != JOBS_DONE)
            return answer;
    } else {
        *r = key.filed;
        if (!is_it)
            return JOBS_GONE;
    }
    answer = jobs_fleet_write(f, w, r, e);
    return answer == JOBS_AWAY ? JOBS_UNSURE : answer;
}

enum jobs_answer jobs_fleet_create(struct jobs_store *s, struct jobs_record *r, struct err *e)
{
    struct jobs_fleet *f = (struct jobs_fleet *)s;
    struct jobs_wire *w = jobs_fleet_wire(f, e);
    enum jobs_answer answer = w ? JOBS_CONFLICT : JOBS_AWAY;
    if (w && !jobs_fleet_is_word(r->id)) {
        err_fail(e, ERR_INPUT, r->id, "is not the id of a job");
        answer = JOBS_BROKEN;
    }
    r->number = r->revision = 0;
    r->state = JOBS_QUEUED;
    r->started_ms = r->finished_ms = 0;
    r->images_done = r->bytes = 0;
    r->error = (struct err){.code = ERR_NONE};
    for (int i = 0; answer == JOBS_CONFLICT && i < JOBS_TRIES; i++)
        answer = try_create(f, w, r, e);
    jobs_wire_release(w);
    if (answer != JOBS_GONE)
        return answer;
    err_fail(e, ERR_INPUT, "", "there is a job of that name already");
    return JOBS_CONFLICT;
}

/* ---- erasing ---- */

/* The key, unless it is another job's by now. */
static enum jobs_answer erase_key(struct jobs_wire *w, const struct jobs_record *r, struct err *e)
{
    char name[JOBS_KEY_SIZE];
    struct taken key = {.revision = 0};
    struct err ignored = {0};
    if (!r->key[0])
        return JOBS_DONE;
    if (name_key(r, name, e) != 0)
        return JOBS_BROKEN;
    const enum jobs_answer answer = read_key(w, name, &key, &ignored);
    if (answer == JOBS_ABSENT || (answer == JOBS_DONE && strcmp(key.filed.id, r->id) != 0))
        return JOBS_DONE;
    if (key.revision > 0) /* also one that cannot be read, which is nobody's */
        return jobs_wire_delete(w, name, key.revision, e);
    if (e)
        *e = ignored;
    return answer;
}

/* Of that revision: when others have erased it meanwhile, a new job may have its names. The key
 * first: without it nobody can take the job for one that is still to be written down. */
static enum jobs_answer erase_names(struct jobs_wire *w, const struct jobs_record *r, struct err *e)
{
    char keys[JOBS_KEY_SIZE];
    const enum jobs_answer answer = erase_key(w, r, e);
    snprintf(keys, sizeof keys, "jobs.%s.*", r->id);
    return answer == JOBS_DONE ? jobs_wire_delete(w, keys, r->revision, e) : answer;
}

static uint64_t known_revision(struct jobs_fleet *f, const char *id)
{
    lock_take(&f->lock);
    const struct jobs_entry *entry = jobs_mirror_find(&f->mirror, id);
    const uint64_t revision = entry ? entry->revision : 0;
    lock_drop(&f->lock);
    return revision;
}

static void forget(struct jobs_fleet *f, const char *id, uint64_t revision)
{
    lock_take(&f->lock);
    const struct jobs_entry *entry = jobs_mirror_find(&f->mirror, id);
    if (entry && entry->revision <= revision)
        jobs_mirror_remove(&f->mirror, id);
    lock_drop(&f->lock);
}

enum jobs_answer jobs_fleet_erase(struct jobs_store *s, const char *id, struct err *e)
{
    struct jobs_fleet *f = (struct jobs_fleet *)s;
    struct jobs_wire *w = jobs_fleet_wire(f, e);
    struct jobs_record r;
    const uint64_t known = known_revision(f, id);
    enum jobs_answer answer = w ? jobs_fleet_refresh(f, w, id, &r, e) : JOBS_AWAY;
    const bool may = answer == JOBS_DONE && r.state == JOBS_EXPIRED && r.bytes == 0;
    if (may)
        answer = jobs_wire_purge_job(w, id, e); /* what came late */
    if (may && answer == JOBS_DONE)
        answer = erase_names(w, &r, e);
    if (answer == JOBS_ABSENT || (may && answer == JOBS_DONE)) {
        forget(f, id, may ? r.revision : known);
        answer = JOBS_DONE;
    }
    jobs_wire_release(w);
    return answer;
}
