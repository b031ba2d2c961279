/* The store by itself: transitions, names, turns, what it says of files that it cannot use. */
#include "jobs_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base_cpu.h"
#include "base_file.h"
#include "jobs_store_test.h"
#include "jobs_turns.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void states_go_where_they_may(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct err e = {0};
    struct jobs_record r = make(s, "me", 3), other;
    assert_true(r.revision > 0);
    other = r;
    r.started_ms = 5;
    go(s, &r, JOBS_RUNNING);
    assert_true(r.revision > other.revision);
    assert_int_equal(get(s, r.id).started_ms, 5);
    other.state = JOBS_CANCELLING; /* of a revision that is over */
    assert_answer(s->ops->change(s, &other, &e), JOBS_CONFLICT, &e);
    assert_int_equal(get(s, r.id).state, JOBS_RUNNING);
    r.state = JOBS_QUEUED;
    assert_answer(s->ops->change(s, &r, &e), JOBS_BROKEN, &e);
    assert_int_equal(get(s, r.id).state, JOBS_RUNNING);

    r.state = JOBS_RUNNING;
    err_fail(&r.error, ERR_NUMERIC, "/images/2", "not finite");
    go(s, &r, JOBS_FAILED);
    s->ops->close(s);
    s = open_store(folder);
    struct jobs_record again = get(s, r.id);
    assert_int_equal(again.state, JOBS_FAILED);
    assert_int_equal(again.error.code, ERR_NUMERIC);
    assert_string_equal(again.error.at, "/images/2");
    assert_string_equal(again.error.text, "not finite");
    assert_answer(put(s, r.id, 0, 1, &e), JOBS_ABSENT, &e); /* it has ended */
    assert_answer(s->ops->get(s, "nobody", &again, &e), JOBS_ABSENT, &e);
    s->ops->close(s);
}

static void every_result_counts_once_and_the_last_one_ends_the_job(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct err e = {0};
    struct jobs_record r = make(s, "me", 5);
    struct jobs_result one, log[8];
    struct buf bytes;
    go(s, &r, JOBS_RUNNING);
    assert_answer(put(s, r.id, 1, 2, &e), JOBS_DONE, &e);
    assert_answer(put(s, r.id, 0, 3, &e), JOBS_DONE, &e); /* 1 and 2 are there */
    assert_int_equal(get(s, r.id).images_done, 3);
    assert_int_equal(get(s, r.id).bytes, 24);
    assert_int_equal(get(s, r.id).revision, r.revision); /* whoever changes it is not in the way */
    buf_init(&bytes, 100);
    assert_answer(s->ops->get_result(s, r.id, 4, &one, &bytes, &e), JOBS_ABSENT, &e);
    assert_answer(put(s, r.id, 3, 2, &e), JOBS_DONE, &e);
    assert_int_equal(get(s, r.id).state, JOBS_SUCCEEDED);
    assert_true(get(s, r.id).finished_ms > 0);
    assert_answer(s->ops->get_result(s, r.id, 4, &one, &bytes, &e), JOBS_DONE, &e);
    assert_int_equal(*(const uint64_t *)(const void *)bytes.data, 4);
    buf_clear(&bytes);

    const uint64_t order[] = {1, 2, 0, 3, 4};
    assert_int_equal(read_log(s, r.id, 0, log, 5), 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(log[i].sequence, i + 1);
        assert_int_equal(log[i].index, order[i]);
    }
    assert_int_equal(read_log(s, r.id, 2, log, 2), 2);
    assert_int_equal(log[0].index, 0);
    s->ops->close(s);
}

static void a_name_is_taken_once(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct err e = {0};
    struct jobs_record first = record_of("me", 1), same = first, second = record_of("me", 1),
                       third = record_of("you", 1);
    snprintf(first.key, sizeof first.key, "key");
    assert_answer(s->ops->create(s, &first, &e), JOBS_DONE, &e);
    assert_answer(s->ops->create(s, &same, &e), JOBS_CONFLICT, &e);
    assert_int_equal(same.number, first.number);
    snprintf(second.key, sizeof second.key, "key");
    snprintf(third.key, sizeof third.key, "key");
    assert_answer(s->ops->create(s, &second, &e), JOBS_CONFLICT, &e);
    assert_string_equal(second.id, first.id);
    assert_answer(s->ops->create(s, &third, &e), JOBS_DONE, &e); /* another owner's key */
    make(s, "me", 1);                                            /* and none at all */
    make(s, "me", 1);
    s->ops->close(s);
}

