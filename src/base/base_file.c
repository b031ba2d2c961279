/* Reading and atomic writing of files.
 *
 * A write goes to a file without a name in the same folder, which a process that is killed takes
 * with it. It is flushed and fsynced, gets a temporary name, is renamed over the final one, and the
 * folder is fsynced: a crash at any moment leaves the old file or the new one. Where there are no
 * files without names (NFS), it has the temporary one from the beginning.
 * Every result is looked at, fclose's too, since a full disk may show only there. */
#include "base_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LINKS_MAX 40   /* symbolic links in a row, as the kernel has it */
#define NAMES_MAX 1000 /* temporary ones that are taken already */

/* A name that stands for nothing, or for what may not be read, is wrong input, as a file of another
 * kind is; the rest (too many open files, a broken disk) is not the caller's doing. */
static int fail_named(const char *path, int why, const char *doing, struct err *e)
{
    const bool named =
        why == ENOENT || why == ENOTDIR || why == EACCES || why == ELOOP || why == ENAMETOOLONG;
    err_fail_errno(e, why, *path ? path : "\"\"", doing);
    if (named && e)
        e->code = ERR_INPUT;
    return -1;
}

int file_look(const char *path, bool follow, bool *there, struct stat *st, struct err *e)
{
    *there = (follow ? stat : lstat)(path, st) == 0;
    if (*there || errno == ENOENT || errno == ENOTDIR)
        return 0;
    return fail_named(path, errno, "examine the file", e);
}

