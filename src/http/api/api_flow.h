/* What encode, decode, interpolate and likelihood share: they go through the flow and begin with
 * images or latents of the client's.
 *
 *     encode       images → latents                 ENGINE_TASK_ENCODE
 *     likelihood   images → numbers                 ENGINE_TASK_LIKELIHOOD
 *     decode       latents → images                 ENGINE_TASK_SAMPLE with latents
 *     interpolate  two ends → latents on the great  the same; ends that are images are encoded
 *                  circle between → images          first, by a request of their own
 *
 * A body is JSON, or the bytes of what the interface begins with, and then the fields are in the
 * query. Images are of all data where no class is given: encoding and decoding then follow the same
 * flow. Runs on the server's threads; `call` is the exchange's.
 * For the files of src/http/api only. */
#ifndef API_FLOW_H
#define API_FLOW_H

#include "api_dialect.h"

#include "archive_npy_read.h"

#define API_FRAMES 10 /* of an interpolation that does not say how many */
#define API_PROBES 1  /* of a likelihood that does not say how many */

/* What a request said beside our fields: call->own of all four. */
struct flow_call {
    json_t *given;            /* what it begins with, of a JSON body, until it has been read */
    struct archive_npy array; /* the same of an NPY body, in the request's */
    size_t frames;            /* of an interpolation */
    struct model_likelihood likelihood;
    double *points; /* [n,d] images in data scale, or latents; until the engine has its own copy */
    double *ends;   /* [2,d] of an interpolation: latents, or images where `encoded` says so */
    bool encoded[2];
};

/* The members of a body. */
struct api_flow_words {
    const char *given;  /* what it begins with, of a JSON body */
    const char *fields; /* those of POST /v1/images that it takes */
    const char *own;    /* and its own */
};
#define COMMON "model first_index solver class format timeout_s priority label "
#define PICTURES COMMON "seed grid embed_metadata dtype layout preview_every "

/* `pin` of all four: the fields are the body, or the query of a binary one. */
int api_flow_pin(struct http_app *app, struct http_request *q, struct api_call *call,
                 struct http_problem *p);
/* Takes out of the fields what is the interface's own (read_own: 0, or -1 with a problem); what is
 * neither that nor taken is a fault. */
typedef int api_flow_own(const json_t *value, const char *key, size_t n_max, struct flow_call *flow,
                         struct http_problem *p);
int api_flow_members(struct api_call *call, const struct api_flow_words *words,
                     api_flow_own *read_own, size_t n_max, struct http_problem *p);
/* What is left of the fields into call->order, of n images; `seeded`: a seed counts for something,
 * and is drawn where none is given. */
int api_flow_order_fields(struct api_call *call, size_t n, bool seeded, size_t n_max,
                          struct http_problem *p);
/* `read` of an interface whose fields bring the images or latents: the three steps in turn.
 * read_own may be NULL. */
int api_flow_read(const struct http_app *app, const struct http_request *q, struct api_call *call,
                  const struct api_flow_words *words, api_flow_own *read_own, bool seeded,
                  struct http_problem *p);
/* Room for the points of the order. */
int api_flow_room(struct api_call *call, const struct model *m, struct http_problem *p);
/* That, and the images that the request brings in it. */
int api_flow_images(const struct http_request *q, struct api_call *call, const struct model *m,
                    bool dequantised, struct http_problem *p);
void api_flow_release(struct api_call *call);

/* api_flow_answer.c. Latents first to first + n - 1 as an NPY [n,C,H,W] of single precision, which
 * is what networks read. */
int api_flow_latents(const struct engine_request *done, size_t first, size_t n, struct buf *out);
/* The JSON of an answer without images: `one` adds to each of its elements what it is about. */
typedef json_t *api_flow_one(json_t *o, const struct engine_request *done, size_t i);
json_t *api_flow_json(const struct http_request *q, const struct api_call *call,
                      const struct engine_request *done, json_t *own_parameters, api_flow_one *one);

/* The default of an interpolation's frames under a limit of images. */
size_t api_flow_frames(size_t n_max);

#endif
