/* What an order may say, and what it means where it says nothing. Inside the room only. */
#ifndef ENGINE_ORDER_H
#define ENGINE_ORDER_H

#include "engine_internal.h"

/* Copies `order` with every default filled in (temperature, solver, what encode and likelihood
 * leave open) and checks it. ERR_INPUT, ERR_LIMIT or ERR_UNSUPPORTED with the option's name in
 * `at`. 0 or -1. */
int engine_order_resolve(const struct engine_order *order, struct engine_order *out, struct err *e);

#endif
