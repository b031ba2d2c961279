/* The store of a fleet: what several replicas see of each other, and a server that is not there. */
#include "jobs_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "jobs_fleet_test.h"
#include "jobs_report.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>

#define SHARDS 16

/* Each of so many images of the job once, whoever took it, and no more; how many shards there were.
 * What was given back is there in a moment. */
static size_t take_all(struct jobs_store *stores[], size_t count, const struct jobs_record *r,
                       size_t images, unsigned char *taken, struct jobs_shard *out)
{
    struct err e = {0};
    size_t shards = 0, found = 0;
    for (int tries = 0, absent = 0; (found < images && tries < WAIT_MS) || absent < 2; tries++) {
        struct jobs_store *s = stores[(size_t)tries % count];
        assert_true(shards < SHARDS);
        enum jobs_answer answer = s->ops->take_shard(s, &offered, 1, &out[shards], &e);
        absent = answer == JOBS_ABSENT ? absent + 1 : 0;
        if (answer == JOBS_ABSENT) {
            usleep(1000);
            continue;
        }
        assert_answer(answer, JOBS_DONE, &e);
        assert_string_equal(out[shards].id, r->id);
        for (size_t i = 0; i < out[shards].count; i++)
            assert_int_equal(taken[out[shards].first + i]++, 0);
        found += out[shards++].count;
    }
    return shards;
}

static void a_fleet_hands_out_each_image_once(void **state)
{
    (void)state;
    struct jobs_store *s[] = {open_store(folder), open_store(folder)};
    struct jobs_record r = make(s[0], "me", 200);
    struct jobs_shard shards[SHARDS];
    struct err e = {0};
    unsigned char taken[200] = {0};
    assert_int_equal(take_all(s, 2, &r, 200, taken, shards), 4);
    for (size_t i = 0; i < sizeof taken; i++)
        assert_int_equal(taken[i], 1);
    for (size_t i = 0; i < 4; i++) { /* and what is given back goes to somebody again */
        s[0]->ops->end_shard(s[0], &shards[i], true);
        s[1]->ops->end_shard(s[1], &shards[i], true);
    }
    memset(taken, 0, sizeof taken);
    go(s[0], &r, JOBS_RUNNING);
    assert_answer(put(s[1], r.id, 10, 20, &e), JOBS_DONE, &e);
    for (int i = 0; i < WAIT_MS && get(s[0], r.id).images_done < 20; i++)
        usleep(1000);
    assert_int_equal(take_all(s, 2, &r, 180, taken, shards), 5);
    for (size_t i = 0; i < sizeof taken; i++)
        assert_int_equal(taken[i], i < 10 || i >= 30);
    assert_answer(put(s[0], r.id, 0, 200, &e), JOBS_DONE, &e);
    assert_int_equal(get(s[0], r.id).state, JOBS_SUCCEEDED);
    assert_int_equal(get(s[0], r.id).images_done, 200);
    for (size_t i = 0; i < 2; i++)
        s[i]->ops->close(s[i]);
}

/* What one replica has stored is another one's at once; and so is a key. */
static void replicas_see_the_same(void **state)
{
    (void)state;
    struct jobs_store *a = open_store(folder), *b = open_store(folder);
    struct err e = {0};
    struct jobs_record r = record_of("me", 3), same = record_of("me", 3);
    snprintf(r.key, sizeof r.key, "key");
    snprintf(same.key, sizeof same.key, "key");
    assert_answer(a->ops->create(a, &r, &e), JOBS_DONE, &e);
    assert_answer(b->ops->create(b, &same, &e), JOBS_CONFLICT, &e);
    assert_string_equal(same.id, r.id);
    go(b, &same, JOBS_RUNNING);
    r.state = JOBS_CANCELLING; /* of a revision that is over */
    for (int i = 0; i < 2; i++)
        assert_answer(a->ops->change(a, &r, &e), JOBS_CONFLICT, &e);
    r = get(a, r.id);
    assert_int_equal(r.state, JOBS_RUNNING);
    go(a, &r, JOBS_CANCELLING);
    assert_answer(put(b, r.id, 0, 2, &e), JOBS_DONE, &e);
    for (int i = 0; i < WAIT_MS && r.images_done < 2; i++, usleep(1000))
        r = get(a, r.id);
    assert_int_equal(r.images_done, 2);
    go(a, &r, JOBS_CANCELLED);
    assert_answer(put(b, r.id, 2, 1, &e), JOBS_ABSENT, &e);
    a->ops->close(a);
    b->ops->close(b);
}

