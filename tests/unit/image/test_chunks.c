/* PNG chunks that strangers write: lengths that lie, texts that unpack to far more than they are,
 * image data behind the last pixel, and palettes with holes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "../peak_memory.h"
#include "image_png_read.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#define SIDE 8

static void put_length(struct buf *out, size_t length)
{
    const unsigned char bytes[4] = {(unsigned char)(length >> 24), (unsigned char)(length >> 16),
                                    (unsigned char)(length >> 8), (unsigned char)length};
    assert_int_equal(buf_append(out, bytes, 4, NULL), 0);
}

static void put_chunk(struct buf *out, const char *name, const void *data, size_t length)
{
    put_length(out, length);
    const size_t from = out->length;
    assert_int_equal(buf_append(out, name, 4, NULL), 0);
    assert_int_equal(buf_append(out, data, length, NULL), 0);
    put_length(out, crc32(0, out->data + from, (uInt)(out->length - from)));
}

/* The signature and the header of a picture of SIDE × SIDE. */
static void begin(struct buf *out, int depth, int kind)
{
    const unsigned char header[13] = {
        [3] = SIDE, [7] = SIDE, (unsigned char)depth, (unsigned char)kind};
    buf_init(out, 64u << 20);
    assert_int_equal(buf_append(out, "\x89PNG\r\n\x1a\n", 8, NULL), 0);
    put_chunk(out, "IHDR", header, sizeof header);
}

static void put_packed(struct buf *out, const char *name, const void *prefix, size_t prefix_length,
                       const void *data, size_t length)
{
    uLongf packed = compressBound(length);
    unsigned char *bytes = malloc(prefix_length + packed);
    assert_non_null(bytes);
    memcpy(bytes, prefix, prefix_length);
    assert_int_equal(compress2(bytes + prefix_length, &packed, data, length, 9), Z_OK);
    put_chunk(out, name, bytes, prefix_length + packed);
    free(bytes);
}

/* `length` bytes of zeroes, packed. */
static void put_zeroes(struct buf *out, const char *name, const char *prefix, size_t prefix_length,
                       size_t length)
{
    unsigned char *zeroes = calloc(length, 1);
    assert_non_null(zeroes);
    put_packed(out, name, prefix, prefix_length, zeroes, length);
    free(zeroes);
}

static int read_all(const struct buf *b, struct image_png *out, struct err *e)
{
    unsigned char *copy = malloc(b->length); /* of its very size, for the sanitizers */
    assert_non_null(copy);
    memcpy(copy, b->data, b->length);
    *e = (struct err){0};
    int bad = image_png_read(copy, b->length, 64, "x.png", out, e);
    free(copy);
    return bad;
}

static void assert_refused(const struct buf *b, const char *word)
{
    struct image_png png;
    struct err e;
    if (read_all(b, &png, &e) != -1 || e.code != ERR_INPUT || !strstr(e.text, word))
        fail_msg("%s: code %d, %s", word, e.code, e.text);
    assert_null(png.pixels);
    assert_string_equal(e.at, "x.png");
}

static void a_length_that_lies_takes_no_memory(void **state)
{
    static const char *const names[] = {"tEXt", "zTXt", "iTXt", "iCCP", "sPLT", "pCAL", "sCAL",
                                        "eXIf", "hIST", "IDAT", "PLTE", "tRNS", "IEND", "zzZz"};
    (void)state;
    const long before = peak_memory_kib(true);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (size_t declared = 4; declared; declared = declared == 4 ? 0x7fffffff : 0) {
            struct buf b;
            begin(&b, 8, 0);
            put_length(&b, declared);
            assert_int_equal(buf_string(&b, names[i], NULL), 0);
            assert_int_equal(buf_string(&b, "abc", NULL), 0);
            assert_int_equal(b.length, 44);
            assert_refused(&b, names[i]);
            assert_refused(&b, declared == 4 ? "declares 4 bytes" : "declares 2147483647 bytes");
            buf_clear(&b);
        }
    assert_in_range(peak_memory_kib(false), 1, before + 1024);
}

