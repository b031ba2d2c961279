/* What is said about jobs: their JSON and their problems. For the files of src/http/api only. */
#ifndef API_JOBS_ANSWER_H
#define API_JOBS_ANSWER_H

#include "http_app.h"
#include "http_problem.h"
#include "http_request.h"
#include "jobs.h"

/* Whether there are jobs here; else the 503 that says what turns them on. */
bool api_jobs_are_on(const struct http_app *app, struct http_problem *p);
/* The job of the path, if it is the client's; else the reply is complete. */
bool api_jobs_find(struct http_app *app, const struct http_request *q, struct jobs_record *out,
                   struct http_reply *r);
/* The job resource. New reference or NULL. */
json_t *api_jobs_json(struct http_app *app, const struct http_request *q,
                      const struct jobs_record *r);
/* The problem of an answer that is not JOBS_DONE. */
void api_jobs_problem(enum jobs_answer answer, const struct err *e, struct http_problem *p);
/* The parameters as they are kept (jobs_order.c); NULL for want of memory. */
json_t *api_jobs_parameters(const struct jobs_record *r);

#endif
