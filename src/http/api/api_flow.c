/* Reading what the four share: which fields each takes, so that a field without a meaning there is
 * refused by its name; and what it begins with. */
#include "api_flow.h"

#include "http_body.h"
#include "api_lookup.h"
#include "api_points.h"

#include "base_size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_word(const char *words, const char *word)
{
    const size_t length = strlen(word);
    for (const char *at = words; *at; at += strcspn(at, " ") + 1)
        if (strncmp(at, word, length) == 0 && at[length] == ' ')
            return true;
    return false;
}

int api_flow_pin(struct http_app *app, struct http_request *q, struct api_call *call,
                 struct http_problem *p)
{
    if (q->media == HTTP_MEDIA_JSON)
        return api_native_pin(app, q, call, p);
    call->document = api_lookup_query(q, true, json_object(), p);
    if (!call->document)
        return -1;
    api_pin_field(app, call);
    return 0;
}

int api_flow_members(struct api_call *call, const struct api_flow_words *words,
                     api_flow_own *read_own, size_t n_max, struct http_problem *p)
{
    struct flow_call *flow = call->own;
    const char *key;
    json_t *value;
    void *next;
    int result = 0;
    if (!json_is_object(call->document)) {
        http_problem_point(p, "", "must be an object");
        return -1;
    }
    json_object_foreach_safe(call->document, next, key, value)
    {
        char pointer[300] = "";
        if (has_word(words->fields, key))
            continue;
        if (strcmp(key, words->given) == 0) {
            flow->given = json_incref(value);
        } else if (has_word(words->own, key)) {
            result |= read_own(value, key, n_max, flow, p);
        } else {
            http_pointer_step(pointer, sizeof pointer, key);
            http_problem_point(p, pointer, "is not a field of this route");
            result = -1;
        }
        json_object_del(call->document, key);
    }
    return result;
}

/* How many images or latents the request brings. */
static int count(const struct http_request *q, const char *given, size_t n_max,
                 struct flow_call *flow, size_t *n, struct http_problem *p)
{
    char pointer[32];
    *n = 1;
    if (q->media == HTTP_MEDIA_PNG)
        return 0;
    if (q->media == HTTP_MEDIA_NPY)
        return api_points_array(q->body.data, q->body.length, n_max, "", &flow->array, n, p);
    *n = json_array_size(flow->given);
    if (*n >= 1 && *n <= n_max)
        return 0;
    p->limit = (int64_t)n_max;
    snprintf(pointer, sizeof pointer, "/%s", given);
    http_problem_point(p, pointer, "must be an array of 1 to %zu strings of base64", n_max);
    return -1;
}

int api_flow_order_fields(struct api_call *call, size_t n, bool seeded, size_t n_max,
                          struct http_problem *p)
{
    struct api_order *o = &call->order;
    const char *key;
    json_t *value;
    int result = 0;
    api_order_init(o);
    o->n = n;
    json_object_foreach(call->document, key, value) result |=
        api_order_field(o, key, value, n_max, p);
    if (result != 0)
        return -1;
    o->seed_given = o->seed_given || !seeded;
    return api_order_end(o, p);
}

int api_flow_read(const struct http_app *app, const struct http_request *q, struct api_call *call,
                  const struct api_flow_words *words, api_flow_own *read_own, bool seeded,
                  struct http_problem *p)
{
    const size_t n_max = app->options->n_max;
    size_t n = 0;
    int result = api_flow_members(call, words, read_own, n_max, p);
    if (json_is_object(call->document))
        result |= count(q, words->given, n_max, call->own, &n, p);
    return result != 0 ? -1 : api_flow_order_fields(call, n, seeded, n_max, p);
}

/* ---- what the flow begins with ---- */

int api_flow_room(struct api_call *call, const struct model *m, struct http_problem *p)
{
    struct flow_call *flow = call->own;
    size_t count = 0;
    if (size_mul(call->order.n, model_dimension(m), &count))
        flow->points = calloc(count, sizeof *flow->points);
    if (flow->points)
        return 0;
    http_problem_set(p, HTTP_PROBLEM_INTERNAL, "out of memory");
    return -1;
}

int api_flow_images(const struct http_request *q, struct api_call *call, const struct model *m,
                    bool dequantised, struct http_problem *p)
{
    struct flow_call *flow = call->own;
    const struct api_order *o = &call->order;
    const size_t d = model_dimension(m);
    const struct model_scale scale = {dequantised, o->seed, o->first_index};
    if (api_flow_room(call, m, p) != 0)
        return -1;
    if (q->media == HTTP_MEDIA_PNG)
        return api_points_png(m, q->body.data, q->body.length, 0, scale, "", flow->points, p);
    if (q->media == HTTP_MEDIA_NPY)
        return api_points_values(m, &flow->array, o->n, &scale, "", flow->points, p);
    int result = 0;
    for (size_t i = 0; i < o->n && result == 0; i++) {
        char pointer[64];
        snprintf(pointer, sizeof pointer, "/images/%zu", i);
        result = api_points_png_text(m, json_array_get(flow->given, i), i, scale, pointer,
                                     flow->points + i * d, p);
    }
    return result;
}

void api_flow_release(struct api_call *call)
{
    struct flow_call *flow = call->own;
    json_decref(flow->given);
    flow->given = NULL;
    free(flow->points);
    free(flow->ends);
    flow->points = flow->ends = NULL;
}
