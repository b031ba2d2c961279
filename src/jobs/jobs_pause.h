/* What the store answers to the jobs' thread. Of that thread alone; inside the room only. */
#ifndef JOBS_PAUSE_H
#define JOBS_PAUSE_H

#include "jobs_internal.h"

/* Notes an answer, and says so in the log when it is news. JOBS_FULL, JOBS_BROKEN and JOBS_AWAY
 * pause the thread, and are the answers for which this is false; a write that was done ends the
 * pause. A store that is away says so itself, and that it is there again. */
bool jobs_note_read(struct jobs *j, enum jobs_answer answer, const struct err *e);
bool jobs_note_write(struct jobs *j, enum jobs_answer answer, const struct err *e);
bool jobs_paused(const struct jobs *j);

/* What is written between the two calls makes room in a store that is full, and does not mean that
 * it takes results again. Whatever became of it, results get their try after the second one. */
void jobs_begin_room(struct jobs *j);
void jobs_end_room(struct jobs *j);

#endif
