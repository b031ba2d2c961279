/* Lets the wall clock jump in a process that it is preloaded into (LD_PRELOAD), and no other clock.
 *
 * A page of a file, which CLOCK_CONTROL names, is shared with the test: its first eight bytes are
 * the nanoseconds that are added to what CLOCK_REALTIME says. Whoever asks is told so, libraries
 * too. Waits are the kernel's and do not jump: this program's are by CLOCK_MONOTONIC. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define SECOND 1000000000

static _Atomic(int64_t) *jump;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("CLOCK_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *page = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED)
        jump = page;
    if (fd >= 0)
        close(fd);
}

EXPORT int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (syscall(SYS_clock_gettime, clock, now) != 0)
        return -1;
    if (jump && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t ns = (int64_t)now->tv_sec * SECOND + now->tv_nsec + atomic_load(jump);
        now->tv_sec = (time_t)(ns / SECOND);
        now->tv_nsec = (long)(ns % SECOND);
    }
    return 0;
}

EXPORT int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    *now = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
    return 0;
}

EXPORT time_t time(time_t *out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out)
        *out = t.tv_sec;
    return t.tv_sec;
}
