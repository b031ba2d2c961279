/* glibc takes large blocks from the system one by one and hands them back when they are freed, but
 * raises the size from which it does so, up to 32 MiB, whenever one of them is freed. From then on
 * bodies, answers and archives are cut from the heaps of the threads, small blocks that live longer
 * settle between them, and a process that serves for days grows to the sum of its worst moments.
 * With sizes that stay as they are, a large block is gone when its request is. What small blocks
 * leave between them is handed back from time to time. */
#include "daemon_memory.h"

#include <malloc.h>

#define LARGE_BLOCK (128 << 10) /* where glibc begins */
#define FREE_TOP (1 << 20)      /* of a heap, that is kept for what comes next */

void daemon_memory_begin(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
    mallopt(M_TRIM_THRESHOLD, FREE_TOP);
#endif
}

void daemon_memory_give_back(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
