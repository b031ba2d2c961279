/* What all targets share: checks that end the process, a bound of memory, files without a disk. */
#include "fuzz.h"

#include "base_log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The address sanitizer's, and absent without it. */
extern int __sanitizer_install_malloc_and_free_hooks(void (*allocated)(const volatile void *at,
                                                                       size_t size),
                                                     void (*released)(const volatile void *at))
    __attribute__((weak));
extern size_t __sanitizer_get_allocated_size(const volatile void *at) __attribute__((weak));

static _Atomic int64_t held;      /* bytes */
static _Atomic int64_t held_most; /* INT64_MAX outside a run */

void fuzz_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    abort();
}

static void allocated(const volatile void *at, size_t size)
{
    (void)at;
    int64_t now = atomic_fetch_add(&held, (int64_t)size) + (int64_t)size, most = held_most;
    if (now <= most)
        return;
    atomic_store(&held_most, INT64_MAX);
    fprintf(stderr, "%lld bytes are allocated, %zu of them at once; at most %lld may be\n",
            (long long)now, size, (long long)most);
    abort();
}

static void released(const volatile void *at)
{
    if (at)
        atomic_fetch_sub(&held, (int64_t)__sanitizer_get_allocated_size(at));
}

void fuzz_begin(const struct fuzz_target *target)
{
    atomic_store(&held_most, INT64_MAX);
    if (__sanitizer_install_malloc_and_free_hooks)
        FUZZ_CHECK(__sanitizer_install_malloc_and_free_hooks(allocated, released) > 0);
    log_set_level(LOG_ERROR);
    if (target->begin)
        target->begin();
}

void fuzz_run(const struct fuzz_target *target, const uint8_t *data, size_t length)
{
    atomic_store(&held_most,
                 atomic_load(&held) + (int64_t)(target->memory + target->memory_factor * length));
    target->run(data, length);
    atomic_store(&held_most, INT64_MAX);
}

void fuzz_check_error(const struct err *e)
{
    FUZZ_CHECK(e->code != ERR_NONE && e->code != ERR_INTERNAL && e->code != ERR_MEMORY);
    FUZZ_CHECK(e->text[0] && !strpbrk(e->text, "\n\r") && !strpbrk(e->at, "\n\r"));
}

const char *fuzz_file(int slot, const void *data, size_t length)
{
    static int files[FUZZ_FILES];
    static char paths[FUZZ_FILES][32];
    if (!paths[slot][0]) {
        files[slot] = memfd_create("fuzz", MFD_CLOEXEC);
        FUZZ_CHECK(files[slot] >= 0);
        snprintf(paths[slot], sizeof *paths, "/proc/self/fd/%d", files[slot]);
    }
    FUZZ_CHECK(ftruncate(files[slot], 0) == 0 && ftruncate(files[slot], (off_t)length) == 0);
    for (size_t at = 0; at < length;) {
        ssize_t n = pwrite(files[slot], (const char *)data + at, length - at, (off_t)at);
        FUZZ_CHECK(n > 0);
        at += (size_t)n;
    }
    return paths[slot];
}
