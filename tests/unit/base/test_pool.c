/* The pool: every task once, whatever the numbers; and blocks of memory that count what they place.
 */
#include "base_arena.h"
#include "base_pool.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define TASKS_MAX 1000

struct counts {
    atomic_int done[TASKS_MAX];
    atomic_int strange; /* threads out of range */
    int threads;
};

static void count_task(void *context, size_t task, int thread)
{
    struct counts *c = context;
    atomic_fetch_add(&c->done[task], 1);
    if (thread < 0 || thread >= c->threads)
        atomic_fetch_add(&c->strange, 1);
}

static void pool_runs_each_task_once(void **state)
{
    static const size_t tasks[] = {0, 1, 2, 7, TASKS_MAX};
    struct err e = {0};
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        struct pool *pool = pool_new(threads, &e);
        assert_non_null(pool);
        assert_int_equal(pool_threads(pool), threads);
        for (int round = 0; round < 20; round++)
            for (size_t i = 0; i < COUNT(tasks); i++) {
                struct counts c = {.threads = threads};
                pool_run(pool, tasks[i], count_task, &c);
                for (size_t k = 0; k < TASKS_MAX; k++)
                    assert_int_equal(atomic_load(&c.done[k]), k < tasks[i]);
                assert_int_equal(atomic_load(&c.strange), 0);
            }
        pool_free(pool);
    }
    pool_free(NULL);
}

/* Counting and placing agree, arrays are aligned and apart, and a sum that overflows is seen. */
static void arena_places_what_it_counted(void **state)
{
    struct err e = {0};
    struct arena count = {0};
    (void)state;
    assert_null(arena_take(&count, 3, 8));
    assert_null(arena_take(&count, 100, 4));
    assert_false(count.overflow);
    struct arena place = {.base = arena_memory(count.used, &e)};
    assert_non_null(place.base);
    unsigned char *first = arena_take(&place, 3, 8), *second = arena_take(&place, 100, 4);
    assert_int_equal((uintptr_t)first % ARENA_ALIGN, 0);
    assert_int_equal((uintptr_t)second % ARENA_ALIGN, 0);
    assert_true(second >= first + 24 && second + 400 <= place.base + count.used);
    assert_int_equal(place.used, count.used);
    free(place.base);
    arena_take(&count, SIZE_MAX / 2, 4);
    assert_true(count.overflow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pool_runs_each_task_once),
                                       cmocka_unit_test(arena_places_what_it_counted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
