/* GET /v1/images/{seed}/{index}: one image by what it is a function of, so that its tag is known
 * before there is an image. The fields are in path and query. */
#include "api_dialect.h"

#include "api_answer.h"
#include "api_lookup.h"

static int pin(struct http_app *app, struct http_request *q, struct api_call *call,
               struct http_problem *p)
{
    call->document = api_lookup_fields(q, p);
    if (!call->document)
        return -1;
    api_pin_field(app, call);
    return 0;
}

static void formats(const struct http_request *q, const struct api_call *call,
                    struct api_formats *out)
{
    (void)q, (void)call;
    out->in_query = out->png = true;
    out->available[HTTP_FORMAT_JSON] = out->available[HTTP_FORMAT_PNG] = true;
    out->available[HTTP_FORMAT_NPY] = out->available[HTTP_FORMAT_NPZ] = true;
}

static bool known(const struct http_request *q, struct api_call *call,
                  const struct engine_order *order, struct http_reply *r)
{
    if (call->format == HTTP_FORMAT_JSON || api_lookup_tag(call, order, call->etag) != 0 ||
        !api_lookup_matches(q->if_none_match, call->etag))
        return false;
    r->status = 304;
    api_lookup_headers(q, call, r);
    return true;
}

static void answer(struct http_app *app, const struct http_request *q, const struct api_call *call,
                   const struct engine_request *done, struct http_reply *r)
{
    if (call->format != HTTP_FORMAT_PNG)
        http_reply_json(r, 200, http_format_type(HTTP_FORMAT_JSON),
                        api_native_json(app, q, call, done));
    else if (api_picture(call, done, r) == 0)
        api_lookup_headers(q, call, r);
    api_answer_headers(engine_request_order(done), r);
}

const struct api_dialect api_link = {
    .media = "application/json",
    .pictures = true,
    .pin = pin,
    .read = api_native_read,
    .formats = formats,
    .known = known,
    .answer = answer,
    .head = api_lookup_headers,
};
