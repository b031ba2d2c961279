/* What goes when a job is old. Inside the room only. */
#ifndef JOBS_RETAIN_H
#define JOBS_RETAIN_H

#include "jobs_internal.h"

/* The clock is believed as it is. Before the first jobs_retain. */
void jobs_retain_begin(struct jobs *j);
/* Expires jobs that have been kept long enough or take too much, deletes some of what the expired
 * ones hold, and tombstones that are old themselves. Whether there is more to do at once. */
bool jobs_retain(struct jobs *j);

#endif
