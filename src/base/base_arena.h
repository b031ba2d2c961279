/* Many arrays in one block of memory.
 *
 * A walk over what is needed runs twice with the same calls: once with base NULL, which only
 * counts, and once with a block of that size. So large blocks can have huge pages, and one free()
 * ends all. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base_err.h"

#define ARENA_ALIGN 64 /* bytes; of every array */

struct arena {
    unsigned char *base;
    size_t used;
    bool overflow; /* the sum of all sizes */
};
/* `count` objects of `size` bytes in the block as it is; NULL while counting. */
void *arena_take(struct arena *a, size_t count, size_t size);
/* Zeroed memory for an arena that counted `bytes`, with huge pages advised where it is large.
 * free() ends it. NULL on failure. */
unsigned char *arena_memory(size_t bytes, struct err *e);
/* The same without zeros, for who writes all of it. */
unsigned char *arena_memory_unset(size_t bytes, struct err *e);

#endif
