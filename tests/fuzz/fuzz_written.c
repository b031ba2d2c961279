/* What our writers write is read again, and is the same: PNG, moving PNG, NPY, NPZ, ZIP, tar.
 *
 * The bytes say what is written: the first four its sizes, then a name up to a NUL, then pixels,
 * which are repeated where there are too few. With the environment's FUZZ_WRITE the files stay in
 * that folder, for readers that are not ours (test_written.py). */
#include "fuzz.h"

#include "archive_npy.h"
#include "archive_npy_read.h"
#include "archive_tar.h"
#include "archive_zip_stream.h"
#include "image_apng.h"
#include "image_png_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE 32
#define FRAMES 3
#define OUT_MAX ((size_t)1 << 22)
#define FILES_MAX 24 /* inputs whose files stay */

struct picture {
    struct image_shape shape;
    int frames;
    char text[128];
    uint8_t pixels[FRAMES * SIDE * SIDE * 3];
    size_t size; /* of one frame */
};

static int kept; /* inputs so far whose files stayed */

static void keep(const char *ending, const void *data, size_t length)
{
    const char *folder = getenv("FUZZ_WRITE");
    char path[512];
    if (!folder || kept >= FILES_MAX)
        return;
    snprintf(path, sizeof path, "%s/%02d.%s", folder, kept, ending);
    FILE *f = fopen(path, "wb");
    FUZZ_CHECK(f && fwrite(data, 1, length, f) == length && fclose(f) == 0);
}

static void make(struct picture *p, const uint8_t *data, size_t length)
{
    p->shape = (struct image_shape){data[0] & 1 ? 3 : 1, 1 + data[1] % SIDE, 1 + data[2] % SIDE};
    p->frames = 1 + data[3] % FRAMES;
    p->size = image_shape_count(p->shape);
    data += 4;
    length -= 4;
    size_t name = strnlen((const char *)data, length);
    snprintf(p->text, sizeof p->text, "%.*s", (int)name, (const char *)data);
    data += name;
    length -= name;
    for (size_t i = 0; i < p->size * (size_t)p->frames; i++)
        p->pixels[i] = length ? data[i % length] : (uint8_t)i;
}

static void check_picture(const struct buf *file, const struct picture *p)
{
    struct err e = {0};
    struct image_png png;
    FUZZ_CHECK(image_png_read(file->data, file->length, SIDE, "png", &png, &e) == 0);
    FUZZ_CHECK(memcmp(&png.shape, &p->shape, sizeof png.shape) == 0);
    FUZZ_CHECK(memcmp(png.pixels, p->pixels, p->size) == 0);
    free(png.pixels);
}

static void write_pictures(const struct picture *p, struct buf *out)
{
    struct err e = {0};
    buf_reset(out);
    if (image_png_encode(p->pixels, p->shape, p->text[0] ? "pfgm" : NULL,
                         p->text[0] ? p->text : NULL, out, &e) == 0) {
        check_picture(out, p);
        keep("png", out->data, out->length);
    } else {
        fuzz_check_error(&e);
    }
    buf_reset(out);
    FUZZ_CHECK(image_apng_encode(p->pixels, p->frames, p->shape, 40, 400, out, &e) == 0);
    check_picture(out, p);
    keep("apng", out->data, out->length);
}

static void check_array(const void *data, size_t length, const struct picture *p)
{
    struct err e = {0};
    struct archive_npy a;
    FUZZ_CHECK(archive_npy_read(data, length, length, "npy", &a, &e) == 0);
    FUZZ_CHECK(strcmp(a.type, "|u1") == 0 && a.rank == 4);
    FUZZ_CHECK(a.shape[0] == (size_t)p->frames && a.shape[1] == (size_t)p->shape.height &&
               a.shape[2] == (size_t)p->shape.width && a.shape[3] == (size_t)p->shape.channels);
    FUZZ_CHECK(a.count == p->size * a.shape[0] && memcmp(a.data, p->pixels, a.count) == 0);
}

