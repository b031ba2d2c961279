/* What a NATS server may be, hold, refuse or stop doing. Each is one line for the operator and an
 * answer that a client can act on; what was acknowledged before is there afterwards. */
#include "jobs_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "jobs_json.h"
#include "jobs_store_test.h"
#include "jobs_wire_internal.h"

static struct jobs_wire *connected(void)
{
    const struct jobs_wire_options options = {.servers = nats_address, .replicas = 1};
    struct jobs_wire *w = NULL;
    struct err e = {0};
    assert_answer(jobs_wire_connect(&options, &w, &e), JOBS_DONE, &e);
    return w;
}

static void disconnect(struct jobs_wire *w)
{
    jobs_wire_close(w);
    jobs_wire_release(w);
}

/* Changes the stream of that name as its operator could. `room`: for so many bytes more, −1 for any
 * number. */
static void reconfigure(struct jobs_wire *w, const char *stream, const char *description,
                        int64_t room)
{
    jsStreamInfo *info = NULL;
    jsErrCode code = 0;
    assert_int_equal(js_GetStreamInfo(&info, w->js, stream, NULL, &code), NATS_OK);
    const char *was = info->Config->Description;
    if (description)
        info->Config->Description = description;
    info->Config->MaxBytes = room < 0 ? -1 : (int64_t)info->State.Bytes + room;
    const natsStatus s = js_UpdateStream(NULL, w->js, info->Config, NULL, &code);
    if (s != NATS_OK)
        fail_msg("%s: %s", stream, nats_GetLastError(NULL));
    info->Config->Description = was;
    jsStreamInfo_Destroy(info);
}

static void assert_no_connection(int replicas, enum err_code code, const char *words)
{
    const struct jobs_wire_options options = {.servers = nats_address, .replicas = replicas};
    struct jobs_wire *w = NULL;
    struct err e = {0};
    assert_answer(jobs_wire_connect(&options, &w, &e), JOBS_AWAY, &e);
    assert_string_equal(e.at, nats_address);
    if (e.code != code || !strstr(e.text, words))
        fail_msg("code %d instead of %d: %s", e.code, code, e.text);
}

static void streams_of_others_are_left_alone(void **state)
{
    (void)state;
    start_nats(folder);
    assert_no_connection(3, ERR_IO, "no cluster");
    struct jobs_wire *w = connected();
    reconfigure(w, JOBS_WIRE_RESULTS_STREAM, "jobs of pfgmd, version 2", -1);
    assert_no_connection(1, ERR_UNSUPPORTED, "newer pfgmd (version 2");
    reconfigure(w, JOBS_WIRE_RESULTS_STREAM, "parcels", -1);
    assert_no_connection(1, ERR_UNSUPPORTED, JOBS_WIRE_RESULTS_STREAM);
    reconfigure(w, JOBS_WIRE_RESULTS_STREAM, "jobs of pfgmd, version 1", -1);
    disconnect(w);
    disconnect(connected());
}

static void a_full_server_refuses_and_loses_nothing(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct jobs_wire *w = connected();
    struct jobs_record r = make(s, "me", 3), late = record_of("me", 1);
    struct jobs_shard shard;
    struct err e = {0};
    go(s, &r, JOBS_RUNNING);
    take(s, 0, 3, &shard);
    assert_answer(put(s, r.id, 0, 1, &e), JOBS_DONE, &e);
    reconfigure(w, JOBS_WIRE_RESULTS_STREAM, NULL, 1);
    assert_answer(put(s, r.id, 1, 2, &e), JOBS_FULL, &e);
    assert_int_equal(e.code, ERR_LIMIT);
    assert_non_null(strstr(e.text, "no room"));
    assert_int_equal(get(s, r.id).state, JOBS_RUNNING);
    reconfigure(w, JOBS_WIRE_RECORDS_STREAM, NULL, 1);
    assert_answer(s->ops->create(s, &late, &e), JOBS_FULL, &e);
    reconfigure(w, JOBS_WIRE_RESULTS_STREAM, NULL, -1);
    reconfigure(w, JOBS_WIRE_RECORDS_STREAM, NULL, -1);
    assert_answer(put(s, r.id, 1, 2, &e), JOBS_DONE, &e);
    assert_int_equal(get(s, r.id).state, JOBS_SUCCEEDED);
    assert_answer(s->ops->create(s, &late, &e), JOBS_DONE, &e);
    disconnect(w);
    s->ops->close(s);
}

