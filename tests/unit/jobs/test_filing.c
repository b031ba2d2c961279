/* Filing in a fleet: keys and records, and what is erased of them. */
#include "jobs_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "jobs_fleet_test.h"

#include <pthread.h>

/* The job of a key whose record was never written: whoever files it again writes it. */
static void a_key_without_a_record_is_made_good(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct err e = {0};
    struct jobs_record first = record_of("me", 1), again = record_of("me", 1);
    snprintf(first.key, sizeof first.key, "key");
    snprintf(again.key, sizeof again.key, "key");
    assert_answer(s->ops->create(s, &first, &e), JOBS_DONE, &e);
    char key[64];
    snprintf(key, sizeof key, "jobs.%s.record", first.id);
    struct jobs_wire *w = look_at_server();
    assert_answer(jobs_wire_delete(w, key, &e), JOBS_DONE, &e); /* as if it had not come to that */
    stop_looking(w);
    s->ops->close(s);
    s = open_store(folder);
    assert_answer(s->ops->create(s, &again, &e), JOBS_CONFLICT, &e);
    assert_string_equal(again.id, first.id);
    assert_int_equal(get(s, first.id).state, JOBS_QUEUED);
    s->ops->close(s);
}

struct filing {
    struct jobs_store *store;
    struct jobs_record record;
    enum jobs_answer answer;
};

static void *file_it(void *filing)
{
    struct filing *one = filing;
    struct err e = {0};
    one->answer = one->store->ops->create(one->store, &one->record, &e);
    return NULL;
}

/* Whoever finds a key without its record writes that down for the other; the job is still new to
 * one of them, who pays for it. */
static void filings_of_one_key_at_a_time_are_one_new_job(void **state)
{
    enum { ROUNDS = 200 };
    (void)state;
    struct jobs_store *s[] = {open_store(folder), open_store(folder)};
    for (int round = 0; round < ROUNDS; round++) {
        struct filing two[2];
        pthread_t threads[2];
        for (int i = 0; i < 2; i++) {
            two[i] = (struct filing){.store = s[i], .record = record_of("me", 1)};
            snprintf(two[i].record.key, sizeof two[i].record.key, "key %d", round);
            assert_int_equal(pthread_create(&threads[i], NULL, file_it, &two[i]), 0);
        }
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        const bool first = two[0].answer == JOBS_DONE;
        assert_int_equal(two[first].answer, JOBS_CONFLICT);
        assert_int_equal(two[!first].answer, JOBS_DONE);
        assert_string_equal(two[0].record.id, two[1].record.id);
    }
    for (int i = 0; i < 2; i++)
        s[i]->ops->close(s[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_key_without_a_record_is_made_good),
        IN_FOLDER(filings_of_one_key_at_a_time_are_one_new_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
