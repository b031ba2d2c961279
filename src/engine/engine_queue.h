/* Everything that the engine's lock guards: the queue, the slots' lists, the counters. Each
 * function is called with the lock held and keeps it. What ends is put on a list of the caller's,
 * who announces it without the lock. Inside the room only. */
#ifndef ENGINE_QUEUE_H
#define ENGINE_QUEUE_H

#include "engine_internal.h"

/* The first request of a list, which leaves it; NULL when it is empty. Lists that one thread has
 * to itself need no lock. */
struct engine_request *engine_list_pop(struct engine_list *list);

/* Whether the order's images may wait besides those that do, or continue what was let in; ERR_LIMIT
 * at "queue", or ERR_CANCELLED while draining. */
int engine_queue_admits_locked(const struct engine *g, const struct engine_order *order,
                               struct err *e);
/* Takes a request in, to be begun by whoever comes first. */
void engine_queue_add_locked(struct engine *g, struct engine_request *r);
/* Drops the images of a request that were not begun and marks the rest to stop. `why` becomes the
 * request's error unless it has one. */
void engine_queue_stop_locked(struct engine_request *r, enum engine_cause cause, const char *why,
                              struct engine_list *ended);
/* Stops every request whose deadline has passed. */
void engine_queue_expire_locked(struct engine *g, struct engine_list *ended);

/* Gives free slots to images that wait, and fills the worker's batch with slots of one model, which
 * becomes the worker's. How many; 0 when there is nothing to do. */
int engine_queue_take_locked(struct engine_worker *w);
/* Counts a step of the worker's batch and puts its slots back: to those that are ready, or, when
 * their image is over, to the free ones. */
void engine_queue_give_back_locked(struct engine_worker *w, int count,
                                   const struct ode_counts *totals);
/* Something to do has come: wakes a worker that sleeps, or else calls back those that help. */
void engine_queue_offer_locked(struct engine *g);
/* The worker has nothing to evaluate, and nothing to be helped with. */
void engine_queue_rest_locked(struct engine_worker *w);

#endif