/* Each call of a store. They say that the server is away, and why; none waits for long. */
static void assert_away(struct jobs_store *s, const struct jobs_record *r, const char *words)
{
    const struct jobs_query mine = {.owner = "me", .states = JOBS_LIVE};
    struct jobs_record other = *r, found[2];
    struct jobs_store_stats stats;
    struct jobs_result one, log[2];
    struct jobs_shard shard;
    struct buf bytes;
    struct err e = {0};
    uint64_t counted;
    size_t count = 2;
    buf_init(&bytes, 100);
    other.state = JOBS_CANCELLING;
    assert_answer(s->ops->stats(s, &stats, &e), JOBS_AWAY, &e);
    assert_string_equal(e.at, nats_address);
    if (!strstr(e.text, words))
        fail_msg("%s", e.text);
    assert_answer(s->ops->create(s, &other, &e), JOBS_AWAY, &e);
    assert_answer(s->ops->same(s, r, &found[0], &e), JOBS_AWAY, &e);
    assert_answer(s->ops->get(s, r->id, &found[0], &e), JOBS_AWAY, &e);
    assert_answer(s->ops->peek(s, r->id, &found[0], &e), JOBS_AWAY, &e);
    assert_answer(s->ops->change(s, &other, &e), JOBS_AWAY, &e);
    assert_answer(s->ops->list(s, &mine, found, &count, &e), JOBS_AWAY, &e);
    assert_answer(s->ops->count(s, &mine, &counted, &e), JOBS_AWAY, &e);
    assert_answer(s->ops->oldest(s, JOBS_FINISHED, true, &found[0], &e), JOBS_AWAY, &e);
    assert_answer(s->ops->sweep(s, r->id, SIZE_MAX, &e), JOBS_AWAY, &e);
    assert_answer(s->ops->erase(s, r->id, &e), JOBS_AWAY, &e);
    assert_answer(put(s, r->id, 1, 1, &e), JOBS_AWAY, &e);
    assert_answer(s->ops->get_result(s, r->id, 0, &one, &bytes, &e), JOBS_AWAY, &e);
    count = 2;
    assert_answer(s->ops->log(s, r->id, 0, log, &count, &e), JOBS_AWAY, &e);
    assert_answer(s->ops->take_shard(s, &offered, 1, &shard, &e), JOBS_AWAY, &e);
    buf_clear(&bytes);
}

static void a_server_that_goes_is_named_by_each_call(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct jobs_record r = make(s, "me", 3);
    struct jobs_wire *w = connected();
    struct jobs_shard shard;
    struct err e = {0};
    uint64_t bytes, count;
    bool is_idle;
    go(s, &r, JOBS_RUNNING);
    take(s, 0, 3, &shard);
    assert_answer(put(s, r.id, 0, 1, &e), JOBS_DONE, &e);
    kill(nats_process, SIGKILL);
    waitpid(nats_process, NULL, 0);
    nats_process = -1;
    for (int i = 0; i < WAIT_MS && jobs_wire_is_open(w); i++)
        usleep(1000);
    assert_answer(jobs_wire_size(w, &bytes, &e), JOBS_AWAY, &e);
    assert_non_null(strstr(e.text, "lost"));
    assert_answer(jobs_wire_count(w, JOBS_WIRE_RESULTS, "pfgm.result.>", &count, &e), JOBS_AWAY,
                  &e);
    assert_answer(jobs_wire_is_reported(w, JOBS_WIRE_DONE "x.0", &is_idle, &e), JOBS_AWAY, &e);
    assert_answer(jobs_wire_is_idle(w, "pfgm.work.x", &is_idle, &e), JOBS_AWAY, &e);
    assert_answer(jobs_wire_purge_job(w, r.id, &e), JOBS_AWAY, &e);
    disconnect(w);
    for (int i = 0; i < WAIT_MS; i++, usleep(1000)) { /* until the store has noticed */
        struct jobs_store_stats stats;
        if (s->ops->stats(s, &stats, &e) == JOBS_AWAY)
            break;
    }
    assert_away(s, &r, "NATS");
    s->ops->end_shard(s, &shard, true);
    s->ops->close(s);
}