int file_apart(const char *input, const char *output, struct err *e)
{
    struct stat in, out;
    bool read, written;
    if (file_look(input, true, &read, &in, e) != 0 ||
        file_look(output, true, &written, &out, e) != 0)
        return -1;
    if (read && written && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
        return err_fail(e, ERR_INPUT, output, "is the input file; name another output");
    return 0;
}

/* The path without links, to be freed; NULL where it stands for nothing, and -1 where that cannot
 * be found out. Of what is not there yet: that of its folder. */
static int real_path(const char *path, bool may_be_new, char **out, struct err *e)
{
    *out = realpath(path, NULL);
    if (*out)
        return 0;
    const bool none = errno == ENOENT || errno == ENOTDIR;
    if (!none)
        return fail_named(path, errno, "examine the file", e);
    if (!may_be_new)
        return 0;
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    while (length > 0 && path[length - 1] != '/')
        length--;
    char *folder = length > 0 ? strndup(path, length) : strdup(".");
    if (!folder)
        return err_fail_memory(e, length + 2);
    const int result = real_path(folder, false, out, e);
    free(folder);
    return result;
}

int file_within(const char *path, const char *folder, bool *within, struct err *e)
{
    char *inner = NULL, *outer = NULL;
    int result = real_path(folder, false, &outer, e);
    *within = false;
    if (result == 0 && outer)
        result = real_path(path, true, &inner, e);
    if (inner) {
        const size_t length = strlen(outer);
        *within = strncmp(inner, outer, length) == 0 &&
                  (inner[length] == '\0' || inner[length] == '/' || outer[length - 1] == '/');
    }
    free(inner);
    free(outer);
    return result;
}

static int open_regular(const char *path, struct stat *st, struct err *e)
{
    /* O_NONBLOCK: a FIFO must not make the open wait for a writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail_named(path, errno, "open the file", e);
    if (fstat(fd, st) != 0) {
        err_fail_errno(e, errno, path, "examine the file");
        close(fd);
        return -1;
    }
    if (!S_ISREG(st->st_mode)) {
        close(fd);
        return err_fail(e, ERR_INPUT, path, "is not a regular file");
    }
    return fd;
}

int file_reader_open(struct file_reader *r, const char *path, struct err *e)
{
    *r = (struct file_reader){.fd = -1};
    struct stat st;
    int fd = open_regular(path, &st, e);
    if (fd < 0)
        return -1;
    r->path = strdup(path);
    if (!r->path) {
        close(fd);
        return err_fail_memory(e, strlen(path) + 1);
    }
    r->fd = fd;
    r->length = (size_t)st.st_size;
    r->modified = st.st_mtim;
    return 0;
}

static int fail_changed(const struct file_reader *r, struct err *e)
{
    return err_fail(e, ERR_IO, r->path,
                    "was changed while it was read; replace it by renaming a new file over it");
}

int file_reader_read(const struct file_reader *r, uint64_t at, void *out, size_t length,
                     struct err *e)
{
    for (size_t done = 0; done < length;) {
        ssize_t got = pread(r->fd, (char *)out + done, length - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_fail_errno(e, errno, r->path, "read the file");
        if (got == 0)
            return fail_changed(r, e);
        done += (size_t)got;
    }
    return 0;
}

int file_reader_check(const struct file_reader *r, struct err *e)
{
    struct stat st;
    if (fstat(r->fd, &st) != 0)
        return err_fail_errno(e, errno, r->path, "examine the file");
    bool same = (size_t)st.st_size == r->length && st.st_mtim.tv_sec == r->modified.tv_sec &&
                st.st_mtim.tv_nsec == r->modified.tv_nsec;
    return same ? 0 : fail_changed(r, e);
}

void file_reader_close(struct file_reader *r)
{
    if (r->fd >= 0)
        close(r->fd);
    free(r->path);
    *r = (struct file_reader){.fd = -1};
}

int file_map_open(struct file_map *m, const char *path, struct err *e)
{
    *m = (struct file_map){0};
    struct stat st;
    int fd = open_regular(path, &st, e);
    if (fd < 0)
        return -1;
    if (st.st_size > 0) {
        void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            err_fail_errno(e, errno, path, "map the file");
            close(fd);
            return -1;
        }
        m->data = data;
        m->length = (size_t)st.st_size;
    }
    close(fd);
    return 0;
}

void file_map_close(struct file_map *m)
{
    if (m->data)
        munmap((void *)(uintptr_t)m->data, m->length);
    *m = (struct file_map){0};
}

int file_read(const char *path, struct buf *out, struct err *e)
{
    struct stat st;
    int fd = open_regular(path, &st, e);
    if (fd < 0)
        return -1;
    for (;;) {
        struct err full = {0};
        unsigned char *to = buf_reserve(out, 1, &full);
        size_t room = out->max - out->length < 65536 ? out->max - out->length : 65536;
        if (to && room)
            to = buf_reserve(out, room, &full);
        if (!to && full.code == ERR_MEMORY) {
            err_fail(e, ERR_MEMORY, path, "cannot read the file: %s", full.text);
            break;
        }
        unsigned char past;
        ssize_t got = to && room ? read(fd, to, room) : read(fd, &past, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            err_fail_errno(e, errno, path, "read the file");
            break;
        }
        if (got == 0) {
            if (to)
                out->data[out->length] = 0;
            close(fd);
            return 0;
        }
        if (!to || !room) {
            err_fail(e, ERR_LIMIT, path, "is larger than the limit of %zu bytes", out->max);
            break;
        }
        out->length += (size_t)got;
        out->data[out->length] = 0;
    }
    close(fd);
    return -1;
}

/* The folder of a path, to be freed. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static char *temporary_name(const char *path)
{
    static _Atomic unsigned serial;
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    char *name = NULL;
    /* 200 bytes of the name leave room for the rest under the limit of 255. */
    if (asprintf(&name, "%.*s.%.200s.%ld.%u.tmp", (int)(base - path), path, base, (long)getpid(),
                 serial++) < 0)
        return NULL;
    return name;
}

/* Before `end`: ".DIGITS", which begins at the result; NULL without. */
static const char *number_before(const char *name, const char *end)
{
    const char *at = end;
    while (at > name && at[-1] >= '0' && at[-1] <= '9')
        at--;
    return at < end && at > name && at[-1] == '.' ? at - 1 : NULL;
}

size_t file_name_unfinished(const char *name)
{
    static const char ending[] = ".tmp";
    size_t length = strlen(name), tail = sizeof ending - 1;
    if (name[0] != '.' || length <= tail || strcmp(name + length - tail, ending) != 0)
        return 0;
    const char *serial = number_before(name, name + length - tail);
    const char *process = serial ? number_before(name, serial) : NULL;
    return process && process > name + 1 ? (size_t)(process - name - 1) : 0;
}

/* What a symbolic link says, relative to the folder that it is in; frees `path`. NULL: errno. */
static char *link_read(char *path)
{
    char text[PATH_MAX];
    char *whole = NULL;
    const char *slash = strrchr(path, '/');
    ssize_t length = readlink(path, text, sizeof text - 1);
    if (length >= 0) {
        text[length] = 0;
        int folder = slash && text[0] != '/' ? (int)(slash + 1 - path) : 0;
        if (asprintf(&whole, "%.*s%s", folder, path, text) < 0)
            whole = NULL;
    }
    free(path);
    return whole;
}

/* The file that a path names, which need not be there, to be freed. NULL: errno. A link that cannot
 * be looked at is not taken for a file, which would be put in its place. */
static char *target_of(const char *path)
{
    struct stat st;
    char *target = strdup(path);
    int found = -1;
    for (int links = 0; target && (found = lstat(target, &st)) == 0 && S_ISLNK(st.st_mode);
         links++) {
        if (links == LINKS_MAX) {
            free(target);
            errno = ELOOP;
            return NULL;
        }
        target = link_read(target);
    }
    if (target && found != 0 && errno != ENOENT && errno != ENOTDIR) {
        const int why = errno;
        free(target);
        errno = why;
        return NULL;
    }
    return target;
}

/* Gives the file mode, owner and group of the one that it will replace. Who may not give the group
 * gives everybody's rights to the one that it gets. */
static int keep_rights(int fd, const struct stat *old)
{
    mode_t mode = old->st_mode & 07777;
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -1;
    if (st.st_gid != old->st_gid && fchown(fd, (uid_t)-1, old->st_gid) != 0)
        mode = (mode & ~(mode_t)02070) | (mode & 07) << 3;
    if (st.st_uid != old->st_uid && fchown(fd, old->st_uid, (gid_t)-1) != 0)
        mode &= ~(mode_t)04000;
    return fchmod(fd, mode);
}

/* A new file without a name in the target's folder, and where it can be opened and named. -1 where
 * the system has no such thing. */
static int nameless_open(const char *target, mode_t mode, char **link)
{
    char *folder = folder_of(target);
    int fd = folder ? open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, mode) : -1;
    free(folder);
    if (fd < 0)
        return -1;
    if (asprintf(link, "/proc/self/fd/%d", fd) < 0)
        *link = NULL;
    if (*link && access(*link, W_OK) == 0)
        return fd;
    free(*link);
    *link = NULL;
    close(fd);
    return -1;
}

