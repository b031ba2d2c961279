/* Jobs with an engine: what is filed is made, stored, cancelled, kept and forgotten. */
#include "jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "jobs_internal.h"
#include "jobs_order.h"
#include "jobs_test.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define ENDLESS 100000 /* steps: more than a test waits for */

static char folder[64];
static struct engine *g;

static int set_up(void **state)
{
    (void)state;
    make_folder(folder, sizeof folder);
    g = digits_engine(2, 4);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    engine_free(g);
    remove_folder(folder);
    return 0;
}

static void a_job_is_what_the_engine_makes_at_once(void **state)
{
    (void)state;
    struct jobs *j = open_jobs(g, folder);
    const struct engine_order order = digits_order(g, 200, 5);
    struct jobs_record r = file_job(j, NULL, &order);
    assert_int_equal(r.n, 200);
    r = wait_state(j, r.id, JOBS_BIT(JOBS_SUCCEEDED));
    assert_int_equal(r.images_done, 200);
    assert_true(r.submitted_ms <= r.started_ms && r.started_ms <= r.finished_ms);
    assert_true(jobs_progress_get(j, &r).fraction == 1.0);
    assert_images(j, g, r.id, &order);
    struct jobs_record hidden;
    struct err e = {0};
    assert_answer(get_job(j, "you", r.id, &hidden, &e), JOBS_ABSENT, &e);
    assert_answer(remove_job(j, "you", r.id, 0, &hidden, &e), JOBS_ABSENT, &e);
    jobs_close(j);
}

/* Whatever an order says of the seed rule's inputs comes back from its record. */
static void an_order_survives_as_text(void **state)
{
    (void)state;
    struct engine_order order = digits_order(g, 70, 9), back;
    struct jobs_record r = {.n = 0};
    struct err e = {0};
    order.no_metadata = true;
    order.solver.ode.rtol = 1.0 / 3.0;
    for (int method = 0; method < 2; method++) {
        order.solver.ode.method = method == 0 ? ODE_EULER : ODE_RK45;
        order.solver.t_max *= 0.7;
        order.solver.ode.churn.amount = method == 0 ? 0.3 : 0.0;
        order.solver.ode.churn.t_max = 5.0;
        order.solver.ode.churn.noise = 1.003;
        order.output = method == 0 ? ENGINE_OUTPUT_PNG : ENGINE_OUTPUT_SAMPLE;
        assert_int_equal(jobs_order_write(&order, &r, &e), 0);
        if (jobs_order_read(&r, order.model, 64, 6, &back, &e) != 0)
            fail_msg("%s: %s (%s)", e.at, e.text, r.parameters);
        assert_int_equal(back.seed, order.seed);
        assert_int_equal(back.first_index, order.first_index + 64);
        assert_int_equal(back.n, 6);
        assert_true(back.temperature == order.temperature);
        assert_int_equal(back.output, order.output);
        assert_true(back.no_metadata);
        assert_int_equal(back.priority, ENGINE_PRIORITY_BATCH);
        json_t *was = model_solver_json(&order.solver, true);
        json_t *is = model_solver_json(&back.solver, true);
        assert_true(json_equal(was, is));
        json_decref(was);
        json_decref(is);
    }
    order.n = JOBS_IMAGES_MAX + 1;
    assert_int_equal(jobs_order_write(&order, &r, &e), -1);
    snprintf(r.parameters, sizeof r.parameters, "{\"seed\": \"1\"}");
    assert_int_equal(jobs_order_read(&r, order.model, 0, 1, &back, &e), -1);
}

/* A bit of the store that flips makes no other images: whatever of the record decides them. */
static void an_order_that_is_not_what_was_written_is_refused(void **state)
{
    (void)state;
    struct engine_order order = digits_order(g, 70, 9), back;
    struct jobs_record r = {.n = 0};
    struct err e = {0};
    order.seed = 4711;
    assert_int_equal(jobs_order_write(&order, &r, &e), 0);
    struct jobs_record flipped = r;
    char *seed = strstr(flipped.parameters, "4711");
    assert_non_null(seed);
    seed[3] ^= 2;
    assert_int_equal(jobs_order_read(&flipped, order.model, 0, 1, &back, &e), -1);
    assert_non_null(strstr(e.text, "damaged"));
    flipped = r;
    flipped.n ^= 4;
    assert_int_equal(jobs_order_read(&flipped, order.model, 0, 1, &back, &e), -1);
    assert_int_equal(jobs_order_read(&r, order.model, 0, 1, &back, &e), 0);
}

