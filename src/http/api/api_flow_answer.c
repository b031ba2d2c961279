/* Answers without images: the arrays and the JSON that encode and likelihood share. */
#include "api_flow.h"

#include "api_answer.h"

#include "archive_npy.h"

int api_flow_latents(const struct engine_request *done, size_t first, size_t n, struct buf *out)
{
    const struct image_shape s = model_shape(engine_model_get(engine_request_order(done)->model));
    const uint64_t shape[] = {n, (uint64_t)s.channels, (uint64_t)s.height, (uint64_t)s.width};
    int result = archive_npy_header(ARCHIVE_NPY_F32, 4, shape, out, NULL);
    for (size_t i = first; i < first + n && result == 0; i++) {
        const double *state = engine_request_image(done, i)->state;
        float *to = (float *)(void *)buf_reserve(out, image_shape_count(s) * sizeof *to, NULL);
        if (!to)
            return -1;
        for (size_t k = 0; k < image_shape_count(s); k++)
            to[k] = (float)state[k];
        out->length += image_shape_count(s) * sizeof *to;
    }
    return result;
}

static json_t *one_json(const struct engine_request *done, size_t i, api_flow_one *one)
{
    const struct engine_image *image = engine_request_image(done, i);
    json_t *o = json_pack("{s:o, s:I, s:I}", "index", json_u64(image->index), "nfe",
                          (json_int_t)image->counts.nfe, "steps_rejected",
                          (json_int_t)image->counts.rejected);
    if (image->label_count == 1)
        o = json_with(o, "class", api_answer_label(image->labels[0]));
    return one(o, done, i);
}

/* The head that images have, without what is of pictures only. */
static json_t *head_json(const struct http_request *q, const struct api_call *call,
                         const struct engine_order *order, json_t *own_parameters)
{
    static const char *const of_pictures[] = {"temperature", "embed_metadata", "dtype",
                                              "layout",      "preview_every",  "grid"};
    json_t *o = api_answer_head(q->id, call, order);
    json_t *parameters = json_object_get(o, "parameters");
    for (size_t i = 0; i < sizeof of_pictures / sizeof *of_pictures; i++)
        json_object_del(parameters, of_pictures[i]);
    const char *key;
    json_t *value;
    parameters = json_incref(parameters);
    json_object_foreach(own_parameters, key, value) parameters =
        json_with(parameters, key, json_incref(value));
    return json_with(o, "parameters", parameters);
}

json_t *api_flow_json(const struct http_request *q, const struct api_call *call,
                      const struct engine_request *done, json_t *own_parameters, api_flow_one *one)
{
    const struct engine_order *order = engine_request_order(done);
    json_t *images = json_array();
    for (size_t i = 0; i < order->n; i++)
        images = json_plus(images, one_json(done, i, one));
    json_t *head = own_parameters ? head_json(q, call, order, own_parameters) : NULL;
    json_decref(own_parameters);
    return api_answer_whole(head, images, call);
}
