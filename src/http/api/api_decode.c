/* POST /v1/decode: latents of the client's to images, in the formats of POST /v1/images. */
#include "api_flow.h"

#include "api_points.h"

#include <stdio.h>

static const struct api_flow_words words = {"latents", PICTURES, ""};

static int read(struct http_app *app, struct http_request *q, struct api_call *call,
                struct http_problem *p)
{
    return api_flow_read(app, q, call, &words, NULL, false, p);
}

static void formats(const struct http_request *q, const struct api_call *call,
                    struct api_formats *out)
{
    api_native_formats(q, call, out);
    out->in_query = q->media != HTTP_MEDIA_JSON;
}

static int read_latents(const struct http_request *q, struct api_call *call, const struct model *m,
                        struct http_problem *p)
{
    struct flow_call *flow = call->own;
    if (q->media == HTTP_MEDIA_NPY)
        return api_points_values(m, &flow->array, call->order.n, NULL, "", flow->points, p);
    int result = 0;
    for (size_t i = 0; i < call->order.n && result == 0; i++) {
        char pointer[64];
        snprintf(pointer, sizeof pointer, "/latents/%zu", i);
        result = api_points_latent_text(m, json_array_get(flow->given, i), pointer,
                                        flow->points + i * model_dimension(m), p);
    }
    return result;
}

static int order(struct http_app *app, const struct http_request *q, struct api_call *call,
                 struct engine_order *out, struct http_problem *p)
{
    (void)app;
    const struct flow_call *flow = call->own;
    const struct model *m = engine_model_get(out->model);
    if (api_flow_room(call, m, p) != 0 || read_latents(q, call, m, p) != 0)
        return -1;
    out->latents = flow->points;
    return 0;
}

const struct api_dialect api_decode = {
    .media = "application/json or application/x-npy",
    .large = true,
    .pictures = true,
    .unnamed = ENGINE_CLASS_NONE,
    .own = sizeof(struct flow_call),
    .pin = api_flow_pin,
    .read = read,
    .formats = formats,
    .order = order,
    .answer = api_native_answer,
    .release = api_flow_release,
};
