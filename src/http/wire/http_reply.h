/* An answer before it is sent: status, headers, body. It is not to be copied. Handlers fill one and
 * never see the HTTP library; the server turns it into a response. Owned by the exchange, used by
 * one thread at a time.
 */
#ifndef HTTP_REPLY_H
#define HTTP_REPLY_H

#include "base_buf.h"
#include "base_json.h"

/* Their results can be forgotten, and then an answer lacks a member: json_with and json_plus here.
 * So do the optional members of json_pack ("o*", "o?"), for which tests/house looks. */
#pragma GCC poison json_object_set json_object_set_new json_object_set_nocheck
#pragma GCC poison json_object_set_new_nocheck json_object_update json_array_append
#pragma GCC poison json_array_append_new json_array_insert json_array_insert_new json_array_extend

#define HTTP_REPLY_HEADERS_MAX 24
#define HTTP_REPLY_VALUES_MAX 6144 /* bytes of all values: a link takes up to 1,400 of them */
#define HTTP_REPLY_BODY_MAX ((size_t)512 << 20) /* the largest sheet in base64 is below 350 MiB */

struct http_reply_header {
    const char *name;  /* static text */
    const char *value; /* in the reply's block of values */
};

struct http_problem;

struct http_reply {
    unsigned status;          /* 0: nothing decided yet */
    const char *content_type; /* static text; NULL without a body */
    struct buf body;
    const void
        *constant; /* in the place of `body`: of the program, so that none has a copy of it */
    size_t constant_length;
    struct http_reply_header headers[HTTP_REPLY_HEADERS_MAX];
    size_t header_count;
    char values[HTTP_REPLY_VALUES_MAX]; /* one after the other, each with a NUL */
    size_t values_length;
    int problem; /* enum http_problem_code of the answer, for the counters */
    /* How a problem is said to this client; NULL: as ours. */
    json_t *(*problem_json)(const struct http_problem *p);
    bool cachable; /* it says itself how long it may be kept */
    bool close;    /* end the connection after this answer */
};

void http_reply_init(struct http_reply *r);
void http_reply_clear(struct http_reply *r);
/* Forgets the answer that it has, so that another one may take its place. How the client is spoken
 * to, and whether the connection ends, stay. */
void http_reply_restart(struct http_reply *r);

/* Adds a header; `name` must outlive the reply. One whose value has no place is left out: a part of
 * it would say something else. Control characters in it become '?', so that nothing from outside
 * can start a header of its own.
 */
void http_reply_header(struct http_reply *r, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Makes the answer of bytes that outlive every reply, and are not copied. */
void http_reply_constant(struct http_reply *r, const char *content_type, const void *data,
                         size_t length);

/* Makes `body` (reference taken, NULL counts as out of memory) the answer, with one line feed after
 * it. When memory runs out the answer becomes a bare 500 instead. */
void http_reply_json(struct http_reply *r, unsigned status, const char *content_type, json_t *body);

/* Drops what was filled and leaves a bare 500 problem that needs no memory to speak of. */
void http_reply_fail(struct http_reply *r);

#endif
