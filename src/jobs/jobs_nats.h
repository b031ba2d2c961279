/* The store of a fleet: jobs in a NATS server or cluster with JetStream, which any number of
 * replicas share. Inside the room only. */
#ifndef JOBS_NATS_H
#define JOBS_NATS_H

#include "jobs_store.h"
#include "jobs_wire.h"

/* The store's `changed` and `context`, which are called from the start on, and what to connect to.
 * JOBS_DONE also where the server is not there yet: it is tried again and again, and until then
 * every function answers JOBS_AWAY with why. */
enum jobs_answer jobs_nats_open(const struct jobs_wire_options *options,
                                void (*changed)(void *context, const char *id), void *context,
                                struct jobs_store **out, struct err *e);

#endif