static void a_list_goes_on_where_it_stopped(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct err e = {0};
    struct jobs_record r[4];
    struct jobs_query query = {.owner = "me", .states = JOBS_LIVE};
    for (int i = 0; i < 5; i++) {
        make(s, "me", (uint64_t)i + 1);
        make(s, "you", 100);
    }
    size_t count = 2;
    assert_answer(s->ops->list(s, &query, r, &count, &e), JOBS_DONE, &e);
    assert_int_equal(count, 2);
    assert_int_equal(r[0].n, 5);
    assert_int_equal(r[1].n, 4);
    make(s, "me", 9); /* comes before what has been listed */
    query.before = r[1].number;
    count = 4;
    assert_answer(s->ops->list(s, &query, r, &count, &e), JOBS_DONE, &e);
    assert_int_equal(count, 3);
    assert_int_equal(r[0].n, 3);
    assert_int_equal(r[2].n, 1);
    query = (struct jobs_query){.states = JOBS_BIT(JOBS_FAILED)};
    count = 4;
    assert_answer(s->ops->list(s, &query, r, &count, &e), JOBS_DONE, &e);
    assert_int_equal(count, 0);
    s->ops->close(s);
}

static void records_are_counted_by_state_owner_and_number(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct jobs_query query = {.states = JOBS_LIVE};
    struct err e = {0};
    uint64_t count = 9;
    assert_answer(s->ops->count(s, &query, &count, &e), JOBS_DONE, &e);
    assert_int_equal(count, 0);
    struct jobs_record first = make(s, "me", 1), second = make(s, "you", 1),
                       third = make(s, "me", 1);
    go(s, &first, JOBS_RUNNING);
    assert_answer(s->ops->count(s, &query, &count, &e), JOBS_DONE, &e);
    assert_int_equal(count, 3);
    query.owner = "me";
    assert_answer(s->ops->count(s, &query, &count, &e), JOBS_DONE, &e);
    assert_int_equal(count, 2);
    query = (struct jobs_query){.states = JOBS_BIT(JOBS_QUEUED), .before = third.number};
    assert_answer(s->ops->count(s, &query, &count, &e), JOBS_DONE, &e);
    assert_int_equal(count, 1); /* the second */
    go(s, &second, JOBS_CANCELLING);
    assert_answer(s->ops->count(s, &query, &count, &e), JOBS_DONE, &e);
    assert_int_equal(count, 0);
    s->ops->close(s);
}

static void assert_shard(struct jobs_store *s, const struct jobs_record *r, uint64_t first,
                         size_t count)
{
    struct jobs_shard shard;
    take(s, first, count, &shard);
    assert_string_equal(shard.id, r->id);
}

static void assert_no_shard(struct jobs_store *s, const struct jobs_needs *models)
{
    struct jobs_shard shard;
    struct err e = {0};
    assert_answer(s->ops->take_shard(s, models, 1, &shard, &e), JOBS_ABSENT, &e);
}

/* To the end of the line is one step however long it is, and the end is found after each removal.
 */
