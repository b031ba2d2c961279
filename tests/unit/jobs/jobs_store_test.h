/* A store in a folder of its own for each test, and what is done with it most. Include after
 * <cmocka.h>. */
#ifndef JOBS_STORE_TEST_H
#define JOBS_STORE_TEST_H

#include "jobs_test.h"

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static char folder[64];

static inline int set_up(void **state)
{
    (void)state;
    make_folder(folder, sizeof folder);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

/* What is asked for here is there, under another name. */
static const struct jobs_needs offered = {"another", "abc", "c.1", "f32"};

static inline struct jobs_record make(struct jobs_store *s, const char *owner, uint64_t n)
{
    struct jobs_record r = record_of(owner, n);
    struct err e = {0};
    assert_answer(s->ops->create(s, &r, &e), JOBS_DONE, &e);
    return r;
}

/* The record once its images are counted. */
static inline struct jobs_record get(struct jobs_store *s, const char *id)
{
    struct jobs_record r = {.is_counting = true};
    struct err e = {0};
    for (int i = 0; i < WAIT_MS && r.is_counting; i++, usleep(1000)) {
        const enum jobs_answer answer = s->ops->get(s, id, &r, &e);
        if (answer == JOBS_AWAY)
            r.is_counting = true; /* the server had no turn for some seconds */
        else
            assert_answer(answer, JOBS_DONE, &e);
    }
    return r;
}

/* What is stored of a job, once it is counted. */
static inline size_t read_log(struct jobs_store *s, const char *id, uint64_t after,
                              struct jobs_result *out, size_t max)
{
    enum jobs_answer answer;
    struct err e = {0};
    size_t count;
    int tries = 0;
    do {
        count = max;
        answer = s->ops->log(s, id, after, out, &count, &e);
    } while (was_late(answer, &tries));
    assert_answer(answer, JOBS_DONE, &e);
    return count;
}

/* The next shard of what needs that. A server that had no turn for a moment hands it out later, and
 * so it does with one that was given back. */
static inline struct jobs_shard take_next(struct jobs_store *s, const struct jobs_needs *needs)
{
    struct jobs_shard out;
    struct err e = {0};
    enum jobs_answer answer;
    int tries = 0;
    do
        answer = s->ops->take_shard(s, needs, 1, &out, &e);
    while (was_late(answer, &tries) ||
           (is_on_nats() && answer == JOBS_ABSENT && may_try_again(&tries)));
    assert_answer(answer, JOBS_DONE, &e);
    return out;
}

static inline void take(struct jobs_store *s, uint64_t first, size_t count, struct jobs_shard *out)
{
    *out = take_next(s, &offered);
    assert_int_equal(out->first, first);
    assert_int_equal(out->count, count);
}

static inline void go(struct jobs_store *s, struct jobs_record *r, enum jobs_state to)
{
    struct err e = {0};
    r->state = to;
    assert_answer(s->ops->change(s, r, &e), JOBS_DONE, &e);
}

/* Results first to first + count − 1, whose bytes are their number. */
static inline enum jobs_answer put(struct jobs_store *s, const char *id, uint64_t first,
                                   size_t count, struct err *e)
{
    struct jobs_result *results = calloc(count, sizeof *results);
    uint64_t *bytes = calloc(count, sizeof *bytes);
    assert_non_null(results);
    assert_non_null(bytes);
    for (size_t i = 0; i < count; i++) {
        bytes[i] = first + i;
        results[i] = (struct jobs_result){.index = first + i,
                                          .label = -1,
                                          .nfe = 7,
                                          .bytes = &bytes[i],
                                          .length = sizeof bytes[i]};
        assert_int_equal(sha256_hex(&bytes[i], sizeof bytes[i], results[i].sha256, NULL), 0);
    }
    enum jobs_answer answer = s->ops->put_results(s, id, results, count, e);
    free(results);
    free(bytes);
    return answer;
}

#endif
