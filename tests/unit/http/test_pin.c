/* A model that is replaced while a request for it is being read: the request stays with the one
 * that it found first, and no size is taken from another.
 *
 * The replacement happens at a chosen one of the calls that the reading makes of jansson's
 * allocator, so each run puts it at the same place of the reading. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "api_call.h"
#include "api_route.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SMALL MODELS_DIR "/digits8.safetensors"   /* [1,8,8] */
#define LARGE MODELS_DIR "/fashion28.safetensors" /* [1,28,28] */
#define SOLVER "\"solver\":{\"method\":\"euler\",\"steps\":2}"
#define MOMENTS 3

static struct http_app app;
static struct http_options options;
static const char *const names[] = {"m"};

static long calls;      /* of the allocator, by a reading */
static long replace_at; /* which of them; negative: none */
static _Thread_local bool reading;

static void put(const char *path)
{
    struct err e = {0};
    struct model *m = model_load(path, &(struct model_options){0}, &e);
    if (!m || !engine_model_replace(app.engine, names[0], m, &e))
        fail_msg("%s: %s", e.at, e.text);
}

static void count_call(void)
{
    if (!reading || calls++ != replace_at)
        return;
    reading = false;
    put(LARGE);
    reading = true;
}

static void *allocate(size_t size)
{
    count_call();
    return malloc(size);
}

static void release(void *memory)
{
    count_call();
    free(memory);
}

static void nothing(void *connection)
{
    (void)connection;
}

static int set_up(void **state)
{
    (void)state;
    struct err e = {0};
    options = (struct http_options){.n_max = 64,
                                    .body_max = 1 << 20,
                                    .queue_images_max = 64,
                                    .model_names = names,
                                    .model_count = 1};
    app.options = &options;
    app.engine = engine_new(&(struct engine_options){1, 2, 64}, &e);
    atomic_store(&app.state, HTTP_STATE_READY);
    pthread_mutex_init(&app.lock, NULL);
    http_keys_init(&app.keys);
    http_links_init(&app.links, 60);
    if (!app.engine || http_links_read(&app.links, NULL, &e) != 0 ||
        http_wait_start(&app.wait, nothing, nothing, (const int[HTTP_PHASES]){0}, &e) != 0)
        return -1;
    json_set_alloc_funcs(allocate, release);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    json_set_alloc_funcs(malloc, free);
    engine_drain(app.engine);
    http_wait_stop(&app.wait);
    engine_free(app.engine);
    http_links_clear(&app.links);
    http_keys_clear(&app.keys);
    pthread_mutex_destroy(&app.lock);
    return 0;
}

static void wait_end(const struct api_call *call)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    while (!http_ticket_look(call->ticket).finished)
        nanosleep(&moment, NULL);
    const struct err *e = engine_request_error(call->ticket->request);
    if (e)
        fail_msg("%s: %s", e->at, e->text);
}

/* What becomes of a request whose model is replaced at the call `at` of the reading; the answer in
 * `reply`, and the height of the images that it was of, 0 where it was refused. */
static int run(const char *path, const char *text, long at, struct http_reply *reply)
{
    struct http_request q = {.id = "id", .host = "localhost", .scheme = "http"};
    struct api_call call = {0};
    struct http_problem problem;
    int height = 0;
    put(SMALL);
    q.route = api_route_find(HTTP_PUBLIC, path, q.names);
    assert_non_null(q.route);
    buf_init(&q.body, 1 << 20);
    assert_int_equal(buf_string(&q.body, text, NULL), 0);
    http_reply_init(reply);
    http_problem_init(&problem);
    calls = 0;
    replace_at = at;
    reading = true;
    bool goes = api_call_read(&app, &q, &call, reply);
    reading = false;
    if (goes && api_call_begin(&app, &q, &call, reply)) {
        wait_end(&call);
        if (api_call_follows(&call)) {
            assert_int_equal(api_call_follow(&app, &q, &call, &problem), 0);
            wait_end(&call);
        }
        const struct engine_order *order = engine_request_order(call.ticket->request);
        height = model_shape(engine_model_get(order->model)).height;
        api_call_finish(&app, &q, &call, reply);
        http_ticket_drop(call.ticket, NULL);
    }
    api_call_end(&app, &q, &call);
    buf_clear(&q.body);
    return height;
}

