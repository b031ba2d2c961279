/* Makes the k-th call of a kind fail in a process that it is preloaded into (LD_PRELOAD).
 *
 * A page of a file, which FAULT_CONTROL names, is shared with the test that drives the process: the
 * test writes there which kinds of calls count, and which of them fails, at the start or at any
 * moment later, and reads how many there were. So a daemon is started once for thousands of
 * failures. All callers count, also libraries. What fails fails as the kernel or the C library
 * would have it: nothing was done, and errno says why. Only a close that fails has closed, as on
 * Linux.
 *
 * Counting begins at main(): what libraries do while they are loaded happens to be before this
 * library's own constructor, and is not this program's to answer for. It ends when main() has
 * returned and what it asked for at the exit is done, as nobody is left then to say what failed.
 * Left out is what fontconfig does while it looks for a font, as without memory it may do so for
 * ever, and what cairo does while it paints: where its memory ends there it uses what it did not
 * get, or jumps back into a function that has returned. Nothing here may allocate. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fault_control.h"

#define EXPORT __attribute__((visibility("default")))

static const int reasons[] = {
    [ALLOC] = ENOMEM, [OPEN] = EMFILE,  [READ] = EIO,        [WRITE] = ENOSPC,  [SYNC] = EIO,
    [RENAME] = EIO,   [REMOVE] = EIO,   [MAP] = ENOMEM,      [SOCKET] = ENFILE, [RECEIVE] = EIO,
    [SEND] = EIO,     [EVENT] = ENOMEM, [THREAD] = EAGAIN,   [STATUS] = EIO,    [SIZE] = ENOSPC,
    [CLOSE] = EIO,    [ENTROPY] = EIO,  [INTERRUPT] = EINTR, [SHORT] = 0};

static struct control nothing;
static struct control *control = &nothing;

EXPORT struct control *fault_control(void)
{
    return control;
}

/* Blocks and who allocated them, while `track`. */
enum { TRACKED = 1 << 18, DEPTH = 10 };
struct block {
    _Atomic uintptr_t address;
    void *callers[DEPTH];
};
static struct block *blocks;

static void remember(void *address)
{
    static _Thread_local bool inside;
    if (!blocks || !address || inside)
        return;
    inside = true;
    size_t at = ((uintptr_t)address >> 4) * 0x9E3779B97F4A7C15u >> 46;
    for (size_t i = 0; i < TRACKED; i++) {
        struct block *b = &blocks[(at + i) % TRACKED];
        uintptr_t none = 0;
        if (atomic_compare_exchange_strong(&b->address, &none, (uintptr_t)address)) {
            memset(b->callers, 0, sizeof b->callers);
            backtrace(b->callers, DEPTH);
            break;
        }
    }
    inside = false;
}

static void forget(void *address)
{
    if (!blocks)
        return;
    size_t at = ((uintptr_t)address >> 4) * 0x9E3779B97F4A7C15u >> 46;
    for (size_t i = 0; i < TRACKED; i++) {
        struct block *b = &blocks[(at + i) % TRACKED];
        if (b->address == (uintptr_t)address) {
            b->address = 0;
            return;
        }
    }
}

/* "OBJECT+OFFSET" of each caller, a line each. */
static size_t describe(void *const *callers, int count, char *out, size_t size)
{
    size_t length = 0;
    for (int i = 0; i < count && callers[i]; i++) {
        Dl_info info;
        if (!dladdr(callers[i], &info) || !info.dli_fname)
            continue;
        int wrote = snprintf(out + length, size - length, "%s+0x%zx\n", info.dli_fname,
                             (size_t)((char *)callers[i] - (char *)info.dli_fbase - 1));
        if (wrote < 0 || (size_t)wrote >= size - length)
            break;
        length += (size_t)wrote;
    }
    return length;
}

/* While this thread is in what is spared. */
static _Thread_local bool spared;

/* Whether this call is to fail; errno is set then. */
static bool fails(enum kind kind)
{
    if (spared)
        return false;
    control->counts[kind]++;
    if (!(control->kinds >> kind & 1))
        return false;
    int64_t number = ++control->count;
    if (number < control->k || (number > control->k && !control->always))
        return false;
    if (control->failed++ == 0) {
        void *callers[24] = {0};
        spared = true; /* what looks for the callers may call */
        int count = backtrace(callers, 24);
        control->traced =
            (int64_t)describe(callers + 1, count - 1, control->trace, sizeof control->trace);
        spared = false;
    }
    if (kind != SHORT)
        errno = reasons[kind];
    return true;
}

