/* Which jobs go when they are old or too many: of a store in memory, with clocks of the test's own.
 */
#include "jobs_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "jobs_retain.h"

#include "base_wait.h"

#include <stdlib.h>

#define HOUR_MS INT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)
#define BYTES 100 /* of each job */
#define JOBS 12

static int64_t wall_ms, monotonic_ms;
int64_t __wrap_jobs_now_ms(void);
int64_t __wrap_jobs_now_ms(void)
{
    return wall_ms;
}

int64_t __wrap_clock_ns(void);
int64_t __wrap_clock_ns(void)
{
    return monotonic_ms * 1000000;
}

static void pass(int64_t ms)
{
    wall_ms += ms;
    monotonic_ms += ms;
}

/* ---- a store ---- */

static struct jobs_record records[JOBS];
static size_t others; /* steps that another replica takes just before one of ours */

static struct jobs_record *find_oldest(unsigned states, bool holding)
{
    struct jobs_record *found = NULL;
    for (size_t i = 0; i < JOBS; i++)
        if (records[i].id[0] && (states & JOBS_BIT(records[i].state)) &&
            (!holding || records[i].bytes > 0) &&
            (!found || records[i].finished_ms < found->finished_ms))
            found = &records[i];
    return found;
}

static struct jobs_record *find(const char *id)
{
    for (size_t i = 0; i < JOBS; i++)
        if (records[i].id[0] == id[0])
            return &records[i];
    return NULL;
}

static enum jobs_answer oldest(struct jobs_store *s, unsigned states, bool holding,
                               struct jobs_record *out, struct err *e)
{
    const struct jobs_record *found = find_oldest(states, holding);
    (void)s, (void)e;
    if (found)
        *out = *found;
    return found ? JOBS_DONE : JOBS_ABSENT;
}

static enum jobs_answer change(struct jobs_store *s, struct jobs_record *r, struct err *e)
{
    struct jobs_record *there = find(r->id);
    (void)s, (void)e;
    *there = *r;
    struct jobs_record *next = others > 0 ? find_oldest(JOBS_FINISHED, false) : NULL;
    if (next) {
        next->state = JOBS_EXPIRED;
        others--;
    }
    return JOBS_DONE;
}

static enum jobs_answer sweep(struct jobs_store *s, const char *id, size_t max, struct err *e)
{
    (void)s, (void)max, (void)e;
    find(id)->bytes = 0;
    return JOBS_DONE;
}

static enum jobs_answer erase(struct jobs_store *s, const char *id, struct err *e)
{
    (void)s, (void)e;
    find(id)->id[0] = '\0';
    return JOBS_DONE;
}

static enum jobs_answer stats(struct jobs_store *s, struct jobs_store_stats *out, struct err *e)
{
    (void)s, (void)e;
    *out = (struct jobs_store_stats){.file_bytes = 0};
    for (size_t i = 0; i < JOBS; i++) {
        if (!records[i].id[0])
            continue;
        out->jobs[records[i].state]++;
        if (JOBS_FINISHED & JOBS_BIT(records[i].state))
            out->finished_bytes += records[i].bytes;
    }
    return JOBS_DONE;
}

/* Only its being there says that others share the store. */
static bool served(struct jobs_store *s, const struct jobs_needs *needs)
{
    (void)s, (void)needs;
    return false;
}

static const struct jobs_store_ops own_ops = {
    .oldest = oldest, .change = change, .sweep = sweep, .erase = erase, .stats = stats};
static const struct jobs_store_ops shared_ops = {.oldest = oldest,
                                                 .change = change,
                                                 .sweep = sweep,
                                                 .erase = erase,
                                                 .stats = stats,
                                                 .served = served};

/* ---- the tests ---- */

static struct jobs_store store;
static struct jobs jobs;

/* So many jobs, which finished one second after the other, the last one just now. */
static int begin(void **state)
{
    (void)state;
    wall_ms = 1000 * DAY_MS;
    monotonic_ms = HOUR_MS;
    others = 0;
    for (size_t i = 0; i < JOBS; i++) {
        records[i] = (struct jobs_record){.n = 1, .state = JOBS_SUCCEEDED, .bytes = BYTES};
        records[i].id[0] = (char)('a' + i);
        records[i].finished_ms = wall_ms - (int64_t)(JOBS - 1 - i) * 1000;
    }
    store.ops = &own_ops;
    jobs = (struct jobs){.store = &store, .keep_ms = 7 * DAY_MS};
    lock_init(&jobs.lock);
    wait_init(&jobs.changed);
    jobs_retain_begin(&jobs);
    return 0;
}

