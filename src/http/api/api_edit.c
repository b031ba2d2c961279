/* POST /v1/edit: images that begin with one of the client's, in the formats of POST /v1/images. An
 * image that is named by seed and index is made first, by a request of its own; what is to follow
 * on it waits in call->next. What is done is the engine's to say (struct engine_edit). */
#include "api_edit.h"

#include "api_answer.h"
#include "api_flow.h"
#include "api_points.h"

#include <stdlib.h>
#include <string.h>

struct edit_call {
    struct flow_call flow; /* `given` is the image, `points` [d] its values */
    json_t *mask;          /* until it has been read */
    uint8_t *kept;         /* [d], or NULL */
    bool strength_given;
    double strength;
};

static const struct api_flow_words words = {"image", PICTURES "n temperature ", "strength mask "};

static int read_own(const json_t *value, const char *key, size_t n_max, struct flow_call *flow,
                    struct http_problem *p)
{
    struct edit_call *edit = (struct edit_call *)flow;
    (void)n_max;
    if (strcmp(key, "mask") == 0) {
        edit->mask = json_incref((json_t *)(uintptr_t)value);
        return 0;
    }
    return api_edit_strength(value, &edit->strength, &edit->strength_given, p);
}

int api_edit_strength(const json_t *value, double *strength, bool *given, struct http_problem *p)
{
    const double x = json_is_number(value) ? json_number_value(value) : -1.0;
    *given = true;
    *strength = x;
    if (x >= 0.0 && x <= 1.0)
        return 0;
    http_problem_point(p, "/strength", "must be a number from 0 to 1");
    return -1;
}

static int read(struct http_app *app, struct http_request *q, struct api_call *call,
                struct http_problem *p)
{
    struct edit_call *edit = call->own;
    struct flow_call *flow = &edit->flow;
    size_t n = 1;
    int result = api_flow_members(call, &words, read_own, app->options->n_max, p);
    if (q->media == HTTP_MEDIA_NPY)
        result |= api_points_array(q->body.data, q->body.length, 1, "", &flow->array, &n, p);
    if (q->media != HTTP_MEDIA_JSON && edit->mask) {
        http_problem_point(p, "/mask", "is a field of a body in JSON");
        result = -1;
    }
    if (q->media == HTTP_MEDIA_JSON && json_is_object(call->document) &&
        !json_is_string(flow->given) && !json_is_object(flow->given)) {
        http_problem_point(p, "/image",
                           "must be a PNG in base64, or {\"seed\", \"index\"} and perhaps "
                           "\"class\"");
        result = -1;
    }
    return result != 0 ? -1 : api_flow_order_fields(call, 1, true, app->options->n_max, p);
}

static int solver(const struct api_call *call, const struct model *m, struct model_solver *out,
                  struct http_problem *p)
{
    const struct edit_call *edit = call->own;
    return edit->mask ? api_order_solver_once(&call->order.solver, m, out, p)
                      : api_order_solver(&call->order.solver, m, out, p);
}

static void formats(const struct http_request *q, const struct api_call *call,
                    struct api_formats *out)
{
    api_native_formats(q, call, out);
    out->in_query = q->media != HTTP_MEDIA_JSON;
}

/* The class of an image that is named by seed and index: a number, a name, null, or (absent) the
 * one that it draws. */
static int read_class(const json_t *value, const struct model *m, struct engine_class *out,
                      struct http_problem *p)
{
    struct err e = {0};
    *out = (struct engine_class){.rule = value ? ENGINE_CLASS_GIVEN : ENGINE_CLASS_DRAWN};
    if (!value || json_is_null(value)) {
        out->rule = value ? ENGINE_CLASS_NONE : ENGINE_CLASS_DRAWN;
        return 0;
    }
    if (json_is_string(value) &&
        model_class_find(m, json_string_value(value), &out->label, &e) == 0)
        return 0;
    if (json_is_integer(value) && json_integer_value(value) >= 0 &&
        json_integer_value(value) < NN_CLASSES_MAX) {
        out->label = (int32_t)json_integer_value(value);
        if (engine_class_check(m, out, &e) == 0)
            return 0;
    }
    http_problem_point(p, "/image/class", "%s",
                       e.text[0] ? e.text : "must be the number or name of a class, or null");
    return -1;
}

/* {"seed", "index", "class"}: which image that is, into an order that makes it. */
static int read_source(const json_t *image, const struct model *m, struct engine_order *out,
                       struct http_problem *p)
{
    const json_t *index = json_object_get(image, "index"), *class = json_object_get(image, "class");
    out->first_index = 0;
    if (json_object_size(image) != 1u + (index != NULL) + (class != NULL) ||
        !json_u64_read(json_object_get(image, "seed"), &out->seed) ||
        (index && !json_u64_read(index, &out->first_index))) {
        http_problem_point(p, "/image",
                           "has \"seed\", and perhaps \"index\" and \"class\"; seed and index must "
                           "be integers from 0, or strings of decimal digits up to "
                           "\"18446744073709551615\"");
        return -1;
    }
    return read_class(class, m, &out->class, p);
}

