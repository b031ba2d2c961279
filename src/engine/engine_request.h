/* What comes after a request's end. Inside the room only. */
#ifndef ENGINE_REQUEST_H
#define ENGINE_REQUEST_H

#include "engine_internal.h"

/* Makes the sheets and calls `done` of requests that have ended, in their order, and leaves the
 * list empty. Each may be gone afterwards. Without the lock. */
void engine_requests_announce(struct engine *g, struct engine_list *ended);

#endif
