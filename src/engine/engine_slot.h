/* One image's life in a slot. Everything here runs on the worker that has the slot, without the
 * lock. Inside the room only. */
#ifndef ENGINE_SLOT_H
#define ENGINE_SLOT_H

#include "engine_internal.h"

/* One evaluation for all of the `count` slots in the worker's batch that are to go on, and one step
 * of each one's solver. What they have done is added to `totals`; `end` says which are over. */
void engine_slots_advance(struct engine_worker *w, int count, struct ode_counts *totals);
/* Frees what the slot holds of its image. */
void engine_slot_clear(struct engine_slot *slot);

#endif
