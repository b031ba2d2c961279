/* The fields of a request for images: JSON in, plain data out, every wrong field named by its
 * pointer. Pure functions; nothing here knows the engine's state or the connection. */
#ifndef API_ORDER_H
#define API_ORDER_H

#include "engine.h"
#include "http_negotiate.h"
#include "http_problem.h"

#define API_MODEL_NAME_MAX 64 /* bytes; engine_model_add's limit */
#define API_COLUMNS_MAX 1024
#define API_SCALE_MAX 16
#define API_SHEET_MAX (32 << 20) /* bytes of a sheet's pixels */
#define API_LABEL_MAX 128        /* bytes */
#define API_TIMEOUT_MAX 86400.0
#define API_CLASS_NAME_MAX 128 /* bytes; the checkpoint's limit */

/* What "class" says; which classes there are is the model's to know. */
enum api_class { API_CLASS_ABSENT, API_CLASS_NULL, API_CLASS_NUMBER, API_CLASS_NAME };

struct api_order {
    char model[API_MODEL_NAME_MAX + 1]; /* empty: the default model */
    size_t n;                           /* 1 to n_max */
    bool seed_given;
    uint64_t seed, first_index; /* first_index + n ≤ 2^64 */
    struct model_choice solver;
    enum api_class class;
    int32_t class_number;
    char class_name[API_CLASS_NAME_MAX + 1];
    double temperature; /* 0: absent */
    bool grid_given;
    int columns, scale; /* columns 0: as square as it gets */
    bool embed_metadata;
    bool format_given; /* what the answer is when neither query nor Accept say */
    enum http_format format;
    bool float32; /* dtype: samples instead of pixels */
    bool chw;     /* layout */
    bool dtype_given, layout_given;
    int preview_every;
    double timeout_s; /* 0: none */
    enum engine_priority priority;
    char label[API_LABEL_MAX + 1];
};

/* Reads the body of POST /v1/images. Collects every fault it can find, then returns -1 with a 422;
 * 0 and *out complete otherwise. Integers never pass through a double; seeds and first_index also
 * come as decimal strings up to 2^64 - 1. */
int api_order_parse(const json_t *body, size_t n_max, struct api_order *out,
                    struct http_problem *p);

/* The same piece by piece, for interfaces whose bodies are arranged otherwise: the defaults; one
 * field, or member of "solver", with its faults under the pointer that it has here; and what can
 * only be judged of the whole. -1 with a 422. */
void api_order_init(struct api_order *out);
int api_order_field(struct api_order *o, const char *key, const json_t *value, size_t n_max,
                    struct http_problem *p);
int api_order_solver_field(struct api_order *o, const char *key, const json_t *value,
                           struct http_problem *p);
int api_order_end(const struct api_order *o, struct http_problem *p);

/* The model's solver with what the choice changes; -1 with a 422. */
int api_order_solver(const struct model_choice *choice, const struct model *m,
                     struct model_solver *out, struct http_problem *p);
/* The same of an edit under a mask (model_solver_choose_once). */
int api_order_solver_once(const struct model_choice *choice, const struct model *m,
                          struct model_solver *out, struct http_problem *p);
/* The same of a path up, whose default is `base` (model_solver_choose_forward). */
int api_order_solver_forward(const struct model_choice *choice, const struct model *m,
                             const struct model_solver *base, struct model_solver *out,
                             struct http_problem *p);

#endif
