/* A lock knows its holder, and who asserts it without holding it ends at once. */
#include "base_cpu.h"
#include "base_lock.h"
#include "base_wait.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void *assert_from_another_thread(void *lock)
{
    lock_assert_held(lock);
    return NULL;
}

/* How a process ends that asserts the lock; `held_by_another`: while the main thread has it. */
static int end_of_assertion(bool held_by_another)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit no_core = {0, 0};
        struct lock lock;
        pthread_t other;
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        lock_init(&lock);
        if (!held_by_another)
            lock_assert_held(&lock);
        lock_take(&lock);
        if (pthread_create(&other, NULL, assert_from_another_thread, &lock) == 0)
            pthread_join(other, NULL);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void test_without_the_lock_the_process_ends(void **state)
{
    (void)state;
    for (int held = 0; held < 2; held++) {
        int status = end_of_assertion(held != 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

static void test_the_holder_may(void **state)
{
    (void)state;
    struct lock lock;
    pthread_cond_t condition;
    lock_init(&lock);
    wait_init(&condition);
    lock_take(&lock);
    lock_assert_held(&lock);
    int64_t begin = clock_ns();
    while (lock_wait(&lock, &condition, begin + 20000000))
        ;
    assert_true(clock_ns() >= begin + 20000000);
    lock_assert_held(&lock);
    lock_drop(&lock);
    pthread_cond_destroy(&condition);
    lock_clear(&lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_the_lock_the_process_ends),
        cmocka_unit_test(test_the_holder_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
