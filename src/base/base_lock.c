/* Who holds the lock is written under the lock, so the holder alone can read its own name there;
 * anybody else reads something else, or finds nobody. */
#include "base_lock.h"

#include "base_wait.h"

#include <assert.h>

static void enter(struct lock *lock)
{
    lock->holder = pthread_self();
    lock->held = true;
}

void lock_init(struct lock *lock)
{
    pthread_mutex_init(&lock->mutex, NULL);
    lock->held = false;
}

void lock_clear(struct lock *lock)
{
    pthread_mutex_destroy(&lock->mutex);
}

void lock_take(struct lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
    enter(lock);
}

void lock_drop(struct lock *lock)
{
    lock_assert_held(lock);
    lock->held = false;
    pthread_mutex_unlock(&lock->mutex);
}

bool lock_wait(struct lock *lock, pthread_cond_t *condition, int64_t end_ns)
{
    lock_assert_held(lock);
    lock->held = false;
    bool in_time = wait_until(condition, &lock->mutex, end_ns);
    enter(lock);
    return in_time;
}

void lock_assert_held(const struct lock *lock)
{
    assert(lock->held && pthread_equal(lock->holder, pthread_self()));
}
