/* Records of PKWARE's APPNOTE 6.3: local header (4.3.7), data descriptor (4.3.9), central directory
 * (4.3.12), ZIP64 end (4.3.14, 4.3.15) and end (4.3.16). All numbers are little-endian. */
#include "archive_zip_stream.h"

#include "base_size.h"
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define DOS_DATE_1980 0x21u          /* the first of January */
#define MEMBER_MAX (UINT32_MAX - 1u) /* the last number says that the size stands elsewhere */
#define ARRAY_SPARE 8192u            /* for an array's header, and a block's */
#define NAME_MAX_BYTES 255
#define FLAG_DESCRIPTOR 0x0008u
#define FLAG_UTF8 0x0800u
#define METHOD_STORED 0u
#define METHOD_DEFLATED 8u
#define BLOCK_MAX 65535u
#define VERSION 20u
#define VERSION_ZIP64 45u
#define LOCAL_BYTES 30u
#define DESCRIPTOR_BYTES 16u
#define NAMES_MAX ((size_t)1 << 30)
#define TABLE_PIECE 1024 /* members */

/* There may be a million: where a member begins follows from those before it, and what else is in
 * its records from whether it came in pieces. */
struct member {
    uint32_t packed; /* bytes that its data take in the archive */
    uint32_t length, crc;
    bool in_pieces;
    uint8_t name_length;
};

struct archive_zip_stream {
    struct member *members;
    size_t count, room;
    struct buf names; /* one behind the other */
    uint64_t offset;  /* of the next byte in the archive */
    uint64_t left;    /* of the member that comes in pieces */
    uint64_t packed;  /* of that member so far */
    struct {          /* what the table has so far */
        size_t count, names;
        uint64_t offset; /* of the next member */
        uint64_t start;  /* of the table itself */
    } table;
};

/* A record under construction. */
struct record {
    unsigned char bytes[128];
    size_t length;
};

static void put(struct record *r, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        r->bytes[r->length++] = (unsigned char)(value >> (8 * i));
}

static int append(struct archive_zip_stream *z, const void *data, size_t length, struct buf *out,
                  struct err *e)
{
    if (buf_append(out, data, length, e) != 0)
        return -1;
    z->offset += length;
    return 0;
}

bool archive_zip_array_fits(uint64_t item, uint64_t n)
{
    const uint64_t blocks = 5 * (item / BLOCK_MAX + 1);
    return item < MEMBER_MAX && n <= MEMBER_MAX / (item + blocks) &&
           (item + blocks) * n < MEMBER_MAX - ARRAY_SPARE;
}

struct archive_zip_stream *archive_zip_stream_new(struct err *e)
{
    struct archive_zip_stream *z = calloc(1, sizeof *z);
    if (!z) {
        err_fail_memory(e, sizeof *z);
        return NULL;
    }
    buf_init(&z->names, NAMES_MAX);
    return z;
}

void archive_zip_stream_free(struct archive_zip_stream *z)
{
    if (!z)
        return;
    free(z->members);
    buf_clear(&z->names);
    free(z);
}

static struct member *new_member(struct archive_zip_stream *z, const char *name, uint64_t length,
                                 struct err *e)
{
    if (strlen(name) > NAME_MAX_BYTES || length > MEMBER_MAX) {
        err_fail(e, ERR_LIMIT, name, "does not fit into a zip archive");
        return NULL;
    }
    if (z->count == z->room) {
        size_t room = z->room ? 2 * z->room : 64;
        struct member *members = realloc(z->members, room * sizeof *members);
        if (!members) {
            err_fail_memory(e, room * sizeof *members);
            return NULL;
        }
        z->members = members;
        z->room = room;
    }
    if (buf_string(&z->names, name, e) != 0)
        return NULL;
    struct member *m = &z->members[z->count++];
    *m = (struct member){.length = (uint32_t)length, .name_length = (uint8_t)strlen(name)};
    return m;
}