static void a_long_line_of_jobs_is_no_slower_to_join(void **state)
{
    enum { JOBS = 100000 };
    struct jobs_turns line = {NULL};
    struct jobs_record r = record_of("", 1);
    struct jobs_range range;
    char last[JOBS_ID_SIZE], first[JOBS_ID_SIZE];
    (void)state;
    const int64_t begun = clock_thread_ns(); /* whatever else runs */
    for (int i = 0; i < JOBS; i++) {
        snprintf(r.id, sizeof r.id, "%036d", i);
        assert_int_equal(jobs_turns_add(&line, &r, NULL), 0);
    }
    assert_true(clock_thread_ns() - begun <
                5000000000); /* half a minute where each one walks the line */
    memcpy(last, r.id, sizeof last);
    snprintf(first, sizeof first, "%036d", 0);
    jobs_turns_remove(&line, last);
    jobs_turns_remove(&line, last); /* harmless */
    jobs_turns_remove(&line, first);
    snprintf(r.id, sizeof r.id, "%036d", JOBS);
    assert_int_equal(jobs_turns_add(&line, &r, NULL), 0);
    assert_string_equal(jobs_turns_next(&line, &r.needs, 1, &range)->id,
                        "000000000000000000000000000000000001");
    assert_non_null(jobs_turns_find(&line, r.id));
    jobs_turns_clear(&line);
    assert_int_equal(jobs_turns_add(&line, &r, NULL), 0); /* a line of one, whose end goes */
    jobs_turns_remove(&line, r.id);
    assert_null(jobs_turns_next(&line, &r.needs, 1, &range));
    assert_int_equal(jobs_turns_add(&line, &r, NULL), 0);
    assert_string_equal(jobs_turns_next(&line, &r.needs, 1, &range)->id, r.id);
    assert_string_equal(line.last->id, r.id);
    jobs_turns_clear(&line);
}

static void work_is_handed_out_in_turns_and_what_is_missing_again(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct err e = {0};
    struct jobs_record a = make(s, "me", 200), b = make(s, "you", 65);
    struct jobs_needs wrong = offered;
    snprintf(wrong.kernel, sizeof wrong.kernel, "c.2");
    assert_no_shard(s, &wrong);
    assert_shard(s, &a, 0, 64);
    assert_shard(s, &b, 0, 64);
    assert_shard(s, &a, 64, 64);
    assert_shard(s, &b, 64, 1);
    const struct jobs_shard back = {.first = 64, .count = 64};
    struct jobs_shard returned = back;
    memcpy(returned.id, a.id, sizeof returned.id);
    s->ops->end_shard(s, &returned, true);
    assert_shard(s, &a, 64, 64);
    assert_shard(s, &a, 128, 64);
    assert_shard(s, &a, 192, 8);
    assert_no_shard(s, &offered);
    go(s, &a, JOBS_RUNNING);
    assert_answer(put(s, a.id, 0, 64, &e), JOBS_DONE, &e);
    assert_answer(put(s, a.id, 70, 10, &e), JOBS_DONE, &e);
    go(s, &b, JOBS_CANCELLING);
    s->ops->close(s);

    s = open_store(folder); /* what was handed out and is not there */
    assert_shard(s, &a, 64, 6);
    assert_shard(s, &a, 80, 48);
    assert_shard(s, &a, 128, 64);
    assert_shard(s, &a, 192, 8);
    assert_no_shard(s, &offered);
    s->ops->close(s);
}

static void a_job_of_a_kernel_by_its_former_id_goes_on(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct err e = {0};
    struct jobs_record r = record_of("me", 3);
    struct jobs_needs now = r.needs;
    snprintf(r.needs.kernel, sizeof r.needs.kernel, "avx2.3");
    snprintf(now.kernel, sizeof now.kernel, "lanes8.3");
    assert_answer(s->ops->create(s, &r, &e), JOBS_DONE, &e);
    s->ops->close(s);
    s = open_store(folder);
    assert_string_equal(get(s, r.id).needs.kernel, now.kernel);
    assert_string_equal(take_next(s, &now).id, r.id);
    s->ops->close(s);
}

