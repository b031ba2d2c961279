/* Tallies by reports alone: what they say of an image stands there, and its bytes stay where they
 * are. */
#include "jobs_tally.h"

#include "base_cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_NS 10000000000LL
#define PAUSE_NS 1000000000LL /* after one that could not be begun */
#define SOUGHT_AT_ONCE 16     /* that are begun in a row */
#define IMAGES_MAX 4000000    /* of all jobs that are tallied because they are in a list */

static bool make_room(struct jobs_tally *t)
{
    if (t->count < t->capacity)
        return true;
    const size_t capacity = t->capacity ? 2 * t->capacity : 64;
    struct jobs_tallied *grown = realloc(t->results, capacity * sizeof *grown);
    if (!grown)
        return false;
    t->results = grown;
    t->capacity = capacity;
    return true;
}

static void add(struct jobs_tally *t, const struct jobs_tallied *one)
{
    t->results[t->count++] = *one;
    t->bits[one->index / 8] = (unsigned char)(t->bits[one->index / 8] | 1u << one->index % 8);
    t->bytes += one->length;
}

/* Takes in the images that it did not know of. False: memory is out, or this is no report. */
static bool read_report(struct jobs_tally *t, const struct jobs_wire_news *news)
{
    const char *at = news->data, *end = at + news->length;
    struct jobs_tallied one;
    int more;
    while ((more = jobs_report_read(&at, end, &one)) == 1) {
        if (one.index >= t->n || !make_room(t))
            return false;
        if (!jobs_tally_has(t, one.index))
            add(t, &one);
    }
    return more == 0;
}

static void on_report(void *context, const struct jobs_wire_news *news)
{
    struct jobs_tally *t = context;
    lock_take(&t->fleet->lock);
    t->read++;
    t->sequence = news->sequence;
    if (!read_report(t, news))
        t->is_short = true;
    pthread_cond_broadcast(&t->fleet->changed);
    lock_drop(&t->fleet->lock);
}

bool jobs_tally_has(const struct jobs_tally *t, uint64_t index)
{
    return t->bits[index / 8] >> index % 8 & 1;
}

static void tally_free(struct jobs_tally *t)
{
    if (!t)
        return;
    jobs_wire_tail_close(t->tail);
    free(t->results);
    free(t->bits);
    free(t);
}

static struct jobs_tally *find(struct jobs_fleet *f, const char *id)
{
    struct jobs_tally *t = f->tallies;
    while (t && strcmp(t->id, id) != 0)
        t = t->next;
    return t;
}

static enum jobs_answer begin(struct jobs_fleet *f, struct jobs_wire *w, const char *id, uint64_t n,
                              struct err *e)
{
    char subjects[64];
    uint64_t present = 0;
    struct jobs_tally *t = calloc(1, sizeof *t), *other;
    if (t)
        t->bits = calloc(n / 8 + 1, 1);
    if (!t || !t->bits) {
        free(t);
        err_fail_memory(e, n / 8 + 1);
        return JOBS_BROKEN;
    }
    t->fleet = f;
    t->n = n;
    t->present = UINT64_MAX;
    snprintf(t->id, sizeof t->id, "%s", id);
    snprintf(subjects, sizeof subjects, JOBS_WIRE_DONE "%s.>", id);
    const enum jobs_answer answer =
        jobs_wire_tail_open(w, JOBS_WIRE_REPORTS, subjects, on_report, t, &t->tail, &present, e);
    lock_take(&f->lock);
    other = find(f, id);
    if (answer == JOBS_DONE && !other && f->wire == w) {
        t->present = present;
        t->asked_ns = clock_ns();
        t->next = f->tallies;
        f->tallies = t;
        t = NULL;
    }
    lock_drop(&f->lock);
    tally_free(t); /* somebody was faster, or the connection is another one */
    return answer;
}

static bool is_read(const struct jobs_tally *t)
{
    return t->read >= t->present && !t->is_short;
}

/* Whether there is one of the job; then it is being asked for. */
static bool find_read(struct jobs_fleet *f, const char *id, bool *read)
{
    lock_take(&f->lock);
    struct jobs_tally *t = find(f, id);
    *read = t && is_read(t);
    if (t)
        t->asked_ns = clock_ns();
    lock_drop(&f->lock);
    return t != NULL;
}

enum jobs_answer jobs_tally_is_read(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                    uint64_t n, bool *out, struct err *e)
{
    if (find_read(f, id, out))
        return JOBS_DONE;
    const enum jobs_answer answer = begin(f, w, id, n, e);
    if (answer == JOBS_DONE)
        find_read(f, id, out);
    return answer;
}