/* What the local header and the central directory have in common, from the flags on. */
static void put_common(struct record *r, const struct member *m, size_t extra)
{
    put(r, FLAG_UTF8 | (m->in_pieces ? FLAG_DESCRIPTOR : 0), 2);
    put(r, m->in_pieces ? METHOD_DEFLATED : METHOD_STORED, 2);
    put(r, 0, 2);
    put(r, DOS_DATE_1980, 2);
    put(r, m->crc, 4);
    put(r, m->packed, 4);
    put(r, m->in_pieces && m->packed == 0 ? 0 : m->length, 4); /* behind it, as the checksum */
    put(r, m->name_length, 2);
    put(r, extra, 2);
}

/* Of the member that has just come. */
static int put_local(struct archive_zip_stream *z, const struct member *m, struct buf *out,
                     struct err *e)
{
    const unsigned char *name = z->names.data + z->names.length - m->name_length;
    struct record r = {.length = 0};
    put(&r, 0x04034b50, 4);
    put(&r, VERSION, 2);
    put_common(&r, m, 0);
    return append(z, r.bytes, r.length, out, e) != 0 ? -1 : append(z, name, m->name_length, out, e);
}

int archive_zip_stream_member(struct archive_zip_stream *z, const struct archive_zip_member *member,
                              struct buf *out, struct err *e)
{
    size_t length;
    if (!size_add(member->head_length, member->length, &length))
        length = SIZE_MAX;
    struct member *m = new_member(z, member->name, length, e);
    if (!m)
        return -1;
    uLong crc = crc32_z(0, NULL, 0);
    if (member->head_length > 0)
        crc = crc32_z(crc, member->head, member->head_length);
    if (member->length > 0)
        crc = crc32_z(crc, member->data, member->length);
    m->crc = (uint32_t)crc;
    m->packed = m->length;
    return put_local(z, m, out, e) != 0 ||
                   append(z, member->head, member->head_length, out, e) != 0 ||
                   append(z, member->data, member->length, out, e) != 0
               ? -1
               : 0;
}

/* A block of deflate (RFC 1951, 3.2.4) that is not compressed: whether it is the last, its length,
 * that with all bits inverted, the bytes. */
static int put_block(struct archive_zip_stream *z, const void *data, size_t length, bool last,
                     struct buf *out, struct err *e)
{
    struct record r = {.length = 0};
    put(&r, last, 1);
    put(&r, length, 2);
    put(&r, ~(uint64_t)length & 0xffff, 2);
    z->packed += r.length + length;
    return append(z, r.bytes, r.length, out, e) != 0 ? -1 : append(z, data, length, out, e);
}

/* An empty last block and the data descriptor. */
static int end_member(struct archive_zip_stream *z, struct member *m, struct buf *out,
                      struct err *e)
{
    if (put_block(z, "", 0, true, out, e) != 0)
        return -1;
    if (z->packed > MEMBER_MAX)
        return err_fail(e, ERR_LIMIT, "zip", "a member does not fit into a zip archive");
    m->packed = (uint32_t)z->packed;
    struct record r = {.length = 0};
    put(&r, 0x08074b50, 4);
    put(&r, m->crc, 4);
    put(&r, m->packed, 4);
    put(&r, m->length, 4);
    return append(z, r.bytes, r.length, out, e);
}

int archive_zip_stream_begin(struct archive_zip_stream *z, const char *name, uint64_t length,
                             struct buf *out, struct err *e)
{
    struct member *m = new_member(z, name, length, e);
    if (!m)
        return -1;
    m->in_pieces = true;
    z->left = length;
    z->packed = 0;
    if (put_local(z, m, out, e) != 0)
        return -1;
    return length > 0 ? 0 : end_member(z, m, out, e);
}

int archive_zip_stream_piece(struct archive_zip_stream *z, const void *data, size_t length,
                             struct buf *out, struct err *e)
{
    if (z->count == 0 || length > z->left)
        return err_fail(e, ERR_INTERNAL, "zip", "%zu bytes more than the member was to have",
                        length);
    struct member *m = &z->members[z->count - 1];
    m->crc = (uint32_t)crc32_z(m->crc, data, length);
    z->left -= length;
    for (const unsigned char *at = data; length > 0;) {
        const size_t count = length < BLOCK_MAX ? length : BLOCK_MAX;
        if (put_block(z, at, count, false, out, e) != 0)
            return -1;
        at += count;
        length -= count;
    }
    return z->left > 0 ? 0 : end_member(z, m, out, e);
}

