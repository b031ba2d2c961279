/* Reading the four routes. One table says what each begins with and which fields it takes, so that
 * a field without a meaning there is refused by its name. */
#include "http_flow.h"

#include "http_answer.h"
#include "http_body.h"
#include "http_lookup.h"
#include "http_points.h"

#include "base_size.h"
#include "field_circle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMON "model first_index solver class format timeout_s priority label "
#define PICTURES COMMON "seed grid embed_metadata dtype layout preview_every "

static const struct {
    const char *given;  /* the member of a JSON body that it begins with */
    const char *fields; /* those of POST /v1/images that it takes */
    const char *own;    /* and its own */
} tasks[] = {
    [HTTP_TASK_ENCODE] = {"images", COMMON, ""},
    [HTTP_TASK_LIKELIHOOD] = {"images", COMMON "seed ", "probes constant "},
    [HTTP_TASK_DECODE] = {"latents", PICTURES, ""},
    [HTTP_TASK_INTERPOLATE] = {"between", PICTURES, "frames "},
};

static bool has_word(const char *words, const char *word)
{
    const size_t length = strlen(word);
    for (const char *at = words; *at; at += strcspn(at, " ") + 1)
        if (strncmp(at, word, length) == 0 && at[length] == ' ')
            return true;
    return false;
}

size_t http_flow_frames(size_t n_max)
{
    return n_max < HTTP_FRAMES ? n_max : HTTP_FRAMES;
}

bool http_flow_upward(const struct http_work *work)
{
    return work->flow.task == HTTP_TASK_ENCODE || work->flow.task == HTTP_TASK_LIKELIHOOD;
}

/* ---- fields ---- */

static int read_own(const json_t *value, const char *key, size_t n_max, struct http_flow *flow,
                    struct http_problem *p)
{
    const json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;
    const char *word = json_is_string(value) ? json_string_value(value) : "";
    if (strcmp(key, "frames") == 0) {
        flow->frames = n >= 2 && (uint64_t)n <= n_max ? (size_t)n : 0;
        if (flow->frames)
            return 0;
        p->limit = (int64_t)n_max;
        http_problem_point(p, "/frames", "must be an integer from 2 to %zu", n_max);
    } else if (strcmp(key, "probes") == 0) {
        flow->likelihood.probes = (int)(n >= 0 && n <= MODEL_PROBES_MAX ? n : 0);
        if (n >= 0 && n <= MODEL_PROBES_MAX)
            return 0;
        http_problem_point(p, "/probes",
                           "must be an integer from 1 to %d, or 0 for the exact trace",
                           MODEL_PROBES_MAX);
    } else {
        flow->likelihood.reference_constant = strcmp(word, "reference") == 0;
        if (flow->likelihood.reference_constant || strcmp(word, "exact") == 0)
            return 0;
        http_problem_point(p, "/constant", "must be exact or reference");
    }
    return -1;
}

/* Takes out what is the route's own; what is neither that nor taken is a fault. */
static int take_members(json_t *fields, size_t n_max, struct http_flow *flow,
                        struct http_problem *p)
{
    const char *key;
    json_t *value;
    void *next;
    int bad = 0;
    json_object_foreach_safe(fields, next, key, value)
    {
        char pointer[300] = "";
        if (has_word(tasks[flow->task].fields, key))
            continue;
        if (strcmp(key, tasks[flow->task].given) == 0) {
            flow->given = json_incref(value);
        } else if (has_word(tasks[flow->task].own, key)) {
            bad |= read_own(value, key, n_max, flow, p);
        } else {
            http_pointer_step(pointer, sizeof pointer, key);
            http_problem_point(p, pointer, "is not a field of this route");
            bad = -1;
        }
        json_object_del(fields, key);
    }
    return bad;
}

