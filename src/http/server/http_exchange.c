/* libmicrohttpd's callbacks.
 *
 * An exchange is one request on a connection. It is born in the URI callback (the only place where
 * the raw target is to be had), fed by the access handler and freed in the completion callback; all
 * three run on the thread that serves the connection. The access handler is called once with the
 * head, then for each piece of the body, then once more; after a suspension once again. An answer
 * in pieces is pulled by the library through the content reader, on the same thread.
 *
 * The library does not always keep that order: where it gives up on a head it may close the
 * connection and never say so. Therefore the exchange belongs to our entry of the connection
 * (struct http_connection), and ends with it at the latest.
 *
 * Refusals that leave the framing in doubt, and those to a client that waits for "100 Continue",
 * are sent at once and close the connection. Other refusals come after the body has been read and
 * dropped, so that the connection stays usable and the client, still writing, does not lose the
 * answer to a reset. A body over the limit is read on for a while for the same reason. One that
 * does not end, or does not come, is answered past the library (http_last_word.c).
 *
 * A large body is made sense of by the reader's thread (http_reader.h) while the connection sleeps,
 * so the exchange can neither end nor be touched by anybody else until that is done. */
#include "http_exchange.h"

#include "http_cors.h"
#include "http_last_word.h"
#include "http_room.h"

#include "base_cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#define PIECE 32768 /* the most that the content reader is asked for at once */

static void draw_id(char id[HTTP_ID_MAX + 1])
{
    unsigned char bytes[12];
    if (getrandom(bytes, sizeof bytes, GRND_NONBLOCK) != (ssize_t)sizeof bytes) {
        int64_t now = clock_ns(); /* before the system has randomness; unique enough for a log */
        memset(bytes, 0, sizeof bytes);
        memcpy(bytes, &now, sizeof now);
    }
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(id + 2 * i, 3, "%02x", bytes[i]);
}

/* Lets go of the ticket, and keeps what is known of the time its work took. */
static void let_go(struct http_exchange *x)
{
    struct http_ticket *t = x->call.ticket;
    if (!t)
        return;
    x->timed = http_ticket_look(t).finished && t->request;
    if (x->timed)
        x->times = api_call_timings(&x->call);
    http_ticket_drop(t, x->connection);
    x->call.ticket = NULL;
}

/* Says what became of it and frees it. */
static void end(struct http_exchange *x, bool delivered)
{
    struct http_wait *wait = &x->app->wait;
    if (x->stream && !api_stream_complete(x->stream) && http_ticket_look(x->call.ticket).gone)
        x->reply.status = HTTP_CLIENT_GONE;
    api_stream_free(x->stream);
    let_go(x);
    http_connection_phase(wait, x->connection, HTTP_PHASE_HEAD);
    http_exchange_account(x, delivered);
    /* Between requests a proxy's connection is its own, and no client's. */
    http_connection_name(wait, x->connection, x->connection->peer);
    x->connection->exchange = NULL;
    api_call_end(x->app, &x->request, &x->call);
    http_incoming_clear(x);
    http_room_leave_answer(wait, x->connection);
    http_reply_clear(&x->reply);
    free(x->raw_target);
    free(x);
    http_wait_count(wait, -1);
}

/* Adds what every answer has, once and before it is sent. */
static void complete_reply(struct http_exchange *x)
{
    struct http_reply *r = &x->reply;
    http_reply_header(r, "X-Request-Id", "%s", x->request.id);
    if (r->content_type)
        http_reply_header(r, "Content-Type", "%s", r->content_type);
    if (!r->cachable)
        http_reply_header(r, "Cache-Control", "no-store");
    if (r->close)
        http_reply_header(r, "Connection", "close");
    http_cors_headers(x->app->options, &x->request, r);
}

/* Sends the reply past the library, on a connection that is about to end. */
static bool say_last_word(struct http_exchange *x, void *tls)
{
    x->reply.close = true;
    complete_reply(x);
    return http_last_word(&x->reply, x->connection, tls);
}

/* The library closed the connection without a word to anybody: most likely it gave up on a head,
 * where the pieces into which it takes cookies apart had no place. */
static void abandon(struct http_exchange *x)
{
    struct http_problem p;
    bool delivered = false;
    http_problem_init(&p);
    if (x->stage == HTTP_STAGE_HEAD) {
        http_problem_set(
            &p, HTTP_PROBLEM_HEAD_TOO_LARGE,
            "the fields of the head, or the cookies in them, are too many or too long");
        http_problem_reply(&p, x->request.id, &x->reply);
        delivered = say_last_word(x, NULL);
    }
    end(x, delivered);
}