/* The function of that name behind this library. */
static void *behind(void *_Atomic *kept, const char *name)
{
    if (!*kept)
        *kept = dlsym(RTLD_NEXT, name);
    return *kept;
}
#define REAL(name)                                                                                 \
    ({                                                                                             \
        static void *_Atomic kept;                                                                 \
        (__typeof__(&name))behind(&kept, #name);                                                   \
    })

/* ---- GMP's numbers ---- */

static void *number_allocate(size_t size)
{
    const bool before = spared;
    spared = true;
    void *made = malloc(size);
    spared = before;
    return made;
}

static void *number_resize(void *number, size_t old, size_t size)
{
    const bool before = spared;
    (void)old;
    spared = true;
    void *made = realloc(number, size);
    spared = before;
    return made;
}

static void number_free(void *number, size_t size)
{
    (void)size;
    free(number);
}

static void spare_numbers(void)
{
    void (*set)(void *(*)(size_t), void *(*)(void *, size_t, size_t), void (*)(void *, size_t)) =
        (__typeof__(set))dlsym(RTLD_DEFAULT, "__gmp_set_memory_functions");
    if (set)
        set(number_allocate, number_resize, number_free);
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAULT_CONTROL");
    void *warm[2];
    spare_numbers();
    backtrace(warm, 2); /* loads what it needs */
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *page = (void *)syscall(SYS_mmap, NULL, sizeof *control, PROT_READ | PROT_WRITE,
                                 MAP_SHARED, fd, 0L);
    syscall(SYS_close, fd);
    if (page == MAP_FAILED)
        return;
    struct control *shared = page;
    shared->live = 0;
    if (shared->track) {
        void *table = (void *)syscall(SYS_mmap, NULL, TRACKED * sizeof *blocks,
                                      PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
        blocks = table == MAP_FAILED ? NULL : table;
    }
    control = shared;
}

static void finish(void)
{
    control->kinds = 0;
}

/* Last of all that main() can ask for at the exit, so it is asked for first: before main(). */
static int (*program)(int, char **, char **);
static int bounded(int count, char **words, char **environment)
{
    return atexit(finish) == 0 ? program(count, words, environment) : EXIT_FAILURE;
}
extern int __libc_start_main(int (*begin_at)(int, char **, char **), int count, char **words,
                             void (*first)(void), void (*last)(void), void (*unload)(void),
                             void *stack);
EXPORT int __libc_start_main(int (*begin_at)(int, char **, char **), int count, char **words,
                             void (*first)(void), void (*last)(void), void (*unload)(void),
                             void *stack)
{
    program = begin_at;
    return REAL(__libc_start_main)(bounded, count, words, first, last, unload, stack);
}

/* Writes to FAULT_BLOCKS what is still allocated, while blocks are remembered. */
__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("FAULT_BLOCKS");
    control->kinds = 0;
    if (!blocks || !path)
        return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    struct block *all = blocks;
    blocks = NULL;
    for (size_t i = 0; i < TRACKED; i++)
        if (all[i].address) {
            char text[2048];
            size_t length = describe(all[i].callers + 2, DEPTH - 2, text, sizeof text - 1);
            text[length++] = '\n';
            if (syscall(SYS_write, fd, text, length) < 0)
                break;
        }
    syscall(SYS_close, fd);
}

/* Memory. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

static void *counted(void *block)
{
    if (block)
        control->live++;
    remember(block);
    return block;
}

EXPORT void *malloc(size_t size)
{
    return fails(ALLOC) ? NULL : counted(__libc_malloc(size));
}

EXPORT void *calloc(size_t count, size_t size)
{
    return fails(ALLOC) ? NULL : counted(__libc_calloc(count, size));
}

EXPORT void *realloc(void *block, size_t size)
{
    if (size && fails(ALLOC))
        return NULL;
    if (block)
        forget(block);
    void *moved = __libc_realloc(block, size);
    if (!block)
        return counted(moved);
    if (!size && !moved)
        control->live--;
    else
        remember(moved ? moved : block);
    return moved;
}

EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, bytes);
}

EXPORT void *memalign(size_t alignment, size_t size)
{
    return fails(ALLOC) ? NULL : counted(__libc_memalign(alignment, size));
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

EXPORT int posix_memalign(void **block, size_t alignment, size_t size)
{
    void *got = memalign(alignment, size);
    if (!got)
        return ENOMEM;
    *block = got;
    return 0;
}

EXPORT void free(void *block)
{
    if (!block)
        return;
    control->live--;
    forget(block);
    __libc_free(block);
}

/* Files and folders. */
#define CALL(kind, failure, type, name, parameters, arguments)                                     \
    EXPORT type name parameters                                                                    \
    {                                                                                              \
        return fails(kind) ? (failure) : REAL(name) arguments;                                     \
    }
/* The mode is an argument only where a file is created; what stands in its place is not looked at.
 */
#define OPENS(name)                                                                                \
    EXPORT int name(const char *path, int flags, ...)                                              \
    {                                                                                              \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        int mode = va_arg(more, int);                                                              \
        va_end(more);                                                                              \
        return fails(OPEN) ? -1 : REAL(name)(path, flags, mode);                                   \
    }
#define OPENS_AT(name)                                                                             \
    EXPORT int name(int folder, const char *path, int flags, ...)                                  \
    {                                                                                              \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        int mode = va_arg(more, int);                                                              \
        va_end(more);                                                                              \
        return fails(OPEN) ? -1 : REAL(name)(folder, path, flags, mode);                           \
    }
OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)
extern int __open64_2(const char *path, int flags);
CALL(OPEN, -1, int, __open64_2, (const char *path, int flags), (path, flags))
CALL(OPEN, NULL, FILE *, fopen, (const char *path, const char *mode), (path, mode))
CALL(OPEN, NULL, FILE *, fopen64, (const char *path, const char *mode), (path, mode))
CALL(OPEN, NULL, FILE *, fdopen, (int fd, const char *mode), (fd, mode))
CALL(OPEN, NULL, DIR *, opendir, (const char *path), (path))

