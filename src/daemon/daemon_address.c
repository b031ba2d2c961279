/* Plain sockets. The listening socket is made here and not by the HTTP library, because only so
 * does a failure come with its reason. */
#include "daemon_address.h"

#include "base_cpu.h"
#include "base_tls.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int daemon_address_parse(const char *text, struct daemon_address *out, struct err *e)
{
    const char *colon = strrchr(text, ':'), *start = text, *end = colon;
    if (colon && text[0] == '[') {
        start = text + 1;
        end = colon[-1] == ']' ? colon - 1 : NULL;
    } else if (colon && memchr(text, ':', (size_t)(colon - text))) {
        end = NULL; /* an IPv6 address without brackets: which colon is the port's? */
    }
    const char *digits = colon ? colon + 1 : "";
    size_t count = strspn(digits, "0123456789");
    long port = count && count <= 5 && !digits[count] ? strtol(digits, NULL, 10) : -1;
    if (!colon || !end || end <= start || (size_t)(end - start) >= sizeof out->host || port < 0 ||
        port > 65535)
        return err_fail(e, ERR_INPUT, text,
                        "is not an address: write ADDRESS:PORT or [IPV6-ADDRESS]:PORT, port 0 to "
                        "65535");
    memcpy(out->host, start, (size_t)(end - start));
    out->host[end - start] = '\0';
    out->port = (uint16_t)port;
    return 0;
}

static void show(const char *host, unsigned port, char *out, size_t size)
{
    snprintf(out, size, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}

static struct addrinfo *resolve(const struct daemon_address *a, bool passive, struct err *e)
{
    char port[8], name[256];
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0)};
    struct addrinfo *found = NULL;
    snprintf(port, sizeof port, "%u", a->port);
    int code = getaddrinfo(a->host, port, &hints, &found);
    if (code == 0)
        return found;
    show(a->host, a->port, name, sizeof name);
    err_fail(e, ERR_IO, name, "cannot find the address: %s", gai_strerror(code));
    return NULL;
}

static void fail_to_listen(const char *shown, unsigned port, int why, struct err *e)
{
    if (why == EADDRINUSE)
        err_fail(
            e, ERR_IO, shown,
            "cannot listen there: the address is in use by another process, perhaps an earlier "
            "pfgmd (ss -ltnp 'sport = :%u' shows it; bash conf/quickstart.sh --stop ends the "
            "quickstart's); --listen 127.0.0.1:0 takes a free port",
            port);
    else
        err_fail_errno(e, why, shown, "listen there");
}

int daemon_address_listen(const struct daemon_address *a, char *shown, size_t size, struct err *e)
{
    show(a->host, a->port, shown, size);
    struct addrinfo *found = resolve(a, true, e);
    if (!found)
        return -1;
    const int on = 1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
        fail_to_listen(shown, a->port, errno, e);
        if (fd >= 0)
            close(fd);
        freeaddrinfo(found);
        return -1;
    }
    freeaddrinfo(found);
    struct sockaddr_storage own;
    socklen_t length = sizeof own;
    if (getsockname(fd, (struct sockaddr *)&own, &length) == 0) {
        in_port_t port = own.ss_family == AF_INET6
                             ? ((const struct sockaddr_in6 *)(const void *)&own)->sin6_port
                             : ((const struct sockaddr_in *)(const void *)&own)->sin_port;
        show(a->host, ntohs(port), shown, size);
    }
    return fd;
}

/* Whether somebody is at the path, or may be: a socket file without a listener is a leftover, and
 * nothing else is. */
static bool is_live(const struct sockaddr_un *name)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool live = fd < 0 || connect(fd, (const struct sockaddr *)name, sizeof *name) == 0 ||
                (errno != ECONNREFUSED && errno != ENOENT);
    if (fd >= 0)
        close(fd);
    return live;
}

static int unix_name(const char *path, struct sockaddr_un *name, struct err *e)
{
    if (strlen(path) >= sizeof name->sun_path)
        return err_fail(e, ERR_INPUT, path,
                        "is too long for a unix socket: %zu bytes are the limit",
                        sizeof name->sun_path - 1);
    memcpy(name->sun_path, path, strlen(path) + 1);
    return 0;
}