/* A shape that no image has, or no more members, is not believed: who reads it takes memory by it.
 */
static void a_record_that_could_not_have_been_filed_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"[1,8,8,1]",
                                      "[1,8]",
                                      "[0,8,8]",
                                      "[1,-8,8]",
                                      "[1,8.0,8]",
                                      "[1,65536,4097]",
                                      "\"1,8,8\"",
                                      "[1,8,4294967304]",
                                      "[1,4294967304,8]",
                                      "[4294967296,4294967296,1]",
                                      "[16384,16384,16384]",
                                      "null"};
    static const char form[] =
        "{\"seed\":\"1\",\"first_index\":\"0\",\"class\":{\"rule\":\"%s\",\"label\":0},"
        "\"output\":\"%s\",\"classes\":0,\"shape\":%s}";
    struct jobs_record r = {.n = 2};
    struct jobs_kept kept;
    struct err e = {0};
    snprintf(r.parameters, sizeof r.parameters, form, "drawn", "sample", "[3,4,5]");
    assert_int_equal(jobs_kept_read(&r, &kept, &e), 0);
    assert_int_equal(image_shape_count(kept.shape), 60);
    assert_int_equal(kept.output, ENGINE_OUTPUT_SAMPLE);
    jobs_kept_clear(&kept);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(r.parameters, sizeof r.parameters, form, "drawn", "png", bad[i]);
        if (jobs_kept_read(&r, &kept, &e) == 0)
            fail_msg("%s is taken", bad[i]);
        assert_null(kept.all);
        assert_non_null(strstr(e.text, "damaged"));
    }
    snprintf(r.parameters, sizeof r.parameters, form, "drawn", "sheet", "[1,8,8]");
    assert_int_equal(jobs_kept_read(&r, &kept, &e), -1);
    snprintf(r.parameters, sizeof r.parameters, form, "chosen", "png", "[1,8,8]");
    assert_int_equal(jobs_kept_read(&r, &kept, &e), -1);
    snprintf(r.parameters, sizeof r.parameters, form, "drawn", "png", "[1,8,8]");
    r.n = JOBS_IMAGES_MAX + 1;
    assert_int_equal(jobs_kept_read(&r, &kept, &e), -1);
}

static void the_same_filing_is_the_same_job(void **state)
{
    (void)state;
    struct jobs *j = open_jobs(g, folder);
    const struct engine_order order = digits_order(g, 1, 2);
    struct jobs_record first, second;
    struct err e = {0};
    bool is_new = false;
    struct jobs_filing filing = {.owner = "me", .key = "k", .body = "b", .order = &order};
    assert_answer(file_surely(j, &filing, &first, &is_new, &e), JOBS_DONE, &e);
    assert_true(is_new);
    assert_answer(file_surely(j, &filing, &second, &is_new, &e), JOBS_DONE, &e);
    assert_false(is_new);
    assert_string_equal(first.id, second.id);
    filing.body = "another";
    assert_answer(file_surely(j, &filing, &second, &is_new, &e), JOBS_CONFLICT, &e);
    filing = (struct jobs_filing){.owner = "you", .id = first.id, .body = "b", .order = &order};
    assert_answer(file_surely(j, &filing, &second, &is_new, &e), JOBS_CONFLICT, &e);
    jobs_close(j);
}

static void a_job_is_cancelled_and_forgotten(void **state)
{
    (void)state;
    struct jobs *j = open_jobs(g, folder);
    const struct engine_order order = digits_order(g, 300, ENDLESS), quick = digits_order(g, 3, 2);
    struct jobs_record r = file_job(j, NULL, &order), done = file_job(j, NULL, &quick), gone;
    struct err e = {0};
    wait_state(j, r.id, JOBS_BIT(JOBS_RUNNING));
    struct jobs_record seen = wait_state(j, r.id, JOBS_BIT(JOBS_RUNNING)), other;
    assert_answer(remove_job(j, "me", r.id, seen.revision + 1, &other, &e), JOBS_CHANGED, &e);
    assert_int_equal(other.state, JOBS_RUNNING);
    cancel_job(j, r.id);
    assert_answer(remove_job(j, "me", r.id, 0, &r, &e), JOBS_DONE, &e); /* or cancelled by now */
    wait_state(j, r.id, JOBS_BIT(JOBS_CANCELLED) | JOBS_BIT(JOBS_EXPIRED));
    assert_true(engine_wait_empty(g, WAIT_MS) || get_job(j, "me", done.id, &done, &e) == JOBS_DONE);
    wait_state(j, done.id, JOBS_BIT(JOBS_SUCCEEDED));
    assert_answer(remove_job(j, "me", done.id, 0, &gone, &e), JOBS_DONE, &e);
    assert_int_equal(gone.state, JOBS_EXPIRED);
    assert_answer(get_job(j, "me", done.id, &gone, &e), JOBS_GONE, &e);
    assert_answer(remove_job(j, "me", done.id, 0, &gone, &e), JOBS_DONE, &e);
    jobs_close(j);
}

