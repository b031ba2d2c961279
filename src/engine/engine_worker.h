/* The worker's loop. Inside the room only. */
#ifndef ENGINE_WORKER_H
#define ENGINE_WORKER_H

#include "engine_internal.h"

/* The body of a worker's thread; `worker` is its struct engine_worker. */
void *engine_worker_main(void *worker);

#endif
