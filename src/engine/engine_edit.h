/* Edits: the slots of orders that have one (struct engine_edit). Inside the room only. */
#ifndef ENGINE_EDIT_H
#define ENGINE_EDIT_H

#include "engine_internal.h"

/* Begins a fresh slot: its solver wants a slope, or noise, or the slot is `unchanged`. */
int engine_edit_begin(struct engine_slot *slot, struct err *e);
/* After each answer to the solver: puts what is kept onto its line. */
void engine_edit_hold(struct engine_slot *slot);
/* The state of a slot that has ended, with what is kept as it was; good until the slot is cleared.
 */
const double *engine_edit_state(struct engine_slot *slot);

#endif
