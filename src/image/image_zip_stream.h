/* A ZIP archive that is written as its members come, to a reader that cannot seek.
 *
 * Members are not compressed (PNG is), with a fixed time. A member that is there as a whole is
 * stored and has its size and checksum in front. Of one that comes in pieces the checksum can only
 * stand behind it, which readers that do not seek refuse of stored members; so it is a stream of
 * deflate whose blocks are not compressed. Offsets beyond 4 GiB and more than 65535 members get
 * ZIP64 records. The table of members at the end is why there is a state. Not thread-safe. */
#ifndef IMAGE_ZIP_STREAM_H
#define IMAGE_ZIP_STREAM_H

#include "image_zip.h"
#include <stdint.h>

struct image_zip_stream;
struct image_zip_stream *image_zip_stream_new(struct err *e);
void image_zip_stream_free(struct image_zip_stream *z); /* NULL is taken */

/* Each appends to `out` what the caller then sends. A failure (ERR_MEMORY, ERR_LIMIT) leaves an
 * archive that cannot be ended. Names up to 255 bytes; members below 4 GiB. */
int image_zip_stream_member(struct image_zip_stream *z, const struct image_zip_member *member,
                            struct buf *out, struct err *e);
/* A member of `length` bytes in pieces: begin, then pieces until that many have come, which ends
 * it. */
int image_zip_stream_begin(struct image_zip_stream *z, const char *name, uint64_t length,
                           struct buf *out, struct err *e);
int image_zip_stream_piece(struct image_zip_stream *z, const void *data, size_t length,
                           struct buf *out, struct err *e);
/* The table of members. */
int image_zip_stream_finish(struct image_zip_stream *z, struct buf *out, struct err *e);

#endif
