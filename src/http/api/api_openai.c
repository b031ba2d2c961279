/* OpenAI's images interface in terms of ours. Pure but for the look at the model's labels. */
#include "api_openai.h"

#include "api_answer.h"
#include "api_edit.h"
#include "api_lookup.h"
#include "api_points.h"
#include "api_prompt.h"
#include "http_body.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- fields ---- */

/* What clients send that has no meaning here; taken, so that they work unchanged. */
static const char *const without_effect[] = {
    "user",       "quality",        "style",          "background",
    "moderation", "input_fidelity", "partial_images", "output_compression"};

static bool has_no_effect(const char *key)
{
    for (size_t i = 0; i < sizeof without_effect / sizeof *without_effect; i++)
        if (strcmp(key, without_effect[i]) == 0)
            return true;
    return false;
}

/* A field that must be one word of two, or null. 1 for the second, 0 for the first or absent. */
static int read_word(const json_t *body, const char *key, const char *first, const char *second,
                     struct http_problem *p)
{
    const json_t *value = json_object_get(body, key);
    const char *word = json_string_value(value);
    char pointer[64] = "";
    if (!value || json_is_null(value) || (word && strcmp(word, first) == 0))
        return 0;
    if (word && second && strcmp(word, second) == 0)
        return 1;
    http_pointer_step(pointer, sizeof pointer, key);
    http_problem_point(p, pointer, second ? "must be \"%s\" or \"%s\"" : "must be \"%s\"", first,
                       second);
    return -1;
}

static int check_size(const json_t *body, const struct model *m, struct http_problem *p)
{
    const json_t *value = json_object_get(body, "size");
    const struct image_shape s = model_shape(m);
    char own[32];
    snprintf(own, sizeof own, "%dx%d", s.width, s.height);
    if (!value || json_is_null(value) ||
        (json_is_string(value) && (strcmp(json_string_value(value), "auto") == 0 ||
                                   strcmp(json_string_value(value), own) == 0)))
        return 0;
    http_problem_point(p, "/size", "must be \"auto\" or \"%s\", the size of this model's images",
                       own);
    return -1;
}

/* That a prompt names no class would not be seen in the answer: its clients show pictures and
 * errors, and nothing else of what comes. */
static void refuse_prompt(const struct model *m, bool drawn, struct http_problem *p)
{
    char known[600];
    model_classes_list(m, false, known, sizeof known);
    http_problem_point(p, "/prompt",
                       "names no class of this model: name one of %s; an empty prompt is for %s",
                       known, drawn ? "images of classes that are drawn" : "an edit by all data");
}

static int read_prompt(struct http_app *app, const json_t *body, const struct model *m,
                       struct api_call *call, struct http_problem *p)
{
    struct openai_call *out = call->own;
    const json_t *prompt = json_object_get(body, "prompt");
    if (!prompt || json_is_null(prompt))
        return 0;
    if (!json_is_string(prompt)) {
        http_problem_point(p, "/prompt", "must be a string");
        return -1;
    }
    if (json_string_length(prompt) > API_PROMPT_MAX) {
        http_problem_point(p, "/prompt", "must have at most %d bytes", API_PROMPT_MAX);
        return -1;
    }
    char *const *labels = model_description(m)->labels;
    const int count = model_class_count(m);
    struct err e = {0};
    bool blank = true;
    int class = -1;
    if (api_prompt_find(json_string_value(prompt), labels, count, &class, &blank, &e) != 0) {
        api_answer_refusal(app, &e, p);
        return -1;
    }
    out->prompted = !blank;
    if (class < 0 && (blank || count == 0))
        return 0;
    if (class < 0) {
        refuse_prompt(m, call->dialect->unnamed == ENGINE_CLASS_DRAWN, p);
        return -1;
    }
    out->named = true;
    call->order.class = API_CLASS_NUMBER;
    call->order.class_number = class;
    return 0;
}

/* Those that keep their name. */
static const char *const kept[] = {"model", "n", "seed", "first_index"};

static bool is_one_of(const char *key, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(key, words[i]) == 0)
            return true;
    return false;
}

