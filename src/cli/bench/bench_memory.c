/* The memory's rate: one thread copies an array that no cache holds. The first copy, which touches
 * the pages, does not count; of the others the best does. */
#include "bench_machine.h"
#include "base_arena.h"
#include "base_cpu.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BYTES_MIN ((size_t)64 << 20)
#define BYTES_MAX ((size_t)512 << 20)
#define ROUNDS 5

/* Of one array: twice the third-level cache, between the two limits. */
static size_t array_bytes(void)
{
    long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    size_t bytes = cache > 0 ? 2 * (size_t)cache : 0;
    return bytes < BYTES_MIN ? BYTES_MIN : bytes > BYTES_MAX ? BYTES_MAX : bytes;
}

double bench_memory_gbytes(struct err *e)
{
    size_t bytes = array_bytes();
    unsigned char *from = arena_memory(2 * bytes, e);
    double best = 0;
    if (!from)
        return -1;
    memset(from, 1, bytes);
    for (int i = 0; i <= ROUNDS; i++) {
        int64_t begin = clock_thread_ns();
        memcpy(from + bytes, from, bytes);
        /* The copy is used, as far as the compiler can know. */
        __asm__ volatile("" ::"r"(from) : "memory");
        double seconds = (double)(clock_thread_ns() - begin) * 1e-9;
        if (i > 0 && seconds > 0)
            best = fmax(best, 2 * (double)bytes / seconds * 1e-9);
    }
    free(from);
    return best;
}