/* Puts `out`, the edit, aside, and makes of it the order for the image that it begins with. */
static int make_first(struct http_app *app, struct api_call *call, struct engine_order *out,
                      struct http_problem *p)
{
    struct edit_call *edit = call->own;
    const struct model *m = engine_model_get(out->model);
    struct engine_order source = {.model = out->model,
                                  .n = 1,
                                  .solver = out->solver,
                                  .output = model_vectors(m) ? ENGINE_OUTPUT_SAMPLE
                                                             : ENGINE_OUTPUT_PIXELS,
                                  .priority = out->priority,
                                  .deadline_ns = out->deadline_ns,
                                  .deadline_s = out->deadline_s};
    struct err e = {0};
    if (read_source(edit->flow.given, m, &source, p) != 0)
        return -1;
    if (call->order.class == API_CLASS_ABSENT && model_class_count(m) > 0) {
        const int32_t label = engine_order_label(&source, source.first_index);
        out->class = label == MODEL_CLASS_NONE ? (struct engine_class){.rule = ENGINE_CLASS_NONE}
                                               : (struct engine_class){ENGINE_CLASS_GIVEN, label};
    }
    /* What is wrong with the edit is reported before its image is made. */
    if (engine_check(out, &e) != 0) {
        api_answer_refusal(app, &e, p);
        return -1;
    }
    if (edit->strength == 1.0 && !edit->kept)
        return 0; /* nothing of that image is left */
    call->next = malloc(sizeof *call->next);
    if (!call->next) {
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "out of memory");
        return -1;
    }
    *call->next = *out;
    call->next->model = NULL; /* held by the request before it */
    *out = source;
    return 0;
}

static int read_image(const struct http_request *q, struct api_call *call, const struct model *m,
                      struct http_problem *p)
{
    const struct flow_call *flow = call->own;
    const struct model_scale middle = {0};
    if (q->media == HTTP_MEDIA_PNG)
        return api_points_png(m, q->body.data, q->body.length, 0, middle, "", flow->points, p);
    if (q->media == HTTP_MEDIA_NPY)
        return api_points_values(m, &flow->array, 1, &middle, "", flow->points, p);
    return api_points_png_text(m, flow->given, 0, middle, "/image", flow->points, p);
}

static int order(struct http_app *app, const struct http_request *q, struct api_call *call,
                 struct engine_order *out, struct http_problem *p)
{
    struct edit_call *edit = call->own;
    struct flow_call *flow = &edit->flow;
    const struct model *m = engine_model_get(out->model);
    const bool by_seed = q->media == HTTP_MEDIA_JSON && json_is_object(flow->given);
    flow->points = calloc(model_dimension(m), sizeof *flow->points);
    edit->kept = edit->mask ? malloc(model_dimension(m)) : NULL;
    if (!flow->points || (edit->mask && !edit->kept)) {
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "out of memory");
        return -1;
    }
    if ((!by_seed && read_image(q, call, m, p) != 0) ||
        (edit->mask && api_points_mask_text(m, edit->mask, "/mask", edit->kept, p) != 0))
        return -1;
    if (!edit->strength_given)
        edit->strength = model_edit_strength(edit->kept != NULL);
    out->edit = (struct engine_edit){flow->points, edit->kept, edit->strength};
    return by_seed ? make_first(app, call, out, p) : 0;
}

static void follow(struct api_call *call, const struct engine_request *done)
{
    const struct edit_call *edit = call->own;
    const struct engine_image *image = engine_request_image(done, 0);
    model_points_finished(engine_model_get(engine_request_order(done)->model), image->pixels,
                          image->sample, edit->flow.points);
}

/* The image and the mask are needed until the second request has its own. */
static void release(struct api_call *call)
{
    struct edit_call *edit = call->own;
    json_decref(edit->mask);
    edit->mask = NULL;
    if (!call->next) {
        api_flow_release(call);
        free(edit->kept);
        edit->kept = NULL;
    }
}

const struct api_dialect api_edit = {
    .media = "application/json, application/x-npy or image/png",
    .large = true,
    .pictures = true,
    .unnamed = ENGINE_CLASS_NONE,
    .own = sizeof(struct edit_call),
    .pin = api_flow_pin,
    .read = read,
    .solver = solver,
    .formats = formats,
    .order = order,
    .follow = follow,
    .answer = api_native_answer,
    .release = release,
};