/* The image that fails does so alike whenever it is made. */
static void a_job_fails_by_the_image_that_failed(void **state)
{
    (void)state;
    struct jobs *j = open_jobs(g, folder);
    struct engine_order order = digits_order(g, 200, 9);
    order.solver.ode.method = ODE_RK45;
    order.solver.ode.rtol = order.solver.ode.atol = 1e-5;
    order.solver.ode.max_nfe = 10;
    struct jobs_record r = file_job(j, NULL, &order);
    r = wait_state(j, r.id, JOBS_BIT(JOBS_FAILED));
    assert_memory_equal(r.error.at, "/images/", 8);
    assert_true(r.finished_ms > 0);
    jobs_close(j);
}

static void a_restart_goes_on_where_it_stood(void **state)
{
    (void)state;
    struct jobs *j = open_jobs(g, folder);
    const struct engine_order order = digits_order(g, 200, 10);
    struct jobs_record r = file_job(j, NULL, &order);
    while (r.images_done == 0)
        r = wait_state(j, r.id, JOBS_LIVE | JOBS_BIT(JOBS_SUCCEEDED)); /* on a quick machine */
    jobs_close(j);
    assert_true(engine_wait_empty(g, 0));
    struct engine_stats before = engine_stats_get(g);
    j = open_jobs(g, folder);
    r = wait_state(j, r.id, JOBS_BIT(JOBS_SUCCEEDED));
    struct engine_stats after = engine_stats_get(g);
    assert_int_equal(before.images_ok + after.images_ok - before.images_ok, 200); /* each once */
    assert_images(j, g, r.id, &order);
    jobs_close(j);
}

static void a_job_waits_for_its_model(void **state)
{
    (void)state;
    struct err e = {0};
    char why[256];
    const struct engine_options options = {.workers = 1, .batch = 1};
    struct engine *bare = engine_new(&options, &e);
    struct jobs *j = open_jobs(g, folder);
    const struct engine_order order = digits_order(g, 100, ENDLESS), quick = digits_order(g, 3, 2);
    struct jobs_record r = file_job(j, NULL, &order);
    assert_true(jobs_served(j, &r, why, sizeof why));
    wait_state(j, r.id, JOBS_BIT(JOBS_RUNNING));
    jobs_close(j);
    j = open_jobs(bare, folder);
    assert_false(jobs_served(j, &r, why, sizeof why));
    assert_non_null(strstr(why, "digits8"));
    cancel_job(j, r.id);
    wait_state(j, r.id, JOBS_BIT(JOBS_CANCELLED));
    jobs_close(j);
    engine_free(bare);
    j = open_jobs(g, folder);
    r = file_job(j, NULL, &quick);
    wait_state(j, r.id, JOBS_BIT(JOBS_SUCCEEDED));
    jobs_close(j);
}

/* Two jobs share the engine: the later, small one does not wait for the end of the first. */
static void jobs_take_turns(void **state)
{
    (void)state;
    struct jobs *j = open_jobs(g, folder);
    const struct engine_order large = digits_order(g, 100000, 60), small = digits_order(g, 64, 10);
    struct jobs_record first = file_job(j, NULL, &large), second;
    wait_state(j, first.id, JOBS_BIT(JOBS_RUNNING));
    second = file_job(j, NULL, &small);
    wait_state(j, second.id, JOBS_BIT(JOBS_SUCCEEDED));
    first = wait_state(j, first.id, JOBS_BIT(JOBS_RUNNING));
    assert_true(first.images_done < 50000);
    cancel_job(j, first.id);
    wait_state(j, first.id, JOBS_BIT(JOBS_CANCELLED));
    jobs_close(j);
}