/* What the library answered by itself to a request that it had begun to hand over. */
static void take_library_answer(struct http_exchange *x, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_HTTP_STATUS);
    if (!info)
        return;
    x->reply.status = info->http_status;
    x->reply.problem = (int)http_problem_of(info->http_status);
}

/* Its body never came to an end: too slow, or far too long. */
static bool cut_body(struct http_exchange *x, struct MHD_Connection *mhd)
{
    struct http_problem p;
    http_problem_init(&p);
    if (!x->refused) {
        if (x->connection->displaced)
            http_problem_set(
                &p, HTTP_PROBLEM_REQUEST_TIMEOUT,
                "a body that comes slower than %zu bytes per second gives way to those that "
                "wait (%zu bytes came)",
                HTTP_LEAST_RATE, x->body_seen);
        http_problem_set(&p, HTTP_PROBLEM_REQUEST_TIMEOUT,
                         "the body did not arrive within %d s (%zu bytes came)",
                         x->app->options->read_s, x->body_seen);
        http_problem_reply(&p, x->request.id, &x->reply);
    }
    const union MHD_ConnectionInfo *tls =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    return say_last_word(x, tls ? tls->tls_session : NULL);
}

/* The library calls it silence when the system takes no more, which it does not of a slow reader
 * until a large part of what it holds has been read. So while an answer is sent the watcher sees to
 * silence alone: it knows what the reader has taken. */
static void limit_silence(const struct http_exchange *x, struct MHD_Connection *mhd, bool limited)
{
    MHD_set_connection_option(mhd, MHD_CONNECTION_OPTION_TIMEOUT,
                              limited ? (unsigned)x->app->options->idle_s : 0u);
}

void http_exchange_completed(void *context, struct MHD_Connection *mhd, void **request_context,
                             enum MHD_RequestTerminationCode code)
{
    (void)context;
    struct http_exchange *x = *request_context;
    if (!x)
        return;
    *request_context = NULL;
    if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        limit_silence(x, mhd, true);
    bool delivered = code == MHD_REQUEST_TERMINATED_COMPLETED_OK &&
                     x->stage == HTTP_STAGE_ANSWERED &&
                     (!x->stream || x->bodiless || api_stream_complete(x->stream));
    if (x->stage == HTTP_STAGE_BODY &&
        (x->endless || http_connection_cut(&x->app->wait, x->connection)))
        delivered = cut_body(x, mhd);
    else if (x->stage < HTTP_STAGE_WORK)
        take_library_answer(x, mhd);
    end(x, delivered);
}

/* The library would take the query apart into a list for which its memory may not be enough, and
 * then forget the request. We read it ourselves, so it is cut off in the library's own copy. */
static void spare_query(const char *uri)
{
    char *query = strchr((char *)(uintptr_t)uri, '?');
    if (query)
        query[1] = '\0';
}

void *http_exchange_uri(void *context, const char *uri, struct MHD_Connection *mhd)
{
    const struct http_listener *l = context;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http_connection *connection = info ? info->socket_context : NULL;
    struct http_exchange *x = connection ? calloc(1, sizeof *x) : NULL;
    if (!x)
        return NULL;
    x->raw_target = strdup(uri);
    if (!x->raw_target) {
        free(x);
        return NULL;
    }
    spare_query(uri);
    x->app = l->app;
    x->listener = l;
    x->connection = x->call.connection = connection;
    x->started_ns = clock_ns();
    http_reply_init(&x->reply);
    buf_init(&x->request.body, l->app->options->body_max);
    draw_id(x->request.id);
    http_head_speak(x);
    http_wait_count(&l->app->wait, 1);
    if (connection->exchange)
        abandon(connection->exchange);
    http_connection_name(&l->app->wait, connection,
                         connection->peer); /* a proxy's next request is another client's */
    connection->exchange = x;
    return x;
}

void http_exchange_connection(void *context, struct MHD_Connection *mhd, void **socket_context,
                              enum MHD_ConnectionNotificationCode what)
{
    const struct http_listener *l = context;
    struct http_connection *connection = *socket_context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        *socket_context =
            info ? http_connection_open(&l->app->wait, info->connect_fd, !l->tls) : NULL;
    } else if (connection) {
        if (connection->exchange)
            abandon(connection->exchange);
        http_connection_close(&l->app->wait, connection);
        *socket_context = NULL;
    }
}

