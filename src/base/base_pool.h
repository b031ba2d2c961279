/* Threads that share out numbered tasks.
 *
 * Training and evaluation split their work into tasks whose number and contents do not depend on
 * how many threads there are; a pool only decides who runs which. So results keep their bits on any
 * number of cores, provided that a task writes nothing that another one reads.
 *
 * One pool is driven by one thread at a time, which works along. The pool sleeps between runs. */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include "base_err.h"

struct pool;
/* `threads` ≥ 1, the caller included. NULL: ERR_MEMORY or ERR_IO. */
struct pool *pool_new(int threads, struct err *e);
void pool_free(struct pool *pool);
int pool_threads(const struct pool *pool);

/* Calls run(context, task, thread) once for each task below `tasks`, 0 ≤ thread < threads, and
 * returns when all are done. What the tasks wrote is then visible to the caller. */
void pool_run(struct pool *pool, size_t tasks, void (*run)(void *context, size_t task, int thread),
              void *context);

#endif