static int end(void **state)
{
    (void)state;
    pthread_cond_destroy(&jobs.changed);
    lock_clear(&jobs.lock);
    return 0;
}

static void retain(void)
{
    while (jobs_retain(&jobs))
        ;
}

static uint64_t finished(void)
{
    struct jobs_store_stats s;
    stats(&store, &s, NULL);
    return s.jobs[JOBS_SUCCEEDED];
}

static uint64_t known(void)
{
    struct jobs_store_stats s;
    stats(&store, &s, NULL);
    return s.jobs[JOBS_SUCCEEDED] + s.jobs[JOBS_EXPIRED];
}

static void the_oldest_go_by_their_bytes(void **state)
{
    (void)state;
    jobs.keep_bytes = 5 * BYTES;
    retain();
    assert_int_equal(finished(), 5);
    assert_int_equal(known(), JOBS);
    assert_int_equal(records[JOBS - 5].state, JOBS_SUCCEEDED);
}

static void the_oldest_go_by_their_number(void **state)
{
    (void)state;
    jobs.records_max = 5;
    retain();
    assert_int_equal(finished(), 5);
    assert_int_equal(known(), 5);
}

/* However many replicas look after it, no more goes than is too much. */
static void what_others_expire_is_not_expired_once_more(void **state)
{
    (void)state;
    store.ops = &shared_ops;
    jobs.keep_bytes = 5 * BYTES;
    others = 3;
    retain();
    assert_int_equal(others, 0);
    assert_int_equal(finished(), 5);
}

static void what_others_expire_counts_among_the_records(void **state)
{
    (void)state;
    store.ops = &shared_ops;
    jobs.records_max = 5;
    others = 3;
    retain();
    assert_int_equal(finished(), 5);
    assert_int_equal(known(), 5);
}

static void what_is_old_goes(void **state)
{
    (void)state;
    for (int day = 0; day < 6; day++) {
        pass(DAY_MS);
        retain();
    }
    assert_int_equal(finished(), JOBS);
    pass(DAY_MS - 2000);
    retain();
    assert_int_equal(finished(), 2);
    for (int day = 0; day < 8; day++) {
        pass(DAY_MS);
        retain();
    }
    assert_int_equal(known(), 0);
}

static void a_step_of_the_clock_makes_nothing_old(void **state)
{
    (void)state;
    wall_ms += 400 * DAY_MS;
    retain();
    pass(DAY_MS - 1000);
    retain();
    assert_int_equal(finished(), JOBS);
    wall_ms -= 400 * DAY_MS; /* it was wrong */
    for (int day = 0; day < 5; day++) {
        pass(DAY_MS);
        retain();
    }
    assert_int_equal(finished(), JOBS);
    pass(2 * DAY_MS); /* this long without a look is no step */
    retain();
    assert_int_equal(finished(), 0);
}

static void a_clock_that_stays_so_is_believed(void **state)
{
    (void)state;
    wall_ms += 400 * DAY_MS;
    retain();
    pass(DAY_MS - 1000);
    retain();
    assert_int_equal(finished(), JOBS);
    pass(1000);
    retain();
    assert_int_equal(finished(), 0);
}

static void what_is_too_much_goes_whatever_the_clock_says(void **state)
{
    (void)state;
    jobs.keep_bytes = 5 * BYTES;
    wall_ms += 400 * DAY_MS;
    retain();
    assert_int_equal(finished(), 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_oldest_go_by_their_bytes),
        TEST(the_oldest_go_by_their_number),
        TEST(what_others_expire_is_not_expired_once_more),
        TEST(what_others_expire_counts_among_the_records),
        TEST(what_is_old_goes),
        TEST(a_step_of_the_clock_makes_nothing_old),
        TEST(a_clock_that_stays_so_is_believed),
        TEST(what_is_too_much_goes_whatever_the_clock_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
