/* ZIP archives, by libzip: the only room that sees its header. Reading is for hostile files: sizes
 * are checked against limits before anything is allocated. Writing is for NPZ. */
#ifndef ARCHIVE_ZIP_H
#define ARCHIVE_ZIP_H

#include "base_buf.h"
#include <stdint.h>

struct archive_zip;
/* Opens an archive that lies in memory (not copied; it must outlive the reader). `what` names it in
 * errors: "truncated or not a zip archive" with the size. NULL on failure. */
struct archive_zip *archive_zip_open(const void *data, size_t length, const char *what,
                                     struct err *e);
void archive_zip_close(struct archive_zip *z);
size_t archive_zip_count(const struct archive_zip *z);
/* The member's name (owned by the reader) and its size uncompressed. Encrypted members and names
 * that occur twice are refused at open. */
const char *archive_zip_name(const struct archive_zip *z, size_t i);
uint64_t archive_zip_size(const struct archive_zip *z, size_t i);
/* Index of a member, or -1. */
int64_t archive_zip_find(const struct archive_zip *z, const char *name);
/* Reads the whole member (stored or deflated) into `out`, all of it or an error; checks its CRC. */
int archive_zip_read(struct archive_zip *z, size_t i, void *out, size_t size, struct err *e);

struct archive_zip_member {
    const char *name;
    const void *head; /* two pieces that follow one another: a header and the data; neither owned */
    size_t head_length;
    const void *data;
    size_t length;
};
/* Appends an archive of stored members, time fixed. */
int archive_zip_encode(const struct archive_zip_member *members, size_t n, struct buf *out,
                       struct err *e);

#endif
