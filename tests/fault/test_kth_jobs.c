/* Every k-th failure in the store of one daemon: a store from its making to its closing, with one
 * job from its filing to its end and one to its forgetting. What was acknowledged is there when it
 * is opened again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kth.h"

#include "jobs_sqlite.h"
#include "jobs_turns.h"

#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

static char top[64], folder[80];
/* The job that goes on, and how much of it was acknowledged. */
static struct jobs_record kept;
static bool is_created;
static uint64_t images_put;

static struct jobs_record record_of(const char *id, const char *key, uint64_t n)
{
    struct jobs_record r = {.n = n, .submitted_ms = 1};
    snprintf(r.id, sizeof r.id, "%s", id);
    snprintf(r.owner, sizeof r.owner, "me");
    snprintf(r.key, sizeof r.key, "%s", key);
    snprintf(r.body, sizeof r.body, "%064d", 1);
    snprintf(r.parameters, sizeof r.parameters, "{}");
    r.needs = (struct jobs_needs){"m", "abc", "c.1", "f32"};
    return r;
}

static int done(enum jobs_answer answer)
{
    return answer == JOBS_DONE ? 0 : -1;
}

static int put(struct jobs_store *s, const char *id, uint64_t index, struct err *e)
{
    struct jobs_result one = {
        .index = index, .label = -1, .nfe = 7, .bytes = &index, .length = sizeof index};
    return sha256_hex(&index, sizeof index, one.sha256, e) != 0 ||
                   done(s->ops->put_results(s, id, &one, 1, e)) != 0
               ? -1
               : 0;
}

static int look_at(struct jobs_store *s, struct err *e)
{
    const struct jobs_query mine = {.owner = "me", .states = JOBS_LIVE},
                            all = {.states = JOBS_LIVE};
    struct jobs_record found[2];
    struct jobs_store_stats stats;
    size_t count = 2;
    uint64_t counted[2];
    if (done(s->ops->same(s, &kept, &found[0], e)) != 0 ||
        done(s->ops->peek(s, kept.id, &found[0], e)) != 0 ||
        done(s->ops->list(s, &mine, found, &count, e)) != 0 ||
        done(s->ops->count(s, &mine, &counted[0], e)) != 0 ||
        done(s->ops->count(s, &all, &counted[1], e)) != 0 || done(s->ops->stats(s, &stats, e)) != 0)
        return -1;
    return count == 1 && counted[0] == 1 && counted[1] == 1 && stats.jobs[JOBS_RUNNING] == 1
               ? 0
               : kth_fail(e, "other jobs are listed");
}

static int work_on(struct jobs_store *s, struct err *e)
{
    const struct jobs_needs offered = {"another", "abc", "c.1", "f32"};
    struct jobs_shard shard;
    struct jobs_result one, log[4];
    struct buf bytes;
    size_t count = 4;
    if (done(s->ops->take_shard(s, &offered, 1, &shard, e)) != 0)
        return -1;
    int result = put(s, kept.id, 1, e);
    if (result == 0)
        images_put = 1;
    s->ops->end_shard(s, &shard, result != 0);
    if (result != 0)
        return -1;
    buf_init(&bytes, 100);
    result = done(s->ops->get_result(s, kept.id, 1, &one, &bytes, e));
    if (result == 0)
        result = done(s->ops->log(s, kept.id, 0, log, &count, e));
    if (result == 0 && (bytes.length != 8 || count != 1 || log[0].index != 1))
        result = kth_fail(e, "another result");
    buf_clear(&bytes);
    return result;
}

/* A job that ends, expires and is forgotten. */
static int pass(struct jobs_store *s, struct err *e)
{
    struct jobs_record r = record_of("00000000-0000-4000-8000-000000000002", "", 1), found;
    if (done(s->ops->create(s, &r, e)) != 0)
        return -1;
    r.state = JOBS_RUNNING;
    if (done(s->ops->change(s, &r, e)) != 0 || put(s, r.id, 0, e) != 0 ||
        done(s->ops->oldest(s, JOBS_FINISHED, true, &found, e)) != 0)
        return -1;
    found.state = JOBS_EXPIRED;
    if (done(s->ops->change(s, &found, e)) != 0 ||
        done(s->ops->sweep(s, found.id, SIZE_MAX, e)) != 0 ||
        done(s->ops->erase(s, found.id, e)) != 0)
        return -1;
    const enum jobs_answer answer = s->ops->get(s, r.id, &found, e);
    return answer == JOBS_ABSENT ? 0
           : answer == JOBS_DONE ? kth_fail(e, "it is not forgotten")
                                 : -1;
}

static int store(struct err *e)
{
    struct jobs_store *s = NULL;
    is_created = false;
    images_put = 0;
    kept = record_of("00000000-0000-4000-8000-000000000001", "key", 3);
    if (done(jobs_sqlite_open(folder, &s, e)) != 0)
        return -1;
    int result = done(s->ops->create(s, &kept, e));
    if (result == 0) {
        is_created = true;
        kept.state = JOBS_RUNNING;
        result = done(s->ops->change(s, &kept, e));
    }
    if (result == 0)
        result = look_at(s, e);
    if (result == 0)
        result = work_on(s, e);
    if (result == 0)
        result = pass(s, e);
    s->ops->close(s);
    return result;
}

