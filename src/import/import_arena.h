/* Memory that is only ever added to and freed all at once, with a total that it never passes. The
 * pickle machine builds values that may point at one another in any way, cycles included; with an
 * arena nobody has to know who owns what. Internal to the room; one thread at a time. */
#ifndef IMPORT_ARENA_H
#define IMPORT_ARENA_H

#include "base_err.h"
#include <stddef.h>

struct import_arena_chunk;
struct import_arena {
    struct import_arena_chunk *chunks;
    size_t used; /* bytes handed out, of `max` */
    size_t max;
};

void import_arena_init(struct import_arena *arena, size_t max);
void import_arena_clear(struct import_arena *arena);
/* `size` zeroed bytes, aligned for any type. NULL with ERR_LIMIT or ERR_MEMORY; the error names
 * `what`. */
void *import_arena_take(struct import_arena *arena, size_t size, const char *what, struct err *e);

#endif
