/* Counting first and placing then share one walk, so what was counted is what is placed. */
#include "base_arena.h"
#include "base_size.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

void *arena_take(struct arena *a, size_t count, size_t size)
{
    size_t bytes, first = a->used;
    if (!size_mul(count, size, &bytes) || !size_round_up(bytes, ARENA_ALIGN, &bytes) ||
        !size_add(first, bytes, &a->used))
        a->overflow = true;
    return a->base ? a->base + first : NULL;
}

unsigned char *arena_memory_unset(size_t bytes, struct err *e)
{
    size_t align = bytes >= HUGE_PAGE ? HUGE_PAGE : ARENA_ALIGN, rounded;
    void *block = NULL;
    if (!size_round_up(bytes, align, &rounded) || posix_memalign(&block, align, rounded) != 0) {
        err_fail_memory(e, bytes);
        return NULL;
    }
    if (align == HUGE_PAGE)
        madvise(block, rounded, MADV_HUGEPAGE); /* a wish: small pages work too */
    return block;
}

unsigned char *arena_memory(size_t bytes, struct err *e)
{
    unsigned char *block = arena_memory_unset(bytes, e);
    if (block)
        memset(block, 0, bytes);
    return block;
}
