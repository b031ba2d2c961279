/* The server's life: the library's daemons, one a listener, and what they share.
 *
 * A new certificate cannot be given to a daemon of the library. So a second daemon is started on
 * the same socket, the first one stops listening, and the connections that it has end on it; it is
 * stopped when it has none left (http_server_sweep), or with the server. */
#include "http_server.h"

#include "base_cpu.h"
#include "base_log.h"
#include "base_tls.h"
#include "http_epoll.h"
#include "http_exchange.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SERVER_MAGIC 0x70fe4001u
/* Nine pages: the library gives a connection a mapping of its own where it needs more than 32 KiB,
 * which is gone with the connection. From the heap, pages that others have touched would stay with
 * connections that are idle. */
#define CONNECTION_MEMORY 36864
#define ADMIN_CONNECTIONS 64
#define SILENT_S 60 /* after which a client that does not answer has gone */

struct http_server {
    unsigned magic;
    struct http_options options;
    struct http_app app;
    struct http_listener
        *listeners; /* the public one that listens first, then retired ones, admin */
    bool dismissed;
};

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

static struct MHD_Daemon *start_library(struct http_listener *l, int fd, int threads,
                                        int connections, const char *certificate, const char *key)
{
    const struct http_options *o = l->app->options;
    unsigned flags =
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)certificate},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITIES},
        {MHD_OPTION_END, 0, NULL}};
    if (l->tls)
        flags |= MHD_USE_TLS;
    else
        tls[0] = tls[3];
    return MHD_start_daemon(
        flags, 0, NULL, NULL, http_exchange_access, l, MHD_OPTION_EXTERNAL_LOGGER, log_library,
        NULL, MHD_OPTION_LISTEN_SOCKET, (MHD_socket)fd, MHD_OPTION_THREAD_POOL_SIZE,
        (unsigned)threads, MHD_OPTION_CONNECTION_LIMIT, (unsigned)connections,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)o->idle_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK,
        http_exchange_uri, l, MHD_OPTION_NOTIFY_COMPLETED, http_exchange_completed, l,
        MHD_OPTION_NOTIFY_CONNECTION, http_exchange_connection, l, MHD_OPTION_ARRAY, tls,
        MHD_OPTION_END);
}

/* Whether only this machine reaches a listening socket. */
static bool is_loopback(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } own = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t length = sizeof own;
    if (getsockname(fd, &own.any, &length) != 0)
        return true; /* the stricter one */
    if (own.any.sa_family == AF_INET)
        return ntohl(own.v4.sin_addr.s_addr) >> 24 == 127;
    const struct in6_addr *v6 = &own.v6.sin6_addr;
    return own.any.sa_family == AF_INET6 &&
           (IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127));
}

/* A client that vanished without a word, with its machine or its network, is asked for after a time
 * of silence, and taken for gone when it does not answer; else its work would go on for nobody. The
 * connections inherit it. */
static void ask_silent_clients(int fd)
{
    const struct {
        int level, name, value;
    } options[] = {{SOL_SOCKET, SO_KEEPALIVE, 1},
                   {IPPROTO_TCP, TCP_KEEPIDLE, SILENT_S / 2},
                   {IPPROTO_TCP, TCP_KEEPINTVL, SILENT_S / 6},
                   {IPPROTO_TCP, TCP_KEEPCNT, 3}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                       sizeof options[i].value) != 0 &&
            errno != EOPNOTSUPP) /* of a unix socket, whose other end cannot vanish so */
            log_line(LOG_WARN, "clients that vanish will not be noticed: %s", strerror(errno));
}

/* Takes `fd` over, also on failure. */
static struct http_listener *listen_on(struct http_server *s, int fd, unsigned where,
                                       const char *certificate, const char *key, struct err *e)
{
    const struct http_options *o = &s->options;
    bool admin = where == HTTP_ADMIN;
    struct http_listener *l = calloc(1, sizeof *l);
    if (!l) {
        close(fd);
        err_fail_memory(e, sizeof *l);
        return NULL;
    }
    l->app = &s->app;
    l->where = where;
    l->quiesced_fd = -1;
    l->tls = certificate != NULL;
    l->loopback = is_loopback(fd);
    ask_silent_clients(fd);
    l->daemon = start_library(l, fd, admin ? 1 : o->threads,
                              admin ? ADMIN_CONNECTIONS : o->connections, certificate, key);
    if (l->daemon) {
        l->next = s->listeners;
        s->listeners = l;
        return l;
    }
    err_fail(e, l->tls ? ERR_INPUT : ERR_IO, l->tls ? "tls" : "http",
             l->tls ? "the certificate or its key is not taken: PEM is needed, and the two must "
                      "belong together"
                    : "libmicrohttpd could not start with %d threads and %d connections",
             o->threads, o->connections);
    close(fd);
    free(l);
    return NULL;
}