/* Whoever looks at running jobs waits for no server: what is stored is counted aside. */
static void a_look_at_running_jobs_waits_for_nobody(void **state)
{
    (void)state;
    struct jobs_store *a = open_store(folder), *b = open_store(folder);
    const struct jobs_query mine = {.owner = "me", .states = JOBS_BIT(JOBS_RUNNING)};
    struct jobs_record r[2] = {make(a, "me", 64), make(a, "me", 64)}, found[2];
    struct jobs_result log[8];
    struct err e = {0};
    uint64_t running = 0;
    size_t count = 2;
    for (size_t i = 0; i < 2; i++) {
        go(a, &r[i], JOBS_RUNNING);
        assert_answer(put(a, r[i].id, 0, 5, &e), JOBS_DONE, &e);
    }
    for (int i = 0; i < WAIT_MS && running < 2; i++, usleep(1000))
        assert_answer(b->ops->count(b, &mine, &running, &e), JOBS_DONE, &e);
    assert_answer(b->ops->list(b, &mine, found, &count, &e), JOBS_DONE, &e);
    assert_int_equal(count, 2);
    assert_true(found[0].is_counting && found[1].is_counting); /* nobody had asked before */
    assert_int_equal(found[0].images_done, 0);
    for (size_t i = 0; i < 2; i++) {
        struct jobs_record now = get(b, r[i].id);
        for (int k = 0; k < WAIT_MS && now.images_done < 5; k++, usleep(1000))
            now = get(b, r[i].id);
        assert_int_equal(now.images_done, 5);
        assert_int_equal(read_log(b, r[i].id, 2, log, 8), 3);
    }
    a->ops->close(a);
    b->ops->close(b);
}

static size_t count_tallies(struct jobs_store *s)
{
    struct jobs_fleet *f = (struct jobs_fleet *)s;
    size_t count = 0;
    lock_take(&f->lock);
    for (const struct jobs_tally *t = f->tallies; t; t = t->next)
        count++;
    lock_drop(&f->lock);
    return count;
}

/* A tally takes 52 bytes for each image. Whoever asks for a job itself has it counted all the same.
 */
static void a_list_of_large_jobs_does_not_count_them_all(void **state)
{
    enum { JOBS = 7, COUNTED = 4 };
    (void)state;
    struct jobs_store *s = open_store(folder);
    const struct jobs_query mine = {.owner = "me", .states = JOBS_BIT(JOBS_RUNNING)};
    struct jobs_record r[JOBS], found[JOBS];
    struct err e = {0};
    size_t count = JOBS, counting = 0;
    for (size_t i = 0; i < JOBS; i++) {
        r[i] = make(s, "me", JOBS_IMAGES_MAX);
        go(s, &r[i], JOBS_RUNNING);
    }
    for (int i = 0; i < WAIT_MS && counting < COUNTED; i++, usleep(1000)) {
        counting = 0;
        assert_answer(s->ops->list(s, &mine, found, &count, &e), JOBS_DONE, &e);
        assert_int_equal(count, JOBS);
        for (size_t k = 0; k < JOBS; k++) /* the newest first; the others need no wait */
            assert_true(k < COUNTED || !found[k].is_counting);
        counting = count_tallies(s);
    }
    assert_int_equal(count_tallies(s), COUNTED);
    assert_false(get(s, r[0].id).is_counting);
    assert_int_equal(count_tallies(s), COUNTED + 1);
    s->ops->close(s);
}

static uint64_t count_reports(struct jobs_wire *w, const char *id, const char *which)
{
    char subjects[96];
    uint64_t count = 0;
    struct err e = {0};
    snprintf(subjects, sizeof subjects, "pfgm.done.%s.%s", id, which);
    assert_answer(jobs_wire_count(w, JOBS_WIRE_REPORTS, subjects, &count, &e), JOBS_DONE, &e);
    return count;
}

