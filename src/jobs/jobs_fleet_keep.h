/* The thread of a fleet's store. Inside the room only. */
#ifndef JOBS_FLEET_KEEP_H
#define JOBS_FLEET_KEEP_H

#include "jobs_fleet.h"

/* Connects, again and again with growing pauses, and keeps what is to be kept up. */
void *jobs_fleet_keep(void *fleet);
/* Whether this replica, or one that was heard of lately, works on that (jobs_mirror_work). */
bool jobs_fleet_serves_locked(struct jobs_fleet *f, const char *work);
/* Functions of the table: what this replica works on, and whether any replica works on that. */
void jobs_fleet_offer(struct jobs_store *s, const struct jobs_needs *models, size_t count);
bool jobs_fleet_served(struct jobs_store *s, const struct jobs_needs *needs);

#endif