/* A store that was there, and a record in it: no text of it is missing without a word. */
static int reading(struct err *e)
{
    const struct jobs_record wanted =
        record_of("00000000-0000-4000-8000-000000000003", "another key", 1);
    struct jobs_record found = wanted;
    struct jobs_store *s = NULL;
    if (done(jobs_sqlite_open(folder, &s, e)) != 0)
        return -1;
    enum jobs_answer answer = s->ops->get(s, wanted.id, &found, e);
    if (answer == JOBS_ABSENT)
        answer = s->ops->create(s, &found, e);
    int result = done(answer);
    if (result == 0 &&
        (strcmp(found.owner, wanted.owner) != 0 || strcmp(found.key, wanted.key) != 0 ||
         strcmp(found.body, wanted.body) != 0 || found.n != wanted.n ||
         strcmp(found.parameters, wanted.parameters) != 0 ||
         memcmp(&found.needs, &wanted.needs, sizeof wanted.needs) != 0))
        result = kth_fail(e, "another record");
    s->ops->close(s);
    return result;
}

#define HANDED_OUT (2 * JOBS_SHARD_IMAGES + 9)

/* Hands out what is there, and says how often each image was. */
static void hand_out(struct jobs_turns *line, const struct jobs_needs *needs, int *times)
{
    struct jobs_range range;
    while (jobs_turns_next(line, needs, 1, &range))
        for (uint64_t i = range.first; i < range.end; i++)
            times[i]++;
}

/* Shards that come back are handed out again, with or without memory: a job whose shard was lost
 * would never end. */
static int shards_that_come_back(struct err *e)
{
    struct jobs_turns line = {NULL};
    const struct jobs_record r = record_of("00000000-0000-4000-8000-000000000004", "", HANDED_OUT);
    int first[HANDED_OUT] = {0}, second[HANDED_OUT] = {0}, result = 0;
    if (jobs_turns_add(&line, &r, e) != 0)
        return -1;
    hand_out(&line, &r.needs, first);
    struct jobs_turn *turn = jobs_turns_find(&line, r.id);
    for (uint64_t at = 0; at < HANDED_OUT; at += JOBS_SHARD_IMAGES)
        jobs_turns_again(turn, (struct jobs_range){at, at + JOBS_SHARD_IMAGES < HANDED_OUT
                                                           ? at + JOBS_SHARD_IMAGES
                                                           : HANDED_OUT});
    jobs_turns_offer(&line, &r.needs, 1);
    uint64_t unserved, waiting = jobs_turns_waiting(&line, &unserved);
    hand_out(&line, &r.needs, second);
    for (int i = 0; i < HANDED_OUT; i++)
        waiting -= (uint64_t)second[i];
    if (waiting != 0 || jobs_turns_waiting(&line, &unserved) != 0)
        result = kth_fail(e, "another number of images waits");
    for (int i = 0; i < HANDED_OUT; i++)
        if (first[i] != 1 || second[i] != 1)
            result = kth_fail(e, "an image is not handed out");
    jobs_turns_clear(&line);
    return result;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static int acknowledged(struct jobs_store *s, struct err *e)
{
    struct jobs_record found;
    const enum jobs_answer answer = s->ops->get(s, kept.id, &found, e);
    if (answer != JOBS_DONE && (answer != JOBS_ABSENT || is_created))
        return kth_fail(e, "a job that was acknowledged is not there");
    return answer == JOBS_DONE && found.images_done < images_put
               ? kth_fail(e, "an image that was acknowledged is not there")
               : 0;
}

/* Whatever failed, the store opens again, with all that was acknowledged. */
static int opened_again(struct err *e, bool ran)
{
    struct jobs_store *s = NULL;
    (void)ran;
    if (done(jobs_sqlite_open(folder, &s, e)) != 0)
        return -1;
    const int result = acknowledged(s, e);
    s->ops->close(s);
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0
               ? result
               : kth_fail(e, "cannot be removed");
}

#define DISK                                                                                       \
    (KTH(OPEN) | KTH(READ) | KTH(WRITE) | KTH(SYNC) | KTH(RENAME) | KTH(MAP) | KTH(STATUS) |       \
     KTH(SIZE) | KTH(CLOSE) | KTH(INTERRUPT) | KTH(SHORT))

static const struct kth_case cases[] = {
    {"shards that come back", KTH(ALLOC), 0, shards_that_come_back, NULL, false},
    {"store", KTH(ALLOC), 40, store, opened_again, true},
    {"store on a disk", DISK, 20, store, opened_again, true},
    {"record", KTH(ALLOC), 0, reading, NULL, false},
};

static void each_failure_is_named_and_undone(void **state)
{
    (void)state;
    kth_check_all(cases, sizeof cases / sizeof *cases);
}

static int set_up(void **state)
{
    (void)state;
    /* In memory: a store is synced so often that a disk's pace would be this test's. */
    const char *place = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(top, sizeof top, "%s/pfgm-kth-XXXXXX", place);
    if (!mkdtemp(top))
        return -1;
    snprintf(folder, sizeof folder, "%s/jobs", top);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_failure_is_named_and_undone)};
    return cmocka_run_group_tests_name("kth jobs", tests, set_up, tear_down);
}