/* Queues the complete reply. The response is released in any case. */
static enum MHD_Result queue(struct http_exchange *x, struct MHD_Connection *mhd,
                             struct MHD_Response *response)
{
    struct http_reply *r = &x->reply;
    if (!response)
        return MHD_NO;
    enum MHD_Result ok = MHD_YES;
    for (size_t i = 0; i < r->header_count && ok == MHD_YES; i++)
        ok = MHD_add_response_header(response, r->headers[i].name, r->headers[i].value);
    if (ok == MHD_YES)
        ok = MHD_queue_response(mhd, r->status, response);
    MHD_destroy_response(response);
    limit_silence(x, mhd, false);
    x->stage = HTTP_STAGE_ANSWERED;
    http_connection_phase(&x->app->wait, x->connection, HTTP_PHASE_SEND);
    return ok;
}

/* The answer is that there is no memory for one. */
static void refuse_for_room(struct http_exchange *x)
{
    struct http_problem p;
    http_problem_init(&p);
    http_problem_set(&p, HTTP_PROBLEM_QUEUE_FULL,
                     "as many answers wait to be read as there is memory for");
    p.retry_after_s = 1;
    http_reply_restart(&x->reply);
    http_problem_reply(&p, x->request.id, &x->reply);
}

/* Hands the reply to the library. The body's memory goes with it. On the admin socket, which has
 * few connections, there is always room. */
