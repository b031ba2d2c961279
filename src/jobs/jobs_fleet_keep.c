/* The connection's life: made, its mirror filled, kept, lost, made again. What it knew is read anew
 * each time, since the server may have been set back meanwhile. */
#include "jobs_fleet_keep.h"

#include "jobs_fleet_records.h"
#include "jobs_fleet_report.h"
#include "jobs_fleet_revive.h"
#include "jobs_fleet_work.h"
#include "jobs_tally.h"

#include "base_cpu.h"
#include "base_json.h"
#include "base_log.h"
#include "base_wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS 1000000000LL
#define TICK_NS (SECOND_NS / 4)
#define PAUSE_MIN_NS (SECOND_NS / 4) /* doubled each time */
#define PAUSE_MAX_NS (8 * SECOND_NS)
#define READ_NS (60 * SECOND_NS)    /* in which the records must come */
#define SAY_NS (2 * SECOND_NS)      /* between two calls of a replica */
#define SILENT_CALLS 4              /* that do not come: it counts as gone */
#define PART_NS SECOND_NS           /* between two reports of a shard that is not whole */
#define MANY 100                    /* replicas from which on each of them says less */
#define UNASKED_NS (60 * SECOND_NS) /* after which a tally is not kept */
#define CALLS "pfgm.replicas"

/* ---- replicas ---- */

/* What each replica says to all others is so much the rarer the more there are, so that all of them
 * together say as much as MANY do. [the fleet's lock] */
static int64_t spaced(const struct jobs_fleet *f, int64_t ns)
{
    int64_t count = 0;
    for (const struct jobs_replica *r = f->replicas; r; r = r->next)
        count++;
    return count > MANY ? ns * count / MANY : ns;
}

static void replica_free(struct jobs_replica *r)
{
    free(r->work);
    free(r);
}

static struct jobs_replica *read_call(const void *data, size_t length)
{
    struct err e = {0};
    json_t *o = json_parse(data, length, "a replica's call", &e);
    const char *name = json_string_value(json_object_get(o, "name"));
    const json_t *work = json_object_get(o, "work");
    const size_t count = json_array_size(work);
    struct jobs_replica *r = NULL;
    if (name && strlen(name) < sizeof r->name && count <= JOBS_OFFERS_MAX)
        r = calloc(1, sizeof *r);
    if (r)
        r->work = calloc(count + 1, sizeof *r->work);
    for (size_t i = 0; r && r->work && i < count; i++) {
        const char *one = json_string_value(json_array_get(work, i));
        snprintf(r->work[r->work_count++], sizeof *r->work, "%s", one ? one : "");
    }
    if (r)
        snprintf(r->name, sizeof r->name, "%s", name);
    json_decref(o);
    return r;
}

/* Takes out the replica of that name, and those that are silent. Whether it was there. */
static bool take_out(struct jobs_fleet *f, const char *name, int64_t now)
{
    const int64_t silent_ns = SILENT_CALLS * spaced(f, SAY_NS);
    bool was_there = false;
    for (struct jobs_replica **link = &f->replicas; *link;) {
        struct jobs_replica *r = *link;
        const bool is_it = name && strcmp(r->name, name) == 0;
        if (!is_it && now - r->heard_ns < silent_ns) {
            link = &r->next;
            continue;
        }
        was_there = was_there || is_it;
        *link = r->next;
        replica_free(r);
    }
    return was_there;
}

static void on_call(void *context, const void *data, size_t length)
{
    struct jobs_fleet *f = context;
    struct jobs_replica *r = read_call(data, length);
    if (!r)
        return;
    r->heard_ns = clock_ns();
    lock_take(&f->lock);
    const bool is_known = take_out(f, r->name, r->heard_ns);
    if (r->work_count > 0 || strcmp(r->name, f->name) == 0) {
        r->next = f->replicas;
        f->replicas = r;
        /* The newcomer is to know of us; of many it hears soon enough. */
        f->say_now = f->say_now || (!is_known && spaced(f, SAY_NS) == SAY_NS);
        r = NULL;
    }
    pthread_cond_broadcast(&f->changed);
    lock_drop(&f->lock);
    if (r)
        replica_free(r);
}

/* Says what this replica works on; `leaves`: on nothing any more. */
static void say_offers(struct jobs_fleet *f, struct jobs_wire *w, bool leaves)
{
    struct buf text;
    json_t *work = json_array();
    lock_take(&f->lock);
    for (size_t i = 0; !leaves && i < f->offer_count; i++)
        work = json_plus(work, json_string(f->offers[i]));
    f->say_now = false;
    take_out(f, NULL, clock_ns());
    lock_drop(&f->lock);
    json_t *o = json_with(json_object(), "name", json_string(f->name));
    o = json_with(o, "work", work);
    buf_init(&text, 1 << 16);
    if (o && json_append(&text, o, 0, NULL) == 0)
        jobs_wire_say(w, CALLS, text.data, text.length);
    buf_clear(&text);
    json_decref(o);
}