/* It keeps the connection and says nothing any more. */
static void a_server_that_hangs_is_left(void **state)
{
    (void)state;
    start_nats(folder);
    struct jobs_wire *w = connected();
    struct err e = {0};
    uint64_t bytes;
    int status;
    assert_int_equal(kill(nats_process, SIGSTOP), 0);
    assert_int_equal(waitpid(nats_process, &status, WUNTRACED), nats_process); /* all of it */
    assert_answer(jobs_wire_size(w, &bytes, &e), JOBS_AWAY, &e);
    assert_non_null(strstr(e.text, "does not answer"));
    assert_false(jobs_wire_is_open(w));
    assert_answer(jobs_wire_size(w, &bytes, &e), JOBS_AWAY, &e); /* at once, with the same reason */
    assert_non_null(strstr(e.text, "does not answer"));
    assert_int_equal(kill(nats_process, SIGCONT), 0);
    disconnect(w);
    disconnect(connected());
}

static void put_record(struct jobs_wire *w, const char *id, const char *text)
{
    char key[96];
    uint64_t revision = 0;
    struct err e = {0};
    snprintf(key, sizeof key, "jobs.%s.record", id);
    assert_answer(jobs_wire_put(w, key, text, strlen(text), &revision, &e), JOBS_DONE, &e);
}

/* Somebody else's bytes under our keys are passed over; the jobs beside them are served. */
static void records_that_are_none_are_refused_by_name(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct jobs_record good = make(s, "me", 2), r;
    struct jobs_query mine = {.owner = "me", .states = JOBS_LIVE};
    struct jobs_wire *w = connected();
    struct err e = {0};
    struct buf text;
    char id[JOBS_ID_SIZE], *state_at = NULL;
    uint64_t count = 0;
    buf_init(&text, 1 << 16);
    assert_int_equal(jobs_json_write(&good, &text, &e), 0);
    const char *const broken[] = {"no JSON", "{}", "[]", NULL, NULL};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char copy[4096];
        snprintf(copy, sizeof copy, "%s", broken[i] ? broken[i] : (const char *)text.data);
        if (i == 3 && (state_at = strstr(copy, "\"queued\"")) != NULL)
            memcpy(state_at, "\"asleep\"", 8);
        if (i == 4 && (state_at = strstr(copy, "\"n\":2")) != NULL)
            state_at[4] = '0';
        assert_true(i < 3 || state_at);
        assert_int_equal(jobs_id_draw(id, NULL), 0);
        put_record(w, id, copy);
        const enum jobs_answer answer = s->ops->get(s, id, &r, &e);
        assert_answer(answer, JOBS_BROKEN, &e);
        assert_true(e.text[0] && !strchr(e.text, '\n'));
    }
    assert_int_equal(get(s, good.id).n, 2);
    assert_answer(s->ops->count(s, &mine, &count, &e), JOBS_DONE, &e);
    assert_int_equal(count, 1);
    disconnect(w);
    s->ops->close(s);
    s = open_store(folder); /* and they are no obstacle to a new one */
    assert_int_equal(get(s, good.id).n, 2);
    s->ops->close(s);
    buf_clear(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(streams_of_others_are_left_alone),
        IN_FOLDER(a_full_server_refuses_and_loses_nothing),
        IN_FOLDER(a_server_that_goes_is_named_by_each_call),
        IN_FOLDER(a_server_that_hangs_is_left),
        IN_FOLDER(records_that_are_none_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
