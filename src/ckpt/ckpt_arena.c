/* The arena: a list of chunks, the newest in front; what does not fit there gets a new one. */
#include "ckpt_arena.h"

#include <stdalign.h>
#include <stdlib.h>

#define CHUNK_BYTES ((size_t)32 << 10)

struct ckpt_arena_chunk {
    struct ckpt_arena_chunk *next;
    size_t used, size; /* of the bytes after this head */
    alignas(max_align_t) unsigned char bytes[];
};

void ckpt_arena_init(struct ckpt_arena *arena, size_t max)
{
    *arena = (struct ckpt_arena){.max = max};
}

void ckpt_arena_free(struct ckpt_arena *arena)
{
    while (arena->chunks) {
        struct ckpt_arena_chunk *next = arena->chunks->next;
        free(arena->chunks);
        arena->chunks = next;
    }
    arena->used = 0;
}

/* A fresh chunk in front, at least `size` large. */
static struct ckpt_arena_chunk *chunk_add(struct ckpt_arena *arena, size_t size)
{
    size_t bytes = size > CHUNK_BYTES ? size : CHUNK_BYTES;
    struct ckpt_arena_chunk *chunk = calloc(1, sizeof *chunk + bytes);

    if (!chunk)
        return NULL;
    chunk->size = bytes;
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    return chunk;
}

void *ckpt_arena_take(struct ckpt_arena *arena, size_t size, const char *what, struct err *e)
{
    struct ckpt_arena_chunk *chunk = arena->chunks;
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