/* A member of the first element of an array in an answer, as text. */
static void take(const struct http_reply *r, const char *array, const char *member, char *out,
                 size_t size)
{
    json_t *o = json_parse(r->body.data, r->body.length, "answer", NULL);
    const char *text =
        json_string_value(json_object_get(json_array_get(json_object_get(o, array), 0), member));
    assert_non_null(text);
    assert_true((size_t)snprintf(out, size, "%s", text) < size);
    json_decref(o);
}

/* Replaces the model at some of the moments of a reading. Every request is answered, from the
 * model that it found, or refused because what it brings (`sized`) is not of that one's size. Where
 * JSON is still used after the model was found (`late`), the last moment finds the old one held. */
static void check(const char *path, const char *text, bool sized, bool late)
{
    struct http_reply r;
    if (run(path, text, -1, &r) != 8)
        fail_msg("%s: %u %.*s", path, r.status, (int)r.body.length, (const char *)r.body.data);
    http_reply_clear(&r);
    const long all = calls;
    assert_true(all > MOMENTS);
    int height = 0;
    for (long k = 0; k < MOMENTS; k++) {
        height = run(path, text, k * (all - 1) / (MOMENTS - 1), &r);
        const bool fits = height == 8 || (height == 28 && !sized);
        const bool refused = height == 0 && r.status == 422 && sized;
        if (!(fits && r.status == 200) && !refused)
            fail_msg("%s at %ld: %d %u %.*s", path, k, height, r.status, (int)r.body.length,
                     (const char *)r.body.data);
        http_reply_clear(&r);
    }
    if (late)
        assert_int_equal(height, 8);
}

static void latents_of_an_inference(void **state)
{
    (void)state;
    char text[1024], values[512] = "0.5";
    for (int i = 1; i < 64; i++)
        strcat(values, ",0.5");
    snprintf(text, sizeof text,
             "{\"parameters\":{\"method\":\"euler\",\"steps\":2},\"inputs\":[{\"name\":\"latents\","
             "\"datatype\":\"FP32\",\"shape\":[1,1,8,8],\"data\":[%s]}]}",
             values);
    check("/v2/models/m/infer", text, true, true);
    check("/v2/models/m/infer",
          "{\"parameters\":{\"method\":\"euler\",\"steps\":2},\"inputs\":[{\"name\":\"seed\","
          "\"datatype\":\"UINT64\",\"shape\":[1],\"data\":[7]}]}",
          false, true);
}

static void images(void **state)
{
    (void)state;
    check("/v1/images", "{\"seed\":7," SOLVER "}", false, false);
    check("/v1/images/generations", "{\"seed\":7,\"steps\":2,\"size\":\"8x8\"}", true, false);
}

static void points_of_the_other_tasks(void **state)
{
    (void)state;
    static char picture[4096], latent[4096], text[16384];
    struct http_reply r;
    run("/v1/images", "{\"seed\":7," SOLVER "}", -1, &r);
    take(&r, "images", "b64", picture, sizeof picture);
    http_reply_clear(&r);
    snprintf(text, sizeof text, "{\"images\":[\"%s\"]}", picture);
    check("/v1/likelihood", text, true, true);
    check("/v1/encode", text, true, true);
    run("/v1/encode", text, -1, &r);
    take(&r, "images", "latent", latent, sizeof latent);
    http_reply_clear(&r);
    snprintf(text, sizeof text, "{\"latents\":[\"%s\"]," SOLVER "}", latent);
    check("/v1/decode", text, true, true);
    snprintf(text, sizeof text,
             "{\"between\":[{\"seed\":1},{\"image\":\"%s\"}],\"frames\":2," SOLVER "}", picture);
    check("/v1/interpolate", text, true, true);
    check("/v1/interpolate", "{\"between\":[{\"seed\":1},{\"seed\":2}],\"frames\":2," SOLVER "}",
          false, true);
    snprintf(text, sizeof text, "{\"image\":\"%s\",\"mask\":\"%s\"," SOLVER "}", picture, picture);
    check("/v1/edit", text, true, true);
    check("/v1/edit", "{\"image\":{\"seed\":1}," SOLVER "}", false, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(latents_of_an_inference),
                                       cmocka_unit_test(images),
                                       cmocka_unit_test(points_of_the_other_tasks)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