/* A new file under a temporary name beside the target, and that name. What a killed process has
 * left may have the name of this one's: in a container every process has the number 1. -1: errno.
 */
static int named_open(const char *target, mode_t mode, char **name)
{
    for (int tries = 0; tries < NAMES_MAX; tries++) {
        *name = temporary_name(target);
        int fd = *name ? open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode) : -1;
        if (fd >= 0)
            return fd;
        int why = *name ? errno : ENOMEM;
        free(*name);
        *name = NULL;
        errno = why;
        if (why != EEXIST)
            return -1;
    }
    return -1;
}

/* Gives a file without a name a temporary one: the final one cannot be replaced by a link. */
static int give_name(struct file_writer *w)
{
    for (int tries = 0; tries < NAMES_MAX; tries++) {
        char *name = temporary_name(w->target);
        if (!name) {
            errno = ENOMEM;
            return -1;
        }
        if (linkat(AT_FDCWD, w->temporary, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0) {
            free(w->temporary);
            w->temporary = name;
            w->is_named = true;
            return 0;
        }
        int why = errno;
        free(name);
        errno = why;
        if (why != EEXIST)
            return -1;
    }
    return -1;
}

static int temporary_open(struct file_writer *w, mode_t mode)
{
    int fd = nameless_open(w->target, mode, &w->temporary);
    if (fd >= 0)
        return fd;
    w->is_named = true;
    return named_open(w->target, mode, &w->temporary);
}

int file_writer_open(struct file_writer *w, const char *path, struct err *e)
{
    *w = (struct file_writer){0};
    struct stat st;
    bool replaces;
    if (file_look(path, true, &replaces, &st, e) != 0)
        return -1;
    if (replaces && !S_ISREG(st.st_mode))
        return err_fail(e, ERR_INPUT, path, "exists and is not a regular file; name another");
    w->path = strdup(path);
    w->target = target_of(path);
    int fd = w->path && w->target ? temporary_open(w, replaces ? 0600 : 0666) : -1;
    int why = w->path ? errno : ENOMEM;
    if (fd >= 0 && replaces && keep_rights(fd, &st) != 0) {
        why = errno;
        close(fd);
        file_writer_abort(w);
        return err_fail_errno(e, why, path, "give the new file the rights of the old one");
    }
    w->stream = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (w->stream)
        return 0;
    if (fd >= 0) {
        why = errno;
        close(fd);
    }
    file_writer_abort(w);
    return err_fail_errno(e, why, path, "create the file");
}

/* The new file is there by now, whatever becomes of this. */
static int fail_synced(const char *path, int why, struct err *e)
{
    char text[128];
    return err_fail(e, why == ENOMEM ? ERR_MEMORY : ERR_IO, path,
                    "the new file is in its place, but its folder cannot be synced, so it may be "
                    "lost if the machine fails now: %s",
                    strerror_r(why, text, sizeof text));
}

static int sync_folder(const char *target, const char *path, struct err *e)
{
    char *folder = folder_of(target);
    if (!folder)
        return fail_synced(path, ENOMEM, e);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Some file systems cannot sync a folder and say EINVAL: there is nothing to lose then. */
    int result = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL) ? 0 : fail_synced(path, errno, e);
    if (fd >= 0)
        close(fd);
    free(folder);
    return result;
}