static void texts_are_not_unpacked(void **state)
{
    const unsigned char rows[SIDE * (SIDE + 1)] = {[1] = 7};
    struct image_png png;
    struct err e;
    struct buf b;
    (void)state;
    begin(&b, 8, 0);
    const size_t header = b.length;
    put_zeroes(&b, "zTXt", "key\0", 5, 1 << 20);
    const size_t text = b.length - header;
    for (int i = 1; i < 120; i++) {
        unsigned char *to = buf_reserve(&b, text, NULL);
        assert_non_null(to);
        memcpy(to, b.data + header, text);
        b.length += text;
    }
    put_zeroes(&b, "iCCP", "profile\0", 9, 1 << 20);
    put_packed(&b, "IDAT", "", 0, rows, sizeof rows);
    put_zeroes(&b, "iTXt", "key\0\1\0\0", 8, 1 << 20);
    put_chunk(&b, "IEND", "", 0);
    const long before = peak_memory_kib(true);
    const clock_t start = clock(); /* of the processor, not of the wall */
    assert_int_equal(read_all(&b, &png, &e), 0);
    assert_in_range(clock() - start, 0, CLOCKS_PER_SEC / 10);
    assert_in_range(peak_memory_kib(false), 1, before + 1024);
    assert_int_equal(png.pixels[0], 7);
    free(png.pixels);
    buf_clear(&b);
}

static void image_data_behind_the_pixels_end(void **state)
{
    struct image_png png;
    struct err e;
    struct buf b;
    (void)state;
    begin(&b, 8, 0);
    put_zeroes(&b, "IDAT", "", 0, SIDE * (SIDE + 1) + 100); /* as careless writers do */
    put_chunk(&b, "IDAT", "", 0);
    put_chunk(&b, "IEND", "", 0);
    assert_int_equal(read_all(&b, &png, &e), 0);
    free(png.pixels);
    buf_clear(&b);
    begin(&b, 8, 0);
    put_zeroes(&b, "IDAT", "", 0, 32 << 20);
    put_chunk(&b, "IEND", "", 0);
    assert_refused(&b, "more data");
    buf_clear(&b);
}

static void chunks_that_change_pixels_are_not_passed_over(void **state)
{
    struct buf b;
    (void)state;
    begin(&b, 8, 0);
    put_chunk(&b, "CgBI", "\x50\0\x20\x06", 4);
    assert_refused(&b, "critical chunk");
    buf_clear(&b);
    begin(&b, 8, 0);
    put_chunk(&b, "a\x9b[m", "", 0);
    assert_refused(&b, "four letters");
    buf_clear(&b);
}

/* A palette of two colours and a picture of `depth` bits a pixel, whose last one is `last`. */
static void indexed(struct buf *b, int depth, int last, const char *alphas)
{
    const size_t row = (size_t)(SIDE * depth / 8 + 1);
    unsigned char *rows = calloc(row, SIDE);
    assert_non_null(rows);
    rows[row * SIDE - 1] = (unsigned char)last;
    begin(b, depth, 3);
    put_chunk(b, "PLTE", "\1\2\3\4\5\6", 6);
    if (alphas)
        put_chunk(b, "tRNS", alphas, strlen(alphas));
    put_packed(b, "IDAT", "", 0, rows, row * SIDE);
    put_chunk(b, "IEND", "", 0);
    free(rows);
}

static void an_index_beyond_the_palette_is_no_black(void **state)
{
    struct image_png png;
    struct err e;
    struct buf b;
    (void)state;
    for (int depth = 2; depth <= 8; depth *= 2) {
        indexed(&b, depth, 2, NULL);
        assert_refused(&b, "colour 2 at column 7, row 7, of a palette that has 2");
        buf_clear(&b);
    }
    for (int depth = 1; depth <= 8; depth *= 2)
        for (int alpha = 0; alpha <= 1; alpha++) {
            const unsigned char want[8] = {1, 2, 3, '!', 4, 5, 6, 255};
            const int channels = 3 + alpha;
            indexed(&b, depth, 1, alpha ? "!" : NULL);
            assert_int_equal(read_all(&b, &png, &e), 0);
            assert_int_equal(png.shape.channels, channels);
            assert_memory_equal(png.pixels, want, (size_t)channels);
            assert_memory_equal(png.pixels + (SIDE * SIDE - 1) * channels, want + 4,
                                (size_t)channels);
            free(png.pixels);
            buf_clear(&b);
        }
    begin(&b, 8, 3);
    put_zeroes(&b, "IDAT", "", 0, SIDE * (SIDE + 1));
    assert_refused(&b, "PLTE");
    buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_length_that_lies_takes_no_memory),
        cmocka_unit_test(texts_are_not_unpacked),
        cmocka_unit_test(image_data_behind_the_pixels_end),
        cmocka_unit_test(chunks_that_change_pixels_are_not_passed_over),
        cmocka_unit_test(an_index_beyond_the_palette_is_no_black),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
