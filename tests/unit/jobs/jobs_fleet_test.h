/* The store of a fleet in tests, and what the server has of it. Include after <cmocka.h>. */
#ifndef JOBS_FLEET_TEST_H
#define JOBS_FLEET_TEST_H

#include "jobs_fleet.h"
#include "jobs_mirror.h"
#include "jobs_store_test.h"

/* A connection of the test's own, to look at what the server has. */
static inline struct jobs_wire *look_at_server(void)
{
    const struct jobs_wire_options options = {.servers = nats_address, .replicas = 1};
    struct jobs_wire *w = NULL;
    struct err e = {0};
    assert_answer(jobs_wire_connect(&options, &w, &e), JOBS_DONE, &e);
    return w;
}

static inline void stop_looking(struct jobs_wire *w)
{
    jobs_wire_close(w);
    jobs_wire_release(w);
}

/* The next message of a work queue. A server that had no turn for a moment hands it out later. */
static inline void take_work(struct jobs_wire *w, const char *subject, struct jobs_wire_work *out)
{
    struct err e = {0};
    enum jobs_answer answer = JOBS_ABSENT;
    for (int i = 0; i < WAIT_MS && answer == JOBS_ABSENT; i++, usleep(1000))
        answer = jobs_wire_take(w, subject, out, &e);
    assert_answer(answer, JOBS_DONE, &e);
}

#endif
