/* Every k-th failure in `http`: what a serving process is set up with, bodies, forms and prompts as
 * they are read, and answers, which are whole or say that memory is short. Routes are asked for
 * over sockets, in test_fault_daemon.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kth.h"

#include "api_handlers.h"
#include "api_order.h"
#include "api_prompt.h"
#include "http_app.h"
#include "http_body.h"
#include "http_form.h"

#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/pfgm-kth-XXXXXX", keys[64], secret[64];
static struct http_app app; /* of the answers */
static struct http_options options;
static struct http_request request;
static const char *const names[] = {"digits8"};

/* A problem as an error: only that memory is short is one to be expected here. */
static int told(struct http_problem *p, struct err *e)
{
    const bool memory = p->code == HTTP_PROBLEM_INTERNAL && strstr(p->detail, "memory");
    const int result = err_fail(e, memory ? ERR_MEMORY : ERR_INTERNAL, "", "%s", p->detail);
    http_problem_clear(p);
    return result;
}

/* ---- the process ---- */

static void nobody(void *connection)
{
    (void)connection;
}

static int process(struct err *e)
{
    static struct http_app own;
    struct http_problem p;
    char name[HTTP_KEY_NAME_MAX + 1];
    http_problem_init(&p);
    memset(&own, 0, sizeof own);
    if (http_app_init(&own, app.engine, &options, nobody, nobody, e) != 0)
        return -1;
    int result = http_keys_judge(&own.keys, "Bearer secret", true, name, &p) == 0 ? 0 : told(&p, e);
    if (result == 0 && strcmp(name, "somebody") != 0)
        result = kth_fail(e, name);
    http_problem_clear(&p);
    http_reader_stop(&own.reader);
    http_app_clear(&own);
    return result;
}

/* ---- what is read ---- */

static int body(struct err *e)
{
    static const char text[] = "{\"n\":2,\"seed\":18446744073709551615,\"label\":\"a\","
                               "\"solver\":{\"method\":\"heun\",\"steps\":5}}";
    struct api_order order;
    struct http_problem p;
    struct buf bytes;
    http_problem_init(&p);
    buf_init(&bytes, 4096);
    if (buf_string(&bytes, text, e) != 0)
        return -1;
    json_t *value = http_body_parse_whole(&bytes, bytes.length, http_body_fields(64), &p);
    int result = value && api_order_parse(value, 64, &order, &p) == 0 ? 0 : told(&p, e);
    if (result == 0 && (order.n != 2 || order.seed != UINT64_MAX))
        result = kth_fail(e, "another order");
    json_decref(value);
    http_problem_clear(&p);
    buf_clear(&bytes);
    return result;
}

static int form(struct err *e)
{
    struct http_form f = {0};
    size_t at = 0;
    int result = http_form_add(&f, "image", true, 0, "abc", 3, 4096, e);
    if (result == 0)
        result = http_form_add(&f, "image", true, 3, "defg", 4, 4096, e);
    if (result == 0)
        result = http_form_add(&f, "prompt", false, 0, "x", 1, 4096, e);
    const struct http_part *part = result == 0 ? http_form_find(&f, "image", &at) : NULL;
    if (result == 0 && (!part || part->data.length != 7 || f.count != 2))
        result = kth_fail(e, "another form");
    http_form_clear(&f);
    return result;
}

static int prompt(struct err *e)
{
    char *const labels[] = {"Trouser", "T-shirt/top", "Ankle boot"};
    int best = -1;
    bool blank;
    if (api_prompt_find("two ankle-boots, please", labels, 3, &best, &blank, e) != 0)
        return -1;
    return best == 2 && !blank ? 0 : kth_fail(e, "another class");
}

/* ---- answers ---- */

static struct buf whole[8]; /* each answer as it is undisturbed */

static int answer(size_t number, api_handler *handler, struct err *e)
{
    struct http_reply r;
    int result = 0;
    http_reply_init(&r);
    handler(&app, &request, &r);
    if (r.status == 500)
        result = err_fail_memory(e, 1);
    else if (r.status != 200)
        result = kth_fail(e, "another status");
    else if (!whole[number].data)
        result = buf_append(&whole[number], r.body.data, r.body.length, e);
    else if (whole[number].length != r.body.length ||
             memcmp(whole[number].data, r.body.data, r.body.length) != 0)
        result = kth_fail(e, "another answer");
    http_reply_clear(&r);
    return result;
}

