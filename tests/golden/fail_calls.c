/* Preloaded into a program under test: calls that fail as they do on a machine in need.
 *
 * FAIL_FILE=PATH and FAIL_AT=N: after the first opening of that file the N-th allocation fails, and
 * only that one. FAIL_COUNT=PATH: how many there were is written there at the end.
 * FAIL_FOLDER_SYNC=1: a folder's fsync fails.
 * FAIL_SHORTEN=PATH: a file is cut to nothing once a file of a megabyte or more has been mapped. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);

static const char *fail_file, *fail_count, *fail_shorten;
static long fail_at = -1;
static bool fail_folder_sync;
static atomic_bool armed;
static atomic_long count;

__attribute__((constructor)) static void begin(void)
{
    const char *at = getenv("FAIL_AT");
    fail_at = at ? atol(at) : -1;
    fail_file = getenv("FAIL_FILE");
    fail_count = getenv("FAIL_COUNT");
    fail_shorten = getenv("FAIL_SHORTEN");
    fail_folder_sync = getenv("FAIL_FOLDER_SYNC");
}

__attribute__((destructor)) static void end(void)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%ld\n", atomic_load(&count));
    int fd = fail_count ? (int)syscall(SYS_openat, AT_FDCWD, fail_count,
                                       O_WRONLY | O_CREAT | O_TRUNC, 0600)
                        : -1;
    if (fd >= 0 && write(fd, text, (size_t)length) == length)
        close(fd);
}

static bool fails(void)
{
    if (!atomic_load(&armed) || atomic_fetch_add(&count, 1) + 1 != fail_at)
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
    return fails() ? NULL : __libc_realloc(old, size);
}

static int open_noted(const char *path, int flags, mode_t mode)
{
    if (fail_file && strcmp(path, fail_file) == 0)
        atomic_store(&armed, true);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_noted(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_noted(path, flags, mode);
}

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    void *data = (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
    if (fail_shorten && fd >= 0 && length >= 1 << 20 && data != MAP_FAILED &&
        truncate(fail_shorten, 0) != 0)
        abort();
    return data;
}

void *mmap64(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    return mmap(at, length, protection, flags, fd, offset);
}

int fsync(int fd)
{
    struct stat st;
    if (fail_folder_sync && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}
