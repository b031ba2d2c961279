/* Whole connections: bytes into a socket of the real server, the HTTP library and the engine with
 * it, so that what they ask for is computed and answered.
 *
 * After each connection the server must be as it was: it answers another one, no request is left in
 * it, and it has closed its descriptor. The other connection is older and idle meanwhile, as faults
 * have hidden behind such a one. The server has one thread, so what it answers to the second shows
 * that it has taken what came on the first. */
#include "fuzz.h"
#include "fuzz_world.h"

#include "base_cpu.h"
#include "http_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LATE_NS 20000000000   /* longer than anything takes on a busy machine */
#define PATIENCE_NS 200000000 /* then the client leaves */
#define PIECES_MAX 4

enum { ADMIN = 1, LEAVE = 2, CLOSE_WRITING = 4, PIECES_SHIFT = 3 }; /* the first byte */

static struct engine *engine;
static struct http_server *server;
static struct sockaddr_in public_address; /* of 127.0.0.1 */
static struct sockaddr_un admin_address;
static socklen_t admin_length;
static int witness;

static void nothing(void *context)
{
    (void)context;
}

static void no_reload(void *context, size_t model)
{
    (void)context;
    (void)model;
}

static int listen_at(int family, const void *address, socklen_t length)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    FUZZ_CHECK(fd >= 0 && bind(fd, address, length) == 0 && listen(fd, 8) == 0);
    return fd;
}

static int listen_public(void)
{
    socklen_t length = sizeof public_address;
    public_address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = listen_at(AF_INET, &public_address, length);
    FUZZ_CHECK(getsockname(fd, (struct sockaddr *)&public_address, &length) == 0);
    return fd;
}

/* Without a name in the file system. */
static int listen_admin(void)
{
    admin_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int length = snprintf(admin_address.sun_path + 1, sizeof admin_address.sun_path - 1, "fuzz-%d",
                          (int)getpid());
    admin_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    return listen_at(AF_UNIX, &admin_address, admin_length);
}

