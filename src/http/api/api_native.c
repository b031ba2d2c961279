/* POST /v1/images: the fields are ours, and the answer is in any format that there is. */
#include "api_dialect.h"

#include "api_answer.h"
#include "http_body.h"

void api_pin_name(struct http_app *app, struct api_call *call, const char *name)
{
    call->asked.model = engine_model_find(app->engine, name && *name ? name : NULL);
}

void api_pin_field(struct http_app *app, struct api_call *call)
{
    api_pin_name(app, call, json_string_value(json_object_get(call->document, "model")));
}

int api_native_pin(struct http_app *app, struct http_request *q, struct api_call *call,
                   struct http_problem *p)
{
    call->document = http_body_parse(&q->body, http_body_fields(app->options->n_max), p);
    buf_clear(&q->body);
    if (!call->document)
        return -1;
    api_pin_field(app, call);
    return 0;
}

int api_native_read(struct http_app *app, struct http_request *q, struct api_call *call,
                    struct http_problem *p)
{
    (void)q;
    return api_order_parse(call->document, app->options->n_max, &call->order, p);
}

void api_native_formats(const struct http_request *q, const struct api_call *call,
                        struct api_formats *out)
{
    (void)q;
    const bool array = !call->order.grid_given;
    for (int f = 0; f < HTTP_FORMATS; f++)
        out->available[f] = true;
    out->available[HTTP_FORMAT_APNG] = false; /* these images are no film */
    out->available[HTTP_FORMAT_PNG] = call->order.n == 1 || call->order.grid_given;
    out->available[HTTP_FORMAT_NPY] = out->available[HTTP_FORMAT_NPZ] = array;
}

json_t *api_native_json(struct http_app *app, const struct http_request *q,
                        const struct api_call *call, const struct engine_request *done)
{
    const struct engine_order *order = engine_request_order(done);
    json_t *images = json_array();
    for (size_t i = 0; i < api_answer_count(order) && images; i++)
        images = json_plus(images, api_answer_linked(app, q, order, api_answer_picture(done, i)));
    return api_answer_whole(api_answer_head(q->id, call, order), images, call);
}

static void answer_picture(struct http_app *app, const struct http_request *q,
                           const struct api_call *call, const struct engine_request *done,
                           struct http_reply *r)
{
    const struct engine_image *image = api_answer_picture(done, 0);
    const struct engine_order *order = engine_request_order(done);
    char link[HTTP_LINK_MAX];
    const enum http_link_made made = http_link_make(app, q, order, image->index, link);
    if (made == HTTP_LINK_FAILED) {
        http_reply_fail(r);
        return;
    }
    if (api_picture(call, done, r) != 0)
        return;
    http_reply_header(r, "ETag", "\"%s\"", image->sha256);
    if (made == HTTP_LINK_MADE)
        http_reply_header(r, "Content-Location", "%s", link);
}

void api_native_answer(struct http_app *app, const struct http_request *q,
                       const struct api_call *call, const struct engine_request *done,
                       struct http_reply *r)
{
    if (call->format == HTTP_FORMAT_PNG)
        answer_picture(app, q, call, done, r);
    else
        http_reply_json(r, 200, http_format_type(HTTP_FORMAT_JSON),
                        api_native_json(app, q, call, done));
    api_answer_headers(engine_request_order(done), r);
}

const struct api_dialect api_native = {
    .media = "application/json",
    .pictures = true,
    .pin = api_native_pin,
    .read = api_native_read,
    .formats = api_native_formats,
    .answer = api_native_answer,
};
