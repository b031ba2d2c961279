/* Whose turn it is, in a store that one process has to itself: the live jobs in memory, each with
 * the images of it that were not handed out yet. After a restart it is made anew from the records;
 * what was handed out before and not stored is then handed out again.
 *
 * No locks: the store's. Inside the room only. */
#ifndef JOBS_TURNS_H
#define JOBS_TURNS_H

#include "jobs_store.h"

struct jobs_range {
    uint64_t first, end;
};
struct jobs_turn {
    struct jobs_turn *next;
    char id[JOBS_ID_SIZE];
    uint64_t number; /* the record's */
    struct jobs_needs needs;
    uint64_t n;     /* images */
    uint64_t begun; /* those from here on are handed out in their order, behind `again` */
    struct jobs_range *again;
    size_t again_count;
};
struct jobs_turns {
    struct jobs_turn *first, *last; /* who is next, and the end of the line */
    struct jobs_needs models[JOBS_OFFERS_MAX];
    size_t model_count;
};

void jobs_turns_clear(struct jobs_turns *t);
int jobs_turns_add(struct jobs_turns *t, const struct jobs_record *r, struct err *e);
/* Harmless for one that is not there. */
void jobs_turns_remove(struct jobs_turns *t, const char *id);
/* The next job that has something to hand out and needs one of the models; it goes to the end of
 * the line. *out: which of its images, some of which may be stored already. NULL: none. */
struct jobs_turn *jobs_turns_next(struct jobs_turns *t, const struct jobs_needs *models,
                                  size_t count, struct jobs_range *out);
/* These are to be handed out again; an empty range is none. Without memory for them, all images
 * from there on are handed out again: what is stored is skipped then, and a second result of an
 * image is let go. */
void jobs_turns_again(struct jobs_turn *turn, struct jobs_range range);
/* What can be worked on, from now on: of what is beyond JOBS_OFFERS_MAX, nothing. */
void jobs_turns_offer(struct jobs_turns *t, const struct jobs_needs *models, size_t count);
/* How many images of what can be worked on were not handed out; *unserved: how many of the jobs
 * cannot be. */
uint64_t jobs_turns_waiting(const struct jobs_turns *t, uint64_t *unserved);
struct jobs_turn *jobs_turns_find(struct jobs_turns *t, const char *id);

#endif
