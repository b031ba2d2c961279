/* A tar archive that is written as its members come: POSIX ustar, time 1970-01-01, so that equal
 * members give equal bytes. No state between calls; the caller sends what is appended. And one that
 * was written so, member by member. */
#ifndef ARCHIVE_TAR_H
#define ARCHIVE_TAR_H

#include "base_buf.h"

#define ARCHIVE_TAR_NAME_MAX 100

/* Appends a regular file: header, data, padding. `name` up to ARCHIVE_TAR_NAME_MAX bytes, `length`
 * below 8 GiB; else ERR_LIMIT and nothing is appended. */
int archive_tar_member(const char *name, const void *data, size_t length, struct buf *out,
                       struct err *e);
/* The same in pieces: the header, then the caller appends `length` bytes, then the padding. */
int archive_tar_begin(const char *name, size_t length, struct buf *out, struct err *e);
int archive_tar_end(size_t length, struct buf *out, struct err *e);
/* Appends the end of the archive. */
int archive_tar_finish(struct buf *out, struct err *e);

struct archive_tar_entry {
    char name[ARCHIVE_TAR_NAME_MAX + 1];
    const unsigned char *data; /* of the archive's */
    size_t length;
};
/* The regular file whose header stands at byte *at, which then is behind it. 1: read; 0: the end of
 * the archive stands there; -1: neither does, and the error begins with `what`. */
int archive_tar_next(const unsigned char *data, size_t length, size_t *at,
                     struct archive_tar_entry *out, const char *what, struct err *e);

#endif
