/* Inference by KServe's protocol: its request becomes an order and tensors beside it, which go
 * the way of POST /v1/images; the answer takes its shape. Runs on the server's threads. */
#include "api_kserve.h"

#include "http_body.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODE 48 /* bytes of a number in jansson's tree: its own, and its place in the array */

/* ---- requests ---- */

/* The request's head as JSON, and its length. */
static json_t *read_head(struct http_request *q, size_t *head, struct http_problem *p)
{
    uint64_t n = q->body.length;
    if (q->inference_length[0]) {
        json_t *text = json_text(q->inference_length);
        const bool ok = json_u64_read(text, &n) && n <= q->body.length;
        json_decref(text);
        if (!ok) {
            http_problem_set(p, HTTP_PROBLEM_BAD_REQUEST,
                             "Inference-Header-Content-Length must be at most the %zu bytes of the "
                             "body, and in digits",
                             q->body.length);
            return NULL;
        }
    }
    *head = (size_t)n;
    return http_body_parse_whole(&q->body, *head, http_body_tensors, p);
}

/* "binary_data" of an output or "binary_data_output" of the request. */
static int read_flag(const json_t *parameters, const char *pointer, const char *key, bool *out,
                     struct http_problem *p)
{
    const json_t *value = json_object_get(parameters, key);
    if (!value)
        return 0;
    *out = json_is_true(value);
    if (json_is_boolean(value))
        return 0;
    http_problem_point(p, pointer, "\"%s\" must be true or false", key);
    return -1;
}

static int read_output(const json_t *output, size_t number, bool binary, struct kserve_call *k,
                       struct http_problem *p)
{
    const char *name = json_string_value(json_object_get(output, "name"));
    const json_t *parameters = json_object_get(output, "parameters");
    char pointer[48];
    snprintf(pointer, sizeof pointer, "/outputs/%zu", number);
    struct kserve_output *o = !name                          ? NULL
                              : strcmp(name, "images") == 0  ? &k->images
                              : strcmp(name, "samples") == 0 ? &k->samples
                                                             : NULL;
    if (!o || o->wanted) {
        http_problem_point(p, pointer,
                           o ? "names an output twice" : "must be \"images\" or \"samples\"");
        return -1;
    }
    *o = (struct kserve_output){true, binary};
    if (json_object_size(output) != (parameters ? 2 : 1) ||
        (parameters &&
         (!json_is_object(parameters) ||
          json_object_size(parameters) != (json_object_get(parameters, "binary_data") ? 1 : 0)))) {
        http_problem_point(p, pointer,
                           "may hold \"name\" and \"parameters\" with \"binary_data\" only");
        return -1;
    }
    return read_flag(parameters, pointer, "binary_data", &o->binary, p);
}

/* Which outputs; all that there are when none is named. */
static int read_outputs(const json_t *body, const struct model *m, struct kserve_call *k,
                        struct http_problem *p)
{
    const json_t *outputs = json_object_get(body, "outputs");
    bool binary = false;
    if (read_flag(json_object_get(body, "parameters"), "/parameters", "binary_data_output", &binary,
                  p) != 0)
        return -1;
    if (outputs && !json_is_array(outputs)) {
        http_problem_point(p, "/outputs", "must be an array");
        return -1;
    }
    for (size_t i = 0; i < json_array_size(outputs); i++)
        if (read_output(json_array_get(outputs, i), i, binary, k, p) != 0)
            return -1;
    if (json_array_size(outputs) == 0) {
        k->samples = (struct kserve_output){true, binary};
        k->images = (struct kserve_output){!model_vectors(m), binary};
    }
    if (k->images.wanted && model_vectors(m)) {
        http_problem_point(p, "/outputs", "the model makes vectors, of which there is no picture");
        return -1;
    }
    return 0;
}