void jobs_fleet_offer(struct jobs_store *s, const struct jobs_needs *models, size_t count)
{
    struct jobs_fleet *f = (struct jobs_fleet *)s;
    char work[JOBS_OFFERS_MAX][JOBS_WORK_SIZE] = {{0}};
    if (count > JOBS_OFFERS_MAX)
        count = JOBS_OFFERS_MAX;
    for (size_t i = 0; i < count; i++)
        jobs_mirror_work(&models[i], work[i]);
    lock_take(&f->lock);
    bool same = f->offer_count == count;
    for (size_t i = 0; same && i < count; i++)
        same = strcmp(f->offers[i], work[i]) == 0;
    if (!same) {
        memcpy(f->offers, work, sizeof work);
        f->offer_count = count;
        f->say_now = true;
        pthread_cond_broadcast(&f->changed);
    }
    lock_drop(&f->lock);
}

bool jobs_fleet_serves_locked(struct jobs_fleet *f, const char *work)
{
    const int64_t now = clock_ns(), silent_ns = SILENT_CALLS * spaced(f, SAY_NS);
    lock_assert_held(&f->lock);
    for (size_t i = 0; i < f->offer_count; i++)
        if (strcmp(f->offers[i], work) == 0)
            return true;
    for (const struct jobs_replica *r = f->replicas; r; r = r->next)
        for (size_t i = 0; now - r->heard_ns < silent_ns && i < r->work_count; i++)
            if (strcmp(r->work[i], work) == 0)
                return true;
    return false;
}

bool jobs_fleet_served(struct jobs_store *s, const struct jobs_needs *needs)
{
    struct jobs_fleet *f = (struct jobs_fleet *)s;
    char work[JOBS_WORK_SIZE];
    jobs_mirror_work(needs, work);
    lock_take(&f->lock);
    const bool served = jobs_fleet_serves_locked(f, work);
    lock_drop(&f->lock);
    return served;
}

/* ---- the mirror ---- */

/* "jobs.ID.record" and "jobs.ID.handed". */
static void on_record(void *context, const struct jobs_wire_news *news)
{
    struct jobs_fleet *f = context;
    struct err e = {0};
    char id[JOBS_ID_SIZE] = "", what[16] = "", line[1100];
    int is_news = 0;
    const bool good = sscanf(news->name, "jobs.%36[0-9a-z-].%15s", id, what) == 2;
    lock_take(&f->lock);
    f->mirror_read++;
    if (good && !news->is_gone && strcmp(what, "record") == 0)
        is_news = jobs_mirror_record(&f->mirror, id, news->data, news->length, news->sequence, &e);
    else if (good && !news->is_gone && strcmp(what, "handed") == 0)
        is_news = jobs_mirror_handed(&f->mirror, id, news->data, news->length, news->sequence, &e);
    else if (good && news->is_gone)
        jobs_mirror_remove(&f->mirror, id);
    pthread_cond_broadcast(&f->changed);
    lock_drop(&f->lock);
    if (is_news < 0)
        log_line(LOG_ERROR, "a record of a job is passed over: %s",
                 err_line(&e, line, sizeof line));
    else if (is_news > 0)
        jobs_fleet_tell(f, id);
}

/* Reads all records. */
static enum jobs_answer fill_mirror(struct jobs_fleet *f, struct jobs_wire *w, struct err *e)
{
    uint64_t present = 0;
    lock_take(&f->lock);
    jobs_mirror_begin(&f->mirror);
    f->mirror_read = 0;
    lock_drop(&f->lock);
    enum jobs_answer answer =
        jobs_wire_tail_open(w, JOBS_WIRE_RECORDS, "jobs.>", on_record, f, &f->records, &present, e);
    if (answer != JOBS_DONE)
        return answer;
    const int64_t end_ns = clock_ns() + READ_NS;
    lock_take(&f->lock);
    while (f->mirror_read < present && !f->stopping && jobs_wire_is_open(w) && clock_ns() < end_ns)
        lock_wait(&f->lock, &f->changed, clock_ns() + TICK_NS);
    if (f->mirror_read >= present) {
        jobs_mirror_end(&f->mirror);
    } else {
        err_fail(e, ERR_IO, f->shown, "the records of jobs do not come");
        answer = JOBS_AWAY;
    }
    lock_drop(&f->lock);
    return answer;
}

/* ---- connecting ---- */

static void leave(struct jobs_fleet *f)
{
    lock_take(&f->lock);
    struct jobs_wire *w = f->wire;
    f->wire = NULL;
    f->is_ready = false;
    f->sought_count = 0;
    pthread_cond_broadcast(&f->changed);
    lock_drop(&f->lock);
    jobs_wire_tail_close(f->records);
    jobs_wire_tail_close(f->calls);
    f->records = f->calls = NULL;
    jobs_tally_end(f, INT64_MAX);
    if (w)
        jobs_wire_close(w);
    jobs_wire_release(w);
}

static void set_trouble(struct jobs_fleet *f, const struct err *e)
{
    char line[1100];
    lock_take(&f->lock);
    const bool is_news = strcmp(f->trouble.text, e->text) != 0;
    f->trouble = *e;
    f->was_tried = true;
    pthread_cond_broadcast(&f->changed);
    lock_drop(&f->lock);
    if (is_news)
        log_line(LOG_ERROR, "jobs wait: %s", err_line(e, line, sizeof line));
}

