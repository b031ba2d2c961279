/* The largest amount of memory that the process has held, for tests of what hostile input costs. */
#ifndef PEAK_MEMORY_H
#define PEAK_MEMORY_H

#include <stdbool.h>
#include <stdio.h>

/* In KiB, since the last call with `forget` or the start. -1 where the system does not say. */
static inline long peak_memory_kib(bool forget)
{
    char line[256];
    long peak = -1;
    FILE *f = forget ? fopen("/proc/self/clear_refs", "w") : NULL;
    if (f) {
        fputs("5", f);
        fclose(f);
    }
    f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        sscanf(line, "VmHWM: %ld", &peak);
    if (f)
        fclose(f);
    return peak;
}

#endif