/* The next member's. */
static int put_central(struct archive_zip_stream *z, struct buf *out, struct err *e)
{
    const struct member *m = &z->members[z->table.count++];
    const unsigned char *name = z->names.data + z->table.names;
    const uint64_t offset = z->table.offset;
    const bool far = offset >= UINT32_MAX;
    struct record r = {.length = 0};
    put(&r, 0x02014b50, 4);
    put(&r, (3u << 8) | (far ? VERSION_ZIP64 : VERSION), 2); /* made on Unix */
    put(&r, far ? VERSION_ZIP64 : VERSION, 2);
    put_common(&r, m, far ? 12 : 0);
    put(&r, 0, 2);              /* comment */
    put(&r, 0, 2);              /* disk */
    put(&r, 0, 2);              /* internal attributes */
    put(&r, 0100644u << 16, 4); /* a regular file, rw-r--r-- */
    put(&r, far ? UINT32_MAX : offset, 4);
    z->table.names += m->name_length;
    z->table.offset +=
        LOCAL_BYTES + m->name_length + m->packed + (m->in_pieces ? DESCRIPTOR_BYTES : 0);
    if (append(z, r.bytes, r.length, out, e) != 0 || append(z, name, m->name_length, out, e) != 0)
        return -1;
    if (!far)
        return 0;
    struct record extra = {.length = 0};
    put(&extra, 1, 2);
    put(&extra, 8, 2);
    put(&extra, offset, 8);
    return append(z, extra.bytes, extra.length, out, e);
}

static int put_zip64_end(struct archive_zip_stream *z, uint64_t start, uint64_t size,
                         struct buf *out, struct err *e)
{
    struct record r = {.length = 0};
    uint64_t here = z->offset;
    put(&r, 0x06064b50, 4);
    put(&r, 44, 8); /* the rest of this record */
    put(&r, (3u << 8) | VERSION_ZIP64, 2);
    put(&r, VERSION_ZIP64, 2);
    put(&r, 0, 8); /* disks */
    put(&r, z->count, 8);
    put(&r, z->count, 8);
    put(&r, size, 8);
    put(&r, start, 8);
    put(&r, 0x07064b50, 4);
    put(&r, 0, 4);
    put(&r, here, 8);
    put(&r, 1, 4);
    return append(z, r.bytes, r.length, out, e);
}

static int put_end(struct archive_zip_stream *z, struct buf *out, struct err *e)
{
    const uint64_t start = z->table.start, size = z->offset - start;
    bool large = start >= UINT32_MAX || size >= UINT32_MAX || z->count >= UINT16_MAX;
    if (large && put_zip64_end(z, start, size, out, e) != 0)
        return -1;
    struct record r = {.length = 0};
    put(&r, 0x06054b50, 4);
    put(&r, 0, 4); /* disks */
    put(&r, z->count >= UINT16_MAX ? UINT16_MAX : z->count, 2);
    put(&r, z->count >= UINT16_MAX ? UINT16_MAX : z->count, 2);
    put(&r, size >= UINT32_MAX ? UINT32_MAX : size, 4);
    put(&r, start >= UINT32_MAX ? UINT32_MAX : start, 4);
    put(&r, 0, 2); /* comment */
    return append(z, r.bytes, r.length, out, e);
}

int archive_zip_stream_table(struct archive_zip_stream *z, struct buf *out, struct err *e)
{
    if (z->table.count == 0)
        z->table.start = z->offset;
    for (int i = 0; i < TABLE_PIECE && z->table.count < z->count; i++)
        if (put_central(z, out, e) != 0)
            return -1;
    return z->table.count < z->count ? 1 : put_end(z, out, e);
}

int archive_zip_stream_finish(struct archive_zip_stream *z, struct buf *out, struct err *e)
{
    int result;
    do {
        result = archive_zip_stream_table(z, out, e);
    } while (result > 0);
    return result;
}