enum jobs_answer jobs_tally_lock(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                 uint64_t n, struct jobs_tally **out, struct err *e)
{
    const int64_t end_ns = clock_ns() + WAIT_NS;
    lock_take(&f->lock);
    for (;;) {
        struct jobs_tally *t = find(f, id);
        if (t && is_read(t)) {
            t->asked_ns = clock_ns();
            *out = t;
            return JOBS_DONE;
        }
        if (f->wire != w || (t && !lock_wait(&f->lock, &f->changed, end_ns)) ||
            clock_ns() >= end_ns)
            break;
        if (t)
            continue;
        lock_drop(&f->lock);
        const enum jobs_answer answer = begin(f, w, id, n, e);
        if (answer != JOBS_DONE)
            return answer;
        lock_take(&f->lock);
    }
    lock_drop(&f->lock);
    err_fail(e, ERR_IO, f->shown, "what is stored of the job cannot be read at present");
    return JOBS_AWAY;
}

static void seek_locked(struct jobs_fleet *f, const char *id, uint64_t n)
{
    for (size_t i = 0; i < f->sought_count; i++)
        if (strcmp(f->sought[i].id, id) == 0)
            return;
    if (f->sought_count == JOBS_SOUGHT_MAX || clock_ns() < f->sought_from_ns)
        return; /* whoever looks again asks for it again */
    struct jobs_sought *one = &f->sought[f->sought_count++];
    snprintf(one->id, sizeof one->id, "%s", id);
    one->n = n;
    pthread_cond_broadcast(&f->changed);
}

struct jobs_tally *jobs_tally_look_locked(struct jobs_fleet *f, const char *id, uint64_t n,
                                          bool *is_whole)
{
    lock_assert_held(&f->lock);
    struct jobs_tally *t = find(f, id);
    *is_whole = t && t->read >= t->present && !t->is_short;
    if (t)
        t->asked_ns = clock_ns();
    else
        seek_locked(f, id, n);
    return t;
}

bool jobs_tally_fits_locked(struct jobs_fleet *f, const char *id, uint64_t n)
{
    uint64_t images = n;
    lock_assert_held(&f->lock);
    for (const struct jobs_tally *t = f->tallies; t; t = t->next) {
        if (strcmp(t->id, id) == 0)
            return true;
        images += t->n;
    }
    for (size_t i = 0; i < f->sought_count; i++)
        images += strcmp(f->sought[i].id, id) != 0 ? f->sought[i].n : 0;
    return images <= IMAGES_MAX;
}

/* The last one that was looked for; it stays so until it is begun, so that its images count. */
static bool next_sought(struct jobs_fleet *f, struct jobs_sought *out, bool *is_there)
{
    lock_take(&f->lock);
    const bool more = f->sought_count > 0;
    if (more)
        *out = f->sought[f->sought_count - 1];
    *is_there = more && find(f, out->id) != NULL;
    lock_drop(&f->lock);
    return more;
}

/* It is there; or, where it could not be begun, none is sought for a while. */
static void end_sought(struct jobs_fleet *f, const char *id, bool is_there)
{
    size_t i = 0;
    lock_take(&f->lock);
    while (i < f->sought_count && strcmp(f->sought[i].id, id) != 0)
        i++;
    if (is_there && i < f->sought_count)
        f->sought[i] = f->sought[--f->sought_count];
    if (!is_there) {
        f->sought_count = 0;
        f->sought_from_ns = clock_ns() + PAUSE_NS;
    }
    lock_drop(&f->lock);
}

void jobs_tally_begin_sought(struct jobs_fleet *f, struct jobs_wire *w)
{
    struct jobs_sought one;
    struct err e = {0};
    bool is_there;
    for (int i = 0; i < SOUGHT_AT_ONCE && next_sought(f, &one, &is_there); i++)
        end_sought(f, one.id, is_there || begin(f, w, one.id, one.n, &e) == JOBS_DONE);
}

void jobs_tally_catch_up(struct jobs_fleet *f, const char *id, uint64_t sequence)
{
    const int64_t end_ns = clock_ns() + WAIT_NS;
    const struct jobs_tally *t;
    lock_take(&f->lock);
    while ((t = find(f, id)) != NULL && t->sequence < sequence && f->is_ready &&
           lock_wait(&f->lock, &f->changed, end_ns))
        ;
    lock_drop(&f->lock);
}

static bool is_over(const struct jobs_tally *t, int64_t ns)
{
    return t->asked_ns < ns || t->is_short || !jobs_wire_tail_is_whole(t->tail);
}

void jobs_tally_end(struct jobs_fleet *f, int64_t ns)
{
    struct jobs_tally *over = NULL;
    lock_take(&f->lock);
    for (struct jobs_tally **link = &f->tallies; *link;) {
        struct jobs_tally *t = *link;
        if (!is_over(t, ns)) {
            link = &t->next;
            continue;
        }
        *link = t->next;
        t->next = over;
        over = t;
    }
    pthread_cond_broadcast(&f->changed);
    lock_drop(&f->lock);
    while (over) { /* without the lock, which the end of a tail waits for */
        struct jobs_tally *t = over;
        over = t->next;
        tally_free(t);
    }
}