/* The eight bytes of an eventfd are never refused, parted, or waited for. */
#define READS(kind, name, parameters, arguments, whole)                                            \
    EXPORT ssize_t name parameters                                                                 \
    {                                                                                              \
        if (whole != 8 && (fails(kind) || fails(INTERRUPT)))                                       \
            return -1;                                                                             \
        if (whole > 8 && fails(SHORT))                                                             \
            whole /= 2;                                                                            \
        return REAL(name) arguments;                                                               \
    }
READS(READ, read, (int fd, void *to, size_t size), (fd, to, size), size)
READS(READ, pread, (int fd, void *to, size_t size, off_t at), (fd, to, size, at), size)
READS(READ, pread64, (int fd, void *to, size_t size, off64_t at), (fd, to, size, at), size)
READS(WRITE, write, (int fd, const void *from, size_t size), (fd, from, size), size)
READS(WRITE, pwrite, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at), size)
READS(WRITE, pwrite64, (int fd, const void *from, size_t size, off64_t at), (fd, from, size, at),
      size)
/* A socket that takes or gives fewer bytes than it was asked for is full or empty, and says so when
 * that has changed; who waits for it by epoll's edges relies on that. So sockets only fail. */
CALL(RECEIVE, -1, ssize_t, recv, (int fd, void *to, size_t size, int flags), (fd, to, size, flags))
CALL(SEND, -1, ssize_t, send, (int fd, const void *from, size_t size, int flags),
     (fd, from, size, flags))
CALL(WRITE, -1, ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count))
CALL(RECEIVE, -1, ssize_t, recvmsg, (int fd, struct msghdr *message, int flags),
     (fd, message, flags))
CALL(SEND, -1, ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags),
     (fd, message, flags))

/* The C library writes its streams by itself, so what fails there is the call that would make it
 * write: the stream has lost its bytes then, as with a full disk, and remembers that. */
static bool loses(FILE *stream)
{
    if (__fpending(stream) == 0 || !fails(WRITE))
        return false;
    __fpurge(stream);
    stream->_flags |= _IO_ERR_SEEN;
    return true;
}
EXPORT int fflush(FILE *stream)
{
    if (stream && loses(stream))
        return EOF;
    return REAL(fflush)(stream);
}
EXPORT int fclose(FILE *stream)
{
    bool lost = loses(stream);
    int why = errno, result = REAL(fclose)(stream);
    if (lost || (result == 0 && fails(CLOSE))) {
        errno = lost ? why : EIO;
        return EOF;
    }
    return result;
}
EXPORT size_t fwrite(const void *from, size_t size, size_t count, FILE *stream)
{
    if (stream->_fileno > 2 && size * count > 0 && fails(WRITE)) {
        stream->_flags |= _IO_ERR_SEEN;
        return 0;
    }
    return REAL(fwrite)(from, size, count, stream);
}

CALL(SYNC, -1, int, fsync, (int fd), (fd))
CALL(SYNC, -1, int, fdatasync, (int fd), (fd))
CALL(RENAME, -1, int, rename, (const char *old, const char *new), (old, new))
CALL(RENAME, -1, int, linkat, (int from, const char *old, int to, const char *new, int flags),
     (from, old, to, new, flags))
