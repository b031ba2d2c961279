/* Threads log faster than anybody reads: nobody waits, each line comes out whole or is counted. */
#include "base_log.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS 4
#define LINES 5000

static void *log_much(void *unused)
{
    (void)unused;
    for (int i = 0; i < LINES; i++)
        log_line(LOG_INFO, "line %d of many, which together are more than the queue holds", i);
    return NULL;
}

/* Reads to the end: whole lines of ours, and the sum of what other lines say was dropped. */
static void *read_all(void *context)
{
    uint64_t *counts = context; /* written, told */
    FILE *f = fdopen((int)counts[0], "r");
    char line[512];
    counts[0] = 0;
    while (f && fgets(line, sizeof line, f)) {
        unsigned long long dropped;
        const char *words = strstr(line, " warn ");
        if (words && sscanf(words, " warn %llu lines of the log were dropped", &dropped) == 1)
            counts[1] += dropped;
        else if (strstr(line, " info line ") && strstr(line, "the queue holds\n"))
            counts[0]++;
    }
    if (f)
        fclose(f);
    return NULL;
}

static void test_nobody_waits_and_nothing_vanishes(void **state)
{
    (void)state;
    int ends[2], was = dup(STDERR_FILENO);
    struct err e = {0};
    pthread_t threads[THREADS], reader;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    close(ends[1]);
    assert_int_equal(log_start(&e), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_much, NULL), 0);
    for (int i = 0; i < THREADS; i++) /* although nobody reads */
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    const uint64_t dropped = log_dropped();
    assert_true(dropped > 0);
    uint64_t counts[2] = {(uint64_t)ends[0], 0};
    assert_int_equal(pthread_create(&reader, NULL, read_all, counts), 0);
    log_stop(60000);
    dup2(was, STDERR_FILENO); /* the pipe's last writer: the reader ends */
    close(was);
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_true(counts[0] + dropped == THREADS * LINES);
    assert_true(counts[1] == dropped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nobody_waits_and_nothing_vanishes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
