/* JSON of images, and the words for failures. */
#include "api_answer.h"

#include "base_crypto.h"
#include "api_lookup.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void api_answer_refusal(struct http_app *app, const struct err *e, struct http_problem *p)
{
    if (e->code == ERR_CANCELLED) {
        http_problem_set(p, HTTP_PROBLEM_DRAINING, "the server is stopping and takes no new work");
        p->retry_after_s = 5;
        p->close = true;
        return;
    }
    if (e->code == ERR_LIMIT && strcmp(e->at, "queue") == 0) {
        http_problem_set(p, HTTP_PROBLEM_QUEUE_FULL, "%s: %s", e->at, e->text);
        p->retry_after_s = http_app_retry_after(app);
        p->limit = (int64_t)app->options->queue_images_max;
        return;
    }
    if (e->code != ERR_INPUT && e->code != ERR_LIMIT && e->code != ERR_UNSUPPORTED) {
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "%s", e->text);
        return;
    }
    char pointer[300] = "";
    if (model_choice_find(e->at))
        http_pointer_step(pointer, sizeof pointer, "solver");
    if (e->at[0])
        http_pointer_step(pointer, sizeof pointer, e->at);
    http_problem_point(p, pointer, "%s", e->text);
}

void api_answer_problem(struct http_app *app, const struct engine_request *done,
                        struct http_problem *p)
{
    const struct err *e = engine_request_error(done);
    if (engine_request_cause(done) == ENGINE_CAUSE_DEADLINE) {
        http_problem_set(p, HTTP_PROBLEM_DEADLINE_EXCEEDED, "%s", e->text);
    } else if (e->code == ERR_CANCELLED) {
        api_answer_refusal(app, e, p);
    } else if (strncmp(e->at, "/images/", 8) == 0 &&
               (e->code == ERR_NUMERIC || e->code == ERR_LIMIT)) {
        http_problem_set(p, HTTP_PROBLEM_NUMERICAL_FAILURE, "%s: %s", e->at, e->text);
        http_problem_point(p, e->at, "%s", e->text);
    } else {
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "%s%s%s", e->at, e->at[0] ? ": " : "", e->text);
    }
}

json_t *api_answer_label(int32_t label)
{
    return label == MODEL_CLASS_NONE ? json_null() : json_integer(label);
}

/* With "class" of one image, "classes" of a sheet's, where the model knows any. */
static json_t *with_classes(json_t *o, const struct engine_image *image)
{
    if (image->label_count == 1)
        return json_with(o, "class", api_answer_label(image->labels[0]));
    if (image->label_count == 0)
        return o;
    json_t *all = json_array();
    for (size_t i = 0; i < image->label_count; i++)
        all = json_plus(all, api_answer_label(image->labels[i]));
    return json_with(o, "classes", all);
}

json_t *api_answer_base64(const void *data, size_t length)
{
    struct buf text;
    buf_init(&text, HTTP_REPLY_BODY_MAX);
    json_t *value = base64_append(&text, data, length, NULL) == 0
                        ? json_stringn_nocheck((const char *)text.data, text.length)
                        : NULL;
    buf_clear(&text);
    return value;
}

json_t *api_answer_preview(uint64_t index, int64_t step, const struct buf *png)
{
    return json_pack("{s:o, s:I, s:s, s:o}", "index", json_u64(index), "step", (json_int_t)step,
                     "mime", "image/png", "b64", api_answer_base64(png->data, png->length));
}

json_t *api_answer_image(const struct engine_image *image, const char *name)
{
    json_t *o = json_with(json_object(), "index", json_u64(image->index));
    if (name) {
        o = json_with(o, "name", json_string(name));
    } else {
        o = json_with(o, "mime", json_string("image/png"));
        o = json_with(o, "b64", api_answer_base64(image->png.data, image->png.length));
    }
    o = json_with(o, "sha256", json_string(image->sha256));
    o = json_with(o, "nfe", json_integer(image->counts.nfe));
    o = json_with(o, "steps_rejected", json_integer(image->counts.rejected));
    return with_classes(o, image);
}

json_t *api_answer_linked(struct http_app *app, const struct http_request *q,
                          const struct engine_order *order, const struct engine_image *image)
{
    char link[HTTP_LINK_MAX];
    json_t *o = api_answer_image(image, NULL);
    switch (http_link_make(app, q, order, image->index, link)) {
    case HTTP_LINK_MADE:
        return json_with(o, "url", json_string(link));
    case HTTP_LINK_NONE:
        return o;
    case HTTP_LINK_FAILED:
        break;
    }
    json_decref(o);
    return NULL;
}

