/* What is known of the jobs of a fleet: their records as they came last, by id, and how far each
 * was handed out. A copy in memory of what lies elsewhere, so that looking at it costs nothing and
 * asks nobody.
 *
 * No locks: the store's. Inside the room only. */
#ifndef JOBS_MIRROR_H
#define JOBS_MIRROR_H

#include "jobs_record.h"

#include <stddef.h>

#define JOBS_WORK_SIZE 208 /* "pfgm.work.SHA256.KERNEL-PRECISION" and a NUL */

struct jobs_entry {
    struct jobs_entry *next; /* in its chain */
    size_t hash;             /* of its id */
    char id[JOBS_ID_SIZE];
    char *text; /* the record as JSON; NULL: none came yet, and the entry counts as absent */
    size_t length;
    uint64_t revision;
    /* of the record, so that it need not be read for each question */
    char owner[JOBS_OWNER_MAX + 1], work[JOBS_WORK_SIZE];
    enum jobs_state state;
    uint64_t number, n, bytes;
    int64_t finished_ms;
    /* of a job that is handed out: the images before `handed` are or were shards; and how often it
     * was begun anew */
    uint64_t handed, round, handed_revision;
    uint64_t turn;       /* when shards were made of it last */
    uint64_t seen_count; /* of one that is handed out whole: reports of it, as was asked last, */
    int64_t seen_ns;     /* since when there are no more; 0: it was not found to be handed out */
    int64_t asked_ns;    /* when that was */
    bool is_record_seen; /* since jobs_mirror_begin */
};
struct jobs_mirror {
    struct jobs_entry **chains;
    size_t size; /* of them: 0 or a power of two */
    size_t count;
};

/* The subject under which shards of such work lie. */
void jobs_mirror_work(const struct jobs_needs *needs, char out[JOBS_WORK_SIZE]);

void jobs_mirror_clear(struct jobs_mirror *m);
/* NULL: there is none. With or without a record. */
struct jobs_entry *jobs_mirror_find(const struct jobs_mirror *m, const char *id);
void jobs_mirror_remove(struct jobs_mirror *m, const char *id);
/* A record of that revision was read. Whether it is news. -1: it cannot be read, or memory is out.
 */
int jobs_mirror_record(struct jobs_mirror *m, const char *id, const void *text, size_t length,
                       uint64_t revision, struct err *e);
/* "HANDED ROUND" was read. Whether it is news; -1 as above. */
int jobs_mirror_handed(struct jobs_mirror *m, const char *id, const void *text, size_t length,
                       uint64_t revision, struct err *e);
/* All is about to be read anew, from a server that may have been set back to lower revisions: what
 * is read first counts. And it was read: what was not seen is gone. */
void jobs_mirror_begin(struct jobs_mirror *m);
void jobs_mirror_end(struct jobs_mirror *m);
/* The entry after `at` of those that have a record, in no order; NULL: the first, and the end. */
struct jobs_entry *jobs_mirror_next(const struct jobs_mirror *m, const struct jobs_entry *at);
/* The record of an entry that has one. */
int jobs_mirror_read(const struct jobs_entry *entry, struct jobs_record *out, struct err *e);

#endif
