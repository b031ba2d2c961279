/* The log of a run across a break. */
#include "train_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define TOO_LARGE ((off_t)257 << 20) /* sparse */

static void a_log_that_cannot_be_read_is_not_replaced(void **state)
{
    char path[] = "/tmp/pfgm-test-log-XXXXXX";
    int fd = mkstemp(path);
    struct train_log log;
    struct stat st;
    struct err e = {0};
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, TOO_LARGE), 0);
    int result = train_log_open(&log, path, 100, &e);
    assert_int_equal(fstat(fd, &st), 0);
    int there = access(path, F_OK), links = (int)st.st_nlink;
    if (result == 0)
        train_log_close(&log);
    close(fd);
    unlink(path);
    assert_int_equal(result, -1);
    assert_int_equal(e.code, ERR_LIMIT);
    assert_int_equal(there, 0);
    assert_int_equal(links, 1);
}

static void a_log_goes_on_where_its_run_does(void **state)
{
    char path[] = "/tmp/pfgm-test-log-XXXXXX";
    int fd = mkstemp(path);
    struct train_log log;
    struct err e = {0};
    (void)state;
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(train_log_open(&log, path, -1, &e), 0);
    for (int step = 50; step <= 150; step += 50)
        assert_int_equal(
            train_log_add(&log, (struct train_log_line){.step = step, .loss = 0.5}, &e), 0);
    train_log_close(&log);
    assert_int_equal(train_log_open(&log, path, 100, &e), 0);
    assert_int_equal(log.count, 2);
    assert_int_equal(log.lines[1].step, 100);
    train_log_close(&log);
    unlink(path);
    assert_int_equal(train_log_open(&log, path, 100, &e), 0); /* one that is gone is begun anew */
    assert_int_equal(log.count, 0);
    train_log_close(&log);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_that_cannot_be_read_is_not_replaced),
        cmocka_unit_test(a_log_goes_on_where_its_run_does),
    };
    return cmocka_run_group_tests_name("train: log", tests, NULL, NULL);
}