/* What waits is what to scale by, and more processes would not help with what none can make. */
static void images_wait_only_for_who_can_make_them(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct jobs_store_stats stats;
    struct err e = {0};
    struct jobs_record other = record_of("me", 30);
    struct jobs_shard shard;
    snprintf(other.needs.kernel, sizeof other.needs.kernel, "avx512.3");
    assert_answer(s->ops->create(s, &other, &e), JOBS_DONE, &e);
    make(s, "me", JOBS_SHARD_IMAGES + 7);
    assert_answer(s->ops->stats(s, &stats, &e), JOBS_DONE, &e);
    assert_int_equal(stats.images_waiting, 0);
    assert_int_equal(stats.unserved, 2);
    s->ops->offer(s, &offered, 1);
    assert_answer(s->ops->take_shard(s, &offered, 1, &shard, &e), JOBS_DONE, &e);
    assert_answer(s->ops->stats(s, &stats, &e), JOBS_DONE, &e);
    assert_int_equal(stats.images_waiting, 7);
    assert_int_equal(stats.unserved, 1);
    s->ops->offer(s, &other.needs, 1); /* a reload, with a shard of the old one under way */
    assert_answer(s->ops->stats(s, &stats, &e), JOBS_DONE, &e);
    assert_int_equal(stats.images_waiting, 30);
    assert_int_equal(stats.unserved, 1);
    s->ops->close(s);
}

static void an_expired_job_leaves_a_tombstone_and_then_nothing(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct jobs_store_stats stats;
    struct err e = {0};
    struct jobs_record r = make(s, "me", 100), old;
    go(s, &r, JOBS_RUNNING);
    assert_answer(put(s, r.id, 0, 100, &e), JOBS_DONE, &e);
    assert_answer(s->ops->stats(s, &stats, &e), JOBS_DONE, &e);
    assert_int_equal(stats.jobs[JOBS_SUCCEEDED], 1);
    assert_int_equal(stats.finished_bytes, 800);
    assert_true(is_on_nats() || stats.file_bytes > 800); /* there it is asked for now and then */
    assert_answer(s->ops->oldest(s, JOBS_FINISHED, false, &old, &e), JOBS_DONE, &e);
    go(s, &old, JOBS_EXPIRED);
    assert_answer(s->ops->erase(s, r.id, &e), JOBS_DONE, &e); /* it still holds results */
    for (int pieces = 0; pieces < 4; pieces++) {
        if (pieces == 0 || !is_on_nats()) /* which has one piece */
            assert_answer(s->ops->oldest(s, JOBS_BIT(JOBS_EXPIRED), true, &old, &e), JOBS_DONE, &e);
        assert_answer(s->ops->sweep(s, r.id, 30, &e), JOBS_DONE, &e);
    }
    assert_answer(s->ops->oldest(s, JOBS_BIT(JOBS_EXPIRED), true, &old, &e), JOBS_ABSENT, &e);
    assert_int_equal(get(s, r.id).bytes, 0);
    assert_answer(s->ops->erase(s, r.id, &e), JOBS_DONE, &e);
    assert_answer(s->ops->get(s, r.id, &old, &e), JOBS_ABSENT, &e);
    s->ops->close(s);
}

/* ---- files that it cannot use ---- */

static void file_path(char *out, size_t size)
{
    snprintf(out, size, "%s/jobs.sqlite3", folder);
}

/* It says so in one line, which has these words, and leaves the file as it is. */
static void assert_refused(enum err_code code, const char *words)
{
    struct jobs_store *s = NULL;
    struct err e = {0};
    assert_int_equal(jobs_sqlite_open(folder, &s, &e), JOBS_BROKEN);
    if (e.code != code || !strstr(e.text, words))
        fail_msg("code %d instead of %d: %s: %s", e.code, code, e.at, e.text);
    assert_non_null(strstr(e.at, folder));
}

/* Writes bytes over the file's from `at` on. */
static void overwrite(long at, const void *bytes, size_t length)
{
    char path[128];
    file_path(path, sizeof path);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, length, at), (ssize_t)length);
    close(fd);
}

static void a_store_of_another_version_is_left_alone(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    const struct jobs_record kept = make(s, "me", 1);
    s->ops->close(s);
    const unsigned char two[4] = {0, 0, 0, 2}; /* user_version in the file's header */
    overwrite(60, two, sizeof two);
    assert_refused(ERR_UNSUPPORTED, "newer pfgmd (version 2");
    const unsigned char zero[4] = {0, 0, 0, 0};
    overwrite(60, zero, sizeof zero);
    assert_refused(ERR_UNSUPPORTED, "older pfgmd (version 0");
    const unsigned char one[4] = {0, 0, 0, 1}, other[4] = {1, 2, 3, 4};
    overwrite(60, one, sizeof one);
    overwrite(68, other, sizeof other); /* application_id */
    assert_refused(ERR_INPUT, "another program's");
    const unsigned char ours[4] = {0x70, 0x66, 0x67, 0x6d};
    overwrite(68, ours, sizeof ours);
    s = open_store(folder); /* what was acknowledged is there */
    assert_int_equal(get(s, kept.id).number, kept.number);
    s->ops->close(s);
}