static int models(struct err *e)
{
    return answer(0, api_info_models, e);
}
static int model(struct err *e)
{
    return answer(1, api_info_model, e);
}
static int capabilities(struct err *e)
{
    return answer(2, api_info_capabilities, e);
}
static int ready(struct err *e)
{
    return answer(3, api_info_ready, e);
}
static int version(struct err *e)
{
    return answer(4, api_info_version, e);
}
static int openapi(struct err *e)
{
    return answer(5, api_info_openapi, e);
}
static int page(struct err *e)
{
    return answer(6, api_page_answer, e);
}
static int slots(struct err *e)
{
    return answer(7, api_admin_slots, e);
}

static int problem(struct err *e)
{
    struct http_problem p;
    struct http_reply r;
    int result = 0;
    http_problem_init(&p);
    http_reply_init(&r);
    http_problem_point(&p, "/n", "one fault");
    http_problem_point(&p, "/seed", "and another");
    http_problem_reply(&p, "id", &r);
    if (r.status == 500)
        result = err_fail_memory(e, 1);
    else if (r.status != 422 || !strstr((const char *)r.body.data, "and another"))
        result = kth_fail(e, "another problem");
    http_problem_clear(&p);
    http_reply_clear(&r);
    return result;
}

static const struct kth_case cases[] = {
    {"process", KTH_READS | KTH(THREAD), 0, process, NULL, true},
    {"body", KTH(ALLOC), 0, body, NULL, false},
    {"form", KTH(ALLOC), 0, form, NULL, false},
    {"prompt", KTH(ALLOC), 0, prompt, NULL, false},
    {"models", KTH(ALLOC), 0, models, NULL, false},
    {"model", KTH(ALLOC), 0, model, NULL, false},
    {"capabilities", KTH(ALLOC), 0, capabilities, NULL, false},
    {"ready", KTH(ALLOC), 0, ready, NULL, false},
    {"version", KTH(ALLOC), 0, version, NULL, false},
    {"openapi", KTH(ALLOC), 0, openapi, NULL, false},
    {"page", KTH(ALLOC), 0, page, NULL, false},
    {"slots", KTH(ALLOC), 0, slots, NULL, false},
    {"problem", KTH(ALLOC), 0, problem, NULL, false},
};

static void each_failure_is_named_and_undone(void **state)
{
    (void)state;
    kth_check_all(cases, sizeof cases / sizeof *cases);
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
    (void)state;
    struct err e = {0};
    char digest[SHA256_HEX_SIZE], line[128];
    if (!mkdtemp(folder) || sha256_hex("secret", 6, digest, &e) != 0)
        return -1;
    snprintf(keys, sizeof keys, "%s/keys", folder);
    snprintf(secret, sizeof secret, "%s/secret", folder);
    snprintf(line, sizeof line, "somebody %s images=1000\n", digest);
    put(keys, line);
    put(secret, "of more than sixteen bytes");
    options = (struct http_options){.n_max = 64,
                                    .body_max = 1 << 20,
                                    .queue_images_max = 64,
                                    .idle_s = 60,
                                    .read_s = 30,
                                    .keys_file = keys,
                                    .link_secret = secret,
                                    .model_names = names,
                                    .model_count = 1};
    app.options = &options;
    app.library_version = "0";
    app.engine = engine_new(&(struct engine_options){1, 2, 64}, &e);
    atomic_store(&app.state, HTTP_STATE_READY);
    pthread_mutex_init(&app.lock, NULL);
    struct model *m = model_load(MODELS_DIR "/digits8.safetensors", &(struct model_options){0}, &e);
    if (!app.engine || !m || !engine_model_add(app.engine, "digits8", m, &e))
        fail_msg("%s: %s", e.at, e.text);
    snprintf(request.id, sizeof request.id, "id");
    snprintf(request.names[0], sizeof request.names[0], "digits8");
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        buf_init(&whole[i], 4 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        buf_clear(&whole[i]);
    engine_free(app.engine);
    pthread_mutex_destroy(&app.lock);
    unlink(keys);
    unlink(secret);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_failure_is_named_and_undone)};
    return cmocka_run_group_tests_name("kth http", tests, set_up, tear_down);
}