/* However many pieces its images come in; and the progress within a shard is seen all the same. */
static void a_finished_shard_is_one_report(void **state)
{
    (void)state;
    struct jobs_store *a = open_store(folder), *b = open_store(folder);
    struct jobs_wire *w = look_at_server();
    struct jobs_record r = make(a, "me", 100);
    struct jobs_shard shards[2];
    struct err e = {0};
    take(a, 0, 64, &shards[0]);
    go(a, &r, JOBS_RUNNING);
    assert_answer(put(a, r.id, 3, 61, &e), JOBS_DONE, &e);
    assert_int_equal(count_reports(w, r.id, "*"), 0);
    for (int i = 0; i < WAIT_MS && get(b, r.id).images_done < 61; i++)
        usleep(1000);
    for (int i = 0; i < WAIT_MS && a->ops->untold(a, r.id) > 0; i++)
        usleep(1000);
    assert_int_equal(get(b, r.id).images_done, 61);
    assert_int_equal(a->ops->untold(a, r.id), 0);
    assert_answer(put(a, r.id, 0, 3, &e), JOBS_DONE, &e);
    a->ops->end_shard(a, &shards[0], false);
    assert_int_equal(count_reports(w, r.id, "*"), 1);
    assert_int_equal(get(a, r.id).images_done, 64);
    take(b, 64, 36, &shards[1]);
    assert_answer(put(b, r.id, 64, 36, &e), JOBS_DONE, &e);
    assert_int_equal(count_reports(w, r.id, "*"), 2);
    assert_int_equal(get(b, r.id).state, JOBS_SUCCEEDED);
    assert_int_equal(get(b, r.id).images_done, 100);
    b->ops->end_shard(b, &shards[1], false);
    stop_looking(w);
    a->ops->close(a);
    b->ops->close(b);
}

/* A replica that ends between an image and its report. */
static void stored_images_that_nobody_reported_are_not_made_again(void **state)
{
    (void)state;
    struct jobs_store *a = open_store(folder);
    struct jobs_record r = make(a, "me", 64);
    struct jobs_result log[64];
    struct jobs_shard shard;
    struct err e = {0};
    take(a, 0, 64, &shard);
    go(a, &r, JOBS_RUNNING);
    assert_answer(put(a, r.id, 0, 40, &e), JOBS_DONE, &e);
    a->ops->close(a);
    a = open_store(folder);
    take(a, 40, 24, &shard);
    assert_answer(put(a, r.id, 40, 24, &e), JOBS_DONE, &e);
    a->ops->end_shard(a, &shard, false);
    assert_int_equal(get(a, r.id).state, JOBS_SUCCEEDED);
    assert_int_equal(read_log(a, r.id, 0, log, 64), 64);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(log[i].nfe, 7);
    a->ops->close(a);
}

/* A shard that ends whoever takes it: five may, and then its job fails with the reason, whatever
 * else of it goes well. */
static void a_shard_that_nobody_finishes_fails_its_job(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct jobs_wire *w = look_at_server();
    struct jobs_record r = make(s, "me", 128);
    struct jobs_wire_work work;
    struct jobs_shard shard;
    struct err e = {0};
    char subject[JOBS_WORK_SIZE];
    jobs_mirror_work(&offered, subject);
    take(s, 0, 64, &shard);
    go(s, &r, JOBS_RUNNING);
    for (uint64_t i = 1; i <= 5; i++) { /* the other one, by replicas that end */
        take_work(w, subject, &work);
        assert_int_equal(work.deliveries, i);
        assert_non_null(strstr(work.text, " 64 64 "));
        jobs_wire_say(w, work.reply, "-NAK", 4);
    }
    assert_answer(put(s, r.id, 0, 64, &e), JOBS_DONE, &e);
    s->ops->end_shard(s, &shard, false);
    for (int k = 0; k < WAIT_MS && get(s, r.id).state == JOBS_RUNNING; k++, usleep(1000))
        assert_answer(s->ops->take_shard(s, &offered, 1, &shard, &e), JOBS_ABSENT, &e);
    r = get(s, r.id);
    assert_int_equal(r.state, JOBS_FAILED);
    assert_int_equal(r.images_done, 64);
    assert_non_null(strstr(r.error.text, "images 64 to 127 were handed out 5 times"));
    assert_answer(s->ops->take_shard(s, &offered, 1, &shard, &e), JOBS_ABSENT, &e);
    stop_looking(w);
    s->ops->close(s);
}

