/* Instruction sets, on x86 by CPUID and XGETBV (through the compiler's support, which checks both;
 * AMX's by hand), on Arm by what the system says of the processor; the number of workers, and the
 * clock. */
#include "base_cpu.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARCH_REQ_XCOMP_PERM 0x1023 /* asm/prctl.h, which old headers lack */
#define XFEATURE_TILES 18
#endif

#if defined(__x86_64__)
/* AMX-BF16 and AMX-TILE by CPUID, the tiles' state saved by the system by XGETBV, and the process
 * permitted to use it: their state is large, so Linux wants to be asked. */
static bool amx_bf16(void)
{
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 22 & 1) || !(d >> 24 & 1) ||
        !__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1))
        return false;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low >> 17 & 3) == 3 &&
           syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_TILES) == 0;
}
#endif

struct cpu_features cpu_features_get(void)
{
    struct cpu_features f = {0};
#if defined(__x86_64__)
    __builtin_cpu_init();
    f.avx2_fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    f.avx512 = f.avx2_fma && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    f.avx512_bf16 = f.avx512 && __builtin_cpu_supports("avx512bf16");
    f.amx_bf16 = f.avx512 && amx_bf16();
#elif defined(__aarch64__)
    f.asimd = (getauxval(AT_HWCAP) & HWCAP_ASIMD) != 0;
#endif
    return f;
}

static bool read_line(const char *path, char *line, size_t size)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    bool ok = fgets(line, (int)size, f) != NULL;
    fclose(f);
    return ok;
}

/* CPUs that quota/period allow, rounded up; INT_MAX for no limit. */
static int quota_cpus(long long quota, long long period)
{
    if (quota <= 0 || period <= 0 || quota / period > 100000)
        return INT_MAX;
    return (int)((quota + period - 1) / period);
}

static int group_limit(const char *root, const char *group, bool v2)
{
    char path[PATH_MAX], line[64];
    long long quota, period;
    if (v2) {
        snprintf(path, sizeof path, "%s%s/cpu.max", root, group);
        if (!read_line(path, line, sizeof line) || sscanf(line, "%lld %lld", &quota, &period) != 2)
            return INT_MAX;
        return quota_cpus(quota, period);
    }
    snprintf(path, sizeof path, "%s%s/cpu.cfs_quota_us", root, group);
    if (!read_line(path, line, sizeof line) || sscanf(line, "%lld", &quota) != 1)
        return INT_MAX;
    snprintf(path, sizeof path, "%s%s/cpu.cfs_period_us", root, group);
    if (!read_line(path, line, sizeof line) || sscanf(line, "%lld", &period) != 1)
        return INT_MAX;
    return quota_cpus(quota, period);
}

/* The strictest quota on the way from our group up to the root. Inside a container the group's path
 * may name a place outside of what is mounted; the walk upward then ends at the mounted root, which
 * is ours. */
static int tightest_quota(const char *root, char *group, bool v2)
{
    int limit = INT_MAX;
    for (;;) {
        int here = group_limit(root, group, v2);
        if (here < limit)
            limit = here;
        char *slash = strrchr(group, '/');
        if (!slash)
            return limit;
        *slash = 0;
    }
}

static int cgroup_cpus(void)
{
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f)
        return INT_MAX;
    int limit = INT_MAX;
    char line[PATH_MAX];
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = 0;
        controllers++;
        int here = INT_MAX;
        if (*controllers == 0)
            here = tightest_quota("/sys/fs/cgroup", group, true);
        else if (strcmp(controllers, "cpu") == 0 || strncmp(controllers, "cpu,", 4) == 0 ||
                 strstr(controllers, ",cpu"))
            here = tightest_quota("/sys/fs/cgroup/cpu", group, false);
        if (here < limit)
            limit = here;
    }
    fclose(f);
    return limit;
}

int cpu_worker_count(void)
{
    int count = 1;
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        count = CPU_COUNT(&set);
    int quota = cgroup_cpus();
    if (quota < count)
        count = quota;
    return count < 1 ? 1 : count;
}

static int64_t clock_read(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t clock_ns(void)
{
    return clock_read(CLOCK_MONOTONIC);
}

int64_t clock_thread_ns(void)
{
    return clock_read(CLOCK_THREAD_CPUTIME_ID);
}
