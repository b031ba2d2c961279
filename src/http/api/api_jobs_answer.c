/* Jobs as JSON, and what may be wrong with one. A job speaks for itself: its record has everything,
 * so that it can be told whether or not its model is loaded. */
#include "api_jobs_answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

bool api_jobs_are_on(const struct http_app *app, struct http_problem *p)
{
    const struct http_options *o = app->options;
    if (o->jobs)
        return true;
    if (o->jobs_trouble)
        http_problem_set(p, HTTP_PROBLEM_JOBS_OFF, "%s", o->jobs_trouble);
    else
        http_problem_set(p, HTTP_PROBLEM_JOBS_OFF,
                         "this server keeps no jobs: the setting \"state\" names the folder in "
                         "which it would, or \"nats\" the servers");
    return false;
}

int api_jobs_choose(const struct http_request *q, bool has_layout, struct api_jobs_choice *out,
                    struct http_problem *p)
{
    char key[64], value[HTTP_QUERY_MAX], pointer[80];
    size_t at = 0;
    out->format = out->layout = NULL;
    while (http_query_next(q->target.query, &at, key, sizeof key, value, sizeof value)) {
        const bool is_layout = has_layout && strcmp(key, "layout") == 0;
        const char **which = is_layout ? &out->layout : &out->format;
        if (!is_layout && strcmp(key, "format") != 0) {
            pointer[0] = '\0';
            http_pointer_step(pointer, sizeof pointer, key);
            http_problem_point(p, pointer, "is not a known parameter");
        } else if (!*which) { /* the first of several counts */
            snprintf(out->values[is_layout], sizeof out->values[0], "%s", value);
            *which = out->values[is_layout];
        }
    }
    return p->code == HTTP_PROBLEM_NONE ? 0 : -1;
}

void api_jobs_problem(enum jobs_answer answer, const struct err *e, struct http_problem *p)
{
    switch (answer) {
    case JOBS_DONE:
        break;
    case JOBS_ABSENT:
        http_problem_set(p, HTTP_PROBLEM_NOT_FOUND, "%s", e->text);
        break;
    case JOBS_GONE:
        http_problem_set(p, HTTP_PROBLEM_GONE, "%s", e->text);
        break;
    case JOBS_CONFLICT:
        http_problem_set(p, HTTP_PROBLEM_IDEMPOTENCY_CONFLICT,
                         "a job with this id or Idempotency-Key was filed for something else");
        break;
    case JOBS_CHANGED:
        http_problem_set(p, HTTP_PROBLEM_PRECONDITION_FAILED, "%s", e->text);
        break;
    case JOBS_MANY:
        http_problem_set(p, HTTP_PROBLEM_QUOTA_EXCEEDED, "%s", e->text);
        p->retry_after_s = 10;
        break;
    case JOBS_FULL:
        http_problem_set(p, HTTP_PROBLEM_STORE_FULL, "%s", e->text);
        p->retry_after_s = 60;
        break;
    case JOBS_AWAY:
    case JOBS_UNSURE:
        http_problem_set(p, HTTP_PROBLEM_JOBS_OFF, "%s", e->text);
        p->retry_after_s = 2;
        break;
    case JOBS_BROKEN:
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "%s", e->text);
        break;
    }
}

/* RFC 3339 with milliseconds, or null for 0. */
static json_t *time_json(int64_t ms)
{
    char text[40], seconds[24];
    const time_t whole = (time_t)(ms / 1000);
    struct tm utc;
    if (ms == 0)
        return json_null();
    gmtime_r(&whole, &utc);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, sizeof text, "%s.%03dZ", seconds, (int)(ms % 1000));
    return json_string(text);
}

size_t api_jobs_value_bytes(const struct jobs_kept *kept)
{
    return image_shape_count(kept->shape) *
           (kept->output == ENGINE_OUTPUT_SAMPLE ? sizeof(float) : 1);
}

const unsigned char *api_jobs_values(const struct jobs_kept *kept, const struct buf *stored,
                                     struct image_png *png)
{
    const struct image_shape s = kept->shape;
    *png = (struct image_png){.pixels = NULL};
    if (kept->output != ENGINE_OUTPUT_PNG)
        return stored->length == api_jobs_value_bytes(kept) ? stored->data : NULL;
    if (image_png_read(stored->data, stored->length, IMAGE_SIDE_MAX, "", png, NULL) != 0)
        return NULL;
    return png->shape.channels == s.channels && png->shape.height == s.height &&
                   png->shape.width == s.width
               ? png->pixels
               : NULL;
}

/* As they would be asked for: one that was drawn stands with each image. */
static json_t *asked_json(const struct jobs_record *r, const struct jobs_kept *kept)
{
    static const char *const same[] = {"seed", "first_index", "solver", "temperature"};
    const json_t *class = json_object_get(kept->all, "class");
    const char *rule = json_string_value(json_object_get(class, "rule"));
    const bool sample = kept->output == ENGINE_OUTPUT_SAMPLE;
    json_t *o = json_with(json_object(), "model", json_string(r->needs.model));
    o = json_with(o, "n", json_integer((json_int_t)r->n));
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        o = json_with(o, same[i], json_incref(json_object_get(kept->all, same[i])));
    if (strcmp(rule, "given") == 0)
        o = json_with(o, "class", json_incref(json_object_get(class, "label")));
    else if (strcmp(rule, "none") == 0)
        o = json_with(o, "class", json_null());
    o = json_with(o, "dtype", json_string(sample ? "float32" : "uint8"));
    o = json_with(o, "embed_metadata", json_incref(json_object_get(kept->all, "metadata")));
    json_t *preview_every = json_object_get(kept->all, "preview_every");
    return preview_every ? json_with(o, "preview_every", json_incref(preview_every)) : o;
}

