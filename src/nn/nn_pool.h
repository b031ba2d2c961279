/* Threads that share out numbered tasks.
 *
 * Training and evaluation split their work into tasks whose number and contents do not depend on
 * how many threads there are; a pool only decides who runs which. So results keep their bits on any
 * number of cores, provided that a task writes nothing that another one reads.
 *
 * One pool is driven by one thread at a time, which works along. The pool sleeps between runs. */
#ifndef NN_POOL_H
#define NN_POOL_H

#include "base_err.h"

struct nn_pool;
/* `threads` ≥ 1, the caller included. NULL: ERR_MEMORY or ERR_IO. */
struct nn_pool *nn_pool_new(int threads, struct err *e);
void nn_pool_free(struct nn_pool *pool);
int nn_pool_threads(const struct nn_pool *pool);

/* Calls run(context, task, thread) once for each task below `tasks`, 0 ≤ thread < threads, and
 * returns when all are done. What the tasks wrote is then visible to the caller. */
void nn_pool_run(struct nn_pool *pool, size_t tasks,
                 void (*run)(void *context, size_t task, int thread), void *context);

#endif