/* How many images the request is of, which the fields call "n". */
static int count_images(const struct http_request *q, size_t n_max, struct http_flow *flow,
                        size_t *n, struct http_problem *p)
{
    char pointer[32];
    snprintf(pointer, sizeof pointer, "/%s", tasks[flow->task].given);
    if (q->media != HTTP_MEDIA_JSON) {
        *n = 1;
        return q->media == HTTP_MEDIA_PNG
                   ? 0
                   : http_points_array(q->body.data, q->body.length, n_max, "", &flow->array, n, p);
    }
    *n = json_array_size(flow->given);
    if (flow->task == HTTP_TASK_INTERPOLATE && *n == 2) {
        *n = flow->frames;
        return 0;
    }
    if (flow->task != HTTP_TASK_INTERPOLATE && *n >= 1 && *n <= n_max)
        return 0;
    if (flow->task == HTTP_TASK_INTERPOLATE) {
        http_problem_point(p, pointer, "must be an array of the two ends");
    } else {
        p->limit = (int64_t)n_max;
        http_problem_point(p, pointer, "must be an array of 1 to %zu strings of base64", n_max);
    }
    return -1;
}

json_t *http_flow_fields(struct http_app *app, struct http_request *q, struct http_work *work,
                         struct http_problem *p)
{
    const size_t n_max = app->options->n_max;
    struct http_flow *flow = &work->flow;
    const bool binary = q->media != HTTP_MEDIA_JSON;
    json_t *fields = binary ? http_lookup_query(q, true, json_object(), p)
                            : http_body_parse(&q->body, http_body_fields(n_max), p);
    size_t n = 0;
    flow->task = q->route->task;
    flow->frames = http_flow_frames(n_max);
    flow->likelihood = (struct model_likelihood){.probes = HTTP_PROBES};
    if (!binary)
        buf_free(&q->body);
    if (!fields)
        return NULL;
    int bad = -1;
    if (!json_is_object(fields))
        http_problem_point(p, "", "must be an object");
    else
        bad = take_members(fields, n_max, flow, p) | count_images(q, n_max, flow, &n, p);
    if (bad) {
        json_decref(fields);
        return NULL;
    }
    fields = json_with(fields, "n", json_integer((json_int_t)n));
    if (flow->task != HTTP_TASK_LIKELIHOOD && !json_object_get(fields, "seed"))
        fields = json_with(fields, "seed", json_integer(0));
    if (!fields)
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "out of memory");
    return fields;
}

int http_flow_solver(const struct http_work *work, const struct model *m, struct model_solver *out,
                     struct http_problem *p)
{
    const struct model_choice *choice = &work->order.solver;
    const struct model_solver up = work->flow.task == HTTP_TASK_LIKELIHOOD
                                       ? model_solver_likelihood_default(m)
                                       : model_solver_forward_default(m);
    return http_flow_upward(work) ? http_order_solver_forward(choice, m, &up, out, p)
                                  : http_order_solver(choice, m, out, p);
}

/* ---- what the flow begins with ---- */

static int read_images(const struct http_request *q, const struct http_work *work,
                       const struct model *m, struct http_problem *p)
{
    const struct http_flow *flow = &work->flow;
    const struct http_order *o = &work->order;
    const size_t d = model_dimension(m);
    const bool down = flow->task == HTTP_TASK_DECODE;
    const struct model_scale scale = {flow->task == HTTP_TASK_LIKELIHOOD, o->seed, o->first_index};
    if (q->media == HTTP_MEDIA_PNG)
        return http_points_png(m, q->body.data, q->body.length, 0, scale, "", flow->points, p);
    if (q->media == HTTP_MEDIA_NPY)
        return http_points_values(m, &flow->array, o->n, down ? NULL : &scale, "", flow->points, p);
    int bad = 0;
    for (size_t i = 0; i < o->n && !bad; i++) {
        const json_t *text = json_array_get(flow->given, i);
        char pointer[64];
        snprintf(pointer, sizeof pointer, "/%s/%zu", tasks[flow->task].given, i);
        bad = down ? http_points_latent_text(m, text, pointer, flow->points + i * d, p)
                   : http_points_png_text(m, text, i, scale, pointer, flow->points + i * d, p);
    }
    return bad;
}