CALL(REMOVE, -1, int, unlink, (const char *path), (path))
CALL(RENAME, -1, int, mkdir, (const char *path, mode_t mode), (path, mode))
CALL(STATUS, -1, int, fstat, (int fd, struct stat *s), (fd, s))
CALL(STATUS, -1, int, fstat64, (int fd, struct stat64 *s), (fd, s))
CALL(STATUS, -1, int, stat, (const char *path, struct stat *s), (path, s))
CALL(STATUS, -1, int, stat64, (const char *path, struct stat64 *s), (path, s))
CALL(STATUS, -1, int, lstat, (const char *path, struct stat *s), (path, s))
CALL(STATUS, -1, int, lstat64, (const char *path, struct stat64 *s), (path, s))
CALL(STATUS, -1, int, fchmod, (int fd, mode_t mode), (fd, mode))
CALL(SIZE, -1, int, ftruncate, (int fd, off_t size), (fd, size))
CALL(SIZE, -1, int, ftruncate64, (int fd, off64_t size), (fd, size))
CALL(SIZE, -1, int, fallocate64, (int fd, int mode, off64_t at, off64_t size), (fd, mode, at, size))
CALL(ENTROPY, -1, ssize_t, getrandom, (void *to, size_t size, unsigned flags), (to, size, flags))
EXPORT int close(int fd)
{
    int result = REAL(close)(fd);
    return result == 0 && fails(CLOSE) ? -1 : result;
}
CALL(MAP, MAP_FAILED, void *, mmap,
     (void *at, size_t size, int rights, int flags, int fd, off_t offset),
     (at, size, rights, flags, fd, offset))
CALL(MAP, MAP_FAILED, void *, mmap64,
     (void *at, size_t size, int rights, int flags, int fd, off64_t offset),
     (at, size, rights, flags, fd, offset))

/* Sockets, events and threads. */
CALL(SOCKET, -1, int, socket, (int domain, int type, int protocol), (domain, type, protocol))
CALL(SOCKET, -1, int, bind, (int fd, const struct sockaddr *to, socklen_t size), (fd, to, size))
CALL(SOCKET, -1, int, listen, (int fd, int backlog), (fd, backlog))
CALL(SOCKET, -1, int, connect, (int fd, const struct sockaddr *to, socklen_t size), (fd, to, size))
CALL(SOCKET, -1, int, getsockname, (int fd, struct sockaddr *at, socklen_t *size), (fd, at, size))
CALL(SOCKET, -1, int, getpeername, (int fd, struct sockaddr *at, socklen_t *size), (fd, at, size))
CALL(SOCKET, -1, int, setsockopt, (int fd, int level, int name, const void *value, socklen_t size),
     (fd, level, name, value, size))
EXPORT int accept4(int fd, struct sockaddr *from, socklen_t *size, int flags)
{
    return fails(SOCKET) || fails(INTERRUPT) ? -1 : REAL(accept4)(fd, from, size, flags);
}
CALL(EVENT, -1, int, epoll_create1, (int flags), (flags))
EXPORT int epoll_ctl(int fd, int what, int other, struct epoll_event *event)
{
    /* What is there can always be changed and taken out. */
    return what == EPOLL_CTL_ADD && fails(EVENT) ? -1 : REAL(epoll_ctl)(fd, what, other, event);
}
CALL(EVENT, -1, int, eventfd, (unsigned value, int flags), (value, flags))
CALL(EVENT, -1, int, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags))
CALL(INTERRUPT, -1, int, epoll_wait, (int fd, struct epoll_event *events, int count, int timeout),
     (fd, events, count, timeout))
CALL(INTERRUPT, -1, int, poll, (struct pollfd * all, nfds_t count, int timeout),
     (all, count, timeout))
EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument)
{
    return fails(THREAD) ? EAGAIN : REAL(pthread_create)(thread, attributes, body, argument);
}

#define SPARES(name, parameters, arguments)                                                        \
    extern void *name parameters;                                                                  \
    EXPORT void *name parameters                                                                   \
    {                                                                                              \
        const bool before = spared;                                                                \
        spared = true;                                                                             \
        void *got = REAL(name) arguments;                                                          \
        spared = before;                                                                           \
        return got;                                                                                \
    }
SPARES(FcConfigGetCurrent, (void), ())
SPARES(FcConfigSubstitute, (void *config, void *pattern, long kind), (config, pattern, kind))
SPARES(FcDefaultSubstitute, (void *pattern), (pattern))
SPARES(FcInitBringUptoDate, (void), ())
SPARES(FcFontMatch, (void *config, void *pattern, void *result), (config, pattern, result))
SPARES(FcFontSort, (void *config, void *pattern, long trim, void *set, void *result),
       (config, pattern, trim, set, result))
SPARES(cairo_stroke, (void *context), (context))
SPARES(cairo_stroke_preserve, (void *context), (context))
SPARES(cairo_fill, (void *context), (context))
SPARES(cairo_fill_preserve, (void *context), (context))
SPARES(cairo_paint, (void *context), (context))
SPARES(cairo_show_text, (void *context, const char *text), (context, text))
SPARES(cairo_text_extents, (void *context, const char *text, void *extents),
       (context, text, extents))