/* Why a write failed whose reason is forgotten. The file will not be kept, so that one write more
 * may find out: a full disk is still full. */
static int why_unwritten(int fd)
{
    static const char zeros[4096];
    return write(fd, zeros, sizeof zeros) < 0 ? errno : EIO;
}

int file_writer_commit(struct file_writer *w, struct err *e)
{
    /* A failed write may have been reported long ago and left only the stream's error flag. */
    const bool failed = ferror(w->stream) != 0;
    int why = failed ? why_unwritten(fileno(w->stream)) : 0;
    bool written = !failed && fflush(w->stream) == 0 && fsync(fileno(w->stream)) == 0 &&
                   (w->is_named || give_name(w) == 0);
    if (!written && !failed)
        why = errno ? errno : EIO;
    if (fclose(w->stream) != 0 && written) {
        why = errno;
        written = false;
    }
    w->stream = NULL;
    int result;
    if (!written) {
        result = err_fail_errno(e, why, w->path, "write the file");
    } else if (rename(w->temporary, w->target) != 0) {
        result = err_fail_errno(e, errno, w->path, "rename the finished file");
    } else {
        free(w->temporary);
        w->temporary = NULL;
        result = sync_folder(w->target, w->path, e);
    }
    file_writer_abort(w);
    return result;
}

void file_writer_abort(struct file_writer *w)
{
    if (w->stream)
        fclose(w->stream);
    if (w->temporary && w->is_named)
        unlink(w->temporary);
    free(w->temporary);
    free(w->target);
    free(w->path);
    *w = (struct file_writer){0};
}

int file_write_atomic(const char *path, const void *data, size_t length, struct err *e)
{
    struct file_writer w;
    if (file_writer_open(&w, path, e) != 0)
        return -1;
    if (length && fwrite(data, 1, length, w.stream) != length) {
        err_fail_errno(e, errno, path, "write the file");
        file_writer_abort(&w);
        return -1;
    }
    return file_writer_commit(&w, e);
}

bool file_name_ends(const char *path, const char *ending)
{
    size_t length = strlen(path), own = strlen(ending);
    return length > own && strcmp(path + length - own, ending) == 0;
}

int file_hold_standard(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
            /* The lowest free number, which is fd; the other direction than the one of its use. */
            int got = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
            if (got != fd)
                return -1;
        }
    return 0;
}

int file_flush_standard(void)
{
    errno = EIO; /* where an earlier failure's reason is forgotten */
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : errno;
}
