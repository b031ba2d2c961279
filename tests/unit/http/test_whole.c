/* Answers are whole or 500: every allocation of jansson fails once, and what comes is byte for byte
 * what came before, or a failure. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "api_kserve.h"
#include "api_openai.h"
#include "api_answer.h"
#include "api_lookup.h"

#include <stdlib.h>
#include <string.h>

static struct http_app app;
static struct http_options options;
static struct http_request request;
static struct openai_call asked;
static struct http_ticket ticket;
static struct api_call call = {.own = &asked, .ticket = &ticket};
static struct engine_request *done;
static const char *const names[] = {"digits8"};

static long until_failure; /* allocations until one fails; negative: none does */
static bool failed;

static void *allocate(size_t size)
{
    if (until_failure >= 0 && until_failure-- == 0) {
        failed = true;
        return NULL;
    }
    return malloc(size);
}

static int set_up(void **state)
{
    (void)state;
    struct err e = {0};
    struct model *m = model_load(MODEL, &(struct model_options){0}, &e);
    options = (struct http_options){.n_max = 64,
                                    .body_max = 1 << 20,
                                    .queue_images_max = 64,
                                    .model_names = names,
                                    .model_count = 1};
    app.options = &options;
    app.engine = engine_new(&(struct engine_options){1, 2, 64}, &e);
    atomic_store(&app.state, HTTP_STATE_READY);
    pthread_mutex_init(&app.lock, NULL);
    snprintf(app.reloads[0].state, sizeof app.reloads[0].state, "failed");
    snprintf(app.reloads[0].why, sizeof app.reloads[0].why, "a reason");
    http_links_init(&app.links, 60);
    if (!m || !app.engine || http_links_read(&app.links, NULL, &e) != 0 ||
        !engine_model_add(app.engine, "digits8", m, &e))
        return -1;
    snprintf(request.id, sizeof request.id, "id");
    snprintf(request.client, sizeof request.client, "alice");
    snprintf(request.host, sizeof request.host, "localhost");
    snprintf(request.scheme, sizeof request.scheme, "http");
    struct engine_order order = {.model = engine_model_find(app.engine, NULL),
                                 .seed = 7,
                                 .n = 2,
                                 .solver = model_solver_default(m)};
    int bad = engine_submit(app.engine, &order, &done, &e);
    engine_model_release(order.model);
    bad = bad || !engine_request_wait(done, 120000);
    ticket.request = done;
    json_set_alloc_funcs(allocate, free);
    until_failure = -1;
    return bad;
}

static int tear_down(void **state)
{
    (void)state;
    json_set_alloc_funcs(malloc, free);
    engine_request_free(done);
    engine_drain(app.engine);
    engine_free(app.engine);
    http_links_clear(&app.links);
    pthread_mutex_destroy(&app.lock);
    return 0;
}

static bool is_same(const struct http_reply *a, const struct http_reply *b)
{
    return a->status == b->status && a->body.length == b->body.length &&
           memcmp(a->body.data, b->body.data, a->body.length) == 0;
}

static void run_failing(void (*run)(struct http_reply *r), long allocation, struct http_reply *r)
{
    http_reply_init(r);
    failed = false;
    until_failure = allocation;
    run(r);
    until_failure = -1;
}

/* Lets allocation after allocation of a run fail until none is left. */
static void check(const char *what, void (*run)(struct http_reply *r))
{
    struct http_reply whole;
    http_reply_init(&whole);
    run(&whole);
    assert_int_not_equal(whole.status, 500);
    size_t runs = 0;
    do {
        struct http_reply r;
        run_failing(run, (long)runs, &r);
        if (r.status != 500 && !is_same(&r, &whole)) { /* a link's end, after a second has passed */
            http_reply_clear(&whole);
            http_reply_clear(&r);
            http_reply_init(&whole);
            run(&whole);
            run_failing(run, (long)runs, &r);
        }
        runs++;
        if (r.status != 500 && !is_same(&r, &whole))
            fail_msg("%s, allocation %zu: %u %.*s", what, runs, r.status, (int)r.body.length,
                     (const char *)r.body.data);
        http_reply_clear(&r);
    } while (failed);
    assert_true(runs > 10);
    http_reply_clear(&whole);
}

static void run_capabilities(struct http_reply *r)
{
    api_info_capabilities(&app, &request, r);
}
static void run_models(struct http_reply *r)
{
    api_info_models(&app, &request, r);
}
static void run_kserve_model(struct http_reply *r)
{
    api_kserve_model(&app, &request, r);
}
static void run_index(struct http_reply *r)
{
    api_kserve_index(&app, &request, r);
}
static void run_statistics(struct http_reply *r)
{
    api_kserve_statistics(&app, &request, r);
}

static void run_answer(struct http_reply *r)
{
    json_t *images = json_array();
    for (size_t i = 0; i < 2 && images; i++)
        images = json_plus(images, api_answer_linked(&app, &request, engine_request_order(done),
                                                     engine_request_image(done, i)));
    http_reply_json(
        r, 200, "application/json",
        api_answer_whole(api_answer_head("id", &call, engine_request_order(done)), images, &call));
}

static void run_openai(struct http_reply *r)
{
    json_t *o = api_openai_answer(&app, &request, &call, done);
    if (o && json_object_del(o, "created") != 0)
        fail_msg("no time");
    http_reply_json(r, 200, "application/json", o);
}

static void send_fields(struct http_reply *r, json_t *fields, struct http_problem *p)
{
    if (fields)
        http_reply_json(r, 200, "application/json", fields);
    else
        http_problem_reply(p, "id", r);
    http_problem_clear(p);
}

static void run_query(struct http_reply *r)
{
    struct http_problem p;
    http_problem_init(&p);
    send_fields(r, api_lookup_fields(&request, &p), &p);
}

static void run_problem(struct http_reply *r)
{
    struct http_problem p;
    http_problem_init(&p);
    http_problem_point(&p, "/n", "one fault");
    http_problem_point(&p, "/seed", "and another");
    p.limit = 7;
    http_problem_reply(&p, "id", r);
    http_problem_clear(&p);
}

static void with_one_failed_allocation(void **state)
{
    (void)state;
    snprintf(request.names[0], sizeof request.names[0], "digits8");
    check("capabilities", run_capabilities);
    check("models", run_models);
    check("KServe's model", run_kserve_model);
    check("index", run_index);
    check("statistics", run_statistics);
    check("answer", run_answer);
    check("OpenAI's answer", run_openai);
    asked.url = true;
    check("OpenAI's links", run_openai);
    snprintf(request.names[0], sizeof request.names[0], "7");
    snprintf(request.names[1], sizeof request.names[1], "3");
    snprintf(request.target.query, sizeof request.target.query,
             "steps=5&t_max=7&class=null&label=x&format=json");
    check("query", run_query);
    check("problem", run_problem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(with_one_failed_allocation)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