static int check_fields(const json_t *body, struct http_problem *p)
{
    static const char *const read[] = {"prompt", "size",          "response_format",
                                       "stream", "output_format", "steps"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)body, key, value)
    {
        char pointer[300] = "";
        if (has_no_effect(key) || is_one_of(key, kept, sizeof kept / sizeof *kept) ||
            is_one_of(key, read, sizeof read / sizeof *read))
            continue;
        http_pointer_step(pointer, sizeof pointer, key);
        http_problem_point(p, pointer, "is not a field of this route");
    }
    const json_t *stream = json_object_get(body, "stream");
    if (stream && !json_is_false(stream) && !json_is_null(stream))
        http_problem_point(p, "/stream",
                           "answers are not streamed here; POST /v1/images has events");
    if (json_is_integer(json_object_get(body, "n")) &&
        json_integer_value(json_object_get(body, "n")) > API_OPENAI_N_MAX)
        http_problem_point(p, "/n", "must be 1 to %d", API_OPENAI_N_MAX);
    return p->code == HTTP_PROBLEM_NONE ? 0 : -1;
}

/* Those, and steps, which is of our solver. */
static int read_fields(const json_t *body, size_t n_max, struct api_order *order,
                       struct http_problem *p)
{
    const json_t *steps = json_object_get(body, "steps");
    const char *key;
    json_t *value;
    int result = 0;
    json_object_foreach((json_t *)(uintptr_t)body, key,
                        value) if (is_one_of(key, kept, sizeof kept / sizeof *kept) &&
                                   !json_is_null(value)) result |=
        api_order_field(order, key, value, n_max, p);
    if (steps && !json_is_null(steps))
        result |= api_order_solver_field(order, "steps", steps, p);
    return result != 0 ? -1 : api_order_end(order, p);
}

/* Holds the model that the fields name. */
static int pin_document(struct http_app *app, struct api_call *call, struct http_problem *p)
{
    api_pin_field(app, call);
    if (call->asked.model)
        return 0;
    const char *name = json_string_value(json_object_get(call->document, "model"));
    http_problem_no_model(p, name ? name : "");
    return -1;
}

static int pin(struct http_app *app, struct http_request *q, struct api_call *call,
               struct http_problem *p)
{
    const struct json_bound bound = http_body_fields(app->options->n_max);
    call->document = http_body_parse_whole(&q->body, q->body.length, bound, p);
    buf_clear(&q->body);
    if (!call->document)
        return -1;
    if (!json_is_object(call->document)) {
        http_problem_point(p, "", "must be an object");
        return -1;
    }
    return pin_document(app, call, p);
}

static int read(struct http_app *app, struct http_request *q, struct api_call *call,
                struct http_problem *p)
{
    (void)q;
    const json_t *body = call->document;
    const struct model *m = engine_model_get(call->asked.model);
    struct openai_call *openai = call->own;
    api_order_init(&call->order);
    int url = read_word(body, "response_format", "b64_json", "url", p);
    int result = check_fields(body, p) | check_size(body, m, p) |
                 read_word(body, "output_format", "png", NULL, p) |
                 read_prompt(app, body, m, call, p);
    openai->url = url > 0;
    return result != 0 || url < 0 ? -1 : read_fields(body, app->options->n_max, &call->order, p);
}

/* ---- answers ---- */

static json_t *one_json(struct http_app *app, const struct http_request *q,
                        const struct api_call *call, const struct engine_order *order,
                        const struct engine_image *image)
{
    json_t *o = api_answer_linked(app, q, order, image);
    const char *link = json_string_value(json_object_get(o, "url"));
    json_t *out = o ? json_pack("{s:O, s:O}", "index", json_object_get(o, "index"), "sha256",
                                json_object_get(o, "sha256"))
                    : NULL;
    const struct openai_call *openai = call->own;
    if (openai->url) {
        char address[HTTP_LINK_MAX + sizeof q->host + 16];
        snprintf(address, sizeof address, "%s%s%s%s", q->host[0] ? q->scheme : "",
                 q->host[0] ? "://" : "", q->host, link ? link : "");
        out = json_with(out, "url", link ? json_string(address) : NULL);
    } else {
        out = json_with(out, "b64_json", json_incref(json_object_get(o, "b64")));
    }
    /* what its clients show beside the picture: the class, also where it was drawn */
    if (image->label_count == 1 && image->labels[0] != MODEL_CLASS_NONE)
        out = json_with(
            out, "revised_prompt",
            json_string(
                model_description(engine_model_get(order->model))->labels[image->labels[0]]));
    json_decref(o);
    return out;
}

