/* Who holds the lock is written under the lock, so the holder alone can read its own name there;
 * anybody else reads something else, or finds nobody. */
#include "engine_lock.h"

#include "base_wait.h"

#include <assert.h>

static void enter(struct engine_lock *lock)
{
    lock->holder = pthread_self();
    lock->held = true;
}

void engine_lock_init(struct engine_lock *lock)
{
    pthread_mutex_init(&lock->mutex, NULL);
    lock->held = false;
}

void engine_lock_clear(struct engine_lock *lock)
{
    pthread_mutex_destroy(&lock->mutex);
}

void engine_lock_take(struct engine_lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
    enter(lock);
}

void engine_lock_drop(struct engine_lock *lock)
{
    engine_assert_locked(lock);
    lock->held = false;
    pthread_mutex_unlock(&lock->mutex);
}

bool engine_lock_wait(struct engine_lock *lock, pthread_cond_t *condition, int64_t end_ns)
{
    engine_assert_locked(lock);
    lock->held = false;
    bool in_time = wait_until(condition, &lock->mutex, end_ns);
    enter(lock);
    return in_time;
}

void engine_assert_locked(const struct engine_lock *lock)
{
    assert(lock->held && pthread_equal(lock->holder, pthread_self()));
}
