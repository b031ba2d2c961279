/* POST /v1/likelihood: how likely images of the client's are, as JSON. */
#include "api_flow.h"

#include "api_answer.h"

#include <string.h>

static const struct api_flow_words words = {"images", COMMON "seed ", "probes constant "};

static int read_own(const json_t *value, const char *key, size_t n_max, struct flow_call *flow,
                    struct http_problem *p)
{
    (void)n_max;
    const json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;
    const char *word = json_is_string(value) ? json_string_value(value) : "";
    if (strcmp(key, "probes") == 0) {
        flow->likelihood.probes = (int)(n >= 0 && n <= MODEL_PROBES_MAX ? n : 0);
        if (n >= 0 && n <= MODEL_PROBES_MAX)
            return 0;
        http_problem_point(p, "/probes",
                           "must be an integer from 1 to %d, or 0 for the exact trace",
                           MODEL_PROBES_MAX);
        return -1;
    }
    flow->likelihood.reference_constant = strcmp(word, "reference") == 0;
    if (flow->likelihood.reference_constant || strcmp(word, "exact") == 0)
        return 0;
    http_problem_point(p, "/constant", "must be exact or reference");
    return -1;
}

static int read(struct http_app *app, struct http_request *q, struct api_call *call,
                struct http_problem *p)
{
    struct flow_call *flow = call->own;
    flow->likelihood = (struct model_likelihood){.probes = API_PROBES};
    return api_flow_read(app, q, call, &words, read_own, true, p);
}

static int solver(const struct api_call *call, const struct model *m, struct model_solver *out,
                  struct http_problem *p)
{
    const struct model_solver base = model_solver_likelihood_default(m);
    return api_order_solver_forward(&call->order.solver, m, &base, out, p);
}

static void formats(const struct http_request *q, const struct api_call *call,
                    struct api_formats *out)
{
    (void)call;
    out->in_query = q->media != HTTP_MEDIA_JSON;
    out->available[HTTP_FORMAT_JSON] = true;
}

static int order(struct http_app *app, const struct http_request *q, struct api_call *call,
                 struct engine_order *out, struct http_problem *p)
{
    (void)app;
    const struct flow_call *flow = call->own;
    if (api_flow_images(q, call, engine_model_get(out->model), true, p) != 0)
        return -1;
    out->task = ENGINE_TASK_LIKELIHOOD;
    out->output = ENGINE_OUTPUT_SAMPLE;
    out->points = flow->points;
    out->likelihood = flow->likelihood;
    return 0;
}

static json_t *one_json(json_t *o, const struct engine_request *done, size_t i)
{
    const struct engine_image *image = engine_request_image(done, i);
    o = json_with(o, "bits_per_dimension", json_real(image->bits_per_dimension));
    return json_with(o, "log_likelihood", json_real(image->log_likelihood));
}

static void answer(struct http_app *app, const struct http_request *q, const struct api_call *call,
                   const struct engine_request *done, struct http_reply *r)
{
    (void)app;
    const struct engine_order *order = engine_request_order(done);
    const struct model_likelihood *l = &order->likelihood;
    json_t *parameters = json_pack("{s:i, s:s}", "probes", l->probes, "constant",
                                   l->reference_constant ? "reference" : "exact");
    http_reply_json(r, 200, http_format_type(HTTP_FORMAT_JSON),
                    api_flow_json(q, call, done, parameters, one_json));
    api_answer_headers(order, r);
}

static size_t bytes(const struct api_call *call, size_t d)
{
    (void)call, (void)d;
    return 1024; /* two numbers */
}

const struct api_dialect api_likelihood = {
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