json_t *api_openai_answer(struct http_app *app, const struct http_request *q,
                          const struct api_call *call, const struct engine_request *done)
{
    const struct engine_order *order = engine_request_order(done);
    const struct image_shape s = model_shape(engine_model_get(order->model));
    const struct openai_call *openai = call->own;
    char seed[24], size[32];
    json_t *data = json_array();
    snprintf(seed, sizeof seed, "%" PRIu64, order->seed);
    snprintf(size, sizeof size, "%dx%d", s.width, s.height);
    for (size_t i = 0; i < order->n && data; i++)
        data = json_plus(data, one_json(app, q, call, order, engine_request_image(done, i)));
    return json_pack("{s:I, s:o, s:s, s:s, s:{s:s, s:s, s:s, s:s}}", "created",
                     (json_int_t)time(NULL), "data", data, "output_format", "png", "size", size,
                     "pfgm", "model", engine_model_name(order->model), "seed", seed, "kernel",
                     model_kernel_id(engine_model_get(order->model)), "prompt",
                     openai->named      ? "class"
                     : openai->prompted ? "ignored"
                                        : "absent");
}

static void answer(struct http_app *app, const struct http_request *q, const struct api_call *call,
                   const struct engine_request *done, struct http_reply *r)
{
    http_reply_json(r, 200, "application/json", api_openai_answer(app, q, call, done));
    api_answer_headers(engine_request_order(done), r);
}

static json_t *problem_json(const struct http_problem *p)
{
    return json_with(json_object(), "error", http_problem_error(p));
}

const struct api_dialect api_openai = {
    .media = "application/json",
    .pictures = true,
    .own = sizeof(struct openai_call),
    .pin = pin,
    .read = read,
    .answer = answer,
    .problem = problem_json,
};

/* ---- edits and variations: the fields are the parts of a form ---- */

static bool is_picture(const char *name)
{
    return strcmp(name, "image") == 0 || strcmp(name, "image[]") == 0 || strcmp(name, "mask") == 0;
}

/* Adds a part that is text to the fields: what reads as a number, true or false is one, but for the
 * fields that are text whatever they say. */
static json_t *add_field(json_t *fields, const struct http_part *part, struct http_problem *p)
{
    static const char *const texts[] = {"prompt", "model", "user"};
    const char *text = part->data.data ? (const char *)part->data.data : "";
    char pointer[300] = "";
    http_pointer_step(pointer, sizeof pointer, part->name);
    json_t *value =
        strlen(text) == part->data.length ? json_stringn(text, part->data.length) : NULL;
    if (!value)
        http_problem_point(p, pointer, "must be text in UTF-8");
    else if (json_object_get(fields, part->name))
        http_problem_point(p, pointer, "occurs twice");
    else if (!is_one_of(part->name, texts, sizeof texts / sizeof *texts)) {
        json_decref(value);
        value = api_lookup_value(text);
    }
    return json_with(fields, part->name, value ? value : json_null());
}

static int pin_form(struct http_app *app, struct http_request *q, struct api_call *call,
                    struct http_problem *p)
{
    if (q->media != HTTP_MEDIA_FORM) {
        http_problem_set(p, HTTP_PROBLEM_UNSUPPORTED_MEDIA_TYPE, "the body must be %s",
                         call->dialect->media);
        return -1;
    }
    call->document = json_object();
    for (size_t i = 0; i < q->form.count; i++)
        if (!is_picture(q->form.parts[i].name))
            call->document = add_field(call->document, &q->form.parts[i], p);
    if (!call->document)
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "out of memory");
    return p->code != HTTP_PROBLEM_NONE ? -1 : pin_document(app, call, p);
}

/* The fields that generations have not, taken out of the others. */
static int read_edit(struct api_call *call, bool variation, struct http_problem *p)
{
    struct openai_call *openai = call->own;
    const json_t *strength = json_object_get(call->document, "strength");
    const json_t *address = json_object_get(call->document, "response_format");
    if (strength && api_edit_strength(strength, &openai->strength, &openai->strength_given, p) != 0)
        return -1;
    json_object_del(call->document, "strength");
    if (variation && json_object_get(call->document, "prompt"))
        http_problem_point(p, "/prompt", "is not a field of this route");
    if (json_is_string(address) && strcmp(json_string_value(address), "url") == 0)
        http_problem_point(p, "/response_format",
                           "must be \"b64_json\": an edited image has no address");
    return p->code != HTTP_PROBLEM_NONE ? -1 : 0;
}