/* More images than may wait (4) run as a job, and take nobody's place in the queue. */
static void a_job_takes_no_place_in_the_queue(void **state)
{
    (void)state;
    struct jobs *j = open_jobs(g, folder);
    const struct engine_order order = digits_order(g, 500, ENDLESS);
    struct engine_order quick = digits_order(g, 4, 2);
    struct engine_request *r = NULL;
    struct err e = {0};
    struct jobs_record job = file_job(j, NULL, &order);
    while (engine_stats_get(g).live_images == 0)
        usleep(1000);
    assert_true(engine_stats_get(g).queued_images > 4);
    if (engine_submit(g, &quick, &r, &e) != 0)
        fail_msg("%s: %s", e.at, e.text);
    assert_true(engine_request_wait(r, WAIT_MS));
    assert_null(engine_request_error(r));
    engine_request_free(r);
    cancel_job(j, job.id);
    wait_state(j, job.id, JOBS_BIT(JOBS_CANCELLED));
    jobs_close(j);
}

static void old_jobs_go(void **state)
{
    (void)state;
    struct err e = {0};
    const struct engine_order order = digits_order(g, 64, 2);
    struct jobs_options options = options_of(folder);
    options.keep_s = 1000;
    options.keep_bytes = 1;
    struct jobs *j = jobs_open(g, &options, &e);
    struct jobs_record first = file_job(j, NULL, &order), second;
    wait_state(j, first.id, JOBS_BIT(JOBS_SUCCEEDED));
    second = file_job(j, NULL, &order);
    wait_state(j, second.id, JOBS_BIT(JOBS_SUCCEEDED));
    first = wait_state(j, first.id, JOBS_BIT(JOBS_EXPIRED)); /* more than one byte is there */
    second = wait_state(j, second.id, JOBS_BIT(JOBS_SUCCEEDED));
    jobs_close(j);

    options.keep_s = 1;
    j = jobs_open(g, &options, &e);
    for (int i = 0; i < WAIT_MS; i++, usleep(1000))
        if (jobs_get(j, "me", second.id, &second, &e) == JOBS_ABSENT)
            break;
    assert_answer(get_job(j, "me", first.id, &first, &e), JOBS_ABSENT, &e);
    jobs_close(j);
}

static void wait_until_forgotten(struct jobs *j, const char *id)
{
    struct jobs_record r;
    struct err e = {0};
    enum jobs_answer answer = JOBS_DONE;
    for (int i = 0; i < WAIT_MS && answer != JOBS_ABSENT; i++, usleep(1000))
        answer = jobs_get(j, "me", id, &r, &e);
    assert_answer(answer, JOBS_ABSENT, &e);
}

/* Whoever files and deletes jobs without end leaves no more of them than so many. */
static void no_more_records_are_kept_than_are_to_be(void **state)
{
    enum { JOBS = 6, KEPT = 3 };
    (void)state;
    struct err e = {0};
    const struct engine_order order = digits_order(g, 1, 2);
    struct jobs_options options = options_of(folder);
    options.records_max = KEPT;
    struct jobs *j = jobs_open(g, &options, &e);
    struct jobs_record r[JOBS], gone;
    for (int i = 0; i < JOBS; i++) {
        r[i] = file_job(j, NULL, &order);
        wait_state(j, r[i].id, JOBS_BIT(JOBS_SUCCEEDED));
    }
    for (int i = 0; i < JOBS - KEPT; i++)
        wait_until_forgotten(j, r[i].id);
    /* A tombstone goes before a job whose images are there. */
    assert_answer(remove_job(j, "me", r[JOBS - 1].id, 0, &gone, &e), JOBS_DONE, &e);
    r[0] = file_job(j, NULL, &order);
    wait_state(j, r[0].id, JOBS_BIT(JOBS_SUCCEEDED));
    wait_until_forgotten(j, gone.id);
    for (int i = JOBS - KEPT; i < JOBS - 1; i++)
        wait_state(j, r[i].id, JOBS_BIT(JOBS_SUCCEEDED));
    jobs_close(j);
}

/* The store's own functions, and those in their place. */
static struct jobs_store_ops real, ours;
static bool has_little_room;

/* The first images find room, and from then on no file may grow: in the thread that stores, so that
 * no more of them are there, however quick the machine is. */
static enum jobs_answer put_and_end_the_room(struct jobs_store *s, const char *id,
                                             const struct jobs_result *results, size_t count,
                                             struct err *e)
{
    char path[128];
    struct stat file;
    struct rlimit limit;
    const enum jobs_answer answer = real.put_results(s, id, results, count, e);
    if (answer != JOBS_DONE || has_little_room)
        return answer;
    snprintf(path, sizeof path, "%s/jobs.sqlite3-wal", folder);
    if (stat(path, &file) != 0 || getrlimit(RLIMIT_FSIZE, &limit) != 0)
        _exit(9);
    limit.rlim_cur = (rlim_t)file.st_size;
    has_little_room = true;
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        _exit(10);
    return answer;
}