/* Of solvers that take as many steps for each image as were asked for; null of others. */
static json_t *with_steps(json_t *o, const struct jobs_record *r, const json_t *parameters,
                          int64_t in_flight)
{
    const json_t *steps = json_object_get(json_object_get(parameters, "solver"), "steps");
    const json_int_t said = json_integer_value(steps),
                     each = said > 0 && said <= ODE_STEPS_MAX ? said : 0;
    const int64_t total = (int64_t)r->n * each, done = (int64_t)r->images_done * each + in_flight;
    o = json_with(o, "steps_done", steps ? json_integer(done < total ? done : total) : json_null());
    return json_with(o, "steps_total", steps ? json_integer(total) : json_null());
}

static json_t *progress_json(struct http_app *app, const struct jobs_record *r,
                             const json_t *parameters)
{
    const struct jobs_progress p = jobs_progress_get(app->options->jobs, r);
    const double fraction = p.fraction;
    json_t *eta = json_null();
    if (r->state == JOBS_RUNNING && fraction > 0.0 && r->started_ms > 0) {
        const double run_s = (double)(jobs_now_ms() - r->started_ms) / 1e3;
        eta = json_real(run_s > 0.0 ? run_s * (1.0 - fraction) / fraction : 0.0);
    }
    json_t *o = json_pack("{s:I, s:I}", "images_done", (json_int_t)r->images_done, "images_total",
                          (json_int_t)r->n);
    o = with_steps(o, r, parameters, p.steps);
    o = json_with(o, "fraction", json_real(fraction));
    return json_with(o, "eta_s", eta);
}

static json_t *position_json(struct http_app *app, const struct jobs_record *r)
{
    uint64_t position = 0;
    return jobs_position(app->options->jobs, r, &position, NULL) == JOBS_DONE && position > 0
               ? json_integer((json_int_t)position)
               : json_null();
}

static json_t *error_json(const struct jobs_record *r)
{
    if (r->state != JOBS_FAILED)
        return json_null();
    const bool is_numerical = r->error.code == ERR_NUMERIC || r->error.code == ERR_LIMIT;
    const enum http_problem_code code = is_numerical && strncmp(r->error.at, "/images/", 8) == 0
                                            ? HTTP_PROBLEM_NUMERICAL_FAILURE
                                            : HTTP_PROBLEM_INTERNAL;
    return json_pack("{s:s, s:s, s:o}", "code", http_problem_word(code), "pointer", r->error.at,
                     "detail", json_text(r->error.text));
}

static json_t *links_json(const struct http_request *q, const struct jobs_record *r)
{
    char self[HTTP_PREFIX_MAX + 64], images[sizeof self + 16], archive[sizeof self + 16],
        events[sizeof self + 16];
    snprintf(self, sizeof self, "%s/v1/jobs/%s", q->prefix, r->id);
    snprintf(images, sizeof images, "%s/images/{index}", self);
    snprintf(archive, sizeof archive, "%s/archive", self);
    snprintf(events, sizeof events, "%s/events", self);
    return json_pack("{s:s, s:s, s:s, s:s}", "self", self, "images", images, "archive", archive,
                     "events", events);
}

json_t *api_jobs_json(struct http_app *app, const struct http_request *q,
                      const struct jobs_record *r)
{
    char why[256];
    struct jobs_kept kept;
    if (jobs_kept_read(r, &kept, NULL) != 0)
        return NULL;
    json_t *parameters = asked_json(r, &kept);
    jobs_kept_clear(&kept);
    json_t *o = json_with(json_object(), "id", json_string(r->id));
    o = json_with(o, "state", json_string(jobs_state_word(r->state)));
    if (JOBS_LIVE & JOBS_BIT(r->state) && !jobs_served(app->options->jobs, r, why, sizeof why))
        o = json_with(o, "detail", json_text(why));
    if (r->label[0])
        o = json_with(o, "label", json_text(r->label));
    o = json_with(o, "queue_position", position_json(app, r));
    o = json_with(o, "submitted_at", time_json(r->submitted_ms));
    o = json_with(o, "started_at", time_json(r->started_ms));
    o = json_with(o, "finished_at", time_json(r->finished_ms));
    o = json_with(o, "progress", progress_json(app, r, parameters));
    o = json_with(o, "model",
                  json_pack("{s:s, s:s}", "name", r->needs.model, "sha256", r->needs.sha256));
    o = json_with(o, "kernel", json_string(r->needs.kernel));
    o = json_with(o, "precision", json_string(r->needs.precision));
    o = json_with(o, "parameters", parameters);
    o = json_with(o, "error", error_json(r));
    return json_with(o, "links", links_json(q, r));
}

bool api_jobs_find(struct http_app *app, const struct http_request *q, struct jobs_record *out,
                   struct jobs_kept *kept, struct http_reply *r)
{
    struct http_problem p;
    struct jobs_kept own;
    struct err e = {0};
    char id[JOBS_ID_SIZE];
    http_problem_init(&p);
    if (!api_jobs_are_on(app, &p)) {
        http_problem_reply(&p, q->id, r);
        return false;
    }
    enum jobs_answer answer = JOBS_ABSENT;
    if (jobs_id_parse(q->names[0], id) == 0)
        answer = jobs_get(app->options->jobs, q->client, id, out, &e);
    else
        err_fail(&e, ERR_INPUT, "", "there is no such job: an id is a UUID");
    if (answer == JOBS_DONE && jobs_kept_read(out, kept ? kept : &own, &e) != 0)
        answer = JOBS_BROKEN;
    if (answer == JOBS_DONE) {
        if (!kept)
            jobs_kept_clear(&own);
        return true;
    }
    api_jobs_problem(answer, &e, &p);
    http_problem_reply(&p, q->id, r);
    return false;
}
