/* GET /v1/images/{seed}/{index}: one image by what it is a function of, so that its tag is known
 * before there is an image. The fields are in path and query. */
#include "api_dialect.h"

#include "http_answer.h"
#include "http_lookup.h"

static int pin(struct http_app *app, struct http_request *q, struct http_work *work,
               struct http_problem *p)
{
    work->document = http_lookup_fields(q, p);
    if (!work->document)
        return -1;
    api_pin_field(app, work);
    return 0;
}

static void formats(const struct http_request *q, const struct http_work *work,
                    struct api_formats *out)
{
    (void)q, (void)work;
    out->in_query = out->png = true;
    out->available[HTTP_FORMAT_JSON] = out->available[HTTP_FORMAT_PNG] = true;
    out->available[HTTP_FORMAT_NPY] = out->available[HTTP_FORMAT_NPZ] = true;
}

static bool known(const struct http_request *q, struct http_work *work,
                  const struct engine_order *order, struct http_reply *r)
{
    if (work->format == HTTP_FORMAT_JSON || http_lookup_tag(work, order, work->etag) != 0 ||
        !http_lookup_matches(q->if_none_match, work->etag))
        return false;
    r->status = 304;
    http_lookup_headers(q, work, r);
    return true;
}

static void answer(struct http_app *app, const struct http_request *q, const struct http_work *work,
                   const struct engine_request *done, struct http_reply *r)
{
    if (work->format != HTTP_FORMAT_PNG)
        http_reply_json(r, 200, http_format_type(HTTP_FORMAT_JSON),
                        api_native_json(app, q, work, done));
    else if (api_picture(work, done, r) == 0)
        http_lookup_headers(q, work, r);
    http_answer_headers(engine_request_order(done), r);
}

const struct api_dialect api_link = {
    .media = "application/json",
    .pictures = true,
    .pin = pin,
    .read = api_native_read,
    .formats = formats,
    .known = known,
    .answer = answer,
    .head = http_lookup_headers,
};
