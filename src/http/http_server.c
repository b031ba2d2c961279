/* libmicrohttpd glue: the only file that sees its header.
 *
 * An exchange is one request on a connection. It is born in the URI callback (the only place where
 * the raw target is to be had), fed by the access handler and freed in the completion callback; all
 * three run on the thread that serves the connection. The access handler is called once with the
 * head, then for each piece of the body, then once more; after a suspension once again.
 *
 * Refusals that leave the framing in doubt, and those to a client that waits for "100 Continue",
 * are sent at once and close the connection. Other refusals come after the body has been read and
 * dropped, so that the connection stays usable and the client, still writing, does not lose the
 * answer to a reset. A body over the limit is read on for a while for the same reason. */
#include "http_server.h"

#include "base_cpu.h"
#include "base_log.h"
#include "http_app.h"

#include <assert.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVER_MAGIC 0x70fe4001u
#define CONNECTION_MEMORY 32768
#define CLIENT_GONE 499 /* in the log only, as nginx writes it */
#define TOO_SLOW 408    /* sent by the watcher */
#define LINGER_FACTOR 4 /* bodies up to this many times the limit are read before the 413 */

struct http_server {
    unsigned magic;
    struct MHD_Daemon *daemon;
    struct http_app app;
    struct http_wait wait;
};

enum stage { STAGE_HEAD, STAGE_BODY, STAGE_WORK, STAGE_ANSWERED };

struct http_exchange {
    struct http_server *server;
    struct http_link *link;
    enum stage stage;
    int64_t started_ns;
    char method[16];
    char *raw_target;
    struct http_request request;
    struct http_reply reply;
    bool refused; /* the reply is decided; the body is dropped */
    size_t body_seen;
    enum http_format format;
    struct http_ticket *ticket;
};

const char *http_library_version(void)
{
    return MHD_get_version();
}

static void log_library(void *context, const char *format, va_list args)
{
    (void)context;
    char text[512];
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    log_line(LOG_DEBUG, "libmicrohttpd: %s", text);
}

static void suspend(void *connection)
{
    MHD_suspend_connection(connection);
}

static void resume(void *connection)
{
    MHD_resume_connection(connection);
}

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

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http_server *s = context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *socket_context = info ? http_link_open(&s->wait, info->connect_fd) : NULL;
    } else if (*socket_context) {
        http_link_close(&s->wait, *socket_context);
        *socket_context = NULL;
    }
}

static void *on_uri(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct http_server *s = context;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http_exchange *x = info && info->socket_context ? calloc(1, sizeof *x) : NULL;
    if (!x)
        return NULL;
    x->raw_target = strdup(uri);
    if (!x->raw_target) {
        free(x);
        return NULL;
    }
    x->server = s;
    x->link = info->socket_context;
    x->started_ns = clock_ns();
    http_reply_init(&x->reply);
    buf_init(&x->request.body, s->app.body_max);
    draw_id(x->request.id);
    http_wait_count(&s->wait, 1);
    return x;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request_context,
                         enum MHD_RequestTerminationCode code)
{
    (void)connection;
    struct http_server *s = context;
    struct http_exchange *x = *request_context;
    if (!x)
        return;
    *request_context = NULL;
    if (x->ticket)
        http_ticket_drop(x->ticket, x->link);
    http_link_phase(&s->wait, x->link, HTTP_PHASE_HEAD);
    if (x->stage == STAGE_BODY && http_link_cut(&s->wait, x->link))
        x->reply.status = TOO_SLOW;
    bool whole = code == MHD_REQUEST_TERMINATED_COMPLETED_OK && x->stage == STAGE_ANSWERED;
    log_line(LOG_INFO, "%s %.200s %u %.1fms %s%s", x->method[0] ? x->method : "-", x->raw_target,
             x->reply.status, (double)(clock_ns() - x->started_ns) / 1e6, x->request.id,
             whole ? "" : " (not delivered)");
    buf_free(&x->request.body);
    http_reply_free(&x->reply);
    free(x->raw_target);
    free(x);
    http_wait_count(&s->wait, -1);
}

