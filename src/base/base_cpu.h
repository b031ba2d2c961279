/* What the machine offers: instruction sets that both the processor and the operating system allow,
 * and how many workers make sense. Feature bits only, never model names. Also time. */
#ifndef BASE_CPU_H
#define BASE_CPU_H

#include <stdbool.h>
#include <stdint.h>

struct cpu_features {
    bool asimd;       /* NEON of 64-bit Arm */
    bool avx2_fma;    /* AVX2 and FMA */
    bool avx512;      /* AVX-512 F, BW, DQ, VL */
    bool avx512_bf16; /* these and BF16 */
    bool amx_bf16;    /* AMX's tiles with BF16, which the system grants this process; and AVX-512 */
};
/* Asks the system for AMX's tiles where there are some, for all threads from then on. */
struct cpu_features cpu_features_get(void);

/* min(CPUs in the affinity mask, cgroup quota rounded up), at least 1; cgroup v1 and v2. */
int cpu_worker_count(void);

/* Nanoseconds since some fixed point; never goes back. */
int64_t clock_ns(void);
/* Nanoseconds of processor time that the calling thread has had: no neighbour adds to them. */
int64_t clock_thread_ns(void);

#endif
