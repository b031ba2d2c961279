/* A mutex that knows who holds it, so that a function that needs it can say so. */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct lock {
    pthread_mutex_t mutex;
    pthread_t holder; /* while held */
    bool held;
};

void lock_init(struct lock *lock);
void lock_clear(struct lock *lock);
void lock_take(struct lock *lock);
void lock_drop(struct lock *lock);
/* wait_until of base_wait.h: the lock is free meanwhile, and held again afterwards. */
bool lock_wait(struct lock *lock, pthread_cond_t *condition, int64_t end_ns);
/* Ends the process when the calling thread does not hold the lock: a broken promise of our own. */
void lock_assert_held(const struct lock *lock);

#endif
