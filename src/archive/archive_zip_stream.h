/* A ZIP archive that is written as its members come, to a reader that cannot seek.
 *
 * Members are not compressed (PNG is), with a fixed time. A member that is there as a whole is
 * stored and has its size and checksum in front. Of one that comes in pieces the checksum can only
 * stand behind it, which readers that do not seek refuse of stored members; so it is a stream of
 * deflate whose blocks are not compressed. Offsets beyond 4 GiB and more than 65535 members get
 * ZIP64 records. The table of members at the end is why there is a state: 16 bytes for each member,
 * and its name. Not thread-safe. */
#ifndef ARCHIVE_ZIP_STREAM_H
#define ARCHIVE_ZIP_STREAM_H

#include "archive_zip.h"
#include <stdint.h>

/* Whether an array of n items of so many bytes has place in a member, whichever the form. */
bool archive_zip_array_fits(uint64_t item, uint64_t n);

struct archive_zip_stream;
struct archive_zip_stream *archive_zip_stream_new(struct err *e);
void archive_zip_stream_free(struct archive_zip_stream *z); /* may be NULL */

/* Each appends to `out` what the caller then sends. A failure (ERR_MEMORY, ERR_LIMIT) leaves an
 * archive that cannot be ended. Names up to 255 bytes; members below 4 GiB. */
int archive_zip_stream_member(struct archive_zip_stream *z, const struct archive_zip_member *member,
                              struct buf *out, struct err *e);
/* A member of `length` bytes in pieces: begin, then pieces until that many have come, which ends
 * it. */
int archive_zip_stream_begin(struct archive_zip_stream *z, const char *name, uint64_t length,
                             struct buf *out, struct err *e);
int archive_zip_stream_piece(struct archive_zip_stream *z, const void *data, size_t length,
                             struct buf *out, struct err *e);
/* The table of members, some of them at a time: 1 while there is more to come, then 0. */
int archive_zip_stream_table(struct archive_zip_stream *z, struct buf *out, struct err *e);
/* The table at once. */
int archive_zip_stream_finish(struct archive_zip_stream *z, struct buf *out, struct err *e);

#endif
