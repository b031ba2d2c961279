/* Answers without images: latents as JSON or as one array, and likelihoods as JSON. */
#include "http_answer.h"
#include "http_flow.h"

#include "base_crypto.h"
#include "archive_npy.h"

#include <stdio.h>
#include <string.h>

/* Latents first to first + n - 1 as an NPY [n,C,H,W] of single precision, which is what networks
 * read. */
static int append_latents(const struct engine_request *done, size_t first, size_t n,
                          struct buf *out)
{
    const struct image_shape s = model_shape(engine_model_get(engine_request_order(done)->model));
    const uint64_t shape[] = {n, (uint64_t)s.channels, (uint64_t)s.height, (uint64_t)s.width};
    int bad = archive_npy_header(ARCHIVE_NPY_F32, 4, shape, out, NULL);
    for (size_t i = first; i < first + n && !bad; i++) {
        const double *state = engine_request_image(done, i)->state;
        float *to = (float *)(void *)buf_reserve(out, image_shape_count(s) * sizeof *to, NULL);
        if (!to)
            return -1;
        for (size_t k = 0; k < image_shape_count(s); k++)
            to[k] = (float)state[k];
        out->length += image_shape_count(s) * sizeof *to;
    }
    return bad;
}

static json_t *latent_json(const struct engine_request *done, size_t i)
{
    struct buf npy;
    buf_init(&npy, HTTP_REPLY_BODY_MAX);
    json_t *text =
        append_latents(done, i, 1, &npy) == 0 ? http_answer_base64(npy.data, npy.length) : NULL;
    buf_free(&npy);
    return text;
}

static json_t *one_json(const struct http_work *work, const struct engine_request *done, size_t i)
{
    const struct engine_image *image = engine_request_image(done, i);
    json_t *o = json_pack("{s:o, s:I, s:I}", "index", http_answer_index(image->index), "nfe",
                          (json_int_t)image->counts.nfe, "steps_rejected",
                          (json_int_t)image->counts.rejected);
    if (image->label_count == 1)
        o = json_with(o, "class", http_answer_label(image->labels[0]));
    if (work->flow.task == HTTP_TASK_ENCODE)
        return json_with(o, "latent", latent_json(done, i));
    o = json_with(o, "bits_per_dimension", json_real(image->bits_per_dimension));
    return json_with(o, "log_likelihood", json_real(image->log_likelihood));
}

/* The head that images have, without what is of pictures only. */
static json_t *head_json(const struct http_request *q, const struct http_work *work,
                         const struct engine_order *order)
{
    static const char *const of_pictures[] = {"temperature", "embed_metadata", "dtype",
                                              "layout",      "preview_every",  "grid"};
    const struct model_likelihood *l = &work->flow.likelihood;
    json_t *o = http_answer_head(q->id, work, order);
    json_t *parameters = json_object_get(o, "parameters");
    for (size_t i = 0; i < sizeof of_pictures / sizeof *of_pictures; i++)
        json_object_del(parameters, of_pictures[i]);
    if (!o || work->flow.task == HTTP_TASK_ENCODE)
        return o;
    parameters = json_with(json_incref(parameters), "probes", json_integer(l->probes));
    return json_with(o, "parameters",
                     json_with(parameters, "constant",
                               json_string(l->reference_constant ? "reference" : "exact")));
}

static json_t *images_json(const struct http_work *work, const struct engine_request *done)
{
    json_t *images = json_array();
    for (size_t i = 0; i < engine_request_order(done)->n; i++)
        images = json_plus(images, one_json(work, done, i));
    return images;
}

void http_flow_answer(const struct http_request *q, const struct http_work *work,
                      const struct engine_request *done, struct http_reply *r)
{
    if (work->format == HTTP_FORMAT_JSON) {
        http_reply_json(r, 200, http_format_type(HTTP_FORMAT_JSON),
                        http_answer_whole(head_json(q, work, engine_request_order(done)),
                                          images_json(work, done), done));
        return;
    }
    r->status = 200;
    r->content_type = http_format_type(HTTP_FORMAT_NPY);
    if (append_latents(done, 0, engine_request_order(done)->n, &r->body) != 0)
        http_reply_fail(r);
    else
        http_reply_header(r, "Content-Disposition", "attachment; filename=\"pfgm-latents.npy\"");
}
