/* A record as JSON, for stores whose values are bytes. Inside the room only. */
#ifndef JOBS_JSON_H
#define JOBS_JSON_H

#include "base_buf.h"
#include "jobs_record.h"

#define JOBS_JSON_MAX ((size_t)1 << 16)

/* All but the revision, which is the store's. */
int jobs_json_write(const struct jobs_record *r, struct buf *out, struct err *e);
/* ERR_INPUT at `where` for anything that cannot have been written. A record that was written before
 * it had a number has 0. */
int jobs_json_read(const void *text, size_t length, const char *where, struct jobs_record *out,
                   struct err *e);

#endif
