/* KServe's routes about server and models, and what Triton's clients ask besides. Pure but for
 * looks at the engine's list of models. */
#include "api_kserve.h"

#include "http_body.h"

#include <string.h>

/* ---- server and models ---- */

void api_kserve_server(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    (void)app, (void)q;
    http_reply_json(r, 200, "application/json",
                    json_pack("{s:s, s:s, s:[s]}", "name", "pfgmd", "version", PFGMD_VERSION,
                              "extensions", "binary_tensor_data"));
}

void api_kserve_live(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    api_info_live(app, q, r);
    http_reply_json(r, r->status, "application/json", json_pack("{s:b}", "live", r->status == 200));
}

void api_kserve_ready(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    api_info_ready(app, q, r);
    r->problem = HTTP_PROBLEM_NONE; /* "not ready" is an answer here */
    http_reply_json(r, r->status, "application/json",
                    json_pack("{s:b}", "ready", r->status == 200));
}

/* 404 for a name that is not configured. */
static bool is_configured(const struct http_app *app, const struct http_request *q,
                          struct http_reply *r)
{
    struct http_problem p;
    if (http_app_model(app, q->names[0]) >= 0)
        return true;
    http_problem_init(&p);
    http_problem_no_model(&p, q->names[0]);
    http_problem_reply(&p, q->id, r);
    return false;
}

void api_kserve_model_ready(struct http_app *app, const struct http_request *q,
                            struct http_reply *r)
{
    if (!is_configured(app, q, r))
        return;
    struct engine_model *em = engine_model_find(app->engine, q->names[0]);
    http_reply_json(r, em ? 200 : 503, "application/json",
                    json_pack("{s:s, s:b}", "name", q->names[0], "ready", em != NULL));
    engine_model_release(em);
}

void api_kserve_model(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    if (!is_configured(app, q, r))
        return;
    struct engine_model *em = engine_model_find(app->engine, q->names[0]);
    if (!em) {
        struct http_problem p;
        http_problem_init(&p);
        http_problem_set(&p, HTTP_PROBLEM_LOADING, "the model \"%s\" is loading", q->names[0]);
        p.retry_after_s = 1;
        http_problem_reply(&p, q->id, r);
        return;
    }
    const struct model *m = engine_model_get(em);
    const struct image_shape s = model_shape(m);
    json_t *outputs = json_array();
    if (!model_vectors(m))
        outputs =
            json_plus(outputs, json_pack("{s:s, s:s, s:[i,i,i,i]}", "name", "images", "datatype",
                                         "UINT8", "shape", -1, s.height, s.width, s.channels));
    outputs = json_plus(outputs, json_pack("{s:s, s:s, s:[i,i,i,i]}", "name", "samples", "datatype",
                                           "FP32", "shape", -1, s.channels, s.height, s.width));
    json_t *o = json_pack(
        "{s:s, s:s, s:[{s:s, s:s, s:[i]}, {s:s, s:s, s:[i]}, {s:s, s:s, s:[i,i,i,i]}]}", "name",
        engine_model_name(em), "platform", "pfgm", "inputs", "name", "seed", "datatype", "UINT64",
        "shape", -1, "name", "index", "datatype", "UINT64", "shape", -1, "name", "latents",
        "datatype", "FP32", "shape", -1, s.channels, s.height, s.width);
    o = json_with(o, "outputs", outputs);
    engine_model_release(em);
    http_reply_json(r, 200, "application/json", o);
}

/* ---- what Triton's clients ask besides ---- */

/* {"ready": true} leaves out the models that are not; without a body all are listed. */
static int read_index_body(const struct http_request *q, bool *only_ready, struct http_problem *p)
{
    static const char *const keys[] = {"ready"};
    struct buf body = q->body; /* the parser may write into it; it stays the exchange's */
    struct err e = {0};
    if (body.length == 0)
        return 0;
    json_t *o = http_body_parse(&body, http_body_fields(0), p);
    if (!o)
        return -1;
    const json_t *ready = json_object_get(o, "ready");
    if (!json_is_object(o) || json_only_keys(o, keys, 1, "the body", &e) != 0 ||
        (ready && !json_is_boolean(ready)))
        http_problem_point(p, "", "must be an object with \"ready\" as true or false, or nothing");
    *only_ready = json_is_true(ready);
    json_decref(o);
    return p->code == HTTP_PROBLEM_NONE ? 0 : -1;
}

void api_kserve_index(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    struct http_problem p;
    bool only_ready = false;
    http_problem_init(&p);
    if (read_index_body(q, &only_ready, &p) != 0) {
        http_problem_reply(&p, q->id, r);
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < app->options->model_count; i++) {
        const char *name = app->options->model_names[i];
        struct engine_model *em = engine_model_find(app->engine, name);
        if (em || !only_ready)
            list = json_plus(list, json_pack("{s:s, s:s, s:s, s:s}", "name", name, "version", "",
                                             "state", em ? "READY" : "LOADING", "reason", ""));
        engine_model_release(em);
    }
    http_reply_json(r, 200, "application/json", list);
}

static json_t *duration_json(uint64_t count, double seconds)
{
    return json_pack("{s:I, s:I}", "count", (json_int_t)count, "ns", (json_int_t)(seconds * 1e9));
}

/* An inference is an image here. What is not measured per model, which is all but its time in a
 * slot, counts nothing. */
static json_t *statistics_json(struct engine_model *em)
{
    static const char *const unmeasured[] = {"queue", "compute_input", "compute_output",
                                             "cache_hit", "cache_miss"};
    const struct engine_model_stats s = engine_model_stats_get(em);
    const uint64_t ok = s.images[ENGINE_OUTCOME_OK], failed = s.images[ENGINE_OUTCOME_FAILED];
    json_t *times = json_with(json_object(), "success", duration_json(ok, s.image_s.sum));
    times = json_with(times, "fail", duration_json(failed, 0.0));
    times = json_with(times, "compute_infer", duration_json(ok, s.image_s.sum));
    for (size_t i = 0; i < sizeof unmeasured / sizeof *unmeasured; i++)
        times = json_with(times, unmeasured[i], duration_json(0, 0.0));
    json_t *o = json_pack("{s:s, s:s, s:i, s:I, s:I}", "name", engine_model_name(em), "version", "",
                          "last_inference", 0, "inference_count", (json_int_t)ok, "execution_count",
                          (json_int_t)s.field_evaluations);
    o = json_with(o, "inference_stats", times);
    return json_with(o, "batch_stats", json_array());
}

void api_kserve_statistics(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    const bool one = q->names[0][0] != '\0';
    if (one && !is_configured(app, q, r))
        return;
    json_t *list = json_array();
    for (size_t i = 0; i < app->options->model_count; i++) {
        const char *name = app->options->model_names[i];
        struct engine_model *em =
            !one || strcmp(q->names[0], name) == 0 ? engine_model_find(app->engine, name) : NULL;
        if (em)
            list = json_plus(list, statistics_json(em));
        engine_model_release(em);
    }
    http_reply_json(r, 200, "application/json", json_pack("{s:o}", "model_stats", list));
}
