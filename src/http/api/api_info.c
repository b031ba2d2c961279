/* Routes that answer at once: health, models, capabilities, version. They touch the engine's
 * counters and lists only, so they answer while every worker is busy. */
#include "api_edit.h"
#include "api_flow.h"
#include "api_handlers.h"
#include "api_route.h"
#include "http_negotiate.h"
#include "api_order.h"
#include "jobs.h"

#include <stdio.h>
#include <string.h>

#ifndef PFGMD_VERSION
#error "the build names the version"
#endif

static void send_json(struct http_reply *r, unsigned status, json_t *body)
{
    http_reply_json(r, status, "application/json", body);
}

void api_info_live(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    (void)q;
    double age;
    if (http_app_alive(app, &age))
        send_json(r, 200, json_pack("{s:s}", "status", "alive"));
    else
        send_json(r, 503,
                  json_pack("{s:s, s:f, s:i}", "status", "stuck", "step_age_s", age, "limit_s",
                            app->options->watchdog_s));
}

/* Where jobs are to be kept: whether they can be. What needs no store is served all the same, so
 * the whole may be ready without it. */
static json_t *with_jobs(struct http_app *app, json_t *checks)
{
    const struct http_options *o = app->options;
    struct jobs_stats stats = {.store_bytes = 0};
    struct err e = {0};
    const char *detail = o->jobs_trouble;
    if (!o->jobs && !detail)
        return checks;
    if (o->jobs && jobs_stats_get(o->jobs, &stats, &e) != JOBS_DONE)
        detail = e.text;
    else if (o->jobs && stats.trouble.code != ERR_NONE)
        detail = stats.trouble.text;
    json_t *check = json_pack("{s:s, s:b}", "name", "jobs", "ok", detail == NULL);
    return json_plus(checks, json_with(check, "detail",
                                       json_text(detail ? detail : "kept as they are finished")));
}

/* `word`: the status of one that is ready. */
static void answer_ready(struct http_app *app, const struct http_request *q, const char *word,
                         struct http_reply *r)
{
    struct http_problem p;
    char verbose[8];
    http_problem_init(&p);
    bool ready = http_app_ready(app, &p) == 0;
    if (ready && atomic_load(&app->leaving)) {
        http_problem_set(&p, HTTP_PROBLEM_DRAINING, "the server is about to stop");
        p.retry_after_s = 5;
        ready = false;
    }
    if (!http_query_find(q->target.query, "verbose", verbose, sizeof verbose)) {
        if (ready)
            send_json(r, 200, json_pack("{s:s}", "status", word));
        else
            http_problem_reply(&p, q->id, r);
        return;
    }
    bool loading = p.code == HTTP_PROBLEM_LOADING, draining = p.code == HTTP_PROBLEM_DRAINING;
    char loaded[128];
    snprintf(loaded, sizeof loaded, "%zu of %zu loaded and warmed up",
             engine_model_count(app->engine), app->options->model_count);
    json_t *checks =
        json_pack("[{s:s, s:b, s:s}, {s:s, s:b, s:s}]", "name", "models", "ok", !loading, "detail",
                  loaded, "name", "not_draining", "ok", !draining, "detail",
                  draining ? "stopping: running and queued work is finished first" : "taking work");
    checks = with_jobs(app, checks);
    const char *status = ready ? word : http_problem_word(p.code);
    send_json(r, ready ? 200 : 503, json_pack("{s:s, s:o}", "status", status, "checks", checks));
    if (!ready)
        http_reply_header(r, "Retry-After", "%d", p.retry_after_s);
    http_problem_clear(&p);
}

void api_info_ready(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    answer_ready(app, q, "ready", r);
}

void api_info_health(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    answer_ready(app, q, "ok", r);
}

/* The names of its classes, in their order; none for a model that knows none. */
static json_t *labels_json(const struct model *m)
{
    json_t *labels = json_array();
    for (int i = 0; i < model_class_count(m); i++)
        labels = json_plus(labels, json_string(model_description(m)->labels[i]));
    return labels;
}

/* Its tuned schedules, each by the method and the steps that a request names. */
static json_t *tuned_json(const struct model *m)
{
    json_t *tuned = json_array();
    for (int i = 0; i < model_description(m)->tuned_count; i++)
        tuned = json_plus(tuned, json_pack("{s:s, s:i}", "method",
                                           ode_method_name(model_description(m)->tuned[i].method),
                                           "steps", model_tuned_steps(m, i)));
    return tuned;
}

