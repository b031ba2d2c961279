/* KServe's Open Inference Protocol, version 2, in terms of ours: tensors in, tensors out, as JSON
 * or by the binary extension (a JSON head whose length a header tells, and the tensors' bytes after
 * it in their order, little-endian).
 *
 * Inputs: "seed" UINT64 or INT64 [n] with "index" of the same kind, 0 each when it is left out; or
 * "latents" FP32 [n,C,H,W], points on t = t_max, which start the flow instead of the prior.
 * Outputs: "images" UINT8 [n,H,W,C] and "samples" FP32 [n,C,H,W]. Parameters of the request are the
 * fields of POST /v1/images that a number or a word can hold. */
#ifndef HTTP_KSERVE_H
#define HTTP_KSERVE_H

#include "http_app.h"

/* Our fields out of the request's body, a new reference; NULL with a problem. Holds the model that
 * the tensors were measured with in work->asked.model. They go to work->kserve, whose values
 * http_kserve_clear frees. */
json_t *http_kserve_fields(struct http_app *app, struct http_request *q, struct http_work *work,
                           struct http_problem *p);
/* What the tensors say, into an order that has everything else; it borrows from `work`. */
void http_kserve_order(const struct http_work *work, struct engine_order *out);
void http_kserve_clear(struct http_work *work);
/* The answer to a request that ended well. */
void http_kserve_answer(const struct http_work *work, const struct engine_request *done,
                        struct http_reply *r);
/* Puts {"error": "..."} in the place of a problem. */
void http_kserve_problem(struct http_reply *r);

/* http_kserve_read.c: tensors of a request. */
struct http_tensor {
    const json_t *data;       /* flat or nested along the shape; NULL: bytes */
    const unsigned char *raw; /* count values, little-endian */
    bool is_signed;           /* of integers: INT64 */
    uint64_t shape[4];
    size_t rank, count;
    char pointer[64];
};
struct http_tensors {
    struct http_tensor seed, index, latents; /* rank 0: not given */
};
/* Reads "inputs", the bytes from `binary` on. 0, or -1 with a problem. */
int http_tensors_read(const json_t *inputs, const unsigned char *binary, size_t length,
                      struct http_tensors *out, struct http_problem *p);
/* Its values into out [count]. 0, or -1 with a problem. */
int http_tensor_integers(const struct http_tensor *t, uint64_t *out, struct http_problem *p);
int http_tensor_reals(const struct http_tensor *t, double *out, struct http_problem *p);

#endif
