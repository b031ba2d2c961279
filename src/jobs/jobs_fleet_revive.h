/* Jobs of the fleet that do not go on. Inside the room only. */
#ifndef JOBS_FLEET_REVIVE_H
#define JOBS_FLEET_REVIVE_H

#include "jobs_fleet.h"

/* Makes shards anew of what is missing of jobs that have been handed out whole for stuck_ns and do
 * not go on: at once where nobody works on any job of their kind, else after anyway_ns. Of the
 * keeper's thread. */
void jobs_fleet_revive(struct jobs_fleet *f, struct jobs_wire *w);

#endif
