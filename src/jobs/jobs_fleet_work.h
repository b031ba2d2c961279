/* Shards of the fleet: made, taken, ended. Inside the room only. */
#ifndef JOBS_FLEET_WORK_H
#define JOBS_FLEET_WORK_H

#include "jobs_fleet.h"

/* Functions of the table. */
enum jobs_answer jobs_fleet_take(struct jobs_store *s, const struct jobs_needs *models,
                                 size_t count, struct jobs_shard *out, struct err *e);
void jobs_fleet_end(struct jobs_store *s, const struct jobs_shard *shard, bool again);

/* Says of each shard that was taken that it is being worked on. */
void jobs_fleet_say_held(struct jobs_fleet *f, struct jobs_wire *w);
/* Gives back whatever is still held, to others at once. w may be NULL. */
void jobs_fleet_drop_held(struct jobs_fleet *f, struct jobs_wire *w);
/* Stores how far the job is handed out now; what somebody else stored meanwhile is read. */
enum jobs_answer jobs_fleet_write_handed(struct jobs_fleet *f, struct jobs_wire *w,
                                         const struct jobs_entry *entry, uint64_t handed,
                                         uint64_t round, struct err *e);

#endif