/* Hands the reply to the library. The body's memory goes with it. */
static enum MHD_Result send_reply(struct http_exchange *x, struct MHD_Connection *connection)
{
    struct http_reply *r = &x->reply;
    size_t length = 0;
    unsigned char *body = buf_take(&r->body, &length);
    struct MHD_Response *response = MHD_create_response_from_buffer(
        length, body, body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (!response) {
        free(body);
        return MHD_NO;
    }
    http_reply_header(r, "X-Request-Id", "%s", x->request.id);
    if (r->content_type)
        http_reply_header(r, "Content-Type", "%s", r->content_type);
    http_reply_header(r, "Cache-Control", "no-store");
    if (r->close)
        http_reply_header(r, "Connection", "close");
    enum MHD_Result ok = MHD_YES;
    for (size_t i = 0; i < r->header_count && ok == MHD_YES; i++)
        ok = MHD_add_response_header(response, r->headers[i].name, r->headers[i].value);
    if (ok == MHD_YES)
        ok = MHD_queue_response(connection, r->status, response);
    MHD_destroy_response(response);
    x->stage = STAGE_ANSWERED;
    http_link_phase(&x->server->wait, x->link, HTTP_PHASE_SEND);
    return ok;
}

struct head {
    struct http_field fields[HTTP_FIELDS_MAX];
    size_t count;
    bool overflow;
};

static enum MHD_Result collect_field(void *context, enum MHD_ValueKind kind, const char *key,
                                     size_t key_length, const char *value, size_t value_length)
{
    (void)kind;
    struct head *head = context;
    if (head->count == HTTP_FIELDS_MAX) {
        head->overflow = true;
        return MHD_NO;
    }
    head->fields[head->count++] =
        (struct http_field){key, value ? value : "", key_length, value ? value_length : 0};
    return MHD_YES;
}

/* The client's id, when it is one that may stand in a log and a header. */
static void take_id(struct http_request *q, const struct http_field *f)
{
    if (!f || f->value_length < 1 || f->value_length > HTTP_ID_MAX)
        return;
    for (size_t i = 0; i < f->value_length; i++) {
        char c = f->value[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!plain && c != '.' && c != '_' && c != '-')
            return;
    }
    memcpy(q->id, f->value, f->value_length);
    q->id[f->value_length] = '\0';
}

/* The body of work is JSON in plain bytes; a request may leave its type unsaid. What `curl -d` and
 * other plain clients call any body is taken as well, unless a web page sent it: a form on a
 * foreign page may post that type to a daemon on loopback without asking first, and then the
 * browser names the page's origin. */
static int check_media_type(const struct head *head, struct http_problem *p)
{
    char type[128];
    const struct http_field *f = http_field_find(head->fields, head->count, "Content-Encoding");
    if (f && !http_field_is(f, "identity")) {
        http_problem_set(p, HTTP_PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                         "compressed bodies are not taken; send the JSON as it is");
        return -1;
    }
    if (!http_field_join(head->fields, head->count, "Content-Type", type, sizeof type))
        return 0;
    type[strcspn(type, "; \t")] = '\0';
    if (strcasecmp(type, "application/json") == 0)
        return 0;
    if (strcasecmp(type, "application/x-www-form-urlencoded") == 0 &&
        !http_field_find(head->fields, head->count, "Origin"))
        return 0;
    http_problem_set(p, HTTP_PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                     "the body must be application/json, not \"%s\"", type);
    return -1;
}

static void body_too_large(struct http_exchange *x, struct http_problem *p)
{
    size_t limit = x->server->app.body_max;
    http_problem_set(p, HTTP_PROBLEM_CONTENT_TOO_LARGE, "a body may have %zu bytes", limit);
    p->limit = (int64_t)limit;
    p->close = true;
}

/* Everything that can be decided from the head alone, in the order in which it matters. */
static int judge_head(struct http_exchange *x, const struct head *head, bool http_1_0,
                      struct http_framing *framing, struct http_problem *p)
{
    struct http_request *q = &x->request;
    bool options = false;
    if (head->overflow) {
        http_problem_set(p, HTTP_PROBLEM_BAD_REQUEST, "more than %d header fields",
                         HTTP_FIELDS_MAX);
        p->close = true;
        return -1;
    }
    if (http_guard_check(head->fields, head->count, http_1_0, framing, p) != 0)
        return -1;
    take_id(q, http_field_find(head->fields, head->count, "X-Request-Id"));
    if (http_target_parse(x->raw_target, &q->target, p) != 0)
        return -1;
    q->has_accept =
        http_field_join(head->fields, head->count, "Accept", q->accept, sizeof q->accept);
    q->route = http_route_find(q->target.path, q->name);
    bool whole_server = strcmp(q->target.path, "*") == 0 && strcmp(x->method, "OPTIONS") == 0;
    if (http_route_method(q->route, x->method, &options, p) != 0)
        return -1;
    if (!q->route && !whole_server) {
        http_problem_set(p, HTTP_PROBLEM_NOT_FOUND, "there is nothing at %s", q->target.path);
        return -1;
    }
    if (framing->length > x->server->app.body_max) {
        body_too_large(x, p);
        return -1;
    }
    if (options) {
        x->reply.status = 204;
        http_reply_header(&x->reply, "Allow", "%s", http_route_allow(q->route));
        x->refused = true;
        return 0;
    }
    if (!q->route->work)
        return 0;
    return http_app_ready(&x->server->app, p) != 0 ? -1 : check_media_type(head, p);
}

static enum MHD_Result on_head(struct http_exchange *x, struct MHD_Connection *connection,
                               const char *method, const char *version)
{
    struct head head = {.count = 0};
    struct http_framing framing = {0};
    struct http_problem p;
    http_problem_init(&p);
    snprintf(x->method, sizeof x->method, "%s", method);
    http_link_phase(&x->server->wait, x->link, HTTP_PHASE_BODY);
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, collect_field, &head);
    x->stage = STAGE_BODY;
    if (judge_head(x, &head, strcmp(version, "HTTP/1.0") == 0, &framing, &p) == 0)
        return MHD_YES;
    bool has_body = framing.chunked || framing.length > 0;
    bool readable =
        framing.length <= LINGER_FACTOR * x->server->app.body_max &&
        (!p.close || p.code == HTTP_PROBLEM_CONTENT_TOO_LARGE || p.code == HTTP_PROBLEM_DRAINING);
    bool at_once = !readable || framing.expects_continue;
    if (has_body && at_once)
        p.close = true;
    http_problem_reply(&p, x->request.id, &x->reply);
    x->refused = true;
    return at_once ? send_reply(x, connection) : MHD_YES;
}

