/* The engine's mutex, which knows who holds it, so that a function that needs it can say so. */
#ifndef ENGINE_LOCK_H
#define ENGINE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct engine_lock {
    pthread_mutex_t mutex;
    pthread_t holder; /* while held */
    bool held;
};

void engine_lock_init(struct engine_lock *lock);
void engine_lock_clear(struct engine_lock *lock);
void engine_lock_take(struct engine_lock *lock);
void engine_lock_drop(struct engine_lock *lock);
/* wait_until of base_wait.h: the lock is free meanwhile, and held again afterwards. */
bool engine_lock_wait(struct engine_lock *lock, pthread_cond_t *condition, int64_t end_ns);
/* Ends the process when the calling thread does not hold the lock: a broken promise of our own. */
void engine_assert_locked(const struct engine_lock *lock);

#endif
