/* Filing in a fleet: keys and records, and what is erased of them. */
#include "jobs_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "jobs_fleet_test.h"

#include <pthread.h>
#include <stdatomic.h>

static struct jobs_record keyed(const char *key)
{
    struct jobs_record r = record_of("me", 1);
    snprintf(r.key, sizeof r.key, "%s", key);
    return r;
}

static bool is_written(struct jobs_wire *w, const char *id)
{
    struct buf text;
    struct err e = {0};
    char key[64];
    uint64_t revision;
    snprintf(key, sizeof key, "jobs.%s.record", id);
    buf_init(&text, 1 << 16);
    const enum jobs_answer answer = jobs_wire_get(w, key, &text, &revision, &e);
    assert_true(answer == JOBS_DONE || answer == JOBS_ABSENT);
    buf_clear(&text);
    return answer == JOBS_DONE;
}

/* Files the job as if it had not come to its record; the store is opened anew. */
static struct jobs_store *file_without_record(struct jobs_store *s, struct jobs_wire *w,
                                              struct jobs_record *r)
{
    struct err e = {0};
    char key[64];
    assert_answer(s->ops->create(s, r, &e), JOBS_DONE, &e);
    snprintf(key, sizeof key, "jobs.%s.record", r->id);
    assert_answer(jobs_wire_delete(w, key, r->revision, &e), JOBS_DONE, &e);
    s->ops->close(s);
    return open_store(folder);
}

/* The job of a key whose record was never written: whoever files it again writes it, and it is new
 * to that one, who pays for it. A look writes nothing, and nor does who files something else. */
static void a_key_without_a_record_is_made_good(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct jobs_wire *w = look_at_server();
    struct err e = {0};
    struct jobs_record first = keyed("key"), again = keyed("key"), other = keyed("key"), found;
    first.submitted_ms = jobs_now_ms();
    s = file_without_record(s, w, &first);
    assert_answer(s->ops->same(s, &again, &found, &e), JOBS_ABSENT, &e);
    assert_false(is_written(w, first.id));
    snprintf(other.body, sizeof other.body, "other");
    assert_answer(s->ops->create(s, &other, &e), JOBS_CONFLICT, &e);
    assert_string_not_equal(other.body, "other");
    assert_false(is_written(w, first.id));
    assert_answer(s->ops->create(s, &again, &e), JOBS_DONE, &e);
    assert_string_equal(again.id, first.id);
    assert_int_equal(get(s, first.id).state, JOBS_QUEUED);
    again = keyed("key");
    assert_answer(s->ops->create(s, &again, &e), JOBS_CONFLICT, &e);
    assert_string_equal(again.id, first.id);
    stop_looking(w);
    s->ops->close(s);
}

/* The server's word for a record, which comes late. */
static atomic_bool is_late;
enum jobs_answer __real_jobs_wire_put(struct jobs_wire *w, const char *key, const void *data,
                                      size_t length, uint64_t *revision, struct err *e);
enum jobs_answer __wrap_jobs_wire_put(struct jobs_wire *w, const char *key, const void *data,
                                      size_t length, uint64_t *revision, struct err *e);
enum jobs_answer __wrap_jobs_wire_put(struct jobs_wire *w, const char *key, const void *data,
                                      size_t length, uint64_t *revision, struct err *e)
{
    const enum jobs_answer answer = __real_jobs_wire_put(w, key, data, length, revision, e);
    if (!is_late || strncmp(key, "jobs.", 5) != 0)
        return answer;
    err_fail(e, ERR_IO, "", "the server is late");
    return JOBS_AWAY;
}

