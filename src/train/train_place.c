/* Taking a run's folder: the lock first, then what lies there, then what a killed run has left. */
#include "train_place.h"
#include "base_file.h"
#include "base_log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE "state.safetensors"

static char *join(const char *folder, const char *name, struct err *e)
{
    char *path = NULL;
    size_t length = strlen(folder);
    if (asprintf(&path, "%s%s%s", folder, length > 0 && folder[length - 1] == '/' ? "" : "/",
                 name) >= 0)
        return path;
    err_fail_memory(e, length + strlen(name) + 2);
    return NULL;
}

static int lock_folder(struct train_place *p, const char *folder, struct err *e)
{
    char *path = join(folder, ".lock", e);
    int result = 0;
    if (!path)
        return -1;
    p->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (p->lock < 0)
        result = err_fail_errno(e, errno, path, "create the file");
    else if (flock(p->lock, LOCK_EX | LOCK_NB) != 0)
        result = errno == EWOULDBLOCK
                     ? err_fail(e, ERR_IO, folder, /* it may work later */
                                "another training is at work there: wait for it or end it, or "
                                "choose another folder")
                     : err_fail_errno(e, errno, path, "lock the file");
    free(path);
    if (result)
        train_place_leave(p);
    return result;
}

/* Whether both are there and one file. */
static bool same_file(const char *a, const char *b)
{
    struct stat one, two;
    return a && b && stat(a, &one) == 0 && stat(b, &two) == 0 && one.st_dev == two.st_dev &&
           one.st_ino == two.st_ino;
}

/* One of a run's files: to begin, it must not be there. */
static int check_absent(const char *folder, const char *name, const char *config, struct err *e)
{
    struct stat st;
    char *path = join(folder, name, e);
    if (!path)
        return -1;
    bool there;
    int result = file_look(path, false, &there, &st, e);
    if (result != 0 || !there || same_file(path, config))
        ; /* nothing that would be lost */
    else if (strcmp(name, STATE) == 0)
        result = err_fail(e, ERR_INPUT, path,
                          "is there already: continue that run with --resume, or choose another "
                          "folder");
    else
        result = err_fail(
            e, ERR_INPUT, path, "is there already and would be replaced: choose another folder%s",
            strcmp(name, "config.json") == 0 ? ", or begin from it with --config" : "");
    free(path);
    return result;
}

static int check_present(const char *folder, struct err *e)
{
    struct stat st;
    char *path = join(folder, STATE, e);
    if (!path)
        return -1;
    bool there;
    int result = file_look(path, true, &there, &st, e);
    if (result == 0 && !there)
        result = err_fail(e, ERR_INPUT, path, "is not there: nothing to resume");
    free(path);
    return result;
}

static bool is_other_model(const char *name)
{
    return strncmp(name, TRAIN_OTHER_MODEL, strlen(TRAIN_OTHER_MODEL)) == 0;
}

/* Names that a run writes, here or in samples/. */
static bool is_own(const char *name, size_t length)
{
    static const char *const own[] = {STATE, "model.safetensors", "config.json", "log.csv",
                                      "loss.png"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (length == strlen(own[i]) && memcmp(name, own[i], length) == 0)
            return true;
    return (length > 5 && memcmp(name, "step-", 5) == 0) || is_other_model(name);
}

/* The lock says that nobody is writing a run's files now, so the unfinished ones are nobody's. */
static int sweep(const char *folder, struct err *e)
{
    DIR *d = opendir(folder);
    struct dirent *entry;
    int result = 0;
    if (!d)
        return errno == ENOENT ? 0 : err_fail_errno(e, errno, folder, "list");
    while (result == 0 && (entry = readdir(d))) {
        size_t length = file_name_unfinished(entry->d_name);
        if (length == 0 || !is_own(entry->d_name + 1, length))
            continue;
        char *path = join(folder, entry->d_name, e);
        if (!path)
            result = -1;
        else if (unlink(path) != 0)
            result = err_fail_errno(e, errno, path, "remove what a killed run has left");
        else
            log_line(LOG_INFO, "removed %s, which a killed run had left unfinished", path);
        free(path);
    }
    closedir(d);
    return result;
}

/* Models of further averages, whose names depend on the rates of the run that left them. */
static int check_others_absent(const char *folder, const char *config, struct err *e)
{
    DIR *d = opendir(folder);
    struct dirent *entry;
    int result = 0;
    if (!d)
        return errno == ENOENT ? 0 : err_fail_errno(e, errno, folder, "list");
    while (result == 0 && (entry = readdir(d)))
        if (is_other_model(entry->d_name))
            result = check_absent(folder, entry->d_name, config, e);
    closedir(d);
    return result;
}

static int sweep_both(const char *folder, struct err *e)
{
    char *samples = join(folder, "samples", e);
    int result = samples && sweep(folder, e) == 0 && sweep(samples, e) == 0 ? 0 : -1;
    free(samples);
    return result;
}

int train_place_take(struct train_place *p, const char *folder, bool resume, const char *config,
                     struct err *e)
{
    static const char *const own[] = {STATE, "config.json", "model.safetensors", "log.csv"};
    if (p->lock >= 0)
        return 0;
    if ((resume && check_present(folder, e) != 0) || lock_folder(p, folder, e) != 0)
        return -1;
    int result = 0;
    for (size_t i = 0; i < sizeof own / sizeof *own && result == 0 && !resume; i++)
        result = check_absent(folder, own[i], config, e);
    if (result == 0 && !resume)
        result = check_others_absent(folder, config, e);
    if (result == 0)
        result = sweep_both(folder, e);
    if (result)
        train_place_leave(p);
    return result;
}

void train_place_leave(struct train_place *p)
{
    if (p->lock >= 0)
        close(p->lock);
    p->lock = -1;
}
