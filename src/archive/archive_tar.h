/* A tar archive that is written as its members come: POSIX ustar, time 1970-01-01, so that equal
 * members give equal bytes. No state between calls; the caller sends what is appended. */
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

#endif
