/* Interfaces: how each says a request for work. A row says it all, one file a row, and a route
 * names its row; the common path (api_call.c) is
 *
 *     pin → read → resolve → submit → answer
 *
 * and asks nobody which interface speaks. The model is pinned once and first, and every size is
 * taken from the pinned one: a reload meanwhile changes nothing for a request that has begun. */
#ifndef API_DIALECT_H
#define API_DIALECT_H

#include "api_call.h"

/* In which formats an answer may come. */
struct api_formats {
    bool in_query; /* the fields are in the query, so that ?format= is one of them */
    bool png;      /* unless something else is asked for */
    bool available[HTTP_FORMATS];
};

struct api_dialect {
    const char *media; /* what a body may be, in the words of a 415 */
    bool octets;       /* or bytes behind a JSON head */
    bool large;        /* a body may have API_LARGE_BODY_MAX bytes */
    bool pictures;     /* answers hold images, which have a layout, a type of numbers and a size */
    enum engine_class_rule unnamed; /* of images for which no class is named */
    size_t own;                     /* bytes of call->own, which begin as zeros */

    /* Holds the model that the request is for, in call->asked.model; it may leave it out where the
     * fields say which, and then there is none of that name, or `read` says what is wrong with
     * them. -1 with a problem. */
    int (*pin)(struct http_app *app, struct http_request *q, struct api_call *call,
               struct http_problem *p);
    /* Body or query into call->order, and call->own for what has no place there. */
    int (*read)(struct http_app *app, struct http_request *q, struct api_call *call,
                struct http_problem *p);
    /* The model's solver with what the request changes; NULL: as api_order_solver does. */
    int (*solver)(const struct api_call *call, const struct model *m, struct model_solver *out,
                  struct http_problem *p);
    /* NULL: JSON alone. */
    void (*formats)(const struct http_request *q, const struct api_call *call,
                    struct api_formats *out);
    /* What else the engine is to do, into an order that has everything from the fields; it borrows
     * from `call` until that is released. NULL: nothing. */
    int (*order)(struct http_app *app, const struct http_request *q, struct api_call *call,
                 struct engine_order *out, struct http_problem *p);
    /* Whether the client has the answer already; fills the reply then. NULL: never. */
    bool (*known)(const struct http_request *q, struct api_call *call,
                  const struct engine_order *order, struct http_reply *r);
    /* What becomes of the order in the place of a submission to the engine, for dialects whose work
     * outlives the connection; fills the reply. NULL: it is submitted. */
    void (*take)(struct http_app *app, const struct http_request *q, struct api_call *call,
                 struct http_reply *r);
    /* Completes call->next, the order that follows, from the request that has ended well. Of those
     * that ever set it. */
    void (*follow)(struct api_call *call, const struct engine_request *done);
    /* The whole answer of a request that ended well. */
    void (*answer)(struct http_app *app, const struct http_request *q, const struct api_call *call,
                   const struct engine_request *done, struct http_reply *r);
    /* About how many bytes an image of d values has in that answer, and takes while it is written.
     * NULL: a picture in the call's format. */
    size_t (*bytes)(const struct api_call *call, size_t d);
    /* Headers of its own, of an answer in pieces. NULL: none. */
    void (*head)(const struct http_request *q, const struct api_call *call, struct http_reply *r);
    /* A problem as JSON, a new reference or NULL. NULL: ours, which is application/problem+json. */
    json_t *(*problem)(const struct http_problem *p);
    /* Frees what call->own holds; called when the engine has its own copy, or has refused, and
     * again at the end. NULL: it holds nothing. */
    void (*release)(struct api_call *call);
};

/* The rows; those of interfaces that are not ours stand in headers of their own. */
extern const struct api_dialect api_native, api_link, api_encode, api_decode, api_interpolate,
    api_likelihood, api_edit, api_jobs_dialect;

/* The row of the route; but that of jobs where the client prefers not to wait (Prefer:
 * respond-async) and there are jobs. */
const struct api_dialect *api_jobs_dialect_for(const struct http_app *app,
                                               const struct http_request *q);

/* ---- what several rows share ---- */

/* `pin` of those whose body (or query) is an object of fields, "model" among them. The object is
 * kept in call->document. */
int api_native_pin(struct http_app *app, struct http_request *q, struct api_call *call,
                   struct http_problem *p);
/* Holds the model of that name, the default for NULL or an empty one. */
void api_pin_name(struct http_app *app, struct api_call *call, const char *name);
/* The same for the member "model" of call->document. */
void api_pin_field(struct http_app *app, struct api_call *call);
/* `read` of those whose fields are exactly those of POST /v1/images. */
int api_native_read(struct http_app *app, struct http_request *q, struct api_call *call,
                    struct http_problem *p);
void api_native_formats(const struct http_request *q, const struct api_call *call,
                        struct api_formats *out);
/* `answer` of images: JSON with links, or one picture. */
void api_native_answer(struct http_app *app, const struct http_request *q,
                       const struct api_call *call, const struct engine_request *done,
                       struct http_reply *r);
/* The JSON alone. */
json_t *api_native_json(struct http_app *app, const struct http_request *q,
                        const struct api_call *call, const struct engine_request *done);
/* Body, type and name of a picture. -1: the reply is a bare 500. */
int api_picture(const struct api_call *call, const struct engine_request *done,
                struct http_reply *r);
/* Content-Disposition of an answer in the call's format. */
void api_name_file(const struct api_call *call, const struct engine_order *order,
                   struct http_reply *r);

#endif