static bool is_plain(const char *key)
{
    static const char *const plain[] = {"class", "temperature", "timeout_s", "priority", "label"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (strcmp(key, plain[i]) == 0)
            return true;
    return false;
}

/* Parameters that nobody knows are told before any value. */
static int check_parameters(const json_t *parameters, struct http_problem *p)
{
    const char *key;
    json_t *value;
    if (parameters && !json_is_object(parameters))
        http_problem_point(p, "/parameters", "must be an object");
    json_object_foreach((json_t *)(uintptr_t)parameters, key, value)
    {
        char pointer[300] = "/parameters";
        if (strcmp(key, "binary_data_output") == 0 || model_choice_find(key) || is_plain(key))
            continue;
        http_pointer_step(pointer, sizeof pointer, key);
        http_problem_point(p, pointer, "is not a known parameter");
    }
    return p->code == HTTP_PROBLEM_NONE ? 0 : -1;
}

/* The request's parameters into the order, of n images. */
static int read_parameters(const json_t *parameters, size_t n, struct api_order *o,
                           struct http_problem *p)
{
    const char *key;
    json_t *value;
    int result = check_parameters(parameters, p);
    if (result != 0)
        return -1;
    api_order_init(o);
    o->n = n;
    o->seed_given = true; /* of each image, or none counts */
    json_object_foreach((json_t *)(uintptr_t)parameters, key, value) if (is_plain(key)) result |=
        api_order_field(o, key, value, n, p);
    json_object_foreach((json_t *)(uintptr_t)parameters, key, value) if (model_choice_find(key))
        result |= api_order_solver_field(o, key, value, p);
    return result;
}

/* The tensors' values, one block: seeds then indices, or latents. */
static int keep_values(const struct kserve_tensors *t, const struct model *m, struct kserve_call *k,
                       size_t n_max, struct http_problem *p)
{
    const bool given = t->latents.rank > 0;
    const struct kserve_tensor *first = given ? &t->latents : &t->seed;
    const struct image_shape s = model_shape(m);
    const size_t n = (size_t)first->shape[0];
    if (n > n_max) {
        p->limit = (int64_t)n_max;
        http_problem_point(p, first->pointer, "%zu images are asked for and %zu are the limit", n,
                           n_max);
        return -1;
    }
    if (given &&
        (t->latents.shape[1] != (uint64_t)s.channels || t->latents.shape[2] != (uint64_t)s.height ||
         t->latents.shape[3] != (uint64_t)s.width)) {
        http_problem_point(p, first->pointer, "must have the shape [n,%d,%d,%d] of the model",
                           s.channels, s.height, s.width);
        return -1;
    }
    k->n = n;
    k->values = calloc(given ? first->count : 2 * n, sizeof(uint64_t));
    if (!k->values) {
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "out of memory");
        return -1;
    }
    k->latents = given;
    if (given)
        return kserve_tensor_reals(&t->latents, k->values, p);
    uint64_t *seeds = k->values;
    if (kserve_tensor_integers(&t->seed, seeds, p) != 0)
        return -1;
    return t->index.rank ? kserve_tensor_integers(&t->index, seeds + n, p) : 0;
}

static int check_members(const json_t *body, struct kserve_call *k, struct http_problem *p)
{
    static const char *const keys[] = {"id", "parameters", "inputs", "outputs"};
    const json_t *id = json_object_get(body, "id");
    struct err e = {0};
    if (!json_is_object(body)) {
        http_problem_point(p, "", "must be an object");
        return -1;
    }
    if (json_only_keys(body, keys, sizeof keys / sizeof *keys, "the request", &e) != 0) {
        http_problem_point(p, "", "%s", e.text);
        return -1;
    }
    if (id && (!json_is_string(id) || json_string_length(id) > API_LABEL_MAX)) {
        http_problem_point(p, "/id", "must be a string of at most %d bytes", API_LABEL_MAX);
        return -1;
    }
    snprintf(k->id, sizeof k->id, "%s", id ? json_string_value(id) : "");
    return 0;
}

static int pin(struct http_app *app, struct http_request *q, struct api_call *call,
               struct http_problem *p)
{
    call->asked.model = engine_model_find(app->engine, q->names[0]);
    if (call->asked.model)
        return 0;
    http_problem_no_model(p, q->names[0]);
    return -1;
}

static int read(struct http_app *app, struct http_request *q, struct api_call *call,
                struct http_problem *p)
{
    struct kserve_call *k = call->own;
    const struct model *m = engine_model_get(call->asked.model);
    struct kserve_tensors tensors = {0};
    size_t head = 0;
    json_t *body = call->document = read_head(q, &head, p);
    if (!body || check_members(body, k, p) != 0 || read_outputs(body, m, k, p) != 0 ||
        kserve_tensors_read(json_object_get(body, "inputs"), q->body.data + head,
                            q->body.length - head, &tensors, p) != 0 ||
        keep_values(&tensors, m, k, app->options->n_max, p) != 0)
        return -1;
    return read_parameters(json_object_get(body, "parameters"), k->n, &call->order, p);
}

static int order(struct http_app *app, const struct http_request *q, struct api_call *call,
                 struct engine_order *out, struct http_problem *p)
{
    (void)app, (void)q, (void)p;
    const struct kserve_call *k = call->own;
    out->output = k->images.wanted && k->samples.wanted ? ENGINE_OUTPUT_ARRAYS
                  : k->images.wanted                    ? ENGINE_OUTPUT_PIXELS
                                                        : ENGINE_OUTPUT_SAMPLE;
    if (k->latents) {
        out->latents = k->values;
    } else {
        out->seeds = k->values;
        out->indices = out->seeds + k->n;
    }
    return 0;
}

static void release(struct api_call *call)
{
    struct kserve_call *k = call->own;
    free(k->values);
    k->values = NULL;
}

/* ---- answers ---- */