/* By a loss of power, which takes what was written last, and not necessarily the report of it. */
static void a_job_whose_images_the_server_lost_does_not_succeed(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct jobs_wire *w = look_at_server();
    struct jobs_record r = make(s, "me", 64);
    struct jobs_shard shard;
    struct err e = {0};
    take(s, 0, 64, &shard);
    go(s, &r, JOBS_RUNNING);
    assert_answer(put(s, r.id, 0, 63, &e), JOBS_DONE, &e);
    assert_answer(jobs_wire_purge_job(w, r.id, &e), JOBS_DONE, &e);
    assert_answer(put(s, r.id, 63, 1, &e), JOBS_DONE, &e);
    assert_int_equal(get(s, r.id).images_done, 64);
    assert_int_equal(get(s, r.id).state, JOBS_RUNNING);
    stop_looking(w);
    s->ops->close(s);
}

static void assert_report(const char *text, int last, size_t lines)
{
    const char *at = text, *end = text + strlen(text);
    struct jobs_tallied one;
    int more;
    size_t count = 0;
    while ((more = jobs_report_read(&at, end, &one)) == 1)
        count++;
    assert_int_equal(more, last);
    assert_int_equal(count, lines);
}

static void a_report_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct jobs_result r = {.index = 999999, .label = -1, .nfe = 35, .length = 70000}, again;
    struct jobs_tallied one, two;
    struct buf text;
    snprintf(r.sha256, sizeof r.sha256, "%064d", 89);
    jobs_report_keep(&r, &one);
    buf_init(&text, 1 << 16);
    for (int i = 0; i < 2; i++)
        assert_int_equal(jobs_report_write(&one, &text, NULL), 0);
    const char *at = (const char *)text.data, *end = at + text.length;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(jobs_report_read(&at, end, &two), 1);
        again = jobs_report_result(&two, 5);
        assert_int_equal(again.index, 999999);
        assert_int_equal(again.label, -1);
        assert_int_equal(again.nfe, 35);
        assert_int_equal(again.length, 70000);
        assert_int_equal(again.sequence, 5);
        assert_string_equal(again.sha256, r.sha256);
    }
    assert_int_equal(jobs_report_read(&at, end, &two), 0);
    buf_clear(&text);
    assert_report("", 0, 0);
    assert_report("\n", -1, 0);
    assert_report("1 2 3 4 5 6\n", -1, 0);
    assert_report("1 2 -1 4 0 0000000000000000000000000000000000000000000000000000000000000059", -1,
                  0);
}

/* The server's folder as another one, in the place of what was there. */
static void copy_store(const char *from, const char *to)
{
    char command[512];
    snprintf(command, sizeof command, "rm -rf %s/%s && cp -r %s/%s %s/%s", folder, to, folder, from,
             folder, to);
    assert_int_equal(system(command), 0);
}

/* Whether nobody has the port. Other tests that run at the same time claim theirs by the same name
 * (free_ports of tests/http/harness.py), which lasts as long as the process. */
static bool claim_port(int port)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const int length =
        snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "pfgm-test-port-%d", port);
    const int claim = socket(AF_UNIX, SOCK_STREAM, 0), s = socket(AF_INET, SOCK_STREAM, 0);
    const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    const bool is_free = bind(claim, (struct sockaddr *)&name, size) == 0 &&
                         bind(s, (struct sockaddr *)&at, sizeof at) == 0;
    close(s);
    if (!is_free)
        close(claim);
    return is_free;
}

/* A port for a server that comes and goes: apart from those that the system gives by itself to
 * whoever connects meanwhile. */
static int lasting_port(void)
{
    enum { LEAST = 10000, END = 65536 };
    int first = 0, last = 0, port;
    FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d %d", &first, &last), 2);
    fclose(f);
    const bool are_all = first <= LEAST && last >= END - 1;
    for (int tries = 0; tries < WAIT_MS; tries++) {
        port = LEAST + (int)arc4random_uniform(END - LEAST);
        if ((are_all || port < first || port > last) && claim_port(port))
            return port;
    }
    fail_msg("no port is free");
    return -1;
}

