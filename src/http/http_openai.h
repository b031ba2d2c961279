/* POST /v1/images/generations, the images route of OpenAI's interface, for programs that speak it
 * already: its fields become ours and go the same way, its answer and its errors have its shape.
 *
 * The prompt is no condition of these models. On a model that knows classes it names one
 * (http_prompt.h); a prompt that names none is an error that lists them, since these clients show
 * pictures and errors and no more. On a model without classes it counts for nothing, and the answer
 * says so ("pfgm": {"prompt": "ignored"}). */
#ifndef HTTP_OPENAI_H
#define HTTP_OPENAI_H

#include "http_app.h"

#define HTTP_OPENAI_N_MAX 10

/* Our fields out of the body (borrowed), a new reference; NULL: a 422, or 404 for a model that is
 * not there. Fills work->openai, and holds the model in work->asked.model. */
json_t *http_openai_fields(struct http_app *app, const json_t *body, struct http_work *work,
                           struct http_problem *p);
/* The answer to a request that ended well; a new reference or NULL. */
json_t *http_openai_answer(struct http_app *app, const struct http_request *q,
                           const struct http_work *work, const struct engine_request *done);
/* Puts {"error": {"message", "type", "param", "code"}} in the place of a problem. */
void http_openai_problem(struct http_reply *r);

#endif
