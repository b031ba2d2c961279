/* Errors as RFC 9457 application/problem+json. One table ties each code to its status and title;
 * handlers name a code and say what was wrong, and nothing else decides a status of an error. */
#ifndef HTTP_PROBLEM_H
#define HTTP_PROBLEM_H

#include "http_reply.h"

enum http_problem_code {
    HTTP_PROBLEM_NONE = 0,
    HTTP_PROBLEM_BAD_REQUEST,
    HTTP_PROBLEM_MALFORMED_JSON,
    HTTP_PROBLEM_UNAUTHENTICATED,
    HTTP_PROBLEM_FORBIDDEN,
    HTTP_PROBLEM_NOT_FOUND,
    HTTP_PROBLEM_METHOD_NOT_ALLOWED,
    HTTP_PROBLEM_NOT_ACCEPTABLE,
    HTTP_PROBLEM_REQUEST_TIMEOUT,
    HTTP_PROBLEM_IDEMPOTENCY_CONFLICT,
    HTTP_PROBLEM_GONE,
    HTTP_PROBLEM_PRECONDITION_FAILED,
    HTTP_PROBLEM_CONTENT_TOO_LARGE,
    HTTP_PROBLEM_UNSUPPORTED_MEDIA_TYPE,
    HTTP_PROBLEM_EXPECTATION_FAILED,
    HTTP_PROBLEM_MISDIRECTED,
    HTTP_PROBLEM_INVALID_PARAMETER,
    HTTP_PROBLEM_QUOTA_EXCEEDED,
    HTTP_PROBLEM_HEAD_TOO_LARGE,
    HTTP_PROBLEM_INTERNAL,
    HTTP_PROBLEM_NUMERICAL_FAILURE,
    HTTP_PROBLEM_NOT_IMPLEMENTED,
    HTTP_PROBLEM_QUEUE_FULL,
    HTTP_PROBLEM_LOADING,
    HTTP_PROBLEM_DRAINING,
    HTTP_PROBLEM_JOBS_OFF,
    HTTP_PROBLEM_DEADLINE_EXCEEDED,
    HTTP_PROBLEM_STORE_FULL,
    HTTP_PROBLEMS
};

struct http_problem {
    enum http_problem_code code;
    char detail[800];
    json_t *errors;     /* array of {"pointer", "detail"}, or NULL */
    size_t error_count; /* that there should be in it */
    bool no_model;      /* what was not found is a model */
    int retry_after_s;  /* 0: not said */
    int64_t limit;      /* -1: not said */
    json_t *available;  /* what a 406 lists, or NULL */
    char allow[64];     /* what a 405 lists */
    bool close;
};
#define HTTP_PROBLEM_ERRORS_MAX 32

void http_problem_init(struct http_problem *p);
/* Also after http_problem_reply, harmlessly. */
void http_problem_clear(struct http_problem *p);

/* Sets code and detail. The first one wins: a later problem of the same request does not hide it.
 */
void http_problem_set(struct http_problem *p, enum http_problem_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Makes it a 422 (unless something else was set first) and adds one entry to `errors`, at most
 * HTTP_PROBLEM_ERRORS_MAX. `pointer` is an RFC 6901 pointer into the request's body. */
void http_problem_point(struct http_problem *p, const char *pointer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* 404: no model has that name. */
void http_problem_no_model(struct http_problem *p, const char *name);
/* Adds to `pointer` [size] the step "/key" with '~' and '/' escaped; a long key is cut. */
void http_pointer_step(char *pointer, size_t size, const char *key);

unsigned http_problem_status(enum http_problem_code code);
const char *http_problem_word(enum http_problem_code code);
/* The first code of the table that has that status; BAD_REQUEST when none has. */
enum http_problem_code http_problem_of(unsigned status);

/* {"message", "type", "param", "code"}, which many clients read and nothing else; a new reference
 * or NULL. */
json_t *http_problem_error(const struct http_problem *p);
/* The problem's own object, with that as "error"; a new reference or NULL. */
json_t *http_problem_json(const struct http_problem *p, const char *id);
/* The problem as the answer, said as r->problem_json does; `id` names the request in "instance".
 * Sets Allow, Retry-After and Connection as the problem asks. */
void http_problem_reply(struct http_problem *p, const char *id, struct http_reply *r);

#endif
