/* POST /v1/interpolate: images on the great circle between two ends, in the formats of
 * POST /v1/images, and as one picture that moves. Ends that are images are encoded first, by a
 * request of their own; what is to follow on it waits in call->next. */
#include "api_flow.h"

#include "api_answer.h"
#include "api_points.h"

#include "base_size.h"
#include "image_apng.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_MS 120
#define LAST_MS 600

static const struct api_flow_words words = {"between", PICTURES, "frames "};

size_t api_flow_frames(size_t n_max)
{
    return n_max < API_FRAMES ? n_max : API_FRAMES;
}

static int read_own(const json_t *value, const char *key, size_t n_max, struct flow_call *flow,
                    struct http_problem *p)
{
    (void)key;
    const json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;
    flow->frames = n >= 2 && (uint64_t)n <= n_max ? (size_t)n : 0;
    if (flow->frames)
        return 0;
    p->limit = (int64_t)n_max;
    http_problem_point(p, "/frames", "must be an integer from 2 to %zu", n_max);
    return -1;
}

static int read(struct http_app *app, struct http_request *q, struct api_call *call,
                struct http_problem *p)
{
    (void)q;
    const size_t n_max = app->options->n_max;
    struct flow_call *flow = call->own;
    flow->frames = api_flow_frames(n_max);
    int result = api_flow_members(call, &words, read_own, n_max, p);
    if (json_is_object(call->document) && json_array_size(flow->given) != 2) {
        http_problem_point(p, "/between", "must be an array of the two ends");
        result = -1;
    }
    if (flow->frames == 1) /* where a request may have no more */
        http_problem_point(p, "/frames", "must be at least 2, and this server's n_max is %zu",
                           n_max);
    return result != 0 || flow->frames == 1
               ? -1
               : api_flow_order_fields(call, flow->frames, false, n_max, p);
}

/* One end into ends [d]: {"seed", "index"}, {"latent"} or {"image"}, which is to be encoded; what
 * it is, into `what`. */
static int read_end(const json_t *end, size_t i, const struct model *m,
                    const struct model_solver *solver, struct flow_call *flow,
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
        return image ? api_points_png_text(m, image, i, (struct model_scale){0}, pointer, out, p)
                     : api_points_latent_text(m, latent, pointer, out, p);
    }
    if (!json_u64_read(seed, &what->seed) || (index && !json_u64_read(index, &what->index))) {
        http_problem_point(p, pointer,
                           "seed and index must be integers from 0, or strings of decimal digits "
                           "up to \"18446744073709551615\"");
        return -1;
    }
    model_prior_draw(m, solver, 1.0, what->seed, what->index, out);
    return 0;
}

/* Puts `out`, which is to decode the path, aside, and makes of it the order that encodes the ends
 * which are images. */
static int encode_first(struct http_app *app, struct api_call *call, struct engine_order *out,
                        struct http_problem *p)
{
    struct flow_call *flow = call->own;
    const struct model *m = engine_model_get(out->model);
    const size_t d = model_dimension(m);
    const struct model_solver up = model_solver_forward_default(m);
    struct model_solver down = out->solver;
    struct err e = {0};
    /* What is wrong with the solver down is reported before the path up is taken. */
    if (model_solver_resolve(m, &down, &e) != 0 || model_solver_check(m, &down, &e) != 0 ||
        model_solver_unguided(&down, &e) != 0) {
        api_answer_refusal(app, &e, p);
        return -1;
    }
    call->next = malloc(sizeof *call->next);
    if (!call->next) {
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "out of memory");
        return -1;
    }
    *call->next = *out;
    call->next->model = NULL; /* held by the request before it */
    out->task = ENGINE_TASK_ENCODE;
    out->output = ENGINE_OUTPUT_SAMPLE;
    out->n = (size_t)flow->encoded[0] + flow->encoded[1];
    out->points = flow->encoded[0] ? flow->ends : flow->ends + d;
    out->preview_every = 0;
    out->solver = up;
    out->solver.t_max = call->next->solver.t_max;
    out->solver.t_min = call->next->solver.t_min;
    return 0;
}

