/* A body as it comes: within its limit, within what all bodies may take at a time, and kept as
 * bytes or, of a form, as parts. What is refused is read on for a while and dropped. */
#include "http_exchange.h"
#include "http_room.h"

void http_incoming_clear(struct http_exchange *x)
{
    buf_clear(&x->request.body);
    http_form_clear(&x->request.form);
    http_multipart_free(x->multipart);
    x->multipart = NULL;
    if (x->holds)
        http_room_leave_body(&x->app->wait, x->connection);
    x->holds = false;
}

/* Whether the body may go on to grow by a piece that has come: all bodies share some memory. */
static bool may_grow(struct http_exchange *x, size_t piece)
{
    struct http_problem p;
    if (x->body_seen <= HTTP_READ_AT_ONCE)
        return true;
    x->holds = true;
    if (http_room_take_body(&x->app->wait, x->connection, piece,
                            x->body_seen > x->app->options->body_max))
        return true;
    http_problem_init(&p);
    http_problem_set(&p, HTTP_PROBLEM_QUEUE_FULL,
                     "as many large bodies are being read as there is memory for, and no more are "
                     "taken meanwhile");
    p.retry_after_s = 1;
    http_problem_reply(&p, x->request.id, &x->reply);
    return false;
}

/* The reply is decided, and what has come is let go. */
static void refuse(struct http_exchange *x, struct http_problem *p)
{
    http_incoming_clear(x);
    http_problem_reply(p, x->request.id, &x->reply);
    x->refused = true;
}

/* Keeps a piece of the body, or what is in it of a form. */
static void keep_piece(struct http_exchange *x, struct MHD_Connection *mhd, const char *data,
                       size_t size)
{
    struct http_request *q = &x->request;
    const bool form = q->media == HTTP_MEDIA_FORM;
    struct http_problem p;
    http_problem_init(&p);
    if (form && !x->multipart)
        x->multipart = http_multipart_new(mhd, &q->form, q->body.max);
    if (form ? !x->multipart : buf_append(&q->body, data, size, NULL) != 0)
        http_problem_set(&p, HTTP_PROBLEM_INTERNAL, "out of memory");
    else if (form)
        http_multipart_feed(x->multipart, data, size, &p);
    if (p.code != HTTP_PROBLEM_NONE)
        refuse(x, &p);
}

void http_incoming_end(struct http_exchange *x)
{
    struct http_problem p;
    http_problem_init(&p);
    if (!x->refused && x->multipart && http_multipart_feed(x->multipart, NULL, 0, &p) != 0)
        refuse(x, &p);
}

enum MHD_Result http_incoming_piece(struct http_exchange *x, struct MHD_Connection *mhd,
                                    const char *data, size_t *size)
{
    size_t limit = x->request.body.max, piece = *size;
    x->body_seen += piece; /* cannot wrap: the next lines end it at a few times the limit */
    x->endless = x->body_seen > (HTTP_LINGER_FACTOR + 1) * limit;
    if (x->endless || !http_room_body_came(&x->app->wait, x->connection, piece))
        return MHD_NO; /* the completion callback answers */
    if (!x->refused && x->body_seen > limit) {
        struct http_problem p;
        http_problem_init(&p);
        http_head_too_large(x, &p);
        refuse(x, &p);
    }
    const bool kept = !x->refused && x->request.route->has_body; /* without a route it is refused */
    if (kept && may_grow(x, piece)) {
        keep_piece(x, mhd, data, piece);
    } else if (kept) {
        http_incoming_clear(x);
        x->refused = true;
    }
    *size = 0;
    return MHD_YES;
}