/* A body without end cannot be answered through the library, which takes an answer only before or
 * after a body; so the answer is written past it and the connection ended. */
static void cut_endless_body(struct http_exchange *x)
{
    static const char answer[] = "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n"
                                 "Content-Length: 0\r\n\r\n";
    ssize_t ignored = send(x->link->fd, answer, sizeof answer - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)ignored; /* a client that does not read gets the end alone */
    x->reply.status = 413;
}

static enum MHD_Result on_body(struct http_exchange *x, const char *data, size_t *size)
{
    size_t limit = x->server->app.body_max, piece = *size;
    x->body_seen += piece; /* cannot wrap: the next lines end it at a few times the limit */
    if (x->body_seen > (LINGER_FACTOR + 1) * limit) {
        cut_endless_body(x);
        return MHD_NO;
    }
    if (!x->refused && x->body_seen > limit) {
        struct http_problem p;
        http_problem_init(&p);
        body_too_large(x, &p);
        http_problem_reply(&p, x->request.id, &x->reply);
        x->refused = true;
    }
    if (!x->refused && x->request.route->work &&
        buf_append(&x->request.body, data, piece, NULL) != 0) {
        http_reply_fail(&x->reply);
        x->refused = true;
    }
    *size = 0;
    return MHD_YES;
}

/* The request is complete. */
static enum MHD_Result on_request_end(struct http_exchange *x, struct MHD_Connection *connection)
{
    struct http_server *s = x->server;
    if (x->refused)
        return send_reply(x, connection);
    if (!x->request.route->work) {
        x->request.route->get(&s->app, &x->request, &x->reply);
        return send_reply(x, connection);
    }
    x->ticket = http_images_begin(&s->app, &s->wait, &x->request, &x->format, &x->reply);
    if (!x->ticket)
        return send_reply(x, connection);
    x->stage = STAGE_WORK;
    return MHD_YES;
}

/* The work may be done: sleep, or answer. */
static enum MHD_Result on_work(struct http_exchange *x, struct MHD_Connection *connection)
{
    struct http_server *s = x->server;
    if (http_ticket_sleep(x->ticket, x->link, connection))
        return MHD_YES;
    bool gone = false, finished = http_ticket_finished(x->ticket, &gone);
    if (gone) {
        x->reply.status = CLIENT_GONE;
        return MHD_NO; /* the completion callback lets go of the ticket */
    }
    if (finished) {
        http_images_finish(&s->app, &x->request, x->format, x->ticket->request, &x->reply);
    } else { /* woken by the stop */
        struct http_problem p;
        http_problem_init(&p);
        http_app_ready(&s->app, &p);
        http_problem_reply(&p, x->request.id, &x->reply);
    }
    http_ticket_drop(x->ticket, x->link);
    x->ticket = NULL;
    return send_reply(x, connection);
}

