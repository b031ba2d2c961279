/* POST /v1/images/generations, /v1/images/edits and /v1/images/variations, the images routes of
 * OpenAI's interface, for programs that speak it already: its fields become ours and go the same
 * way, its answer and its errors have its shape.
 *
 * The prompt is no condition of these models. On a model that knows classes it names one
 * (api_prompt.h); a prompt that names none is an error that lists them, since these clients show
 * pictures and errors and no more. On a model without classes it counts for nothing, and the answer
 * says so ("pfgm": {"prompt": "ignored"}). For the files of src/http/api only. */
#ifndef API_OPENAI_H
#define API_OPENAI_H

#include "api_dialect.h"

#define API_OPENAI_N_MAX 10

extern const struct api_dialect api_openai, api_openai_edits, api_openai_variations;

/* What it asked for beside our fields: call->own. */
struct openai_call {
    bool url;
    bool prompted; /* with something in the prompt */
    bool named;    /* which names the class */
    /* Of edits and variations. */
    double *image; /* [d], until the engine has its own copy */
    uint8_t *kept; /* [d], or NULL */
    double strength;
    bool strength_given;
};

/* The answer to a request that ended well; a new reference or NULL. */
json_t *api_openai_answer(struct http_app *app, const struct http_request *q,
                          const struct api_call *call, const struct engine_request *done);

#endif
