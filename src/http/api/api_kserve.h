/* KServe's Open Inference Protocol, version 2, in terms of ours: tensors in, tensors out, as JSON
 * or by the binary extension (a JSON head whose length a header tells, and the tensors' bytes after
 * it in their order, little-endian).
 *
 * Inputs: "seed" UINT64 or INT64 [n] with "index" of the same kind, 0 each when it is left out; or
 * "latents" FP32 [n,C,H,W], points on t = t_max, which start the flow instead of the prior.
 * Outputs: "images" UINT8 [n,H,W,C] and "samples" FP32 [n,C,H,W]. Parameters of the request are the
 * fields of POST /v1/images that a number or a word can hold.
 * For the files of src/http/api only. */
#ifndef API_KSERVE_H
#define API_KSERVE_H

#include "api_dialect.h"
#include "api_handlers.h"

extern const struct api_dialect api_kserve;

/* What a request said beside our fields: call->own. */
struct kserve_call {
    struct kserve_output {
        bool wanted, binary;
    } images, samples;
    bool latents; /* what the values are: [n·d] doubles, else [n] seeds and [n] indices */
    size_t n;     /* images */
    void *values; /* until the engine has its own copy */
    char id[API_LABEL_MAX + 1]; /* the client's, or empty */
};

/* api_kserve_server.c: routes that are answered at once. */
api_handler api_kserve_server, api_kserve_live, api_kserve_ready, api_kserve_model,
    api_kserve_index, api_kserve_statistics, api_kserve_model_ready;

/* api_kserve_read.c: tensors of a request. */
struct kserve_tensor {
    const json_t *data;       /* flat or nested along the shape; NULL: bytes */
    const unsigned char *raw; /* count values, little-endian */
    bool is_signed;           /* of integers: INT64 */
    uint64_t shape[4];
    size_t rank, count;
    char pointer[64];
};
struct kserve_tensors {
    struct kserve_tensor seed, index, latents; /* rank 0: not given */
};
/* Reads "inputs", the bytes from `binary` on. 0, or -1 with a problem. */
int kserve_tensors_read(const json_t *inputs, const unsigned char *binary, size_t length,
                        struct kserve_tensors *out, struct http_problem *p);
/* Its values into out [count]. 0, or -1 with a problem. */
int kserve_tensor_integers(const struct kserve_tensor *t, uint64_t *out, struct http_problem *p);
int kserve_tensor_reals(const struct kserve_tensor *t, double *out, struct http_problem *p);

#endif
