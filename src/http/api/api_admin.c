/* What only the admin listener has. Who may open its socket may do all of this; there are no keys.
 */
#include "api_handlers.h"

#include "base_log.h"
#include "http_body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void send_json(struct http_reply *r, unsigned status, json_t *body)
{
    http_reply_json(r, status, "application/json", body);
}

static void not_now(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    struct http_problem p;
    http_problem_init(&p);
    http_app_ready(app, &p);
    http_problem_reply(&p, q->id, r);
}

void api_admin_reload(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    struct http_problem p;
    int model = http_app_model(app, q->names[0]);
    http_problem_init(&p);
    if (model < 0) {
        http_problem_no_model(&p, q->names[0]);
        http_problem_reply(&p, q->id, r);
        return;
    }
    if (http_app_ready(app, &p) != 0) {
        http_problem_clear(&p);
        not_now(app, q, r);
        return;
    }
    app->options->hooks.reload(app->options->hooks.context, (size_t)model);
    http_reply_header(r, "Location", "/v1/models/%s", app->options->model_names[model]);
    send_json(
        r, 202,
        json_pack("{s:s, s:s}", "model", app->options->model_names[model], "reload", "loading"));
}

void api_admin_drain(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    (void)q;
    app->options->hooks.drain(app->options->hooks.context);
    send_json(r, 202, json_pack("{s:s}", "status", "draining"));
}

void api_admin_log_level(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    struct http_problem p;
    struct buf body = q->body; /* the parser may write into it; it stays the exchange's */
    enum log_level level;
    const char *word = NULL;
    (void)app;
    http_problem_init(&p);
    json_t *o = http_body_parse(&body, http_body_fields(0), &p);
    if (o && json_object_size(o) == 1)
        word = json_string_value(json_object_get(o, "level"));
    if (o && (!word || log_level_parse(word, &level) != 0))
        http_problem_point(&p, "/level", "must be error, warn, info or debug, and alone");
    if (p.code != HTTP_PROBLEM_NONE) {
        http_problem_reply(&p, q->id, r);
    } else {
        log_set_level(level);
        send_json(r, 200, json_pack("{s:s}", "level", word));
    }
    json_decref(o);
}

void api_admin_slots(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    static const char *const priorities[ENGINE_PRIORITIES] = {"interactive", "batch"};
    struct engine_stats stats = engine_stats_get(app->engine);
    struct engine_slot_view *views = calloc(stats.slots, sizeof *views);
    size_t count = views ? engine_slots_get(app->engine, views, stats.slots) : 0;
    json_t *slots = views ? json_array() : NULL;
    (void)q;
    for (size_t i = 0; i < count; i++) {
        const struct engine_slot_view *v = &views[i];
        char seed[24], index[24];
        snprintf(seed, sizeof seed, "%llu", (unsigned long long)v->seed);
        snprintf(index, sizeof index, "%llu", (unsigned long long)v->index);
        slots = json_plus(slots,
                          json_pack("{s:s, s:s, s:s, s:I, s:i, s:s, s:f, s:I}", "model", v->model,
                                    "seed", seed, "index", index, "n", (json_int_t)v->n, "worker",
                                    v->worker, "priority", priorities[v->priority], "age_s",
                                    v->age_s, "request_steps", (json_int_t)v->request_steps));
    }
    free(views);
    send_json(r, 200,
              json_pack("{s:I, s:I, s:I, s:i, s:i, s:o}", "slots", (json_int_t)stats.slots, "busy",
                        (json_int_t)stats.live_images, "queued_images",
                        (json_int_t)stats.queued_images, "workers", stats.workers, "workers_busy",
                        stats.workers_busy, "live", slots));
}