/* One end into ends [d]: {"seed", "index"}, {"latent"} or {"image"}, which is to be encoded; what
 * it is, into `what`. */
static int read_end(const json_t *end, size_t i, const struct model *m,
                    const struct model_solver *solver, struct http_flow *flow,
                    struct engine_end *what, struct http_problem *p)
{
    const json_t *seed = json_object_get(end, "seed"), *index = json_object_get(end, "index"),
                 *image = json_object_get(end, "image"), *latent = json_object_get(end, "latent");
    double *out = flow->ends + i * model_dimension(m);
    char pointer[64];
    *what = (struct engine_end){.kind = image    ? ENGINE_END_IMAGE
                                        : latent ? ENGINE_END_LATENT
                                                 : ENGINE_END_SEED};
    snprintf(pointer, sizeof pointer, "/between/%zu", i);
    if (!seed + !image + !latent != 2 || (index && !seed) ||
        json_object_size(end) != (index ? 2 : 1)) {
        http_problem_point(p, pointer,
                           "must be {\"seed\", \"index\"}, {\"image\"} or {\"latent\"}");
        return -1;
    }
    if (image || latent) {
        flow->encoded[i] = image != NULL;
        http_pointer_step(pointer, sizeof pointer, image ? "image" : "latent");
        return image ? http_points_png_text(m, image, i, (struct model_scale){0}, pointer, out, p)
                     : http_points_latent_text(m, latent, pointer, out, p);
    }
    if (!http_order_uint64(seed, &what->seed) ||
        (index && !http_order_uint64(index, &what->index))) {
        http_problem_point(p, pointer,
                           "seed and index must be integers from 0, or strings of decimal digits "
                           "up to \"18446744073709551615\"");
        return -1;
    }
    model_prior_draw(m, solver, 1.0, what->seed, what->index, out);
    return 0;
}

/* The latents of the way, into points [frames,d]. */
static void fill_way(struct http_flow *flow, size_t d, uint64_t seed)
{
    for (size_t k = 0; k < flow->frames; k++)
        field_circle_between(d, flow->ends, flow->ends + d, (double)k / (double)(flow->frames - 1),
                             seed, flow->points + k * d);
}

/* Puts `out`, which is to decode the way, aside, and makes of it the order that encodes the ends
 * which are images. */
static int encode_first(struct http_app *app, struct http_flow *flow, struct engine_order *out,
                        struct http_problem *p)
{
    const struct model *m = engine_model_get(out->model);
    const size_t d = model_dimension(m);
    const struct model_solver up = model_solver_forward_default(m);
    struct model_solver down = out->solver;
    struct err e = {0};
    /* What is wrong with the way down is told before the way up is gone. */
    if (model_solver_settle(m, &down, &e) != 0 || model_solver_check(m, &down, &e) != 0) {
        http_answer_refusal(app, &e, p);
        return -1;
    }
    flow->decode = malloc(sizeof *flow->decode);
    if (!flow->decode) {
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "out of memory");
        return -1;
    }
    *flow->decode = *out;
    flow->decode->model = NULL; /* held by the request before it */
    out->task = ENGINE_TASK_ENCODE;
    out->output = ENGINE_OUTPUT_SAMPLE;
    out->n = (size_t)flow->encoded[0] + flow->encoded[1];
    out->points = flow->encoded[0] ? flow->ends : flow->ends + d;
    out->preview_every = 0;
    out->solver = up;
    out->solver.t_max = flow->decode->solver.t_max;
    out->solver.t_min = flow->decode->solver.t_min;
    return 0;
}

