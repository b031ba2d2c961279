/* A store without room: what makes room goes on, and what was not stored is not taken for stored.
 */
#include "jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "jobs_internal.h"
#include "jobs_test.h"

#include <stdatomic.h>

#define ENDLESS 100000 /* steps: more than a test waits for */

static char folder[64];
static struct engine *g;

/* The store's own functions, and those in their place. */
static struct jobs_store_ops real, ours;
static atomic_bool is_full;
static atomic_int images_again;

static enum jobs_answer put_results(struct jobs_store *s, const char *id,
                                    const struct jobs_result *results, size_t count, struct err *e)
{
    if (!is_full)
        return real.put_results(s, id, results, count, e);
    err_fail(e, ERR_LIMIT, "test", "the store is full");
    return JOBS_FULL;
}

static enum jobs_answer sweep(struct jobs_store *s, const char *id, size_t max, struct err *e)
{
    const enum jobs_answer answer = real.sweep(s, id, max, e);
    is_full = is_full && answer != JOBS_DONE;
    return answer;
}

static void end_shard(struct jobs_store *s, const struct jobs_shard *shard, bool again)
{
    images_again += again ? (int)shard->count : 0;
    real.end_shard(s, shard, again);
}

static int set_up(void **state)
{
    (void)state;
    make_folder(folder, sizeof folder);
    g = digits_engine(2, 4);
    is_full = false;
    images_again = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    engine_free(g);
    remove_folder(folder);
    return 0;
}

/* From now on the store takes no results until something of it was deleted. */
static void fill_store(struct jobs *j)
{
    ours = real = *j->store->ops;
    ours.put_results = put_results;
    ours.sweep = sweep;
    ours.end_shard = end_shard;
    is_full = true;
    j->store->ops = &ours;
}

static void a_full_store_deletes_what_is_to_go(void **state)
{
    (void)state;
    struct jobs *j = open_jobs(g, folder);
    const struct engine_order order = digits_order(g, 64, 2);
    struct err e = {0};
    struct jobs_record old = file_job(j, NULL, &order), r;
    wait_state(j, old.id, JOBS_BIT(JOBS_SUCCEEDED));
    fill_store(j);
    r = file_job(j, NULL, &order);
    wait_trouble(j, ERR_LIMIT);
    assert_answer(remove_job(j, "me", old.id, 0, &old, &e), JOBS_DONE, &e);
    wait_state(j, r.id, JOBS_BIT(JOBS_SUCCEEDED));
    assert_images(j, g, r.id, &order);
    wait_trouble(j, ERR_NONE);
    jobs_close(j);
}

static void a_job_is_cancelled_though_the_store_is_full(void **state)
{
    (void)state;
    struct jobs *j = open_jobs(g, folder);
    const struct engine_order quick = digits_order(g, 64, 2), order = digits_order(g, 300, ENDLESS);
    fill_store(j);
    struct jobs_record r = file_job(j, NULL, &quick), other = file_job(j, NULL, &order);
    wait_trouble(j, ERR_LIMIT);
    cancel_job(j, other.id);
    cancel_job(j, r.id);
    wait_state(j, r.id, JOBS_BIT(JOBS_CANCELLED));
    wait_state(j, other.id, JOBS_BIT(JOBS_CANCELLED));
    assert_true(is_full);
    assert_true(engine_wait_empty(g, WAIT_MS));
    jobs_close(j);
}

/* All of a shard is made, and nothing of it stored: whoever goes on makes it again. */
static void a_stop_while_the_store_is_full_leaves_its_shards_to_others(void **state)
{
    (void)state;
    struct jobs *j = open_jobs(g, folder);
    const struct engine_order order = digits_order(g, 64, 2);
    fill_store(j);
    struct jobs_record r = file_job(j, NULL, &order);
    wait_trouble(j, ERR_LIMIT);
    while (engine_stats_get(g).images_ok < 64)
        usleep(1000);
    jobs_close(j);
    assert_int_equal(images_again, 64);
    j = open_jobs(g, folder);
    wait_state(j, r.id, JOBS_BIT(JOBS_SUCCEEDED));
    assert_images(j, g, r.id, &order);
    jobs_close(j);
}

int main(void)
{
#define WITH_ENGINE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_ENGINE(a_full_store_deletes_what_is_to_go),
        WITH_ENGINE(a_job_is_cancelled_though_the_store_is_full),
        WITH_ENGINE(a_stop_while_the_store_is_full_leaves_its_shards_to_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
