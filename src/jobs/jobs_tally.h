/* What is stored of a job, counted and in its order: its reports are followed from the first one on
 * for as long as somebody asks. Inside the room only. */
#ifndef JOBS_TALLY_H
#define JOBS_TALLY_H

#include "jobs_fleet.h"

/* The tally of a job of n images, begun where there is none, once it is whole. JOBS_DONE: the
 * fleet's lock is held, and the caller drops it; otherwise it is not. */
enum jobs_answer jobs_tally_lock(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                 uint64_t n, struct jobs_tally **out, struct err *e);
/* Whether that would be so at once. Begins the tally where there is none. */
enum jobs_answer jobs_tally_is_read(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                    uint64_t n, bool *out, struct err *e);
/* The same as jobs_tally_lock without a wait, as far as it is read; *is_whole: that is all. NULL:
 * there is none yet, and the fleet's thread begins it. The caller holds the fleet's lock. */
struct jobs_tally *jobs_tally_look_locked(struct jobs_fleet *f, const char *id, uint64_t n,
                                          bool *is_whole);
/* Whether a job of n images has one, or whoever looks at many may have one begun for it: those that
 * there are have room for so many more, at 52 bytes an image. The caller holds the fleet's lock. */
bool jobs_tally_fits_locked(struct jobs_fleet *f, const char *id, uint64_t n);
/* Begins some of those that were looked for. For the fleet's thread. */
void jobs_tally_begin_sought(struct jobs_fleet *f, struct jobs_wire *w);
/* Waits, without the lock, until that report was read, or for a few seconds; not where there is no
 * tally. */
void jobs_tally_catch_up(struct jobs_fleet *f, const char *id, uint64_t sequence);
bool jobs_tally_has(const struct jobs_tally *t, uint64_t index);
/* Ends those that were not asked for since `ns`, and those that missed something. */
void jobs_tally_end(struct jobs_fleet *f, int64_t ns);

#endif