static void set_ready(struct jobs_fleet *f)
{
    lock_take(&f->lock);
    f->is_ready = f->was_tried = f->say_now = true;
    f->trouble = (struct err){.code = ERR_NONE};
    const size_t count = f->mirror.count;
    pthread_cond_broadcast(&f->changed);
    lock_drop(&f->lock);
    log_line(LOG_INFO, "jobs are kept at %s: %zu there", f->shown, count);
    jobs_fleet_tell(f, "");
}

static bool try_connect(struct jobs_fleet *f)
{
    struct err e = {0};
    struct jobs_wire *w = NULL;
    enum jobs_answer answer = jobs_wire_connect(&f->wanted, &w, &e);
    if (answer == JOBS_DONE) {
        lock_take(&f->lock);
        f->wire = w;
        lock_drop(&f->lock);
        answer = fill_mirror(f, w, &e);
    }
    if (answer == JOBS_DONE)
        answer = jobs_wire_listen(w, CALLS, on_call, f, &f->calls, &e);
    if (answer == JOBS_DONE) {
        set_ready(f);
        return true;
    }
    set_trouble(f, &e);
    leave(f);
    return false;
}

/* ---- keeping ---- */

struct times {
    int64_t said_ns, held_ns, size_ns, revived_ns, part_ns;
};

static bool is_due(int64_t *last_ns, int64_t every_ns)
{
    const int64_t now = clock_ns();
    if (now - *last_ns < every_ns)
        return false;
    *last_ns = now;
    return true;
}

static void say_held(struct jobs_fleet *f, struct jobs_wire *w, struct times *t)
{
    if (is_due(&t->held_ns, JOBS_WIRE_ACK_S * SECOND_NS / 4))
        jobs_fleet_say_held(f, w);
}

/* What is held is said between all that waits for the server. */
static void keep_up(struct jobs_fleet *f, struct jobs_wire *w, struct times *t, bool say_now)
{
    struct err e = {0};
    uint64_t bytes = 0;
    lock_take(&f->lock);
    const int64_t say_ns = spaced(f, SAY_NS), part_ns = spaced(f, PART_NS);
    lock_drop(&f->lock);
    say_held(f, w, t);
    jobs_tally_begin_sought(f, w);
    if (is_due(&t->said_ns, say_ns) || say_now)
        say_offers(f, w, false);
    if (is_due(&t->part_ns, part_ns))
        jobs_fleet_report_parts(f, w, NULL, &e);
    say_held(f, w, t);
    if (is_due(&t->size_ns, 5 * SECOND_NS)) {
        jobs_tally_end(f, clock_ns() - UNASKED_NS);
        if (jobs_wire_size(w, &bytes, &e) == JOBS_DONE) {
            lock_take(&f->lock);
            f->file_bytes = bytes;
            lock_drop(&f->lock);
        }
    }
    say_held(f, w, t);
    if (is_due(&t->revived_ns, SECOND_NS))
        jobs_fleet_revive(f, w);
}

/* Sleeps for a while, or until somebody looks for a tally; *say_now: whether others are to hear of
 * us at once. False: it is over. */
static bool rest(struct jobs_fleet *f, int64_t ns, bool *say_now)
{
    const int64_t end_ns = clock_ns() + ns;
    lock_take(&f->lock);
    while (!f->stopping && !((f->say_now || f->sought_count > 0) && f->is_ready) &&
           lock_wait(&f->lock, &f->changed, end_ns))
        ;
    *say_now = f->say_now;
    const bool goes_on = !f->stopping;
    lock_drop(&f->lock);
    return goes_on;
}

/* Until the connection is lost (true) or the store is closed. */
static bool stay(struct jobs_fleet *f)
{
    struct times t = {0};
    bool say_now = true;
    struct err e = {0};
    while (jobs_wire_is_open(f->wire) && jobs_wire_tail_is_whole(f->records)) {
        keep_up(f, f->wire, &t, say_now);
        if (!rest(f, TICK_NS, &say_now))
            return false;
    }
    jobs_wire_trouble(f->wire, &e);
    set_trouble(f, &e);
    return true;
}

void *jobs_fleet_keep(void *fleet)
{
    struct jobs_fleet *f = fleet;
    int64_t pause_ns = PAUSE_MIN_NS;
    bool goes_on = true, ignored;
    while (goes_on) {
        if (try_connect(f)) {
            pause_ns = PAUSE_MIN_NS;
            goes_on = stay(f);
            if (goes_on)
                leave(f);
        }
        goes_on = goes_on && rest(f, pause_ns, &ignored);
        pause_ns = 2 * pause_ns < PAUSE_MAX_NS ? 2 * pause_ns : PAUSE_MAX_NS;
    }
    if (f->wire && jobs_wire_is_open(f->wire))
        say_offers(f, f->wire, true);
    jobs_fleet_drop_held(f, f->wire);
    if (f->wire && jobs_wire_is_open(f->wire))
        jobs_wire_flush(f->wire);
    leave(f);
    return NULL;
}
