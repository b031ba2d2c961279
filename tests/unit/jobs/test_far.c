/* The connection to NATS itself: a server that is far away. */
#include "jobs_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "jobs_mirror.h"
#include "jobs_store_test.h"
#include "jobs_wire.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define TRIES 40 /* each of which takes half a second */

/* One connection to the server, on which everything takes a while in both directions. */
static atomic_int delay_ms;
struct far {
    int listening, client, server;
    pthread_t there, back;
};

static struct sockaddr_in local(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static void carry(int from, int to)
{
    char bytes[65536];
    ssize_t count;
    while ((count = read(from, bytes, sizeof bytes)) > 0) {
        usleep((unsigned)delay_ms * 1000);
        for (ssize_t done = 0, one; done < count; done += one)
            if ((one = write(to, bytes + done, (size_t)(count - done))) <= 0)
                return;
    }
    shutdown(to, SHUT_RDWR);
}

static void *carry_back(void *far)
{
    struct far *f = far;
    carry(f->server, f->client);
    return NULL;
}

static void *carry_there(void *far)
{
    struct far *f = far;
    f->client = accept(f->listening, NULL, NULL);
    if (f->client < 0 || pthread_create(&f->back, NULL, carry_back, f) != 0)
        return NULL;
    carry(f->client, f->server);
    pthread_join(f->back, NULL);
    close(f->client);
    return NULL;
}

/* The port where the server seems to be. */
static int go_far(struct far *f)
{
    struct sockaddr_in at = local(0);
    const struct sockaddr_in server = local(atoi(strrchr(nats_address, ':') + 1));
    socklen_t length = sizeof at;
    f->listening = socket(AF_INET, SOCK_STREAM, 0);
    f->server = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(f->server, (const struct sockaddr *)&server, sizeof server), 0);
    assert_int_equal(bind(f->listening, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(f->listening, 1), 0);
    assert_int_equal(getsockname(f->listening, (struct sockaddr *)&at, &length), 0);
    assert_int_equal(pthread_create(&f->there, NULL, carry_there, f), 0);
    return ntohs(at.sin_port);
}

static void come_back(struct far *f)
{
    pthread_join(f->there, NULL);
    close(f->server);
    close(f->listening);
}

/* An answer that comes late is not lost: a shard in it would count as one that nobody finished. */
static void a_shard_from_far_away_is_taken_at_its_first_delivery(void **state)
{
    (void)state;
    struct jobs_store *s = open_store(folder);
    struct jobs_shard shard;
    struct jobs_wire *w = NULL;
    struct jobs_wire_work work;
    struct far far = {.client = -1};
    struct err e = {0};
    char address[64], subject[JOBS_WORK_SIZE];
    make(s, "me", 256);
    take(s, 0, 64, &shard);
    snprintf(address, sizeof address, "nats://127.0.0.1:%d", go_far(&far));
    const struct jobs_wire_options options = {.servers = address, .replicas = 1};
    assert_answer(jobs_wire_connect(&options, &w, &e), JOBS_DONE, &e);
    jobs_mirror_work(&offered, subject);
    delay_ms = 250;
    for (unsigned first = 64; first < 256; first += 64) {
        char begins[16];
        enum jobs_answer answer = JOBS_ABSENT;
        for (int i = 0; i < TRIES && answer == JOBS_ABSENT; i++) {
            answer = jobs_wire_take(w, subject, &work, &e);
            if (answer == JOBS_ABSENT)
                usleep(400000); /* as those do who ask for work */
        }
        assert_answer(answer, JOBS_DONE, &e);
        assert_int_equal(work.deliveries, 1);
        snprintf(begins, sizeof begins, " %u 64 ", first);
        assert_non_null(strstr(work.text, begins));
        jobs_wire_say(w, work.reply, "+ACK", 4);
    }
    delay_ms = 0;
    jobs_wire_flush(w);
    jobs_wire_close(w);
    jobs_wire_release(w);
    come_back(&far);
    s->ops->close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_shard_from_far_away_is_taken_at_its_first_delivery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
