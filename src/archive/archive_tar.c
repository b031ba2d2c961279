/* The ustar header of POSIX.1-1988: fields of fixed width in octal digits, and a checksum over the
 * header with its own field as blanks. */
#include "archive_tar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 512
#define LENGTH_MAX ((size_t)1 << 33) /* eleven octal digits */

struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
    char magic[6], version[2], owner[32], group[32], major[8], minor[8], prefix[155], unused[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a header is one block");

/* Of a header whose field for it has blanks. */
static unsigned sum_of(const struct header *h)
{
    unsigned sum = 0;
    const unsigned char *bytes = (const unsigned char *)h;
    for (size_t i = 0; i < sizeof *h; i++)
        sum += bytes[i];
    return sum;
}

int archive_tar_begin(const char *name, size_t length, struct buf *out, struct err *e)
{
    struct header h;
    const size_t name_length = strlen(name);
    if (name_length > ARCHIVE_TAR_NAME_MAX || length >= LENGTH_MAX)
        return err_fail(e, ERR_LIMIT, name, "does not fit into a tar archive");
    memset(&h, 0, sizeof h);
    memcpy(h.name, name, name_length);
    memcpy(h.mode, "0000644", 8);
    memcpy(h.uid, "0000000", 8);
    memcpy(h.gid, "0000000", 8);
    char size[24];
    snprintf(size, sizeof size, "%011zo", length);
    memcpy(h.size, size, sizeof h.size);
    memcpy(h.mtime, "00000000000", 12);
    memset(h.checksum, ' ', sizeof h.checksum);
    h.type = '0';
    memcpy(h.magic, "ustar", 6);
    memcpy(h.version, "00", 2);
    snprintf(size, sizeof size, "%06o", sum_of(&h));
    memcpy(h.checksum, size, 7); /* six digits and NUL; the blank stays */
    return buf_append(out, &h, sizeof h, e);
}

int archive_tar_end(size_t length, struct buf *out, struct err *e)
{
    static const char zeros[BLOCK];
    return buf_append(out, zeros, (BLOCK - length % BLOCK) % BLOCK, e);
}

int archive_tar_member(const char *name, const void *data, size_t length, struct buf *out,
                       struct err *e)
{
    const size_t before = out->length;
    if (archive_tar_begin(name, length, out, e) == 0 && buf_append(out, data, length, e) == 0 &&
        archive_tar_end(length, out, e) == 0)
        return 0;
    out->length = before;
    return -1;
}

int archive_tar_finish(struct buf *out, struct err *e)
{
    static const char zeros[2 * BLOCK];
    return buf_append(out, zeros, sizeof zeros, e);
}

/* A number in octal digits of a field; -1: it is none. */
static int64_t octal(const char *field, size_t width)
{
    char text[16], *end;
    snprintf(text, sizeof text, "%.*s", (int)width, field);
    const long long value = strtoll(text, &end, 8);
    return end > text && (*end == '\0' || *end == ' ') && text[0] >= '0' && text[0] <= '7' ? value
                                                                                           : -1;
}

int archive_tar_next(const unsigned char *data, size_t length, size_t *at,
                     struct archive_tar_entry *out, const char *what, struct err *e)
{
    static const unsigned char zeros[2 * BLOCK];
    struct header h, blank;
    if (*at > length || length - *at < sizeof zeros)
        return err_fail(e, ERR_INPUT, what, "the archive ends too early");
    if (memcmp(data + *at, zeros, sizeof zeros) == 0)
        return 0;
    memcpy(&h, data + *at, sizeof h);
    blank = h;
    memset(blank.checksum, ' ', sizeof blank.checksum);
    const int64_t size = octal(h.size, sizeof h.size);
    if (octal(h.checksum, sizeof h.checksum) != (int64_t)sum_of(&blank) || size < 0 ||
        h.type != '0' || memcmp(h.magic, "ustar", 6) != 0 || h.prefix[0])
        return err_fail(e, ERR_INPUT, what, "byte %zu of the archive begins no file", *at);
    const size_t padded = ((size_t)size + BLOCK - 1) / BLOCK * BLOCK;
    if (padded > length - *at - BLOCK)
        return err_fail(e, ERR_INPUT, what, "the archive ends too early");
    snprintf(out->name, sizeof out->name, "%.100s", h.name);
    out->data = data + *at + BLOCK;
    out->length = (size_t)size;
    *at += BLOCK + padded;
    return 1;
}