/* The one part of a name; NULL where there is none, or (with a problem) more. */
static const struct http_part *one_part(const struct http_form *form, const char *name,
                                        struct http_problem *p)
{
    char pointer[80] = "";
    size_t at = 0;
    const struct http_part *part = http_form_find(form, name, &at);
    http_pointer_step(pointer, sizeof pointer, name);
    if (part && http_form_find(form, name, &at))
        http_problem_point(p, pointer, "must be one picture");
    return part;
}

/* The image, and what is kept of it: what the mask or, without one, the image itself has opaque. */
static int read_pictures(const struct http_form *form, const struct model *m,
                         struct openai_call *openai, struct http_problem *p)
{
    const struct http_part *image = one_part(form, "image", p), *mask = one_part(form, "mask", p),
                           *listed = one_part(form, "image[]", p);
    bool cut = false;
    if (!image == !listed && p->code == HTTP_PROBLEM_NONE)
        http_problem_point(p, "/image", "must be one picture, a PNG");
    if (p->code != HTTP_PROBLEM_NONE)
        return -1;
    image = image ? image : listed;
    if (api_points_cut(m, image->data.data, image->data.length, "/image", openai->image,
                       openai->kept, &cut, p) != 0)
        return -1;
    if (mask)
        return api_points_mask(m, mask->data.data, mask->data.length, true, "/mask", openai->kept,
                               p);
    if (!cut) {
        free(openai->kept);
        openai->kept = NULL;
    }
    return 0;
}

/* The pictures come with the fields, since it depends on them which solver there can be. */
static int read_form(struct http_app *app, struct http_request *q, struct api_call *call,
                     bool variation, struct http_problem *p)
{
    struct openai_call *openai = call->own;
    const struct model *m = engine_model_get(call->asked.model);
    openai->image = malloc(model_dimension(m) * sizeof *openai->image);
    openai->kept = malloc(model_dimension(m));
    if (!openai->image || !openai->kept) {
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "out of memory");
        return -1;
    }
    return read_edit(call, variation, p) != 0 || read(app, q, call, p) != 0
               ? -1
               : read_pictures(&q->form, m, openai, p);
}

static int read_edits(struct http_app *app, struct http_request *q, struct api_call *call,
                      struct http_problem *p)
{
    return read_form(app, q, call, false, p);
}

static int read_variations(struct http_app *app, struct http_request *q, struct api_call *call,
                           struct http_problem *p)
{
    size_t at = 0;
    if (http_form_find(&q->form, "mask", &at)) {
        http_problem_point(p, "/mask", "is not a field of this route");
        return -1;
    }
    return read_form(app, q, call, true, p);
}

static int solver_edits(const struct api_call *call, const struct model *m,
                        struct model_solver *out, struct http_problem *p)
{
    const struct openai_call *openai = call->own;
    return openai->kept ? api_order_solver_once(&call->order.solver, m, out, p)
                        : api_order_solver(&call->order.solver, m, out, p);
}

static int order_edits(struct http_app *app, const struct http_request *q, struct api_call *call,
                       struct engine_order *out, struct http_problem *p)
{
    struct openai_call *openai = call->own;
    (void)app;
    (void)q;
    (void)p;
    if (!openai->strength_given)
        openai->strength = model_edit_strength(openai->kept != NULL);
    out->edit = (struct engine_edit){openai->image, openai->kept, openai->strength};
    return 0;
}

static void release_edits(struct api_call *call)
{
    struct openai_call *openai = call->own;
    free(openai->image);
    free(openai->kept);
    openai->image = NULL;
    openai->kept = NULL;
}

#define OF_FORMS(read_)                                                                            \
    {                                                                                              \
        .media = "multipart/form-data", .large = true, .pictures = true,                           \
        .unnamed = ENGINE_CLASS_NONE, .own = sizeof(struct openai_call), .pin = pin_form,          \
        .read = (read_), .solver = solver_edits, .order = order_edits, .answer = answer,           \
        .problem = problem_json, .release = release_edits,                                         \
    }
const struct api_dialect api_openai_edits = OF_FORMS(read_edits),
                         api_openai_variations = OF_FORMS(read_variations);