struct http_server *http_server_start(struct engine *g, const struct http_options *o, struct err *e)
{
    struct http_server *s = calloc(1, sizeof *s);
    if (s) {
        s->options = *o;
        if (s->options.n_max > o->queue_images_max) /* more would never find a place */
            s->options.n_max = o->queue_images_max;
    } else {
        err_fail_memory(e, sizeof *s);
    }
    if (!s || http_app_init(&s->app, g, &s->options, suspend, resume, e) != 0) {
        close(o->listen_fd);
        if (o->admin_fd >= 0)
            close(o->admin_fd);
        free(s);
        return NULL;
    }
    s->magic = SERVER_MAGIC;
    s->app.library_version = MHD_get_version();
    bool ready = true;
    if (o->admin_fd >= 0)
        ready = listen_on(s, o->admin_fd, HTTP_ADMIN, NULL, NULL, e) != NULL;
    if (!ready)
        close(o->listen_fd);
    else
        ready = listen_on(s, o->listen_fd, HTTP_PUBLIC, o->certificate, o->key, e) != NULL;
    if (ready)
        return s;
    http_server_stop(s);
    return NULL;
}

void http_server_loading(struct http_server *s, const char *what)
{
    http_app_loading(&s->app, what);
}

void http_server_ready(struct http_server *s)
{
    assert(s->magic == SERVER_MAGIC);
    http_app_raise(&s->app, HTTP_STATE_READY);
}

void http_server_leave(struct http_server *s)
{
    atomic_store(&s->app.leaving, true);
}

void http_server_drain(struct http_server *s)
{
    http_app_raise(&s->app, HTTP_STATE_DRAINING);
}

void http_server_reloading(struct http_server *s, size_t model)
{
    http_app_reloading(&s->app, model);
}

void http_server_reloaded(struct http_server *s, size_t model, const char *why)
{
    http_app_reloaded(&s->app, model, why);
}

int http_server_reload_keys(struct http_server *s, struct err *e)
{
    const char *file = s->options.keys_file;
    return file && *file ? http_keys_read(&s->app.keys, file, e) : 0;
}

int http_server_reload_links(struct http_server *s, struct err *e)
{
    return http_links_read(&s->app.links, s->options.link_secret, e);
}

static unsigned open_connections(const struct http_listener *l)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    return info ? info->num_connections : 0;
}

static void end_listener(struct http_listener *l)
{
    MHD_stop_daemon(l->daemon);
    if (l->quiesced_fd >= 0)
        close(l->quiesced_fd);
    free(l);
}

bool http_server_sweep(struct http_server *s)
{
    bool left = false;
    /* The first public one listens; what comes behind it does no more. */
    const struct http_listener *current = s->listeners;
    for (struct http_listener **link = &s->listeners; *link;) {
        struct http_listener *l = *link;
        const bool retired = l != current && l->where == HTTP_PUBLIC;
        if (!retired || open_connections(l) > 0) {
            left = left || retired;
            link = &l->next;
            continue;
        }
        *link = l->next;
        end_listener(l);
    }
    return left;
}

int http_server_reload_tls(struct http_server *s, const char *certificate, const char *key,
                           struct err *e)
{
    struct http_listener *old = s->listeners;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(old->daemon, MHD_DAEMON_INFO_LISTEN_FD);
    int fd = info && info->listen_fd != MHD_INVALID_SOCKET
                 ? fcntl(info->listen_fd, F_DUPFD_CLOEXEC, 0)
                 : -1;
    if (fd < 0)
        return err_fail_errno(e, errno, "tls", "take the listening socket over");
    struct http_listener *l = listen_on(s, fd, HTTP_PUBLIC, certificate, key, e);
    if (!l)
        return -1;
    old->quiesced_fd = http_quiesce(old->daemon);
    /* Not swept at once: a thread may hold a connection that it has accepted and not yet counted.
     */
    return 0;
}

size_t http_server_answers(struct http_server *s)
{
    return http_wait_answers(&s->app.wait);
}

bool http_server_wait_idle(struct http_server *s, int timeout_ms)
{
    int64_t end = clock_ns() + (int64_t)timeout_ms * 1000000;
    while (http_wait_exchanges(&s->app.wait) > 0) {
        if (clock_ns() >= end)
            return false;
        usleep(5000);
    }
    return true;
}

bool http_server_alive(struct http_server *s)
{
    double age_s;
    return http_app_alive(&s->app, &age_s);
}

void http_server_dismiss(struct http_server *s)
{
    assert(s->magic == SERVER_MAGIC);
    if (s->dismissed)
        return;
    s->dismissed = true;
    http_server_drain(s);
    for (struct http_listener *l = s->listeners; l; l = l->next)
        if (l->quiesced_fd < 0)
            l->quiesced_fd = http_quiesce(l->daemon);
    http_reader_stop(&s->app.reader);
    http_wait_wake_all(&s->app.wait);
}

void http_server_stop(struct http_server *s)
{
    if (!s)
        return;
    http_server_dismiss(s);
    http_server_wait_idle(s, 500);
    http_wait_wake_all(&s->app.wait);
    while (s->listeners) {
        struct http_listener *l = s->listeners;
        s->listeners = l->next;
        end_listener(l);
    }
    http_app_clear(&s->app);
    s->magic = 0;
    free(s);
}