static int begin_interpolation(struct http_app *app, struct http_work *work,
                               struct engine_order *out, struct http_problem *p)
{
    struct http_flow *flow = &work->flow;
    const struct model *m = engine_model_get(out->model);
    const size_t d = model_dimension(m);
    struct engine_end ends[2];
    struct err e = {0};
    flow->ends = calloc(2 * d, sizeof *flow->ends);
    if (!flow->ends) {
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "out of memory");
        return -1;
    }
    int bad = 0;
    for (size_t i = 0; i < 2; i++)
        bad |= read_end(json_array_get(flow->given, i), i, m, &out->solver, flow, ends + i, p);
    if (bad)
        return -1;
    if (work->order.class == HTTP_CLASS_ABSENT &&
        engine_class_between(m, ends, &out->class, &e) != 0) {
        http_problem_point(p, "/class", "%s", e.text);
        return -1;
    }
    if (flow->encoded[0] || flow->encoded[1])
        return encode_first(app, flow, out, p);
    fill_way(flow, d, out->seed);
    out->latents = flow->points;
    return 0;
}

size_t http_flow_later(const struct http_work *work)
{
    return work->flow.decode ? work->flow.decode->n : 0;
}

int http_flow_order(struct http_app *app, const struct http_request *q, struct http_work *work,
                    struct engine_order *out, struct http_problem *p)
{
    struct http_flow *flow = &work->flow;
    const struct model *m = engine_model_get(out->model);
    size_t count = 0;
    if (size_mul(work->order.n, model_dimension(m), &count))
        flow->points = calloc(count, sizeof *flow->points);
    if (!flow->points) {
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "out of memory");
        return -1;
    }
    if (flow->task == HTTP_TASK_INTERPOLATE)
        return begin_interpolation(app, work, out, p);
    if (read_images(q, work, m, p) != 0)
        return -1;
    if (flow->task == HTTP_TASK_DECODE) {
        out->latents = flow->points;
        return 0;
    }
    out->task = flow->task == HTTP_TASK_ENCODE ? ENGINE_TASK_ENCODE : ENGINE_TASK_LIKELIHOOD;
    out->output = ENGINE_OUTPUT_SAMPLE;
    out->points = flow->points;
    out->likelihood = flow->likelihood;
    return 0;
}

void http_flow_settle(struct http_work *work)
{
    struct http_flow *flow = &work->flow;
    json_decref(flow->given);
    flow->given = NULL;
    if (flow->decode)
        return; /* the way and its ends are still needed */
    free(flow->points);
    free(flow->ends);
    flow->points = flow->ends = NULL;
}

void http_flow_clear(struct http_work *work)
{
    free(work->flow.decode);
    work->flow.decode = NULL;
    http_flow_settle(work);
}

/* ---- an interpolation between images ---- */

bool http_flow_follows(const struct http_work *work)
{
    return work->flow.decode != NULL;
}

bool http_flow_follow(struct http_app *app, const struct http_request *q, struct http_work *work,
                      struct http_link *link, struct http_reply *r)
{
    struct http_flow *flow = &work->flow;
    struct http_ticket *before = work->ticket;
    const struct engine_request *done = before->request;
    struct engine_order order = *flow->decode;
    struct err e = {0};
    order.model = engine_request_order(done)->model;
    const size_t d = model_dimension(engine_model_get(order.model));
    for (size_t i = 0, k = 0; i < 2; i++)
        if (flow->encoded[i])
            memcpy(flow->ends + i * d, engine_request_image(done, k++)->state,
                   d * sizeof *flow->ends);
    fill_way(flow, d, order.seed);
    order.latents = flow->points;
    free(flow->decode);
    flow->decode = NULL;
    const bool begun = http_images_submit(app, q, work, &order, &e) == 0;
    if (!begun) {
        struct http_problem p;
        http_problem_init(&p);
        http_answer_refusal(app, &e, &p);
        http_problem_reply(&p, q->id, r);
    }
    http_ticket_drop(before, link);
    http_flow_clear(work);
    return begun;
}
