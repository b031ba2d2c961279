/* The one place that knows which clock a condition counts on: a wait on the wall clock would end
 * early or late when somebody sets it. */
#include "base_wait.h"

#include "base_cpu.h"

#include <errno.h>
#include <time.h>

void wait_init(pthread_cond_t *condition)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

bool wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t end_ns)
{
    const struct timespec end = {end_ns / 1000000000, end_ns % 1000000000};
    if (end_ns != WAIT_FOREVER)
        return pthread_cond_timedwait(condition, lock, &end) != ETIMEDOUT;
    pthread_cond_wait(condition, lock);
    return true;
}

int64_t wait_end_ns(int timeout_ms)
{
    return timeout_ms < 0 ? WAIT_FOREVER : clock_ns() + (int64_t)timeout_ms * 1000000;
}