static json_t *values_json(const struct engine_request *done, size_t n, size_t d, bool pixels)
{
    json_t *data = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct engine_image *image = engine_request_image(done, i);
        for (size_t j = 0; j < d && data; j++)
            data = json_plus(data, pixels ? json_integer(image->pixels[j])
                                          : json_real((double)image->sample[j]));
    }
    return data;
}

static int append_values(const struct engine_request *done, size_t n, size_t d, bool pixels,
                         struct buf *out)
{
    int result = 0;
    for (size_t i = 0; i < n && result == 0; i++) {
        const struct engine_image *image = engine_request_image(done, i);
        if (pixels) {
            result = buf_append(out, image->pixels, d, NULL);
            continue;
        }
        for (size_t j = 0; j < d && result == 0; j++) {
            uint32_t bits;
            memcpy(&bits, &image->sample[j], sizeof bits);
            bits = htole32(bits);
            result = buf_append(out, &bits, sizeof bits, NULL);
        }
    }
    return result;
}

/* One output; its bytes go to `tail` when they are not to stand in the JSON. */
static json_t *output_json(const struct engine_request *done, bool pixels, bool binary,
                           struct buf *tail)
{
    const struct engine_order *order = engine_request_order(done);
    const struct image_shape s = model_shape(engine_model_get(order->model));
    const size_t d = image_shape_count(s), before = tail->length;
    const json_int_t n = (json_int_t)order->n;
    json_t *shape = pixels ? json_pack("[I,i,i,i]", n, s.height, s.width, s.channels)
                           : json_pack("[I,i,i,i]", n, s.channels, s.height, s.width);
    json_t *o = json_pack("{s:s, s:s, s:o}", "name", pixels ? "images" : "samples", "datatype",
                          pixels ? "UINT8" : "FP32", "shape", shape);
    if (!binary)
        return json_with(o, "data", values_json(done, order->n, d, pixels));
    if (append_values(done, order->n, d, pixels, tail) != 0) {
        json_decref(o);
        return NULL;
    }
    return json_with(o, "parameters",
                     json_pack("{s:I}", "binary_data_size", (json_int_t)(tail->length - before)));
}

/* Without the headers that name a seed: images have seeds of their own here. */
static void answer(struct http_app *app, const struct http_request *q, const struct api_call *call,
                   const struct engine_request *done, struct http_reply *r)
{
    (void)app, (void)q;
    const struct kserve_call *k = call->own;
    const struct engine_order *order = engine_request_order(done);
    const struct model *m = engine_model_get(order->model);
    struct buf tail;
    buf_init(&tail, HTTP_REPLY_BODY_MAX);
    json_t *outputs = json_array();
    if (k->images.wanted)
        outputs = json_plus(outputs, output_json(done, true, k->images.binary, &tail));
    if (k->samples.wanted)
        outputs = json_plus(outputs, output_json(done, false, k->samples.binary, &tail));
    json_t *o = json_pack("{s:s}", "model_name", engine_model_name(order->model));
    if (k->id[0])
        o = json_with(o, "id", json_string(k->id));
    json_t *parameters = json_pack("{s:s, s:s, s:s}", "sha256", model_sha256(m), "kernel",
                                   model_kernel_id(m), "precision", model_precision_name(m));
    if (call->order.label[0])
        parameters = json_with(parameters, "label", json_string(call->order.label));
    o = json_with(o, "parameters", parameters);
    o = json_with(o, "outputs", outputs);
    http_reply_json(r, 200, "application/json", o);
    const size_t head = r->body.length;
    if (r->status == 200 && (k->images.binary || k->samples.binary)) {
        if (buf_append(&r->body, tail.data, tail.length, NULL) != 0) {
            http_reply_fail(r);
        } else {
            r->content_type = "application/octet-stream";
            http_reply_header(r, "Inference-Header-Content-Length", "%zu", head);
        }
    }
    buf_clear(&tail);
}

/* Values in bytes stand in the tail and in the whole; as text they take up to `digits` each, and
 * NODE in the tree that it is written from. */
static size_t output_bytes(const struct kserve_output *output, size_t d, size_t size, size_t digits)
{
    if (!output->wanted)
        return 0;
    return d * (output->binary ? 2 * size : digits + NODE);
}

static size_t bytes(const struct api_call *call, size_t d)
{
    const struct kserve_call *k = call->own;
    return output_bytes(&k->images, d, 1, sizeof "255, " - 1) +
           output_bytes(&k->samples, d, sizeof(float), sizeof "-1.2345678901234567e-10, " - 1);
}

static json_t *problem_json(const struct http_problem *p)
{
    return json_with(json_object(), "error", json_text(p->detail));
}

const struct api_dialect api_kserve = {
    .media = "application/json",
    .octets = true,
    .pictures = true,
    .own = sizeof(struct kserve_call),
    .pin = pin,
    .read = read,
    .order = order,
    .answer = answer,
    .bytes = bytes,
    .problem = problem_json,
    .release = release,
};
