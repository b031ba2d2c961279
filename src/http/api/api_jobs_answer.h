/* What is said about jobs: their JSON and their problems. For the files of src/http/api only. */
#ifndef API_JOBS_ANSWER_H
#define API_JOBS_ANSWER_H

#include "http_app.h"
#include "http_problem.h"
#include "http_request.h"
#include "image_png_read.h"
#include "jobs.h"

/* Whether there are jobs here; else the 503 that says what turns them on. */
bool api_jobs_are_on(const struct http_app *app, struct http_problem *p);
/* The job of the path, if it is the client's and can be read; else the reply is complete. `kept`,
 * if it is not NULL, is what is kept of its order, to be cleared. */
bool api_jobs_find(struct http_app *app, const struct http_request *q, struct jobs_record *out,
                   struct jobs_kept *kept, struct http_reply *r);
/* What the query of an image or an archive says; NULL: nothing. */
struct api_jobs_choice {
    const char *format, *layout;
    char values[2][HTTP_QUERY_MAX];
};
/* -1: there are other parameters in it. */
int api_jobs_choose(const struct http_request *q, bool has_layout, struct api_jobs_choice *out,
                    struct http_problem *p);
/* The job resource. New reference, or NULL for want of memory or where it cannot be read. */
json_t *api_jobs_json(struct http_app *app, const struct http_request *q,
                      const struct jobs_record *r);
/* The problem of an answer that is not JOBS_DONE. */
void api_jobs_problem(enum jobs_answer answer, const struct err *e, struct http_problem *p);
/* The values of a stored image: bytes [H,W,C], of a PNG in `png`, whose pixels are to be freed, or
 * floats [C,H,W] of a sample. NULL: it is not what is kept of its job. */
const unsigned char *api_jobs_values(const struct jobs_kept *kept, const struct buf *stored,
                                     struct image_png *png);
/* How many bytes those are. */
size_t api_jobs_value_bytes(const struct jobs_kept *kept);

#endif
