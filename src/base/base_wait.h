/* Condition variables on the clock of clock_ns, which nobody sets back. */
#ifndef BASE_WAIT_H
#define BASE_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define WAIT_FOREVER INT64_MAX

/* Makes `condition` ready for wait_until. To be ended by pthread_cond_destroy. */
void wait_init(pthread_cond_t *condition);

/* Waits with `lock` held, as pthread_cond_wait does, until somebody signals or clock_ns() reaches
 * `end_ns` (nanoseconds, or WAIT_FOREVER). False when the time is over. Like every condition it may
 * wake without a signal, so the caller looks again. */
bool wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t end_ns);

/* The end of a wait of `timeout_ms` from now; -1: WAIT_FOREVER. */
int64_t wait_end_ns(int timeout_ms);

#endif