static json_t *loaded_model_json(const struct engine_model *em)
{
    /* "created" and "owned_by" are for clients of OpenAI's interface, which read this list too */
    const struct model *m = engine_model_get(em);
    struct image_shape shape = model_shape(m);
    struct model_solver solver = model_solver_default(m);
    return json_pack(
        "{s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:{s:i, s:i, s:i}, s:I, s:I, s:s, s:s, s:o, "
        "s:o, s:o, s:b}",
        "id", engine_model_name(em), "object", "model", "created",
        (json_int_t)engine_model_loaded_at(em), "owned_by", "pfgmd", "name", engine_model_name(em),
        "state", "ready", "family", ckpt_family_name(model_description(m)->family), "sha256",
        model_sha256(m), "shape", "channels", shape.channels, "height", shape.height, "width",
        shape.width, "parameters", (json_int_t)model_parameters(m), "bytes",
        (json_int_t)model_bytes(m), "kernel", model_kernel_id(m), "precision",
        model_precision_name(m), "default_solver", model_solver_json(&solver, true), "tuned",
        tuned_json(m), "labels", labels_json(m), "null_class", model_null_class(m));
}

/* What came of the last reload, on an object that is there; the object, or NULL. */
static json_t *with_reload(struct http_app *app, size_t model, json_t *o)
{
    pthread_mutex_lock(&app->lock);
    const struct http_reload_note note = app->reloads[model];
    pthread_mutex_unlock(&app->lock);
    if (!note.state[0])
        return o;
    json_t *reload = json_pack("{s:s}", "state", note.state);
    return json_with(o, "reload",
                     note.why[0] ? json_with(reload, "detail", json_text(note.why)) : reload);
}

/* The model resource of a configured name. */
static json_t *model_json(struct http_app *app, const char *name)
{
    const int place = http_app_model(app, name);
    struct engine_model *em = engine_model_find(app->engine, name);
    if (!em)
        return json_pack("{s:s, s:s, s:I, s:s, s:s, s:s}", "id", name, "object", "model", "created",
                         (json_int_t)app->started_at, "owned_by", "pfgmd", "name", name, "state",
                         "loading");
    json_t *o = loaded_model_json(em);
    engine_model_release(em);
    return with_reload(app, (size_t)place, o);
}

void api_info_models(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    (void)q;
    json_t *list = json_array();
    for (size_t i = 0; i < app->options->model_count; i++)
        list = json_plus(list, model_json(app, app->options->model_names[i]));
    send_json(r, 200, json_pack("{s:s, s:o}", "object", "list", "data", list));
}

void api_info_model(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    if (http_app_model(app, q->names[0]) >= 0) {
        send_json(r, 200, model_json(app, q->names[0]));
        return;
    }
    struct http_problem p;
    http_problem_init(&p);
    http_problem_no_model(&p, q->names[0]);
    http_problem_reply(&p, q->id, r);
}

/* Every method with the parameters that it takes. */
static json_t *solvers_json(void)
{
    json_t *list = json_array();
    for (int m = 0; m < ODE_METHODS; m++) {
        const struct model_choice_field *field;
        json_t *parameters = json_array();
        for (size_t i = MODEL_CHOICE_METHOD + 1; (field = model_choice_field(i)) != NULL; i++)
            if (!field->hidden && model_choice_takes(field, (enum ode_method)m))
                parameters = json_plus(parameters, json_string(field->name));
        list =
            json_plus(list, json_pack("{s:s, s:o}", "method", ode_method_name((enum ode_method)m),
                                      "parameters", parameters));
    }
    return list;
}

static json_t *schedules_json(void)
{
    json_t *list = json_array();
    for (int k = 0; k < ODE_SCHEDULES; k++)
        list = json_plus(list, json_string(ode_schedule_name((enum ode_schedule)k)));
    return list;
}

/* Those of images; a path has one more, in which it moves. */
static json_t *formats_json(void)
{
    json_t *list = json_array();
    for (int f = 0; f < HTTP_FORMAT_APNG; f++)
        list =
            json_plus(list, json_pack("{s:s, s:s}", "format", http_format_word((enum http_format)f),
                                      "type", http_format_type((enum http_format)f)));
    return list;
}

/* The labels of every model that is loaded, under its name. */
static json_t *all_labels_json(struct http_app *app)
{
    json_t *all = json_object();
    for (size_t i = 0; i < app->options->model_count; i++) {
        struct engine_model *em = engine_model_find(app->engine, app->options->model_names[i]);
        if (em)
            all = json_with(all, app->options->model_names[i], labels_json(engine_model_get(em)));
        engine_model_release(em);
    }
    return all;
}

