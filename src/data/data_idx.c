/* IDX files (the format of the MNIST family), plain or gzipped: two zero bytes, a type (8:
 * unsigned bytes), the number of dimensions, each dimension as 32 bits big-endian, then the bytes.
 * Images are idx3 [n][rows][columns], labels idx1 [n]. The only file that sees zlib's header. */
#include "base_size.h"
#include "data_source.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define FIRST_ROOM ((size_t)1 << 20) /* bytes */

struct idx {
    int rank;
    uint32_t shape[4];
    size_t count; /* product */
    uint8_t *values;
};

bool data_idx_is(const void *data, size_t length)
{
    const unsigned char *b = data;
    return length >= 4 && ((b[0] == 0x1f && b[1] == 0x8b) ||
                           (b[0] == 0 && b[1] == 0 && b[2] == 8 && b[3] >= 1 && b[3] <= 4));
}

/* All of `size` bytes into `out`, of which `done` are there, or an error that says what is missing.
 */
static int read_rest(gzFile f, void *out, size_t done, size_t size, size_t whole, const char *path,
                     struct err *e)
{
    while (done < size) {
        unsigned piece = size - done < (1u << 30) ? (unsigned)(size - done) : 1u << 30;
        int got = gzread(f, (unsigned char *)out + done, piece);
        if (got < 0) {
            int code;
            return err_fail(e, ERR_INPUT, path, "cannot be unpacked: %s", gzerror(f, &code));
        }
        if (got == 0)
            return err_fail(e, ERR_INPUT, path, "ends after %zu of %zu bytes", done, whole);
        done += (size_t)got;
    }
    return 0;
}

static int read_exactly(gzFile f, void *out, size_t size, const char *path, struct err *e)
{
    return read_rest(f, out, 0, size, size, path, e);
}

/* The values that the head declares: memory grows with what is there, not with what is declared. */
static int read_declared(gzFile f, struct idx *out, const char *path, struct err *e)
{
    size_t room = 0;
    while (room < out->count || !out->values) {
        size_t more = room < FIRST_ROOM ? FIRST_ROOM : 2 * room;
        more = more < out->count ? more : out->count;
        uint8_t *grown = realloc(out->values, more + 1);
        if (!grown)
            return err_fail_memory(e, more);
        out->values = grown;
        if (read_rest(f, out->values, room, more, out->count, path, e) != 0)
            return -1;
        room = more;
    }
    return 0;
}

static int read_values(gzFile f, struct idx *out, int rank, const char *path, struct err *e)
{
    unsigned char head[4], rest;
    if (read_exactly(f, head, sizeof head, path, e) != 0)
        return -1;
    if (head[0] != 0 || head[1] != 0 || head[2] != 8 || head[3] != rank)
        return err_fail(e, ERR_INPUT, path,
                        "is no IDX file of unsigned bytes in %d dimensions (it begins with %02x "
                        "%02x %02x %02x)",
                        rank, head[0], head[1], head[2], head[3]);
    out->count = 1;
    out->rank = rank;
    for (int i = 0; i < rank; i++) {
        if (read_exactly(f, head, sizeof head, path, e) != 0)
            return -1;
        out->shape[i] =
            (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
        if (!size_mul(out->count, out->shape[i], &out->count) || out->count > DATA_BYTES_MAX)
            return err_fail(e, ERR_LIMIT, path, "declares more than %zu GB", DATA_BYTES_MAX >> 30);
    }
    if (read_declared(f, out, path, e) != 0)
        return -1;
    return gzread(f, &rest, 1) == 0
               ? 0
               : err_fail(e, ERR_INPUT, path, "has bytes behind the %zu that it declares",
                          out->count);
}

static int read_idx(const char *path, int rank, struct idx *out, struct err *e)
{
    errno = 0;
    gzFile f = gzopen(path, "rb");
    if (!f)
        return err_fail_errno(e, errno ? errno : ENOMEM, path, "open");
    int result = read_values(f, out, rank, path, e);
    gzclose_r(f);
    return result;
}

/* "…images-idx3…" to "…labels-idx1…", or NULL when the name has no such part. */
static char *labels_path(const char *images)
{
    static const char from[] = "images-idx3", to[] = "labels-idx1";
    char *path = strdup(images), *at = path ? strstr(path, from) : NULL;
    for (char *next = at; next; next = strstr(at + 1, from))
        at = next;
    if (at)
        memcpy(at, to, sizeof to - 1);
    else {
        free(path);
        path = NULL;
    }
    return path;
}

static int check_labels(const struct idx *images, const struct idx *labels, const char *path,
                        int *classes, struct err *e)
{
    int largest = 0;
    if (labels->count != images->shape[0])
        return err_fail(e, ERR_INPUT, path, "holds %zu labels for %u images", labels->count,
                        images->shape[0]);
    for (size_t i = 0; i < labels->count; i++)
        largest = labels->values[i] > largest ? labels->values[i] : largest;
    *classes = largest + 1;
    return 0;
}

static int add_images(struct data_draft *set, const struct idx *images, const uint8_t *labels,
                      const char *path, struct err *e)
{
    size_t size = (size_t)images->shape[1] * images->shape[2];
    if (images->shape[1] > IMAGE_SIDE_MAX || images->shape[2] > IMAGE_SIDE_MAX)
        return err_fail(e, ERR_LIMIT, path, "images of %u×%u pixels are too large",
                        images->shape[2], images->shape[1]);
    for (size_t i = 0; i < images->shape[0]; i++)
        if (data_draft_add(set, images->values + i * size, 1, (int)images->shape[1],
                           (int)images->shape[2], labels ? labels[i] : -1, path, e) != 0)
            return -1;
    return 0;
}

int data_idx_read(const struct data_options *o, struct data_draft *set, struct err *e)
{
    struct idx images = {0}, labels = {0};
    char *derived = o->labels ? NULL : labels_path(o->path);
    const char *path = o->labels ? o->labels : derived;
    int classes = 0;
    int result = read_idx(o->path, 3, &images, e);
    if (result == 0 && path)
        result = read_idx(path, 1, &labels, e);
    if (result == 0 && path)
        result = check_labels(&images, &labels, path, &classes, e);
    if (result == 0)
        result = add_images(set, &images, labels.values, o->path, e);
    if (result == 0 && classes > 0)
        result = data_draft_number_classes(set, classes, e);
    free(images.values);
    free(labels.values);
    free(derived);
    return result;
}