static int connect_to(bool admin)
{
    int fd = socket(admin ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const void *address = admin ? (const void *)&admin_address : &public_address;
    FUZZ_CHECK(fd >= 0 && connect(fd, address, admin ? admin_length : sizeof public_address) == 0);
    return fd;
}

/* Asks on the older connection, and waits for the whole answer. */
static void ask_witness(void)
{
    static const char question[] = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    char answer[4096];
    size_t have = 0, whole = SIZE_MAX;
    FUZZ_CHECK(send(witness, question, sizeof question - 1, MSG_NOSIGNAL) ==
               (ssize_t)sizeof question - 1);
    while (have < whole) {
        struct pollfd p = {.fd = witness, .events = POLLIN};
        FUZZ_CHECK(poll(&p, 1, (int)(LATE_NS / 1000000)) == 1);
        ssize_t got = recv(witness, answer + have, sizeof answer - 1 - have, 0);
        FUZZ_CHECK(got > 0);
        have += (size_t)got;
        answer[have] = '\0';
        const char *body = strstr(answer, "\r\n\r\n"), *field = strstr(answer, "Content-Length: ");
        if (body && field)
            whole = (size_t)(body + 4 - answer) + strtoul(field + 16, NULL, 10);
    }
    FUZZ_CHECK(have == whole && strncmp(answer, "HTTP/1.1 200 ", 13) == 0);
}

/* The two lowest numbers that a new descriptor may have. */
static void look_for_descriptors(int numbers[2])
{
    for (int i = 0; i < 2; i++)
        FUZZ_CHECK((numbers[i] = fcntl(witness, F_DUPFD_CLOEXEC, 0)) >= 0);
    close(numbers[0]);
    close(numbers[1]);
}

static bool has_descriptors_as(const int before[2])
{
    int numbers[2];
    look_for_descriptors(numbers);
    return memcmp(numbers, before, sizeof numbers) == 0;
}

static void begin(void)
{
    static const char *const names[] = {FUZZ_MODEL};
    struct err e = {0};
    engine = fuzz_world_engine();
    int admin = listen_admin(), public = listen_public();
    struct http_options options = {.listen_fd = public,
                                   .admin_fd = admin,
                                   .n_max = FUZZ_IMAGES,
                                   .body_max = FUZZ_BODY,
                                   .queue_images_max = 8,
                                   .connections = 64,
                                   .threads = 1,
                                   .idle_s = 3600,
                                   .read_s = 3600,
                                   .public_metrics = true,
                                   .cors_origins = "https://page.example",
                                   .link_lifetime_s = 60,
                                   .model_names = names,
                                   .model_count = 1,
                                   .hooks = {.drain = nothing, .reload = no_reload}};
    server = http_server_start(engine, &options, &e);
    FUZZ_CHECK(server);
    http_server_ready(server);
    witness = connect_to(false);
    ask_witness();
}

static void end(void)
{
    close(witness);
    engine_drain(engine);
    http_server_stop(server);
    engine_free(engine);
}

/* Takes what has come; false at the end of the connection. */
static bool take(int fd)
{
    static char answer[65536];
    ssize_t got;
    do
        got = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
    while (got > 0);
    return got != 0;
}

/* Until there is nothing more to come, or it lasts too long. */
static void read_answers(int fd)
{
    const int64_t until = clock_ns() + PATIENCE_NS;
    do {
        while (http_server_answers(server) > 0 && take(fd) && clock_ns() < until) {
            struct pollfd p = {.fd = fd, .events = POLLIN};
            poll(&p, 1, 1);
        }
        ask_witness(); /* what followed in the same bytes has begun */
    } while (take(fd) && http_server_answers(server) > 0 && clock_ns() < until);
}

static void send_pieces(int fd, const uint8_t *data, size_t length, size_t pieces)
{
    for (size_t i = 0, at = 0; i < pieces; i++) {
        size_t size = (length - at) / (pieces - i);
        if (size > 0 && send(fd, data + at, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            return;
        at += size;
        if (i + 1 < pieces)
            ask_witness();
    }
}

/* The thread of the admin socket is another than the witness's, and the end of a unix socket that
 * comes together with bytes is never seen by the library: so these are taken first. */
static void wait_taken(int fd)
{
    const int64_t until = clock_ns() + LATE_NS;
    for (int left = 0; ioctl(fd, SIOCOUTQ, &left) == 0 && left > 0; usleep(50))
        FUZZ_CHECK(clock_ns() < until && "the server takes what is sent");
}

static void converse(unsigned how, const uint8_t *data, size_t length)
{
    int before[2]; /* not once for all: libFuzzer itself opens some, for its reports */
    look_for_descriptors(before);
    int fd = connect_to(how & ADMIN);
    send_pieces(fd, data, length, 1 + (how >> PIECES_SHIFT) % PIECES_MAX);
    if (how & CLOSE_WRITING)
        shutdown(fd, SHUT_WR);
    if (!(how & LEAVE)) {
        ask_witness();
        read_answers(fd);
    }
    if (how & ADMIN)
        wait_taken(fd);
    close(fd);
    ask_witness();
    const int64_t until = clock_ns() + LATE_NS;
    for (; !http_server_wait_idle(server, 0); usleep(50))
        FUZZ_CHECK(clock_ns() < until && "no request is left behind");
    for (; !has_descriptors_as(before); usleep(50))
        FUZZ_CHECK(clock_ns() < until && "no descriptor is left behind");
}

static void connection_run(const uint8_t *data, size_t length)
{
    if (length > 0)
        converse(data[0], data + 1, length - 1);
}

const struct fuzz_target fuzz_connection = {.name = "connection",
                                            .memory = 64 << 20,
                                            .memory_factor = 256,
                                            .begin = begin,
                                            .run = connection_run,
                                            .end = end};

/* The body of a form, whose boundary is "X". */
static void multipart_run(const uint8_t *data, size_t length)
{
    static const char *const paths[] = {"edits", "variations"};
    char head[256];
    if (length == 0)
        return;
    int size = snprintf(head, sizeof head,
                        "POST /v1/images/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                        "multipart/form-data; boundary=X\r\nContent-Length: %zu\r\n\r\n",
                        paths[data[0] & 1], length - 1);
    uint8_t *whole = malloc((size_t)size + length);
    FUZZ_CHECK(whole);
    memcpy(whole, head, (size_t)size);
    memcpy(whole + size, data + 1, length - 1);
    converse(data[0] & ~(unsigned)(ADMIN | CLOSE_WRITING), whole, (size_t)size + length - 1);
    free(whole);
}

const struct fuzz_target fuzz_multipart = {.name = "multipart",
                                           .memory = 64 << 20,
                                           .memory_factor = 256,
                                           .begin = begin,
                                           .run = multipart_run,
                                           .end = end};