/* Until the store says that its server is there (JOBS_DONE) or not (JOBS_AWAY). */
static void wait_for_server(struct jobs_store *s, enum jobs_answer wanted)
{
    struct jobs_store_stats stats;
    struct err e = {0};
    enum jobs_answer answer = s->ops->stats(s, &stats, &e);
    for (int i = 0; i < WAIT_MS && answer != wanted; i++, usleep(1000))
        answer = s->ops->stats(s, &stats, &e);
    assert_answer(answer, wanted, &e);
}

/* The server dies, its folder becomes another one, and it is started again. */
static void set_server_back(struct jobs_store *s, const char *from, const char *to)
{
    const int port = atoi(strrchr(nats_address, ':') + 1);
    kill_nats();
    wait_for_server(s, JOBS_AWAY);
    copy_store(from, to);
    start_nats_at(folder, port);
    wait_for_server(s, JOBS_DONE);
}

/* By a loss of power, or a copy that was put back: revisions that were seen are not there any more,
 * and nor is what was handed out. */
static void a_server_that_was_set_back_is_believed(void **state)
{
    (void)state;
    start_nats_at(folder, lasting_port());
    struct jobs_store *s = open_store(folder);
    struct jobs_record r = make(s, "me", 200);
    struct jobs_shard shard;
    struct err e = {0};
    set_server_back(s, "nats", "old");
    take(s, 0, 64, &shard);
    make(s, "me", 1);
    r = get(s, r.id);
    go(s, &r, JOBS_RUNNING);
    set_server_back(s, "old", "nats");
    r = get(s, r.id);
    assert_int_equal(r.state, JOBS_QUEUED);
    go(s, &r, JOBS_RUNNING); /* no JOBS_CONFLICT */
    s->ops->end_shard(s, &shard, false);
    take(s, 0, 64, &shard);
    r = get(s, r.id);
    assert_answer(put(s, r.id, 0, 200, &e), JOBS_DONE, &e);
    assert_int_equal(get(s, r.id).state, JOBS_SUCCEEDED);
    s->ops->close(s);
}

static void an_address_is_shown_without_its_password(void **state)
{
    (void)state;
    char shown[JOBS_WIRE_SHOWN];
    jobs_wire_show("nats://me:secret@a:1,tls://b:2,nats://token@c", shown);
    assert_string_equal(shown, "nats://a:1,tls://b:2,nats://c");
    jobs_wire_show("", shown);
    assert_string_equal(shown, "");
}

static void a_server_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct jobs_store *s = NULL;
    struct jobs_store_stats stats;
    struct jobs_record r = record_of("me", 1);
    struct err e = {0};
    const struct jobs_wire_options wire = {.servers = "nats://me:secret@127.0.0.1:1",
                                           .replicas = 1};
    assert_answer(jobs_nats_open(&wire, NULL, NULL, &s, &e), JOBS_DONE, &e);
    assert_answer(s->ops->stats(s, &stats, &e), JOBS_AWAY, &e);
    assert_string_equal(e.at, "nats://127.0.0.1:1");
    assert_answer(s->ops->create(s, &r, &e), JOBS_AWAY, &e);
    assert_answer(s->ops->get(s, r.id, &r, &e), JOBS_AWAY, &e);
    s->ops->close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_fleet_hands_out_each_image_once),
        IN_FOLDER(replicas_see_the_same),
        IN_FOLDER(a_look_at_running_jobs_waits_for_nobody),
        IN_FOLDER(a_list_of_large_jobs_does_not_count_them_all),
        IN_FOLDER(a_finished_shard_is_one_report),
        IN_FOLDER(stored_images_that_nobody_reported_are_not_made_again),
        IN_FOLDER(a_shard_that_nobody_finishes_fails_its_job),
        IN_FOLDER(a_job_whose_images_the_server_lost_does_not_succeed),
        cmocka_unit_test(a_report_is_read_as_it_was_written),
        IN_FOLDER(a_server_that_was_set_back_is_believed),
        cmocka_unit_test(an_address_is_shown_without_its_password),
        cmocka_unit_test(a_server_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
