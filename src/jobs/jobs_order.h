/* An order for the engine as text, and back: what a job is to make is kept in words that a later
 * pfgmd can read, resolved to the last number, so that the images of a job are the same whichever
 * process makes them. Inside the room only. */
#ifndef JOBS_ORDER_H
#define JOBS_ORDER_H

#include "engine.h"
#include "jobs_record.h"

/* What a model in the engine offers. */
void jobs_order_needs(const struct engine_model *em, struct jobs_needs *out);
/* A loaded model of those needs, to be released; NULL: there is none. */
struct engine_model *jobs_order_model(struct engine *g, const struct jobs_needs *needs);
/* Fills needs, n and parameters of *r. Of samples only: PNGs, pixels or float samples by (seed,
 * first_index + i). ERR_LIMIT at "n". */
int jobs_order_write(const struct engine_order *order, struct jobs_record *r, struct err *e);
/* The order of images first to first + count − 1 on a model of those needs. ERR_INPUT where the
 * parameters are not what was written. */
int jobs_order_read(const struct jobs_record *r, struct engine_model *em, uint64_t first,
                    size_t count, struct engine_order *out, struct err *e);

#endif
