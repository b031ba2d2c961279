/* Records of the fleet's store. Inside the room only. */
#ifndef JOBS_FLEET_RECORDS_H
#define JOBS_FLEET_RECORDS_H

#include "jobs_fleet.h"

#define JOBS_KEY_SIZE 96

/* JOBS_ABSENT, with its words. */
enum jobs_answer jobs_fleet_absent(struct err *e);
/* What can be a word of a key. */
bool jobs_fleet_is_word(const char *id);
/* The record as the mirror has it, else as the server has it; images_done and bytes of a job that
 * has ended only. */
enum jobs_answer jobs_fleet_look(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                 struct jobs_record *out, struct err *e);
/* The same with those of a live job as far as they are counted: whoever serves many does not wait
 * for the rest. `of_many`: they are 0 where counting them would take too much memory. */
enum jobs_answer jobs_fleet_so_far(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                   bool of_many, struct jobs_record *out, struct err *e);
/* The record as the server has it at this moment. */
enum jobs_answer jobs_fleet_refresh(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                    struct jobs_record *out, struct err *e);
/* Writes *r, if its revision is still that. */
enum jobs_answer jobs_fleet_write(struct jobs_fleet *f, struct jobs_wire *w, struct jobs_record *r,
                                  struct err *e);
/* The job has succeeded if all of its images are there. Reads all of its reports. */
enum jobs_answer jobs_fleet_finish(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                   struct err *e);
/* The same, where every shard of it was reported as whole: quick where that is not so. */
enum jobs_answer jobs_fleet_finish_whole(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                         struct err *e);
/* How many of a job's shards were reported as whole. */
enum jobs_answer jobs_fleet_count_shards(struct jobs_wire *w, const char *id, uint64_t *out,
                                         struct err *e);
/* How many reports there are of it, of parts too. */
enum jobs_answer jobs_fleet_count_reports(struct jobs_wire *w, const char *id, uint64_t *out,
                                          struct err *e);
/* It fails, unless it has ended. */
enum jobs_answer jobs_fleet_give_up(struct jobs_fleet *f, struct jobs_wire *w, const char *id,
                                    const struct err *why, struct err *e);

/* Functions of the table. */
enum jobs_answer jobs_fleet_get(struct jobs_store *s, const char *id, struct jobs_record *out,
                                struct err *e);
enum jobs_answer jobs_fleet_peek(struct jobs_store *s, const char *id, struct jobs_record *out,
                                 struct err *e);
enum jobs_answer jobs_fleet_change(struct jobs_store *s, struct jobs_record *r, struct err *e);
enum jobs_answer jobs_fleet_list(struct jobs_store *s, const struct jobs_query *query,
                                 struct jobs_record *out, size_t *count, struct err *e);
enum jobs_answer jobs_fleet_count(struct jobs_store *s, const struct jobs_query *query,
                                  uint64_t *out, struct err *e);
enum jobs_answer jobs_fleet_oldest(struct jobs_store *s, unsigned states, bool holding,
                                   struct jobs_record *out, struct err *e);
enum jobs_answer jobs_fleet_sweep(struct jobs_store *s, const char *id, size_t max, struct err *e);

#endif