/* The lesser of the two; 0 says that the second is none. */
static json_int_t least(json_int_t own, json_int_t setting)
{
    return setting > 0 && setting < own ? setting : own;
}

void api_info_capabilities(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    (void)q;
    json_t *limits = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:i, s:i, s:f, s:f, s:f, s:i, s:i}",
        "n", (json_int_t)app->options->n_max, "job_images",
        (json_int_t)(app->options->jobs ? JOBS_IMAGES_MAX : 0), "jobs_live",
        (json_int_t)(app->options->jobs ? jobs_live_max(app->options->jobs) : 0), "body_bytes",
        (json_int_t)app->options->body_max, "large_body_bytes", (json_int_t)API_LARGE_BODY_MAX,
        "queue_images", (json_int_t)app->options->queue_images_max, "steps",
        least(ODE_STEPS_MAX, app->options->nfe_max), "max_nfe",
        least(ODE_NFE_MAX, app->options->nfe_max), "grid_columns", API_COLUMNS_MAX, "grid_scale",
        API_SCALE_MAX, "grid_bytes", API_SHEET_MAX, "label_bytes", API_LABEL_MAX, "timeout_s",
        (double)least((json_int_t)API_TIMEOUT_MAX, app->options->timeout_max_s), "temperature_min",
        ENGINE_TEMPERATURE_MIN, "temperature_max", ENGINE_TEMPERATURE_MAX, "probes",
        MODEL_PROBES_MAX, "exact_trace_dimension", MODEL_TRACE_MAX);
    json_t *models = json_array();
    for (size_t i = 0; i < app->options->model_count; i++)
        models = json_plus(models, json_string(app->options->model_names[i]));
    struct engine_model *first = engine_model_find(app->engine, NULL);
    json_t *solver = first ? NULL : json_null();
    if (first) {
        struct model_solver fallback = model_solver_default(engine_model_get(first));
        solver = model_solver_json(&fallback, true);
        engine_model_release(first);
    }
    json_t *defaults = json_pack(
        "{s:s?, s:i, s:i, s:o, s:f, s:b, s:s, s:s, s:s, s:i, s:s, s:I, s:i, s:s, s:f}", "model",
        app->options->model_count ? app->options->model_names[0] : NULL, "n", 1, "first_index", 0,
        "solver", solver, "temperature", 1.0, "embed_metadata", 1, "format",
        http_format_word(HTTP_FORMAT_JSON), "dtype", "uint8", "layout", "hwc", "preview_every", 0,
        "priority", "interactive", "frames", (json_int_t)api_flow_frames(app->options->n_max),
        "probes", API_PROBES, "constant", "exact", "strength", MODEL_EDIT_STRENGTH);
    send_json(r, 200,
              json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:[s, s, s, s, s]}", "models", models,
                        "labels", all_labels_json(app), "limits", limits, "solvers", solvers_json(),
                        "schedules", schedules_json(), "formats", formats_json(), "defaults",
                        defaults, "tasks", "encode", "decode", "interpolate", "likelihood",
                        "edit"));
}

void api_info_version(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    (void)q;
    send_json(r, 200,
              json_pack("{s:s, s:s, s:s, s:{s:s, s:s}}", "name", "pfgmd", "version", PFGMD_VERSION,
                        "compiler", __VERSION__, "libraries", "jansson", jansson_version_str(),
                        "libmicrohttpd", app->library_version));
}

void api_info_metrics(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    size_t ignored;
    const struct http_metrics_state state = {
        .engine = app->engine,
        .connections = http_connection_count(&app->wait, NULL, &ignored),
        .requests = http_wait_exchanges(&app->wait),
        .room = http_room_taken(&app->wait),
        .draining = atomic_load(&app->state) == HTTP_STATE_DRAINING,
        .jobs = app->options->jobs,
        .jobs_broken = app->options->jobs_trouble != NULL,
        .version = PFGMD_VERSION,
        .route_labels = api_route_labels(),
    };
    r->status = 200;
    r->content_type = HTTP_METRICS_TYPE;
    if (http_metrics_text(&app->metrics, &state, &r->body, NULL) != 0)
        http_reply_fail(r);
    else
        http_metrics_select(q->target.query, &r->body);
}

extern const unsigned char api_openapi[];
extern const size_t api_openapi_length;

void api_info_openapi(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    (void)app, (void)q;
    http_reply_constant(r, "application/json", api_openapi, api_openapi_length);
}