json_t *api_answer_parameters(const struct api_call *call, const struct engine_order *order)
{
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, order->seed);
    const bool is_array = call->format == HTTP_FORMAT_NPY || call->format == HTTP_FORMAT_NPZ;
    json_t *o =
        json_pack("{s:s, s:I, s:s, s:o, s:o}", "model", engine_model_name(order->model), "n",
                  (json_int_t)order->n, "seed", seed, "first_index", json_u64(order->first_index),
                  "solver", model_solver_json(&order->solver, true));
    /* One that was drawn stands with each image: here it would be another request. */
    if (model_class_count(engine_model_get(order->model)) > 0 &&
        order->class.rule != ENGINE_CLASS_DRAWN)
        o = json_with(o, "class", api_answer_label(engine_order_label(order, order->first_index)));
    o = json_with(o, "temperature", json_real(order->temperature));
    if (order->edit.image)
        o = json_with(o, "strength", json_real(order->edit.strength));
    if (order->output == ENGINE_OUTPUT_SHEET)
        o = json_with(
            o, "grid",
            json_pack("{s:i, s:i}", "columns", order->grid.columns, "scale", order->grid.scale));
    o = json_with(o, "embed_metadata", json_boolean(!order->no_metadata));
    o = json_with(o, "format", json_string(http_format_word(call->format)));
    if (is_array) {
        o = json_with(o, "dtype", json_string(call->order.float32 ? "float32" : "uint8"));
        o = json_with(o, "layout", json_string(call->order.chw ? "chw" : "hwc"));
    }
    o = json_with(o, "preview_every", json_integer(order->preview_every));
    if (call->order.timeout_s > 0.0)
        o = json_with(o, "timeout_s", json_real(call->order.timeout_s));
    o = json_with(o, "priority",
                  json_string(order->priority == ENGINE_PRIORITY_BATCH ? "batch" : "interactive"));
    return call->order.label[0] ? json_with(o, "label", json_string(call->order.label)) : o;
}

struct engine_timings api_call_timings(const struct api_call *call)
{
    struct engine_timings times = engine_request_timings(call->ticket->request);
    times.queue_ns += call->before.queue_ns;
    times.compute_ns += call->before.compute_ns;
    times.encode_ns += call->before.encode_ns;
    return times;
}

static double milliseconds(int64_t ns)
{
    return (double)(ns / 1000) / 1000.0;
}

json_t *api_answer_timings(const struct api_call *call)
{
    const struct engine_timings times = api_call_timings(call);
    return json_pack("{s:f, s:f, s:f}", "queue_ms", milliseconds(times.queue_ns), "compute_ms",
                     milliseconds(times.compute_ns), "encode_ms", milliseconds(times.encode_ns));
}

/* With what speaks against the solver that was asked for; as it is where nothing does. */
static json_t *with_warnings(json_t *o, const struct engine_order *order)
{
    char text[MODEL_WARNING_MAX];
    if (order->task != ENGINE_TASK_SAMPLE ||
        !model_solver_warning(engine_model_get(order->model), &order->solver, text, sizeof text))
        return o;
    return json_with(o, "warnings", json_pack("[s]", text));
}

json_t *api_answer_head(const char *id, const struct api_call *call,
                        const struct engine_order *order)
{
    const struct model *m = engine_model_get(order->model);
    struct image_shape shape = model_shape(m);
    if (order->output == ENGINE_OUTPUT_SHEET &&
        image_grid_shape(order->grid, shape, order->n, &shape, NULL) != 0)
        return NULL;
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, order->seed);
    json_t *o = json_pack("{s:s, s:{s:s, s:s}, s:s, s:s, s:s, s:I, s:i, s:i, s:i}", "id", id,
                          "model", "name", engine_model_name(order->model), "sha256",
                          model_sha256(m), "kernel", model_kernel_id(m), "precision",
                          model_precision_name(m), "seed", seed, "n", (json_int_t)order->n, "width",
                          shape.width, "height", shape.height, "channels", shape.channels);
    return json_with(with_warnings(o, order), "parameters", api_answer_parameters(call, order));
}

json_t *api_answer_whole(json_t *head, json_t *images, const struct api_call *call)
{
    head = json_with(head, "images", images);
    return json_with(head, "timings", api_answer_timings(call));
}

size_t api_answer_count(const struct engine_order *order)
{
    return order->output == ENGINE_OUTPUT_SHEET ? 1 : order->n;
}

const struct engine_image *api_answer_picture(const struct engine_request *done, size_t i)
{
    return engine_request_order(done)->output == ENGINE_OUTPUT_SHEET
               ? engine_request_sheet(done)
               : engine_request_image(done, i);
}

void api_answer_headers(const struct engine_order *order, struct http_reply *r)
{
    http_reply_header(r, "X-Pfgm-Seed", "%" PRIu64, order->seed);
    http_reply_header(r, "X-Pfgm-Model", "%s", engine_model_name(order->model));
    http_reply_header(r, "X-Pfgm-Kernel", "%s", model_kernel_id(engine_model_get(order->model)));
}