static void a_damaged_store_is_named(void **state)
{
    (void)state;
    char junk[8192];
    memset(junk, 0x5a, sizeof junk);
    struct jobs_store *s = open_store(folder);
    struct err e = {0};
    struct jobs_record r = make(s, "me", 40);
    go(s, &r, JOBS_RUNNING);
    assert_answer(put(s, r.id, 0, 40, &e), JOBS_DONE, &e);
    s->ops->close(s);
    overwrite(8192 * 2, junk, sizeof junk); /* a page of the jobs' */
    assert_refused(ERR_INPUT, "damaged");
    overwrite(0, "no database at all", 18);
    assert_refused(ERR_INPUT, "damaged");
}

/* SQLite does not look at the bytes of an image; their digest does. */
static void a_flipped_bit_of_an_image_is_found(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct err e = {0};
    struct jobs_record r = make(s, "me", 1);
    struct jobs_result one = {.index = 0, .bytes = "an image's bytes", .length = 16};
    struct buf bytes;
    char path[128];
    assert_int_equal(sha256_hex(one.bytes, one.length, one.sha256, NULL), 0);
    go(s, &r, JOBS_RUNNING);
    assert_answer(s->ops->put_results(s, r.id, &one, 1, &e), JOBS_DONE, &e);
    s->ops->close(s);
    buf_init(&bytes, 1 << 20);
    file_path(path, sizeof path);
    assert_int_equal(file_read(path, &bytes, &e), 0);
    unsigned char *at = memmem(bytes.data, bytes.length, "an image's bytes", 16);
    assert_non_null(at);
    overwrite(at - bytes.data, "b", 1);
    buf_clear(&bytes);
    s = open_store(folder);
    assert_answer(s->ops->get_result(s, r.id, 0, &one, &bytes, &e), JOBS_BROKEN, &e);
    assert_non_null(strstr(e.text, "damaged"));
    buf_clear(&bytes);
    s->ops->close(s);
}

/* Whichever bit of the file it is: the store is refused in one line, or an image is, or what comes
 * back is what was stored. */
static void a_flipped_bit_anywhere_is_no_other_image(void **state)
{
    enum { IMAGES = 40, FLIPS = 150 };
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct jobs_record r = make(s, "me", IMAGES);
    struct jobs_result one;
    struct err e = {0};
    struct buf file, bytes;
    char path[128];
    unsigned refused = 0;
    go(s, &r, JOBS_RUNNING);
    assert_answer(put(s, r.id, 0, IMAGES, &e), JOBS_DONE, &e);
    s->ops->close(s);
    file_path(path, sizeof path);
    buf_init(&file, 1 << 20);
    buf_init(&bytes, 100);
    assert_int_equal(file_read(path, &file, &e), 0);
    srand(11);
    for (int flip = 0; flip < FLIPS; flip++) {
        const size_t at = (size_t)rand() % file.length;
        const unsigned char was = file.data[at], is = (unsigned char)(was ^ 1 << rand() % 8);
        overwrite((long)at, &is, 1);
        if (jobs_sqlite_open(folder, &s, &e) != JOBS_DONE) {
            assert_true(e.text[0] != '\0' && !strchr(e.text, '\n'));
            refused++;
        } else {
            for (uint64_t i = 0; i < IMAGES; i++) {
                buf_reset(&bytes);
                if (s->ops->get_result(s, r.id, i, &one, &bytes, &e) == JOBS_DONE)
                    assert_memory_equal(bytes.data, &i, sizeof i);
            }
            s->ops->close(s);
        }
        assert_int_equal(file_write_atomic(path, file.data, file.length, &e), 0);
    }
    print_message("%u of %d stores were refused\n", refused, FLIPS);
    buf_clear(&file);
    buf_clear(&bytes);
}

