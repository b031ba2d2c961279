/* The end of listening where another thread is faster: libmicrohttpd ended the process when the
 * listening socket was gone from an epoll set before it could take it out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http_epoll.h"
#include "quiesce_shim.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS 2
#define PATIENCE_MS 40000

static const char asked[] = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";
static struct sockaddr_in address;
static int listening;

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

/* One thread, or a pool, which ends listening in other places. */
static struct MHD_Daemon *start(unsigned threads, unsigned connections)
{
    socklen_t length = sizeof address;
    address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listening, 16), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &length), 0);
    atomic_store(&quiesce_shim_fd, listening);
    atomic_store(&quiesce_shim_lost, 0);
    struct MHD_Daemon *d =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC, 0, NULL, NULL, answer, NULL,
                         MHD_OPTION_LISTEN_SOCKET, listening, MHD_OPTION_THREAD_POOL_SIZE, threads,
                         MHD_OPTION_CONNECTION_LIMIT, connections, MHD_OPTION_END);
    assert_non_null(d);
    return d;
}

static void stop(struct MHD_Daemon *d)
{
    assert_int_equal(http_quiesce(d), listening);
    MHD_stop_daemon(d);
    close(listening);
    atomic_store(&quiesce_shim_fd, -1);
}

static void a_socket_that_is_gone_at_the_end(void **state)
{
    (void)state;
    for (unsigned threads = 1; threads <= 3; threads++) {
        struct MHD_Daemon *d = start(threads, 100);
        stop(d);
        assert_true(atomic_load(&quiesce_shim_lost) >= (int)threads);
    }
}

static bool is_answered(int client)
{
    char text[1024];
    return connect(client, (struct sockaddr *)&address, sizeof address) == 0 &&
           write(client, asked, sizeof asked - 1) == sizeof asked - 1 &&
           read(client, text, sizeof text) > 0;
}

/* A thread with as many connections as it may have takes the socket out by itself. */
static void a_socket_that_is_gone_at_the_limit(void **state)
{
    int clients[THREADS];
    (void)state;
    struct MHD_Daemon *d = start(THREADS, THREADS);
    for (int i = 0; i < THREADS; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM, 0);
        assert_true(is_answered(clients[i]));
    }
    for (int ms = 0; atomic_load(&quiesce_shim_lost) < THREADS && ms < PATIENCE_MS; ms++)
        usleep(1000);
    assert_true(atomic_load(&quiesce_shim_lost) >= THREADS);
    stop(d);
    for (int i = 0; i < THREADS; i++)
        close(clients[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_socket_that_is_gone_at_the_end),
        cmocka_unit_test(a_socket_that_is_gone_at_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
