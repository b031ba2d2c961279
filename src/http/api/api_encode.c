/* POST /v1/encode: images of the client's to latents, as JSON or one array. */
#include "api_flow.h"

#include "api_answer.h"

static const struct api_flow_words words = {"images", COMMON, ""};

static int read(struct http_app *app, struct http_request *q, struct api_call *call,
                struct http_problem *p)
{
    return api_flow_read(app, q, call, &words, NULL, false, p);
}

static int solver(const struct api_call *call, const struct model *m, struct model_solver *out,
                  struct http_problem *p)
{
    const struct model_solver base = model_solver_forward_default(m);
    return api_order_solver_forward(&call->order.solver, m, &base, out, p);
}

static void formats(const struct http_request *q, const struct api_call *call,
                    struct api_formats *out)
{
    (void)call;
    out->in_query = q->media != HTTP_MEDIA_JSON;
    out->available[HTTP_FORMAT_JSON] = true;
    out->available[HTTP_FORMAT_NPY] = !call->order.grid_given;
}

static int order(struct http_app *app, const struct http_request *q, struct api_call *call,
                 struct engine_order *out, struct http_problem *p)
{
    (void)app;
    const struct flow_call *flow = call->own;
    if (api_flow_images(q, call, engine_model_get(out->model), false, p) != 0)
        return -1;
    out->task = ENGINE_TASK_ENCODE;
    out->output = ENGINE_OUTPUT_SAMPLE;
    out->points = flow->points;
    return 0;
}

static json_t *one_json(json_t *o, const struct engine_request *done, size_t i)
{
    struct buf npy;
    buf_init(&npy, HTTP_REPLY_BODY_MAX);
    json_t *text =
        api_flow_latents(done, i, 1, &npy) == 0 ? api_answer_base64(npy.data, npy.length) : NULL;
    buf_clear(&npy);
    return json_with(o, "latent", text);
}

static void answer(struct http_app *app, const struct http_request *q, const struct api_call *call,
                   const struct engine_request *done, struct http_reply *r)
{
    (void)app;
    if (call->format == HTTP_FORMAT_JSON) {
        http_reply_json(r, 200, http_format_type(HTTP_FORMAT_JSON),
                        api_flow_json(q, call, done, json_object(), one_json));
    } else {
        r->status = 200;
        r->content_type = http_format_type(HTTP_FORMAT_NPY);
        if (api_flow_latents(done, 0, engine_request_order(done)->n, &r->body) != 0)
            http_reply_fail(r);
        else
            http_reply_header(r, "Content-Disposition",
                              "attachment; filename=\"pfgm-latents.npy\"");
    }
    api_answer_headers(engine_request_order(done), r);
}

/* An array of single precision; in JSON that in base64, in the tree and in its text. */
static size_t bytes(const struct api_call *call, size_t d)
{
    return call->format == HTTP_FORMAT_JSON ? 3 * sizeof(float) * d + 1024 : sizeof(float) * d;
}

const struct api_dialect api_encode = {
    .media = "application/json, application/x-npy or image/png",
    .large = true,
    .unnamed = ENGINE_CLASS_NONE,
    .own = sizeof(struct flow_call),
    .pin = api_flow_pin,
    .read = read,
    .solver = solver,
    .formats = formats,
    .order = order,
    .answer = answer,
    .bytes = bytes,
    .release = api_flow_release,
};
