/* NPY, format version 1.0 (numpy.lib.format):
 *
 *     "\x93NUMPY" 1 0           magic and version
 *     u16 little-endian N       length of the header text
 *     N bytes                   {'descr': '<f4', 'fortran_order': False, 'shape': (3, 28), }, then
 * spaces, then '\n', so that 10 + N is a multiple of 64 values                    little-endian, C
 * order
 *
 * and NPZ, a ZIP archive of such members, named NAME.npy. The digits are made here, not by printf,
 * so that no locale can group them. Pure functions; any thread. */
#include "archive_npy.h"
#include "base_size.h"
#include "archive_zip.h"
#include <stdlib.h>
#include <string.h>

#define NPY_RANK_MAX 8
#define NPY_ALIGN 64
#define NPY_PREFIX 10      /* magic, version, length */
#define NPY_HEADER_MAX 512 /* 8 dimensions of 20 digits, the rest, and the padding */
#define NPZ_NAME_MAX 200

static const struct {
    const char *descr;
    size_t size;
} npy_types[] = {[ARCHIVE_NPY_U8] = {"|u1", 1},
                 [ARCHIVE_NPY_F32] = {"<f4", 4},
                 [ARCHIVE_NPY_F64] = {"<f8", 8},
                 [ARCHIVE_NPY_U64] = {"<u8", 8},
                 [ARCHIVE_NPY_I64] = {"<i8", 8}};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "values are written as they lie in memory");

size_t archive_npy_type_size(enum archive_npy_type type)
{
    return npy_types[type].size;
}

static int append_decimal(uint64_t value, struct buf *out, struct err *e)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    return buf_append(out, digits + at, sizeof digits - at, e);
}

/* "()", "(3,)" or "(3, 28, 28)": the notation of a Python tuple. */
static int append_shape(int rank, const uint64_t *shape, struct buf *out, struct err *e)
{
    if (buf_string(out, "(", e) != 0)
        return -1;
    for (int i = 0; i < rank; i++) {
        if ((i > 0 && buf_string(out, " ", e) != 0) || append_decimal(shape[i], out, e) != 0 ||
            ((rank == 1 || i + 1 < rank) && buf_string(out, ",", e) != 0))
            return -1;
    }
    return buf_string(out, ")", e);
}

static int append_header(enum archive_npy_type type, int rank, const uint64_t *shape,
                         struct buf *out, struct err *e)
{
    size_t padding, text;
    if (buf_append(out, "\x93NUMPY\x01\x00\x00\x00", NPY_PREFIX, e) != 0 ||
        buf_string(out, "{'descr': '", e) != 0 || buf_string(out, npy_types[type].descr, e) != 0 ||
        buf_string(out, "', 'fortran_order': False, 'shape': ", e) != 0 ||
        append_shape(rank, shape, out, e) != 0 || buf_string(out, ", }", e) != 0)
        return -1;
    padding = NPY_ALIGN - 1 - out->length % NPY_ALIGN; /* the line feed is the last byte */
    for (size_t i = 0; i < padding; i++) {
        if (buf_string(out, " ", e) != 0)
            return -1;
    }
    if (buf_string(out, "\n", e) != 0)
        return -1;
    text = out->length - NPY_PREFIX;
    out->data[8] = (unsigned char)(text & 0xff);
    out->data[9] = (unsigned char)(text >> 8);
    return 0;
}

int archive_npy_header(enum archive_npy_type type, int rank, const uint64_t *shape, struct buf *out,
                       struct err *e)
{
    struct buf header;
    int result;
    if (rank < 0 || rank > NPY_RANK_MAX)
        return err_fail(e, ERR_INTERNAL, "NPY", "rank %d is not in 0 to %d", rank, NPY_RANK_MAX);
    /* Built apart, because its padding counts from its own start and it is appended whole. */
    buf_init(&header, NPY_HEADER_MAX);
    result = append_header(type, rank, shape, &header, e);
    if (result == 0)
        result = buf_append(out, header.data, header.length, e);
    buf_clear(&header);
    return result;
}

struct npz_member {
    char name[NPZ_NAME_MAX + 5];
    struct buf head;
};

static int member_fill(const struct image_npz_array *array, struct npz_member *own,
                       struct archive_zip_member *member, struct err *e)
{
    size_t name_length = strlen(array->name);
    size_t bytes = archive_npy_type_size(array->type);
    if (name_length < 1 || name_length > NPZ_NAME_MAX)
        return err_fail(e, ERR_INTERNAL, "NPZ", "an array's name has 1 to %d bytes, this one %zu",
                        NPZ_NAME_MAX, name_length);
    if (archive_npy_header(array->type, array->rank, array->shape, &own->head, e) != 0)
        return -1;
    for (int i = 0; i < array->rank; i++) {
        if (array->shape[i] > SIZE_MAX || !size_mul(bytes, (size_t)array->shape[i], &bytes))
            return err_fail(e, ERR_LIMIT, array->name, "the array's size overflows");
    }
    memcpy(own->name, array->name, name_length);
    memcpy(own->name + name_length, ".npy", 5);
    *member = (struct archive_zip_member){.name = own->name,
                                          .head = own->head.data,
                                          .head_length = own->head.length,
                                          .data = array->data,
                                          .length = bytes};
    return 0;
}

int image_npz_encode(const struct image_npz_array *arrays, size_t n, struct buf *out, struct err *e)
{
    struct npz_member *own = calloc(n ? n : 1, sizeof *own);
    struct archive_zip_member *members = calloc(n ? n : 1, sizeof *members);
    int result = own && members ? 0 : err_fail_memory(e, n * (sizeof *own + sizeof *members));
    for (size_t i = 0; own && i < n; i++)
        buf_init(&own[i].head, NPY_HEADER_MAX);
    for (size_t i = 0; result == 0 && i < n; i++)
        result = member_fill(&arrays[i], &own[i], &members[i], e);
    if (result == 0)
        result = archive_zip_encode(members, n, out, e);
    for (size_t i = 0; own && i < n; i++)
        buf_clear(&own[i].head);
    free(own);
    free(members);
    return result;
}