static bool room_ends;

enum jobs_answer __real_jobs_sqlite_open(const char *, struct jobs_store **, struct err *);
enum jobs_answer __wrap_jobs_sqlite_open(const char *, struct jobs_store **, struct err *);

/* In the place of the store's own: no thread looks at its table of functions yet. */
enum jobs_answer __wrap_jobs_sqlite_open(const char *path, struct jobs_store **out, struct err *e)
{
    const enum jobs_answer answer = __real_jobs_sqlite_open(path, out, e);
    if (answer == JOBS_DONE && room_ends) {
        ours = real = *(*out)->ops;
        ours.put_results = put_and_end_the_room;
        (*out)->ops = &ours;
    }
    return answer;
}

/* In a process of its own, which alone may write no more than so much into a file. */
static int run_with_little_room(void)
{
    room_ends = true;
    struct engine *own = digits_engine(1, 4);
    struct jobs *j = open_jobs(own, folder);
    struct rlimit limit = {0};
    struct jobs_stats stats = {.store_bytes = 0};
    struct err e = {0};
    const struct engine_order order = digits_order(own, 500, 2); /* more than are stored at once */
    struct jobs_record r, refused;
    bool is_new;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    r = file_job(j, NULL, &order);
    while (stats.trouble.code == ERR_NONE) {
        usleep(1000);
        if (jobs_stats_get(j, &stats, &e) != JOBS_DONE)
            return 11;
    }
    if (stats.trouble.code != ERR_LIMIT || !strstr(stats.trouble.text, "full"))
        return 12;
    /* Nothing more goes in, and what was acknowledged is there. */
    const struct jobs_filing filing = {.owner = "me", .body = "body", .order = &order};
    enum jobs_answer answer = JOBS_DONE;
    for (int i = 0; i < 1000 && answer == JOBS_DONE; i++)
        answer = jobs_file(j, &filing, &refused, &is_new, &e);
    if (answer != JOBS_FULL || jobs_get(j, "me", r.id, &r, &e) != JOBS_DONE)
        return 13;
    if (r.state != JOBS_RUNNING || r.images_done == 0)
        return 14;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
    wait_state(j, r.id, JOBS_BIT(JOBS_SUCCEEDED));
    assert_images(j, own, r.id, &order);
    wait_trouble(j, ERR_NONE);
    jobs_close(j);
    engine_free(own);
    return 0;
}

static void a_full_store_holds_the_work_up_and_loses_nothing(void **state)
{
    (void)state;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(run_with_little_room());
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static int folder_alone(void **state)
{
    (void)state;
    make_folder(folder, sizeof folder);
    g = NULL;
    return 0;
}

int main(void)
{
#define WITH_ENGINE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_full_store_holds_the_work_up_and_loses_nothing,
                                        folder_alone, tear_down),
        WITH_ENGINE(a_job_is_what_the_engine_makes_at_once),
        WITH_ENGINE(an_order_survives_as_text),
        WITH_ENGINE(an_order_that_is_not_what_was_written_is_refused),
        cmocka_unit_test(a_record_that_could_not_have_been_filed_is_refused),
        WITH_ENGINE(the_same_filing_is_the_same_job),
        WITH_ENGINE(a_job_is_cancelled_and_forgotten),
        WITH_ENGINE(a_job_fails_by_the_image_that_failed),
        WITH_ENGINE(a_restart_goes_on_where_it_stood),
        WITH_ENGINE(a_job_waits_for_its_model),
        WITH_ENGINE(jobs_take_turns),
        WITH_ENGINE(a_job_takes_no_place_in_the_queue),
        WITH_ENGINE(old_jobs_go),
        WITH_ENGINE(no_more_records_are_kept_than_are_to_be),
    };
    const struct CMUnitTest on_nats[] = {
        WITH_ENGINE(a_job_is_what_the_engine_makes_at_once),
        WITH_ENGINE(the_same_filing_is_the_same_job),
        WITH_ENGINE(a_job_is_cancelled_and_forgotten),
        WITH_ENGINE(a_job_fails_by_the_image_that_failed),
        WITH_ENGINE(a_restart_goes_on_where_it_stood),
        WITH_ENGINE(a_job_waits_for_its_model),
        WITH_ENGINE(jobs_take_turns),
        WITH_ENGINE(old_jobs_go),
        WITH_ENGINE(no_more_records_are_kept_than_are_to_be),
    };
    if (is_on_nats())
        return cmocka_run_group_tests(on_nats, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