static enum MHD_Result on_access(void *context, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *size, void **request_context)
{
    (void)context, (void)url; /* decoded and cut at NUL: not to be used */
    struct http_exchange *x = *request_context;
    if (!x)
        return MHD_NO; /* no memory when it began */
    if (x->stage == STAGE_HEAD)
        return on_head(x, connection, method, version);
    if (x->stage == STAGE_BODY) {
        if (*size > 0)
            return on_body(x, data, size);
        enum MHD_Result result = on_request_end(x, connection);
        if (x->stage != STAGE_WORK)
            return result;
    }
    return x->stage == STAGE_WORK ? on_work(x, connection) : MHD_NO;
}

static struct MHD_Daemon *start_library(struct http_server *s, const struct http_options *o)
{
    unsigned flags =
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG;
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_access, s, MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL,
        MHD_OPTION_LISTEN_SOCKET, (MHD_socket)o->listen_fd, MHD_OPTION_THREAD_POOL_SIZE,
        (unsigned)o->threads, MHD_OPTION_CONNECTION_LIMIT, (unsigned)o->connections,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)o->idle_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK,
        on_uri, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, s, MHD_OPTION_END);
}

static void app_init(struct http_app *app, struct engine *g, const struct http_options *o)
{
    app->engine = g;
    app->n_max = o->n_max;
    app->body_max = o->body_max;
    app->queue_images_max = o->queue_images_max;
    app->model_names = o->model_names;
    app->model_count = o->model_count;
    atomic_store(&app->state, HTTP_STATE_LOADING);
    pthread_mutex_init(&app->loading_lock, NULL);
    snprintf(app->loading_what, sizeof app->loading_what, "model 1 of %zu (%s)", o->model_count,
             o->model_count ? o->model_names[0] : "");
}

struct http_server *http_server_start(struct engine *g, const struct http_options *o, struct err *e)
{
    /* The library's own time-out counts silence; these bound what trickles. A head may take as long
     * as a body, after the silence that is allowed before it. */
    const int limits_s[HTTP_PHASES] = {[HTTP_PHASE_HEAD] = o->idle_s + o->read_s,
                                       [HTTP_PHASE_BODY] = o->read_s,
                                       [HTTP_PHASE_SEND] = o->idle_s + 10 * o->read_s};
    struct http_server *s = calloc(1, sizeof *s);
    if (!s) {
        close(o->listen_fd);
        err_fail_memory(e, sizeof *s);
        return NULL;
    }
    s->magic = SERVER_MAGIC;
    app_init(&s->app, g, o);
    if (http_wait_start(&s->wait, suspend, resume, limits_s, e) != 0) {
        close(o->listen_fd);
        free(s);
        return NULL;
    }
    s->daemon = start_library(s, o);
    if (s->daemon)
        return s;
    err_fail(e, ERR_IO, "http", "libmicrohttpd could not start with %d threads and %d connections",
             o->threads, o->connections);
    http_wait_stop(&s->wait);
    close(o->listen_fd);
    free(s);
    return NULL;
}

void http_server_loading(struct http_server *s, const char *what)
{
    pthread_mutex_lock(&s->app.loading_lock);
    snprintf(s->app.loading_what, sizeof s->app.loading_what, "%s", what);
    pthread_mutex_unlock(&s->app.loading_lock);
}

/* The state only rises: a drain that came while loading is not undone by the loader. */
static void raise_state(struct http_server *s, int state)
{
    int seen = atomic_load(&s->app.state);
    while (seen < state && !atomic_compare_exchange_weak(&s->app.state, &seen, state))
        ;
}

void http_server_ready(struct http_server *s)
{
    assert(s->magic == SERVER_MAGIC);
    raise_state(s, HTTP_STATE_READY);
}

void http_server_drain(struct http_server *s)
{
    raise_state(s, HTTP_STATE_DRAINING);
}

bool http_server_wait_idle(struct http_server *s, int timeout_ms)
{
    int64_t end = clock_ns() + (int64_t)timeout_ms * 1000000;
    while (http_wait_exchanges(&s->wait) > 0) {
        if (clock_ns() >= end)
            return false;
        usleep(5000);
    }
    return true;
}

void http_server_stop(struct http_server *s)
{
    if (!s)
        return;
    assert(s->magic == SERVER_MAGIC);
    http_server_drain(s);
    MHD_socket fd = MHD_quiesce_daemon(s->daemon);
    http_wait_wake_all(&s->wait);
    http_server_wait_idle(s, 500);
    http_wait_wake_all(&s->wait);
    MHD_stop_daemon(s->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd); /* not before: a thread may still be about to accept */
    http_wait_stop(&s->wait);
    pthread_mutex_destroy(&s->app.loading_lock);
    s->magic = 0;
    free(s);
}