static void write_arrays(const struct picture *p, struct buf *out)
{
    struct err e = {0};
    struct image_npz_array array = {.name = "images",
                                    .type = ARCHIVE_NPY_U8,
                                    .rank = 4,
                                    .shape = {(uint64_t)p->frames, (uint64_t)p->shape.height,
                                              (uint64_t)p->shape.width,
                                              (uint64_t)p->shape.channels},
                                    .data = p->pixels};
    buf_reset(out);
    FUZZ_CHECK(archive_npy_header(array.type, array.rank, array.shape, out, &e) == 0);
    FUZZ_CHECK(out->length % 64 == 0);
    FUZZ_CHECK(buf_append(out, p->pixels, p->size * (size_t)p->frames, &e) == 0);
    check_array(out->data, out->length, p);
    keep("npy", out->data, out->length);
    buf_reset(out);
    FUZZ_CHECK(image_npz_encode(&array, 1, out, &e) == 0);
    keep("npz", out->data, out->length);
    struct archive_zip *z = archive_zip_open(out->data, out->length, "npz", &e);
    FUZZ_CHECK(z && archive_zip_find(z, "images.npy") == 0);
    size_t size = (size_t)archive_zip_size(z, 0);
    uint8_t *member = malloc(size);
    FUZZ_CHECK(member && archive_zip_read(z, 0, member, size, &e) == 0);
    check_array(member, size, p);
    free(member);
    archive_zip_close(z);
}

/* The frames as members, the first one under the name that the bytes say. */
static struct archive_zip_member member_of(const struct picture *p, int i, char name[16])
{
    snprintf(name, 16, "%d.raw", i);
    return (struct archive_zip_member){.name = i == 0 && p->text[0] ? p->text : name,
                                       .data = p->pixels + (size_t)i * p->size,
                                       .length = p->size};
}

static int write_zip(const struct picture *p, struct archive_zip_stream *z, struct buf *out,
                     struct err *e)
{
    char name[16];
    for (int i = 0; i < p->frames; i++) {
        struct archive_zip_member m = member_of(p, i, name);
        const size_t half = m.length / 2;
        if (i % 2 == 0 ? archive_zip_stream_member(z, &m, out, e) != 0
                       : archive_zip_stream_begin(z, m.name, m.length, out, e) != 0 ||
                             archive_zip_stream_piece(z, m.data, half, out, e) != 0 ||
                             archive_zip_stream_piece(z, (const uint8_t *)m.data + half,
                                                      m.length - half, out, e) != 0)
            return -1;
    }
    return archive_zip_stream_finish(z, out, e);
}

static void check_zip(const struct picture *p, const struct buf *out)
{
    struct err e = {0};
    char name[16];
    struct archive_zip *z = archive_zip_open(out->data, out->length, "zip", &e);
    if (!z) { /* the name of two members, or none that can be read */
        fuzz_check_error(&e);
        FUZZ_CHECK(p->text[0]);
        return;
    }
    FUZZ_CHECK(archive_zip_count(z) == (size_t)p->frames);
    for (int i = 0; i < p->frames; i++) {
        uint8_t pixels[SIDE * SIDE * 3];
        struct archive_zip_member m = member_of(p, i, name);
        FUZZ_CHECK(archive_zip_size(z, (size_t)i) == m.length);
        FUZZ_CHECK(archive_zip_read(z, (size_t)i, pixels, m.length, &e) == 0);
        FUZZ_CHECK(memcmp(pixels, m.data, m.length) == 0);
    }
    archive_zip_close(z);
}

static void write_archives(const struct picture *p, struct buf *out)
{
    struct err e = {0};
    char name[16];
    struct archive_zip_stream *z = archive_zip_stream_new(&e);
    buf_reset(out);
    FUZZ_CHECK(z);
    if (write_zip(p, z, out, &e) == 0) {
        check_zip(p, out);
        keep("zip", out->data, out->length);
    } else {
        fuzz_check_error(&e);
    }
    archive_zip_stream_free(z);
    buf_reset(out);
    for (int i = 0; i < p->frames; i++) {
        struct archive_zip_member m = member_of(p, i, name);
        const size_t before = out->length;
        if (archive_tar_member(m.name, m.data, m.length, out, &e) == 0) {
            FUZZ_CHECK((out->length - before) % 512 == 0);
            FUZZ_CHECK(memcmp(out->data + before + 512, m.data, m.length) == 0);
        } else {
            fuzz_check_error(&e);
            FUZZ_CHECK(out->length == before);
        }
    }
    FUZZ_CHECK(archive_tar_finish(out, &e) == 0);
    keep("tar", out->data, out->length);
}

static void run(const uint8_t *data, size_t length)
{
    static struct picture p;
    struct buf out;
    if (length < 4)
        return;
    make(&p, data, length);
    buf_init(&out, OUT_MAX);
    write_pictures(&p, &out);
    write_arrays(&p, &out);
    write_archives(&p, &out);
    keep("raw", p.pixels, p.size * (size_t)p.frames);
    keep("name", p.text, strlen(p.text));
    kept++;
    buf_clear(&out);
}

const struct fuzz_target fuzz_written = {
    .name = "written", .memory = 8 << 20, .memory_factor = 16, .run = run};