/* Whoever took it gave up: it is no name of a job for good. */
static void a_key_that_was_abandoned_is_free(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct jobs_wire *w = look_at_server();
    struct err e = {0};
    struct jobs_record first = keyed("key"), other = keyed("key");
    first.submitted_ms = jobs_now_ms() - 3600000;
    s = file_without_record(s, w, &first);
    snprintf(other.body, sizeof other.body, "other");
    assert_answer(s->ops->create(s, &other, &e), JOBS_DONE, &e);
    assert_string_not_equal(other.id, first.id);
    assert_int_equal(get(s, other.id).state, JOBS_QUEUED);
    stop_looking(w);
    s->ops->close(s);
}

/* Whoever is told so knows that the job may be there, and does not give the charge back. */
static void a_filing_whose_answer_is_late_is_unsure(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct err e = {0};
    struct jobs_record r = keyed("key"), again = keyed("key");
    is_late = true;
    assert_answer(s->ops->create(s, &r, &e), JOBS_UNSURE, &e);
    is_late = false;
    assert_int_equal(get(s, r.id).state, JOBS_QUEUED);
    assert_answer(s->ops->create(s, &again, &e), JOBS_CONFLICT, &e);
    assert_string_equal(again.id, r.id);
    s->ops->close(s);
}

/* What happens when the job's results have gone, and before its names do. */
static struct jobs_store *other_replica;
static struct jobs_record filed_meanwhile;
enum jobs_answer __real_jobs_wire_purge_job(struct jobs_wire *w, const char *id, struct err *e);
enum jobs_answer __wrap_jobs_wire_purge_job(struct jobs_wire *w, const char *id, struct err *e);
enum jobs_answer __wrap_jobs_wire_purge_job(struct jobs_wire *w, const char *id, struct err *e)
{
    struct jobs_store *other = other_replica;
    const enum jobs_answer answer = __real_jobs_wire_purge_job(w, id, e);
    other_replica = NULL;
    if (other) {
        assert_answer(other->ops->erase(other, id, e), JOBS_DONE, e);
        assert_answer(other->ops->create(other, &filed_meanwhile, e), JOBS_DONE, e);
    }
    return answer;
}

/* Two replicas erase a tombstone, and a job takes its id or its key before the second one is done.
 */
static void assert_erased_alone(bool same_id, bool same_key)
{
    struct jobs_store *a = open_store(folder), *b = open_store(folder);
    struct jobs_wire *w = look_at_server();
    struct err e = {0};
    struct jobs_record r = keyed("key"), found;
    assert_answer(a->ops->create(a, &r, &e), JOBS_DONE, &e);
    go(a, &r, JOBS_CANCELLING);
    go(a, &r, JOBS_CANCELLED);
    go(a, &r, JOBS_EXPIRED);
    filed_meanwhile = keyed(same_key ? "key" : "other");
    if (same_id)
        memcpy(filed_meanwhile.id, r.id, sizeof r.id);
    other_replica = b;
    assert_answer(a->ops->erase(a, r.id, &e), JOBS_DONE, &e);
    assert_true(is_written(w, filed_meanwhile.id));
    assert_int_equal(is_written(w, r.id), same_id);
    struct jobs_record again = keyed(filed_meanwhile.key);
    assert_answer(a->ops->same(a, &again, &found, &e), JOBS_DONE, &e);
    assert_string_equal(found.id, filed_meanwhile.id);
    stop_looking(w);
    a->ops->close(a);
    b->ops->close(b);
}

static void a_new_job_of_an_erased_id_stays(void **state)
{
    (void)state;
    assert_erased_alone(true, false);
}

static void a_new_job_of_an_erased_key_stays(void **state)
{
    (void)state;
    assert_erased_alone(false, true);
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

/* Whoever finds a key without its record writes that down for the other; the job is new to one of
 * them, who pays for it. */
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
        IN_FOLDER(a_key_that_was_abandoned_is_free),
        IN_FOLDER(a_filing_whose_answer_is_late_is_unsure),
        IN_FOLDER(a_new_job_of_an_erased_id_stays),
        IN_FOLDER(a_new_job_of_an_erased_key_stays),
        IN_FOLDER(filings_of_one_key_at_a_time_are_one_new_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
