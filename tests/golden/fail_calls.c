/* Preloaded into a program under test: calls that fail as they do on a machine in need.
 *
 * FAIL_FOLDER_SYNC=1: a folder's fsync fails.
 * FAIL_SHORTEN=PATH: a file is cut to nothing once a file of a megabyte or more has been mapped. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *fail_shorten;
static bool fail_folder_sync;

__attribute__((constructor)) static void begin(void)
{
    fail_shorten = getenv("FAIL_SHORTEN");
    fail_folder_sync = getenv("FAIL_FOLDER_SYNC");
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