int daemon_address_listen_unix(const char *path, struct err *e)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct stat st;
    if (unix_name(path, &name, e) != 0)
        return -1;
    if (lstat(path, &st) == 0 && (!S_ISSOCK(st.st_mode) || is_live(&name)))
        return err_fail(e, ERR_IO, path, "cannot listen there: %s",
                        S_ISSOCK(st.st_mode) ? "another process does" : "it is no socket");
    unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t mask = umask(0117); /* from the first moment on */
    int bound = fd < 0 ? -1 : bind(fd, (const struct sockaddr *)&name, sizeof name);
    umask(mask);
    if (bound == 0 && listen(fd, 64) == 0)
        return fd;
    err_fail_errno(e, errno, path, "listen there");
    if (bound == 0)
        unlink(path);
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Waits until the socket is ready for `events`; false when the time is up. */
static bool wait_for(int fd, short events, int64_t end_ns)
{
    int64_t left_ms = (end_ns - clock_ns()) / 1000000;
    struct pollfd p = {.fd = fd, .events = events};
    return left_ms > 0 && poll(&p, 1, (int)left_ms) == 1;
}

static const char question[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n"
                               "Connection: close\r\n\r\n";

/* A connected socket, or -1. */
static int connect_by(const struct sockaddr *to, socklen_t length, int64_t end_ns)
{
    int problem = 0, fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof problem;
    if (fd < 0)
        return -1;
    if ((connect(fd, to, length) == 0 || errno == EINPROGRESS) && wait_for(fd, POLLOUT, end_ns) &&
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size) == 0 && problem == 0)
        return fd;
    close(fd);
    return -1;
}

/* What comes in answer, up to size - 1 bytes; false on any failure. */
static bool ask(int fd, int64_t end_ns, char *answer, size_t size)
{
    if (send(fd, question, sizeof question - 1, MSG_NOSIGNAL) != (ssize_t)sizeof question - 1)
        return false;
    size_t used = 0;
    while (used + 1 < size) {
        if (!wait_for(fd, POLLIN, end_ns))
            return false;
        ssize_t n = recv(fd, answer + used, size - 1 - used, 0);
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    answer[used] = '\0';
    return true;
}

static int judge(bool answered, const char *answer, const char *name, struct err *e)
{
    if (!answered)
        return err_fail(e, ERR_IO, name, "gives no answer");
    if (strncmp(answer, "HTTP/1.1 200 ", 13) != 0)
        return err_fail(e, ERR_IO, name, "is not ready: \"%.12s\"", answer);
    return 0;
}

static bool is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
    return a->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

int daemon_address_probe(const struct daemon_address *a, struct err *e)
{
    char answer[16] = "", name[256];
    const int64_t end_ns = clock_ns() + 3000000000;
    show(a->host, a->port, name, sizeof name);
    struct addrinfo *found = resolve(a, false, e);
    if (!found)
        return -1;
    int fd = connect_by(found->ai_addr, found->ai_addrlen, end_ns);
    const struct addrinfo *to = found; /* a name may have several addresses */
    while (fd < 0 && to->ai_next) {
        to = to->ai_next;
        fd = connect_by(to->ai_addr, to->ai_addrlen, end_ns);
    }
    bool reached = fd >= 0, plain = reached && ask(fd, end_ns, answer, sizeof answer);
    bool answered = plain && strncmp(answer, "HTTP/", 5) == 0;
    if (reached)
        close(fd);
    if (reached && !answered && !is_loopback(to->ai_addr)) {
        freeaddrinfo(found);
        return err_fail(e, ERR_IO, name,
                        "does not answer plain HTTP; TLS is asked on loopback only: give a "
                        "loopback address or the path of the admin socket");
    }
    if (reached && !answered && (fd = connect_by(to->ai_addr, to->ai_addrlen, end_ns)) >= 0) {
        answered = tls_ask(fd, end_ns, question, answer, sizeof answer);
        close(fd);
    }
    freeaddrinfo(found);
    return judge(answered, answer, name, e);
}

int daemon_address_probe_unix(const char *path, struct err *e)
{
    char answer[16] = "";
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    const int64_t end_ns = clock_ns() + 3000000000;
    if (unix_name(path, &name, e) != 0)
        return -1;
    int fd = connect_by((const struct sockaddr *)&name, sizeof name, end_ns);
    bool answered = fd >= 0 && ask(fd, end_ns, answer, sizeof answer);
    if (fd >= 0)
        close(fd);
    return judge(answered, answer, path, e);
}
