/* A folder for a store, records and results to put there, an engine with the small bundled model.
 * Include after <cmocka.h>.
 *
 * With NATS_SERVER in the environment, which names the program, the store is one of a fleet: a
 * server of its own keeps it in the folder, from the first opening to the folder's end. */
#ifndef JOBS_TEST_H
#define JOBS_TEST_H

#include "jobs.h"
#include "jobs_sqlite.h"
#if JOBS_HAVE_NATS
#include "jobs_nats.h"
#endif

#include "base_buf.h"
#include "base_file.h"

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIGITS MODELS_DIR "/digits8.safetensors"
#define WAIT_MS 600000

static inline void make_folder(char *out, size_t size)
{
    snprintf(out, size, "/tmp/pfgm-jobs-XXXXXX");
    assert_non_null(mkdtemp(out));
}

static pid_t nats_process;    /* 0: none */
static char nats_address[64]; /* nats://127.0.0.1:PORT */

static inline bool is_on_nats(void)
{
    return getenv("NATS_SERVER") != NULL;
}

static inline int remove_one(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)s, (void)kind, (void)at;
    return remove(path);
}

static inline void kill_nats(void)
{
    kill(nats_process, SIGKILL);
    waitpid(nats_process, NULL, 0);
    nats_process = 0;
}