static enum MHD_Result send_reply(struct http_exchange *x, struct MHD_Connection *mhd)
{
    struct http_reply *r = &x->reply;
    size_t length = 0;
    if (x->listener->where == HTTP_PUBLIC &&
        !http_room_send_answer(&x->app->wait, x->connection, r->body.length))
        refuse_for_room(x);
    complete_reply(x);
    if (r->constant)
        return queue(x, mhd,
                     MHD_create_response_from_buffer(r->constant_length,
                                                     (void *)(uintptr_t)r->constant,
                                                     MHD_RESPMEM_PERSISTENT));
    unsigned char *body = buf_take(&r->body, &length);
    struct MHD_Response *response = MHD_create_response_from_buffer(
        length, body, body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (!response)
        free(body);
    return queue(x, mhd, response);
}

struct reader {
    struct http_exchange *exchange;
    struct MHD_Connection *mhd;
};

/* The rest of an answer in pieces will never come. The library then only marks the connection as
 * closed, and looks at what is marked when nothing older is on its thread: behind an idle
 * connection it would stay. One that wakes is looked at, so this one is put to sleep and woken at
 * once. */
static ssize_t break_off(struct MHD_Connection *mhd)
{
    MHD_suspend_connection(mhd);
    MHD_resume_connection(mhd);
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

/* The library has room for more of an answer in pieces. Without anything to send the connection
 * must sleep, or the library would ask again at once, for ever. */
static ssize_t read_stream(void *context, uint64_t position, char *buffer, size_t max)
{
    (void)position;
    struct reader *r = context;
    struct http_exchange *x = r->exchange;
    for (;;) {
        int64_t wake_ns = 0;
        ssize_t n = api_stream_read(x->stream, buffer, max, &wake_ns);
        if (n > 0) {
            http_connection_phase(&x->app->wait, x->connection, HTTP_PHASE_SEND);
            return n;
        }
        if (n == API_STREAM_END)
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (n == API_STREAM_BROKEN)
            return break_off(r->mhd);
        if (http_ticket_sleep(x->call.ticket, x->connection, r->mhd, x->stream->taken, wake_ns))
            return 0;
    }
}

/* Sends x->stream, whose head the reply has. */
static enum MHD_Result send_pieces(struct http_exchange *x, struct MHD_Connection *mhd)
{
    struct reader *r = malloc(sizeof *r);
    if (!r) {
        http_reply_fail(&x->reply);
        return send_reply(x, mhd);
    }
    *r = (struct reader){x, mhd};
    const uint64_t length = x->stream->length;
    complete_reply(x);
    struct MHD_Response *response = MHD_create_response_from_callback(
        length == UINT64_MAX ? MHD_SIZE_UNKNOWN : length, PIECE, read_stream, r, free);
    if (!response)
        free(r);
    return queue(x, mhd, response);
}

static enum MHD_Result send_stream(struct http_exchange *x, struct MHD_Connection *mhd)
{
    x->stream = api_stream_new(x->app, &x->request, &x->call);
    if (!x->stream) {
        http_reply_fail(&x->reply);
        return send_reply(x, mhd);
    }
    api_call_head(&x->request, &x->call, &x->reply);
    return send_pieces(x, mhd);
}

static enum MHD_Result collect_field(void *context, enum MHD_ValueKind kind, const char *key,
                                     size_t key_length, const char *value, size_t value_length)
{
    (void)kind;
    struct http_head *head = context;
    if (head->count == HTTP_FIELDS_MAX) {
        head->overflow = true;
        return MHD_NO;
    }
    head->fields[head->count++] =
        (struct http_field){key, value ? value : "", key_length, value ? value_length : 0};
    return MHD_YES;
}

static enum MHD_Result on_head(struct http_exchange *x, struct MHD_Connection *mhd,
                               const char *target, const char *method, const char *version)
{
    const union MHD_ConnectionInfo *size =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    struct http_head head = {
        .layout = {method, target, version, strlen(x->raw_target), size ? size->header_size : 0}};
    struct http_framing framing = {0};
    struct http_problem p;
    http_problem_init(&p);
    snprintf(x->method, sizeof x->method, "%s", method);
    x->bodiless = strcmp(method, "HEAD") == 0;
    http_connection_phase(&x->app->wait, x->connection, HTTP_PHASE_BODY);
    MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, collect_field, &head);
    x->stage = HTTP_STAGE_BODY;
    int refused = http_head_judge(x, &head, strcmp(version, "HTTP/1.0") == 0, &framing, &p);
    x->reply.close = http_head_may_hide(method, &framing);
    if (!refused)
        return MHD_YES;
    bool has_body = framing.chunked || framing.length > 0;
    bool readable =
        framing.length <= HTTP_LINGER_FACTOR * x->request.body.max &&
        (!p.close || p.code == HTTP_PROBLEM_CONTENT_TOO_LARGE || p.code == HTTP_PROBLEM_DRAINING);
    bool at_once = !readable || framing.expects_continue;
    if (has_body && at_once)
        p.close = true;
    http_problem_reply(&p, x->request.id, &x->reply);
    x->refused = true;
    return at_once ? send_reply(x, mhd) : MHD_YES;
}

static enum MHD_Result on_work(struct http_exchange *x, struct MHD_Connection *mhd);

/* A route that may sleep without work in the engine gets a ticket to be woken by. */
static bool take_ticket(struct http_exchange *x)
{
    x->call.ticket = http_ticket_new(&x->app->wait, NULL);
    if (!x->call.ticket)
        http_reply_fail(&x->reply);
    return x->call.ticket != NULL;
}

/* An answer in pieces of something that is kept. */
static enum MHD_Result on_stream(struct http_exchange *x, struct MHD_Connection *mhd)
{
    if (take_ticket(x))
        x->stream = x->request.route->stream(x->app, &x->request, &x->call, &x->reply);
    if (x->stream)
        return send_pieces(x, mhd);
    let_go(x);
    return send_reply(x, mhd);
}

/* The client may have asked to wait for news. It is looked for now and then; a stop ends the wait.
 */
static enum MHD_Result on_wait(struct http_exchange *x, struct MHD_Connection *mhd)
{
    const struct api_route *route = x->request.route;
    int64_t wake_ns = 0;
    x->stage = HTTP_STAGE_WORK;
    if ((x->call.ticket || take_ticket(x)) &&
        route->wait(x->app, &x->request, x->started_ns, &wake_ns)) {
        if (http_ticket_look(x->call.ticket).gone) {
            x->reply.status = HTTP_CLIENT_GONE;
            return MHD_NO; /* the completion callback lets go of the ticket */
        }
        if (http_ticket_sleep(x->call.ticket, x->connection, mhd, 0, wake_ns))
            return MHD_YES;
    }
    let_go(x);
    if (x->reply.status == 0)
        route->answer(x->app, &x->request, &x->reply);
    return send_reply(x, mhd);
}

/* Whether there is memory for the answer, which a client may not read for long. */
static bool has_room(struct http_exchange *x)
{
    size_t most;
    const size_t bytes = api_call_bytes(&x->call, x->app->options->queue_images_max, &most);
    if (http_room_take_answer(&x->app->wait, x->connection, bytes, most > bytes ? most : bytes))
        return true;
    refuse_for_room(x);
    return false;
}

/* The body has been read. */
static enum MHD_Result on_read(struct http_exchange *x, struct MHD_Connection *mhd)
{
    http_incoming_clear(x);
    if (x->gone) {
        x->reply.status = HTTP_CLIENT_GONE;
        return MHD_NO;
    }
    if (!x->asks || !has_room(x) || !api_call_begin(x->app, &x->request, &x->call, &x->reply)) {
        http_room_leave_answer(&x->app->wait, x->connection);
        return send_reply(x, mhd);
    }
    x->stage = HTTP_STAGE_WORK;
    return on_work(x, mhd);
}

/* On the reader's thread. The connection sleeps, so nobody else touches the exchange until it is
 * woken, and it cannot end. */
static void read_aside(void *context, bool stopping)
{
    struct http_exchange *x = context;
    struct http_problem p;
    x->gone = http_connection_left(x->connection);
    if (stopping) {
        http_problem_init(&p);
        http_app_ready(x->app, &p);
        http_problem_reply(&p, x->request.id, &x->reply);
    } else if (!x->gone) {
        x->asks = api_call_read(x->app, &x->request, &x->call, &x->reply);
        x->gone = http_connection_left(x->connection);
    }
    x->app->wait.resume(x->asleep);
}

/* The request is complete. */
static enum MHD_Result on_request_end(struct http_exchange *x, struct MHD_Connection *mhd)
{
    if (!http_connection_body_ended(&x->app->wait, x->connection))
        return MHD_NO; /* it came too late, and the answer says so already */
    http_incoming_end(x);
    if (x->refused)
        return send_reply(x, mhd);
    if (x->request.route->stream)
        return on_stream(x, mhd);
    if (x->request.route->wait)
        return on_wait(x, mhd);
    if (!x->request.route->work) {
        x->request.route->answer(x->app, &x->request, &x->reply);
        return send_reply(x, mhd);
    }
    x->stage = HTTP_STAGE_READ;
    if (x->body_seen > HTTP_READ_AT_ONCE) {
        x->asleep = mhd;
        x->reading.run = read_aside;
        x->reading.context = x;
        x->app->wait.suspend(mhd);
        http_reader_put(&x->app->reader, &x->reading);
        return MHD_YES;
    }
    x->asks = api_call_read(x->app, &x->request, &x->call, &x->reply);
    return on_read(x, mhd);
}

/* The first of two requests has ended well: on to the second. */
static enum MHD_Result go_on(struct http_exchange *x, struct MHD_Connection *mhd)
{
    struct http_problem p;
    http_problem_init(&p);
    if (api_call_follow(x->app, &x->request, &x->call, &p) == 0)
        return on_work(x, mhd);
    http_problem_reply(&p, x->request.id, &x->reply);
    let_go(x);
    api_call_end(x->app, &x->request, &x->call);
    return send_reply(x, mhd);
}

/* The work may have news: sleep, or answer. An answer in pieces begins with its first image, so
 * that a failure before still gets its status; only events begin at once. */
static enum MHD_Result on_work(struct http_exchange *x, struct MHD_Connection *mhd)
{
    struct api_call *call = &x->call;
    const bool streams = api_call_streams(call),
               events = streams && call->format == HTTP_FORMAT_EVENTS;
    if (!events && http_ticket_sleep(call->ticket, x->connection, mhd, 0, 0))
        return MHD_YES;
    const struct http_look look = http_ticket_look(call->ticket);
    if (look.gone) {
        x->reply.status = HTTP_CLIENT_GONE;
        return MHD_NO; /* the completion callback lets go of the ticket */
    }
    bool failed = look.finished && engine_request_error(call->ticket->request);
    if (events || (streams && !failed && (look.finished || look.images > 0)))
        return send_stream(x, mhd);
    if (look.finished && !failed && api_call_follows(call))
        return go_on(x, mhd);
    if (look.finished) {
        api_call_finish(x->app, &x->request, call, &x->reply);
    } else { /* woken by the stop */
        struct http_problem p;
        http_problem_init(&p);
        http_app_ready(x->app, &p);
        http_problem_reply(&p, x->request.id, &x->reply);
    }
    let_go(x);
    api_call_end(x->app, &x->request, call);
    return send_reply(x, mhd);
}

enum MHD_Result http_exchange_access(void *context, struct MHD_Connection *mhd, const char *url,
                                     const char *method, const char *version, const char *data,
                                     size_t *size, void **request_context)
{
    (void)context; /* the URL has been decoded in place: only where it lies is of use */
    struct http_exchange *x = *request_context;
    if (!x)
        return MHD_NO; /* no memory when it began */
    if (x->stage == HTTP_STAGE_HEAD)
        return on_head(x, mhd, url, method, version);
    if (x->stage == HTTP_STAGE_BODY)
        return *size > 0 ? http_incoming_piece(x, mhd, data, size) : on_request_end(x, mhd);
    if (x->stage == HTTP_STAGE_READ)
        return on_read(x, mhd);
    if (x->stage != HTTP_STAGE_WORK)
        return MHD_NO;
    return x->request.route->wait ? on_wait(x, mhd) : on_work(x, mhd);
}
