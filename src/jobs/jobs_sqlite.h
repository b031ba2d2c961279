/* The store of one daemon: an SQLite file in a folder of its own. Inside the room only. */
#ifndef JOBS_SQLITE_H
#define JOBS_SQLITE_H

#include "jobs_store.h"

/* Opens DIR/jobs.sqlite3, which is made where it is not there, and so is the folder (not its
 * parents). JOBS_FULL or JOBS_BROKEN with one line: in use by another process, not to be written,
 * damaged, of a newer version, no store of ours. */
enum jobs_answer jobs_sqlite_open(const char *folder, struct jobs_store **out, struct err *e);

#endif