static int order(struct http_app *app, const struct http_request *q, struct api_call *call,
                 struct engine_order *out, struct http_problem *p)
{
    (void)q;
    struct flow_call *flow = call->own;
    const struct model *m = engine_model_get(out->model);
    const size_t d = model_dimension(m);
    struct engine_end ends[2];
    struct err e = {0};
    if (api_flow_room(call, m, p) != 0)
        return -1;
    flow->ends = calloc(2 * d, sizeof *flow->ends);
    if (!flow->ends) {
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "out of memory");
        return -1;
    }
    int result = 0;
    for (size_t i = 0; i < 2; i++)
        result |= read_end(json_array_get(flow->given, i), i, m, &out->solver, flow, ends + i, p);
    if (result != 0)
        return -1;
    if (call->order.class == API_CLASS_ABSENT &&
        engine_class_between(m, ends, &out->class, &e) != 0) {
        http_problem_point(p, "/class", "%s", e.text);
        return -1;
    }
    if (flow->encoded[0] || flow->encoded[1])
        return encode_first(app, call, out, p);
    model_latents_between(m, flow->ends, flow->frames, out->seed, flow->points);
    out->latents = flow->points;
    return 0;
}

static void follow(struct api_call *call, const struct engine_request *done)
{
    struct flow_call *flow = call->own;
    const struct model *m = engine_model_get(engine_request_order(done)->model);
    const size_t d = model_dimension(m);
    for (size_t i = 0, k = 0; i < 2; i++)
        if (flow->encoded[i])
            memcpy(flow->ends + i * d, engine_request_image(done, k++)->state,
                   d * sizeof *flow->ends);
    model_latents_between(m, flow->ends, flow->frames, call->next->seed, flow->points);
    call->next->latents = flow->points;
}

/* The ends, and the room for what is between, are needed until the second request has its own. */
static void release(struct api_call *call)
{
    struct flow_call *flow = call->own;
    if (!call->next)
        api_flow_release(call);
    else
        json_decref(flow->given);
    flow->given = NULL;
}

/* Those of images; and what may stand in a PNG may move in one. */
static void formats(const struct http_request *q, const struct api_call *call,
                    struct api_formats *out)
{
    const struct image_shape shape = model_shape(engine_model_get(call->asked.model));
    api_native_formats(q, call, out);
    out->available[HTTP_FORMAT_APNG] = !call->order.grid_given && !image_shape_is_vector(shape) &&
                                       (shape.channels == 1 || shape.channels == 3);
}

/* All frames one behind the other, encoded. */
static int encode_film(const struct engine_request *done, struct buf *out)
{
    const struct engine_order *order = engine_request_order(done);
    const struct image_shape shape = model_shape(engine_model_get(order->model));
    const size_t one = image_shape_count(shape);
    size_t all;
    if (!size_mul(order->n, one, &all) || order->n > INT_MAX)
        return -1;
    uint8_t *pixels = malloc(all);
    for (size_t i = 0; pixels && i < order->n; i++)
        memcpy(pixels + i * one, engine_request_image(done, i)->pixels, one);
    const int result =
        pixels ? image_apng_encode(pixels, (int)order->n, shape, FRAME_MS, LAST_MS, out, NULL) : -1;
    free(pixels);
    return result;
}

static void answer(struct http_app *app, const struct http_request *q, const struct api_call *call,
                   const struct engine_request *done, struct http_reply *r)
{
    char sha256[SHA256_HEX_SIZE];
    if (call->format != HTTP_FORMAT_APNG) {
        api_native_answer(app, q, call, done, r);
        return;
    }
    if (encode_film(done, &r->body) != 0 ||
        sha256_hex(r->body.data, r->body.length, sha256, NULL) != 0) {
        http_reply_fail(r);
        return;
    }
    r->status = 200;
    r->content_type = http_format_type(HTTP_FORMAT_APNG);
    http_reply_header(r, "ETag", "\"%s\"", sha256);
    api_name_file(call, engine_request_order(done), r);
    api_answer_headers(engine_request_order(done), r);
}

const struct api_dialect api_interpolate = {
    .media = "application/json",
    .large = true,
    .pictures = true,
    .unnamed = ENGINE_CLASS_NONE,
    .own = sizeof(struct flow_call),
    .pin = api_flow_pin,
    .read = read,
    .formats = formats,
    .order = order,
    .follow = follow,
    .answer = answer,
    .release = release,
};
