/* Files: read whole with a limit, read by position, mapped read-only, or written so that a crash
 * leaves either the old file or the new one, never a part. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base_buf.h"
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

/* Whether there is something of that name, and what it is; a symbolic link's target where `follow`.
 * Only a name that stands for nothing is not there: 0, and `there` is false. Whatever else keeps it
 * from being looked at is an error, and -1, so that nobody takes a broken disk for an empty one. */
int file_look(const char *path, bool follow, bool *there, struct stat *st, struct err *e);

/* 0 unless both names are one file, by whichever links: what is written would destroy what is read
 * (ERR_INPUT). */
int file_apart(const char *input, const char *output, struct err *e);
/* Whether `path` is the folder or lies in it at any depth, by whichever links. What is not there
 * yet lies where its own folder does; a folder that is not there holds nothing. */
int file_within(const char *path, const char *folder, bool *within, struct err *e);

/* A regular file that is read by position. A file that another process shortens or writes into
 * meanwhile is an error and no more, which is why what a server reads is read like this and never
 * mapped. Any thread may read. */
struct file_reader {
    int fd; /* -1: closed */
    size_t length;
    char *path;
    struct timespec modified; /* as it was when the file was opened */
};
/* 0, or -1 when the path is not a readable regular file (ERR_INPUT where none of that name can be
 * read). */
int file_reader_open(struct file_reader *r, const char *path, struct err *e);
/* Bytes [at, at + length) into `out`; ERR_IO when the file does not have them any more. */
int file_reader_read(const struct file_reader *r, uint64_t at, void *out, size_t length,
                     struct err *e);
/* ERR_IO when the file was written into since it was opened: what was read may be of two files. */
int file_reader_check(const struct file_reader *r, struct err *e);
/* Harmless on a closed one and on {.fd = -1}. */
void file_reader_close(struct file_reader *r);

/* A whole regular file, mapped read-only. A file that another process shortens while it is mapped
 * ends the reader by SIGBUS, so only the command line maps files. */
struct file_map {
    const unsigned char *data; /* NULL when the file is empty */
    size_t length;
};
/* 0, or -1 when the path is not a readable regular file (ERR_INPUT where none of that name can be
 * read). */
int file_map_open(struct file_map *m, const char *path, struct err *e);
void file_map_close(struct file_map *m);

/* Reads the whole file into `out` (initialised, its max is the limit). */
int file_read(const char *path, struct buf *out, struct err *e);

/* A file being written in the folder of its final name: without a name of its own until it is
 * finished, or as ".NAME.PID.N.tmp" where the file system has no files without names. */
struct file_writer {
    FILE *stream;    /* write here; write errors are caught at commit too */
    char *path;      /* as it was given, for errors */
    char *target;    /* what it names, symbolic links followed */
    char *temporary; /* it can be opened by this path */
    bool is_named;   /* it is in the folder under that name */
};
/* Creates the temporary file: with mode, owner and group of a file that it will replace (its group
 * and owner as far as this process may), else with mode 0666 less the umask. A symbolic link stays
 * what it is; the file that it leads to is written. */
int file_writer_open(struct file_writer *w, const char *path, struct err *e);
/* Flushes, fsyncs, renames over the final name and fsyncs the folder; looks at every result.
 * A path that exists and is no regular file (/dev/full, a pipe) is refused at open. On failure the
 * temporary file is removed and what was there stays, unless the error says that the new file is
 * in its place: then only the folder could not be fsynced. The writer is closed either way. */
int file_writer_commit(struct file_writer *w, struct err *e);
/* Removes the temporary file. Harmless after commit and on a zeroed writer. */
void file_writer_abort(struct file_writer *w);

/* Whether a name is that of a temporary file: 0, or the length of NAME, which begins at name + 1. A
 * name longer than 200 bytes is cut there. */
size_t file_name_unfinished(const char *name);

/* The three steps for bytes in memory. */
int file_write_atomic(const char *path, const void *data, size_t length, struct err *e);

/* Opens what is closed of descriptors 0 to 2, so that no file or socket gets their numbers and is
 * written into as if it were standard output or standard error. Reading from or writing to what it
 * opens fails, as it does with a closed one. -1 when it cannot. To be called first of all. */
int file_hold_standard(void);
/* Flushes standard output: 0, or the errno of what lost anything that was written to it. */
int file_flush_standard(void);

/* Whether the path has that ending and something before it: "a.png" and ".png". */
bool file_name_ends(const char *path, const char *ending);

#endif
