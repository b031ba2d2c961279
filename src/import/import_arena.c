/* The arena: a list of chunks, the newest in front; what does not fit there gets a new one. */
#include "import_arena.h"

#include <stdalign.h>
#include <stdlib.h>

#define CHUNK_BYTES ((size_t)32 << 10)

struct import_arena_chunk {
    struct import_arena_chunk *next;
    size_t used, size; /* of the bytes after this head */
    alignas(max_align_t) unsigned char bytes[];
};

void import_arena_init(struct import_arena *arena, size_t max)
{
    *arena = (struct import_arena){.max = max};
}

void import_arena_clear(struct import_arena *arena)
{
    while (arena->chunks) {
        struct import_arena_chunk *next = arena->chunks->next;
        free(arena->chunks);
        arena->chunks = next;
    }
    arena->used = 0;
}

/* A fresh chunk in front, at least `size` large. */
static struct import_arena_chunk *chunk_add(struct import_arena *arena, size_t size)
{
    size_t bytes = size > CHUNK_BYTES ? size : CHUNK_BYTES;
    struct import_arena_chunk *chunk = calloc(1, sizeof *chunk + bytes);
    if (!chunk)
        return NULL;
    chunk->size = bytes;
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    return chunk;
}

void *import_arena_take(struct import_arena *arena, size_t size, const char *what, struct err *e)
{
    struct import_arena_chunk *chunk = arena->chunks;
    const size_t align = alignof(max_align_t);
    if (size > arena->max - arena->used || arena->max - arena->used - size < align) {
        err_fail(e, ERR_LIMIT, what,
                 "needs more than %zu bytes for its structure, which is the "
                 "limit",
                 arena->max);
        return NULL;
    }
    size = (size + align - 1) & ~(align - 1);
    if (!chunk || chunk->size - chunk->used < size)
        chunk = chunk_add(arena, size);
    if (!chunk) {
        err_fail_memory(e, size);
        return NULL;
    }
    void *taken = chunk->bytes + chunk->used;
    chunk->used += size;
    arena->used += size;
    return taken;
}
