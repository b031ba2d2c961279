/* Jobs of a fleet that do not go on, and those that only take long. */
#include "jobs_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "jobs_fleet_test.h"

#include <stdatomic.h>

#define HEARD_MS 60000 /* in which a server has long heard what was said to it */

/* When the replica looks after jobs that are handed out whole. */
static void set_times(struct jobs_store *s, int64_t stuck_ns, int64_t anyway_ns)
{
    struct jobs_fleet *f = (struct jobs_fleet *)s;
    lock_take(&f->lock);
    f->stuck_ns = stuck_ns;
    f->anyway_ns = anyway_ns;
    lock_drop(&f->lock);
}

/* Since when the replica knows of nothing new of a job that is handed out whole; 0: it did not look
 * yet. */
static int64_t seen_since(struct jobs_store *s, const char *id)
{
    struct jobs_fleet *f = (struct jobs_fleet *)s;
    lock_take(&f->lock);
    const struct jobs_entry *entry = jobs_mirror_find(&f->mirror, id);
    const int64_t since = entry ? entry->seen_ns : 0;
    lock_drop(&f->lock);
    return since;
}

/* The message of the shard that is held. */
static uint64_t held_message(struct jobs_store *s)
{
    struct jobs_fleet *f = (struct jobs_fleet *)s;
    lock_take(&f->lock);
    const uint64_t sequence = f->held->sequence;
    lock_drop(&f->lock);
    return sequence;
}

static void count_call(void *context, const void *data, size_t length)
{
    (void)data, (void)length;
    ++*(atomic_int *)context;
}

/* However many there are: what is asked about each of them takes time, and in it nobody hears that
 * this replica is at work. */
static void the_server_is_not_asked_about_jobs_that_were_handed_out_just_now(void **state)
{
    enum { JOBS = 8, LOOKS_S = 3 }; /* a look each second */
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct jobs_wire *w = look_at_server();
    struct jobs_wire_tail *calls = NULL;
    struct jobs_shard shards[JOBS];
    struct err e = {0};
    atomic_int count = 0;
    for (size_t i = 0; i < JOBS; i++) {
        struct jobs_record r = make(s, "me", 1);
        take(s, 0, 1, &shards[i]);
        assert_string_equal(shards[i].id, r.id);
    }
    assert_answer(jobs_wire_listen(w, "$JS.API.CONSUMER.CREATE.>", count_call, &count, &calls, &e),
                  JOBS_DONE, &e);
    s->ops->offer(s, &offered, 1);
    sleep(LOOKS_S);
    assert_int_equal(count, 0);
    set_times(s, 0, JOBS_ANYWAY_NS); /* when it has been a while, it is */
    for (int i = 0; i < WAIT_MS && count < JOBS; i++)
        usleep(1000);
    assert_true(count >= JOBS);
    jobs_wire_tail_close(calls);
    stop_looking(w);
    s->ops->close(s);
}

/* A shard that was acknowledged and never stored, while others of its kind are at work or not. */
static void assert_handed_out_anew(int64_t anyway_ns, bool is_idle)
{
    struct jobs_store *s = open_store(folder);
    struct jobs_wire *w = look_at_server();
    struct jobs_record r = make(s, "me", 100);
    struct jobs_wire_work work;
    struct jobs_shard shard;
    struct err e = {0};
    char subject[JOBS_WORK_SIZE];
    jobs_mirror_work(&offered, subject);
    s->ops->offer(s, &offered, 1);
    set_times(s, 1000000000, anyway_ns);
    take(s, 0, 64, &shard);
    take_work(w, subject, &work);
    jobs_wire_say(w, work.reply, "+ACK", 4);
    go(s, &r, JOBS_RUNNING);
    assert_answer(put(s, r.id, 0, 64, &e), JOBS_DONE, &e);
    if (is_idle)
        s->ops->end_shard(s, &shard, false);
    take(s, 64, 36, &shard);
    assert_answer(put(s, r.id, 64, 36, &e), JOBS_DONE, &e);
    assert_int_equal(get(s, r.id).state, JOBS_SUCCEEDED);
    stop_looking(w);
    s->ops->close(s);
}

static void a_shard_that_was_acknowledged_and_not_stored_is_made_all_the_same(void **state)
{
    (void)state;
    assert_handed_out_anew(JOBS_ANYWAY_NS, true);
}

static void a_job_does_not_stand_still_because_others_of_its_kind_go_on(void **state)
{
    (void)state;
    assert_handed_out_anew(1000000000, false);
}

/* A shard that takes long is handed out anew while it is held. Whoever holds it takes the second
 * message for it, too, and then the first one must not come again. */
static void a_shard_that_is_held_twice_is_over_when_it_is_ended(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct jobs_wire *w = look_at_server();
    struct jobs_record r = make(s, "me", 64);
    struct jobs_wire_message again = {.id = "again"};
    struct jobs_shard shard, none;
    struct err e = {0};
    char subject[JOBS_WORK_SIZE], text[96];
    bool is_idle = false;
    jobs_mirror_work(&offered, subject);
    take(s, 0, 64, &shard);
    go(s, &r, JOBS_RUNNING);
    snprintf(again.subject, sizeof again.subject, "%s", subject);
    snprintf(text, sizeof text, "%s 0 64 1", r.id);
    again.data = text;
    again.length = strlen(text);
    assert_answer(jobs_wire_publish(w, &again, 1, &e), JOBS_DONE, &e);
    const uint64_t first = held_message(s);
    for (int i = 0; i < WAIT_MS && held_message(s) == first; i++, usleep(1000))
        assert_answer(s->ops->take_shard(s, &offered, 1, &none, &e), JOBS_ABSENT, &e);
    assert_int_not_equal(held_message(s), first);
    s->ops->end_shard(s, &shard, false);
    for (int i = 0; i < HEARD_MS && !is_idle; i++, usleep(1000))
        assert_answer(jobs_wire_is_idle(w, subject, &is_idle, &e), JOBS_DONE, &e);
    assert_true(is_idle);
    stop_looking(w);
    s->ops->close(s);
}

/* Its images are slow, and each of them is progress. */
static void an_image_of_a_shard_is_progress_of_its_job(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct jobs_record r = make(s, "me", 64);
    struct jobs_shard shard;
    struct err e = {0};
    int64_t first = 0, since = 0;
    s->ops->offer(s, &offered, 1);
    set_times(s, 0, JOBS_ANYWAY_NS);
    take(s, 0, 64, &shard);
    go(s, &r, JOBS_RUNNING);
    for (int i = 0; i < HEARD_MS && first == 0; i++, usleep(1000))
        first = seen_since(s, r.id);
    assert_int_not_equal(first, 0);
    assert_answer(put(s, r.id, 0, 1, &e), JOBS_DONE, &e);
    for (int i = 0; i < HEARD_MS && since <= first; i++, usleep(1000))
        since = seen_since(s, r.id);
    assert_true(since > first);
    s->ops->close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(the_server_is_not_asked_about_jobs_that_were_handed_out_just_now),
        IN_FOLDER(a_shard_that_was_acknowledged_and_not_stored_is_made_all_the_same),
        IN_FOLDER(a_job_does_not_stand_still_because_others_of_its_kind_go_on),
        IN_FOLDER(a_shard_that_is_held_twice_is_over_when_it_is_ended),
        IN_FOLDER(an_image_of_a_shard_is_progress_of_its_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