static inline void remove_folder(const char *folder)
{
    if (nats_process > 0)
        kill_nats();
    assert_int_equal(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* The server writes its ports into a file when it is there. It takes `port`, or any (-1). */
static inline void start_nats_at(const char *folder, int wanted)
{
    char port[16];
    char store[512], log[512], ports[512];
    struct buf text;
    const char *at = NULL;
    snprintf(port, sizeof port, "%d", wanted);
    snprintf(store, sizeof store, "%s/nats", folder);
    snprintf(log, sizeof log, "%s/nats.log", folder);
    nats_process = fork();
    if (nats_process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* however the test ends */
        execlp(getenv("NATS_SERVER"), "nats-server", "-js", "-a", "127.0.0.1", "-p", port, "-sd",
               store, "-l", log, "--ports_file_dir", folder, (char *)NULL);
        _exit(127);
    }
    snprintf(ports, sizeof ports, "%s/nats-server_%d.ports", folder, (int)nats_process);
    buf_init(&text, 4096);
    for (int i = 0; i < WAIT_MS && !at; i++, usleep(1000)) {
        if (waitpid(nats_process, NULL, WNOHANG) != 0) {
            nats_process = 0;
            fail_msg("the NATS server has ended by itself: see the end of %s", log);
        }
        buf_reset(&text);
        if (access(ports, R_OK) == 0 && file_read(ports, &text, NULL) == 0 && text.length)
            at = strstr((const char *)text.data, "nats://");
    }
    assert_non_null(at);
    snprintf(nats_address, sizeof nats_address, "%.*s", (int)strcspn(at, "\""), at);
    buf_clear(&text);
}

static inline void start_nats(const char *folder)
{
    start_nats_at(folder, -1);
}

/* Fails with what went wrong, when it is not the answer that was expected. */
static inline void assert_answer(enum jobs_answer answer, enum jobs_answer expected,
                                 const struct err *e)
{
    if (answer != expected)
        fail_msg("answer %d instead of %d: %s: %s", (int)answer, (int)expected, e->at, e->text);
}

/* Waits a moment, until that was done for so long. */
static inline bool may_try_again(int *tries)
{
    usleep(1000);
    return ++*tries < WAIT_MS;
}

/* For loops: whether the answer is that of a NATS server which had no turn for some seconds. Who
 * serves a client waits for less than one, and is told so. */
static inline bool was_late(enum jobs_answer answer, int *tries)
{
    return (answer == JOBS_AWAY || answer == JOBS_UNSURE) && may_try_again(tries);
}

static inline struct jobs_store *open_store(const char *folder)
{
    struct jobs_store *s = NULL;
    struct err e = {0};
#if JOBS_HAVE_NATS
    if (is_on_nats()) {
        if (nats_process == 0)
            start_nats(folder);
        const struct jobs_wire_options wire = {.servers = nats_address, .replicas = 1};
        struct jobs_store_stats stats;
        enum jobs_answer answer;
        int tries = 0;
        assert_answer(jobs_nats_open(&wire, NULL, NULL, &s, &e), JOBS_DONE, &e);
        do /* until it is connected */
            answer = s->ops->stats(s, &stats, &e);
        while (was_late(answer, &tries));
        assert_answer(answer, JOBS_DONE, &e);
        return s;
    }
#endif
    assert_answer(jobs_sqlite_open(folder, &s, &e), JOBS_DONE, &e);
    return s;
}

static inline struct jobs_record record_of(const char *owner, uint64_t n)
{
    struct jobs_record r = {.n = n, .submitted_ms = 1};
    assert_int_equal(jobs_id_draw(r.id, NULL), 0);
    snprintf(r.owner, sizeof r.owner, "%s", owner);
    snprintf(r.body, sizeof r.body, "%064d", 1);
    snprintf(r.parameters, sizeof r.parameters, "{}");
    r.needs = (struct jobs_needs){"m", "abc", "c.1", "f32"};
    return r;
}

static inline struct engine *digits_engine(int workers, int batch)
{
    struct err e = {0};
    const struct engine_options options = {
        .workers = workers, .batch = batch, .queue_images_max = 4};
    const struct model_options choice = {NN_KERNEL_AUTO, NN_PRECISION_AUTO};
    struct engine *g = engine_new(&options, &e);
    assert_non_null(g);
    struct model *m = model_load(DIGITS, &choice, &e);
    if (!m || !engine_model_add(g, "digits8", m, &e))
        fail_msg("%s: %s", e.at, e.text);
    return g;
}

static inline struct engine_order digits_order(struct engine *g, size_t n, int steps)
{
    struct engine_model *em = engine_model_find(g, NULL);
    engine_model_release(em);
    struct engine_order order = {
        .model = em,
        .seed = UINT64_MAX - 4,
        .first_index = 11,
        .n = n,
        .solver = model_solver_default(engine_model_get(em)),
        .temperature = 0.9,
        .output = ENGINE_OUTPUT_PNG,
    };
    order.solver.ode.method = ODE_EULER;
    order.solver.ode.schedule = ODE_SCHEDULE_LOG;
    order.solver.ode.steps = steps;
    order.solver.ode.max_nfe = 1000000;
    return order;
}

static inline struct jobs_options options_of(const char *folder)
{
    if (is_on_nats() && nats_process == 0)
        start_nats(folder);
    return (struct jobs_options){.folder = folder, .nats = is_on_nats() ? nats_address : NULL};
}

static inline struct jobs *open_jobs(struct engine *g, const char *folder)
{
    struct err e = {0};
    const struct jobs_options options = options_of(folder);
    struct jobs *j = jobs_open(g, &options, &e);
    if (!j)
        fail_msg("%s: %s", e.at, e.text);
    return j;
}

/* The functions of jobs.h that a client waits for, once the store answers. */

/* The filing has an id or a key, so that the same again is the same job: of one that may be filed
 * nobody knows. *is_new: it was filed by one of the tries. */
static inline enum jobs_answer file_surely(struct jobs *j, const struct jobs_filing *filing,
                                           struct jobs_record *out, bool *is_new, struct err *e)
{
    enum jobs_answer answer;
    bool may_be_filed = false;
    int tries = 0;
    assert_true(filing->id || filing->key);
    do {
        answer = jobs_file(j, filing, out, is_new, e);
        may_be_filed = may_be_filed || answer == JOBS_UNSURE;
    } while (was_late(answer, &tries));
    if (*is_new)
        assert_int_equal(out->state, JOBS_QUEUED);
    *is_new = *is_new || may_be_filed;
    return answer;
}

/* `id`: NULL, one is drawn. */
static inline struct jobs_record file_job(struct jobs *j, const char *id,
                                          const struct engine_order *order)
{
    struct jobs_record r;
    struct err e = {0};
    bool is_new;
    char drawn[JOBS_ID_SIZE];
    assert_int_equal(jobs_id_draw(drawn, NULL), 0);
    const struct jobs_filing filing = {
        .owner = "me", .id = id ? id : drawn, .body = "body", .order = order};
    assert_answer(file_surely(j, &filing, &r, &is_new, &e), JOBS_DONE, &e);
    return r;
}

static inline enum jobs_answer get_job(struct jobs *j, const char *owner, const char *id,
                                       struct jobs_record *out, struct err *e)
{
    enum jobs_answer answer;
    int tries = 0;
    do
        answer = jobs_get(j, owner, id, out, e);
    while (was_late(answer, &tries));
    return answer;
}

/* Waits until the job is in one of the states. */
static inline struct jobs_record wait_state(struct jobs *j, const char *id, unsigned states)
{
    struct jobs_record r = {.n = 0};
    struct err e = {0};
    int tries = 0;
    do {
        const enum jobs_answer answer = get_job(j, "me", id, &r, &e);
        if (answer != JOBS_GONE)
            assert_answer(answer, JOBS_DONE, &e);
        if (states & JOBS_BIT(r.state))
            return r;
    } while (may_try_again(&tries));
    fail_msg("the job stays %s", jobs_state_word(r.state));
    return r;
}

/* Of a live job one repetition too many would do more than the first: see cancel_job. */
static inline enum jobs_answer remove_job(struct jobs *j, const char *owner, const char *id,
                                          uint64_t revision, struct jobs_record *out, struct err *e)
{
    enum jobs_answer answer;
    int tries = 0;
    do
        answer = jobs_remove(j, owner, id, revision, out, e);
    while (was_late(answer, &tries));
    return answer;
}

/* Cancels a live job, as it was seen just before: a cancellation whose answer was late may have
 * been done, and to remove what has ended by then is to forget it. */
static inline void cancel_job(struct jobs *j, const char *id)
{
    const struct jobs_record seen = wait_state(j, id, JOBS_LIVE);
    struct jobs_record r;
    struct err e = {0};
    const enum jobs_answer answer = remove_job(j, "me", id, seen.revision, &r, &e);
    if (answer == JOBS_CHANGED && r.state != JOBS_CANCELLED)
        cancel_job(j, id); /* it was begun meanwhile */
    else if (answer != JOBS_CHANGED)
        assert_answer(answer, JOBS_DONE, &e);
    if (answer == JOBS_DONE)
        assert_int_equal(r.state, JOBS_CANCELLING);
}

/* Until the jobs wait for that reason, or for none (ERR_NONE): which is noted behind the work. */
static inline void wait_trouble(struct jobs *j, enum err_code code)
{
    struct jobs_stats stats;
    struct err e = {0};
    int tries = 0;
    enum jobs_answer answer;
    do
        answer = jobs_stats_get(j, &stats, &e);
    while ((answer == JOBS_DONE && stats.trouble.code != code && may_try_again(&tries)) ||
           was_late(answer, &tries));
    assert_answer(answer, JOBS_DONE, &e);
    assert_int_equal(stats.trouble.code, code);
}

/* Every image of the job is there, is stored once, and is the one that the engine makes when it is
 * asked for the whole at once. */
static inline void assert_images(struct jobs *j, struct engine *g, const char *id,
                                 const struct engine_order *order)
{
    struct engine_order whole = *order;
    struct engine_request *r = NULL;
    struct jobs_result one, *log = calloc(order->n + 1, sizeof *log);
    struct err e = {0};
    enum jobs_answer answer;
    size_t count = order->n + 1;
    assert_non_null(log);
    whole.outside_queue = true;
    assert_int_equal(engine_submit(g, &whole, &r, &e), 0);
    assert_true(engine_request_wait(r, WAIT_MS));
    for (size_t i = 0; i < order->n; i++) {
        const struct engine_image *image = engine_request_image(r, i);
        struct buf bytes;
        buf_init(&bytes, 1 << 20);
        for (int tries = 0; was_late(answer = jobs_image(j, id, i, &one, &bytes, &e), &tries);)
            buf_reset(&bytes);
        assert_answer(answer, JOBS_DONE, &e);
        assert_int_equal(one.index, i);
        assert_int_equal(one.nfe, image->counts.nfe);
        assert_string_equal(one.sha256, image->sha256);
        assert_int_equal(one.length, image->png.length);
        assert_memory_equal(one.bytes, image->png.data, one.length);
        buf_clear(&bytes);
    }
    engine_request_free(r);
    for (int tries = 0; was_late(answer = jobs_log(j, id, 0, log, &count, &e), &tries);)
        count = order->n + 1;
    assert_answer(answer, JOBS_DONE, &e);
    assert_int_equal(count, order->n);
    for (size_t k = 0; k < count; k++)
        assert_int_equal(log[k].sequence, k + 1);
    free(log);
}

#endif
