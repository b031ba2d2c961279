/* The pool's threads wait on a condition for the next round; within a round everybody, the caller
 * too, takes the next task from an atomic counter. The lock guards the round's number, its
 * description and the count of threads that still work on it. */
#include "base_pool.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct member {
    struct pool *pool;
    pthread_t thread;
    int number;
};

struct pool {
    int threads;
    struct member *members; /* [threads - 1] */
    int started;
    pthread_mutex_t lock;
    pthread_cond_t begin, end;
    unsigned long round; /* rises with each run */
    bool stopping;
    int working; /* members that have not finished the round */
    size_t tasks;
    void (*run)(void *context, size_t task, int thread);
    void *context;
    atomic_size_t next;
};

static void take_tasks(struct pool *p, int thread)
{
    for (;;) {
        size_t task = atomic_fetch_add(&p->next, 1);
        if (task >= p->tasks)
            return;
        p->run(p->context, task, thread);
    }
}

static void *member_main(void *argument)
{
    struct member *m = argument;
    struct pool *p = m->pool;
    unsigned long seen = 0;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (p->round == seen && !p->stopping)
            pthread_cond_wait(&p->begin, &p->lock);
        if (p->stopping)
            break;
        seen = p->round;
        pthread_mutex_unlock(&p->lock);
        take_tasks(p, m->number);
        pthread_mutex_lock(&p->lock);
        if (--p->working == 0)
            pthread_cond_signal(&p->end);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct pool *pool_new(int threads, struct err *e)
{
    struct pool *p = calloc(1, sizeof *p);
    struct member *members = calloc((size_t)threads, sizeof *members);
    if (!p || !members) {
        free(p);
        free(members);
        err_fail_memory(e, sizeof *p + (size_t)threads * sizeof *members);
        return NULL;
    }
    p->threads = threads;
    p->members = members;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->begin, NULL);
    pthread_cond_init(&p->end, NULL);
    for (int i = 0; i + 1 < threads; i++) {
        struct member *m = &members[i];
        *m = (struct member){.pool = p, .number = i + 1};
        int why = pthread_create(&m->thread, NULL, member_main, m);
        if (why != 0) {
            err_fail_errno(e, why, "--threads", "start a thread");
            pool_free(p);
            return NULL;
        }
        p->started++;
    }
    return p;
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->begin);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->started; i++)
        pthread_join(p->members[i].thread, NULL);
    pthread_cond_destroy(&p->begin);
    pthread_cond_destroy(&p->end);
    pthread_mutex_destroy(&p->lock);
    free(p->members);
    free(p);
}

int pool_threads(const struct pool *pool)
{
    return pool->threads;
}

void pool_run(struct pool *p, size_t tasks, void (*run)(void *context, size_t task, int thread),
              void *context)
{
    pthread_mutex_lock(&p->lock);
    p->tasks = tasks;
    p->run = run;
    p->context = context;
    atomic_store(&p->next, 0);
    p->working = p->started;
    p->round++;
    pthread_cond_broadcast(&p->begin);
    pthread_mutex_unlock(&p->lock);
    take_tasks(p, 0);
    pthread_mutex_lock(&p->lock);
    while (p->working > 0)
        pthread_cond_wait(&p->end, &p->lock);
    pthread_mutex_unlock(&p->lock);
}
