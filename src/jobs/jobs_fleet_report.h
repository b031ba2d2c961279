/* What a replica has stored of the shards that it holds, and says to all others by reports. Inside
 * the room only. */
#ifndef JOBS_FLEET_REPORT_H
#define JOBS_FLEET_REPORT_H

#include "jobs_fleet.h"

/* Notes of a shard that nobody else sees, or under the fleet's lock: this image of it is stored. */
void jobs_fleet_keep_note(struct jobs_held *h, const struct jobs_result *r);
/* Whether it was noted already. [the fleet's lock] */
bool jobs_fleet_is_noted(const struct jobs_fleet *f, const char *id, uint64_t index);
bool jobs_fleet_is_whole(const struct jobs_held *h);
/* How many images of the job are stored by this replica and not reported yet. */
uint64_t jobs_fleet_untold(struct jobs_store *s, const char *id);

struct jobs_reported {
    bool shard; /* one is whole now */
    bool other; /* results that are of no shard that is held here */
};
/* Results of a job were stored: they are noted, and shards that are whole with them are reported;
 * what is of no shard that is held here is reported at once. When it returns, the tally has them.
 */
enum jobs_answer jobs_fleet_report(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                   const struct jobs_result *results, size_t count,
                                   struct jobs_reported *out, struct err *e);
/* Reports what is stored of shards that are not whole, of the job or (NULL) of all. */
enum jobs_answer jobs_fleet_report_parts(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                         struct err *e);
/* Reports a shard that nobody else sees, as far as it is stored. */
enum jobs_answer jobs_fleet_report_shard(struct jobs_fleet *f, struct jobs_wire *w,
                                         const struct jobs_held *h, struct err *e);

#endif
