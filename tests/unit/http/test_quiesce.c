/* The end of listening while the library's threads wake up: libmicrohttpd ended the process where
 * one of its threads was faster than MHD_quiesce_daemon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http_quiesce.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS 2
#define CLIENTS_MAX 4096
#define WAIT_US 500

static const char asked[] = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";
static int clients[CLIENTS_MAX], client_count, listening = -1;
static struct sockaddr_in address;
static pthread_t quiescing;
static atomic_int to_lose;      /* removals at which a thread of the library is to be faster */
static atomic_int removed = -1; /* the set from which such a thread has taken the socket out */

/* One more client, which wakes whoever listens. */
static void come(void)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    (void)connect(fd, (struct sockaddr *)&address, sizeof address);
    clients[client_count++] = fd;
}

/* In the place of the C library's. Before a removal that is to be lost, clients come until the
 * set's own thread wakes, finds that it is marked as quiesced, and takes the socket out itself. */
__attribute__((visibility("default"))) int epoll_ctl(int set, int operation, int fd,
                                                     struct epoll_event *event)
{
    const bool taken_out = operation == EPOLL_CTL_DEL && fd == listening;
    const bool is_first = pthread_equal(pthread_self(), quiescing);
    if (taken_out && is_first && atomic_load(&to_lose) > 0) {
        atomic_fetch_sub(&to_lose, 1);
        while (atomic_load(&removed) != set && client_count < CLIENTS_MAX) {
            come();
            usleep(WAIT_US);
        }
    }
    const int result = (int)syscall(SYS_epoll_ctl, set, operation, fd, event);
    if (taken_out && !is_first)
        atomic_store(&removed, set);
    return result;
}

static enum MHD_Result answer(void *context, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *length, void **own)
{
    static int begun;
    (void)context, (void)url, (void)method, (void)version, (void)data, (void)length;
    if (!*own) {
        *own = &begun;
        return MHD_YES;
    }
    struct MHD_Response *r = MHD_create_response_from_buffer(2, "ok", MHD_RESPMEM_PERSISTENT);
    const enum MHD_Result queued = MHD_queue_response(c, 200, r);
    MHD_destroy_response(r);
    return queued;
}

static struct MHD_Daemon *start(void)
{
    socklen_t length = sizeof address;
    address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listening, 16), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &length), 0);
    struct MHD_Daemon *d = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC, 0, NULL, NULL, answer, NULL,
        MHD_OPTION_LISTEN_SOCKET, listening, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREADS,
        MHD_OPTION_CONNECTION_LIMIT, 2u * CLIENTS_MAX, MHD_OPTION_END);
    assert_non_null(d);
    return d;
}

/* Until both threads listen, so that there is something to take out. */
static void meet_all(void)
{
    char text[1024];
    for (int i = 0; i < 8; i++) {
        come();
        assert_int_equal(fcntl(clients[client_count - 1], F_SETFL, 0), 0);
        const int fd = clients[client_count - 1];
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        assert_int_equal(poll(&ready, 1, 20000), 1);
        assert_int_equal(write(fd, asked, sizeof asked - 1), sizeof asked - 1);
        assert_true(read(fd, text, sizeof text) > 0);
    }
}

static void quiesce(int lost)
{
    struct MHD_Daemon *d = start();
    quiescing = pthread_self();
    meet_all();
    atomic_store(&removed, -1);
    atomic_store(&to_lose, lost);
    assert_int_equal(http_quiesce(d), listening);
    assert_int_equal(atomic_load(&to_lose), 0);
    assert_true(client_count < CLIENTS_MAX);
    MHD_stop_daemon(d);
    close(listening);
    while (client_count > 0)
        close(clients[--client_count]);
}

static void a_thread_that_is_faster_ends_nothing(void **state)
{
    (void)state;
    http_quiesce_prepare();
    for (int i = 0; i < 20; i++)
        for (int lost = 0; lost <= THREADS; lost++)
            quiesce(lost);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_thread_that_is_faster_ends_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