static void two_daemons_do_not_share_a_store(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    assert_refused(ERR_IO, "in use by another");
    s->ops->close(s);
}

/* Root may write anywhere, so the test is a user without rights. */
static void a_store_that_cannot_be_written_is_named(void **state)
{
    (void)state;
    char path[128];
    struct jobs_store *s = open_store(folder);
    const struct jobs_record kept = make(s, "me", 1);
    s->ops->close(s);
    file_path(path, sizeof path);
    assert_int_equal(chmod(path, 0444), 0);
    assert_int_equal(chmod(folder, 0755), 0);
    snprintf(path, sizeof path, "%s/lock", folder);
    assert_int_equal(chmod(path, 0666), 0);
    pid_t child = fork();
    if (child == 0) {
        struct err e = {0};
        if (getuid() == 0 && setuid(65534) != 0)
            _exit(2);
        enum jobs_answer answer = jobs_sqlite_open(folder, &s, &e);
        fprintf(stderr, "%s: %s\n", e.at, e.text);
        _exit(answer == JOBS_BROKEN && strstr(e.at, "jobs.sqlite3") && e.code == ERR_IO ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    file_path(path, sizeof path);
    assert_int_equal(chmod(path, 0600), 0);
    s = open_store(folder); /* what was acknowledged is there */
    assert_int_equal(get(s, kept.id).number, kept.number);
    s->ops->close(s);
}

static void ids_are_uuids(void **state)
{
    (void)state;
    char id[JOBS_ID_SIZE], same[JOBS_ID_SIZE];
    assert_int_equal(jobs_id_draw(id, NULL), 0);
    assert_int_equal(jobs_id_parse(id, same), 0);
    assert_string_equal(id, same);
    assert_int_equal(id[14], '4');
    assert_int_equal(jobs_id_parse("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", id), 0);
    assert_string_equal(id, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
    assert_int_equal(jobs_id_parse("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", id), -1);
    assert_int_equal(jobs_id_parse("a0eebc9919c0b-4ef8-bb6d-6bb9bd380a11", id), -1);
    assert_int_equal(jobs_id_parse("g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", id), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(states_go_where_they_may),
        IN_FOLDER(every_result_counts_once_and_the_last_one_ends_the_job),
        IN_FOLDER(a_name_is_taken_once),
        IN_FOLDER(a_list_goes_on_where_it_stopped),
        IN_FOLDER(records_are_counted_by_state_owner_and_number),
        IN_FOLDER(work_is_handed_out_in_turns_and_what_is_missing_again),
        IN_FOLDER(a_job_of_a_kernel_by_its_former_id_goes_on),
        IN_FOLDER(images_wait_only_for_who_can_make_them),
        IN_FOLDER(an_expired_job_leaves_a_tombstone_and_then_nothing),
        IN_FOLDER(a_store_of_another_version_is_left_alone),
        IN_FOLDER(a_damaged_store_is_named),
        IN_FOLDER(a_flipped_bit_of_an_image_is_found),
        IN_FOLDER(a_flipped_bit_anywhere_is_no_other_image),
        IN_FOLDER(two_daemons_do_not_share_a_store),
        IN_FOLDER(a_store_that_cannot_be_written_is_named),
        cmocka_unit_test(ids_are_uuids),
        cmocka_unit_test(a_long_line_of_jobs_is_no_slower_to_join),
    };
    const struct CMUnitTest on_nats[] = {
        IN_FOLDER(states_go_where_they_may),
        IN_FOLDER(every_result_counts_once_and_the_last_one_ends_the_job),
        IN_FOLDER(a_name_is_taken_once),
        IN_FOLDER(a_list_goes_on_where_it_stopped),
        IN_FOLDER(an_expired_job_leaves_a_tombstone_and_then_nothing),
    };
    if (is_on_nats())
        return cmocka_run_group_tests(on_nats, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
