/* Filing and erasing in the fleet's store. Inside the room only. */
#ifndef JOBS_FLEET_FILING_H
#define JOBS_FLEET_FILING_H

#include "jobs_fleet.h"

/* Functions of the table. */
enum jobs_answer jobs_fleet_create(struct jobs_store *s, struct jobs_record *r, struct err *e);
enum jobs_answer jobs_fleet_same(struct jobs_store *s, const struct jobs_record *r,
                                 struct jobs_record *out, struct err *e);
enum jobs_answer jobs_fleet_erase(struct jobs_store *s, const char *id, struct err *e);

#endif
