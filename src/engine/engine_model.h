/* Holds on a model of the table. Inside the room only. */
#ifndef ENGINE_MODEL_H
#define ENGINE_MODEL_H

#include "engine_internal.h"

void engine_model_pin_locked(struct engine_model *em);
/* Frees a model that is in no table; without the lock, as it takes a while. */
void engine_model_free(struct engine_model *em);

#endif
