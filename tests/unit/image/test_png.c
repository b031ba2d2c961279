/* PNG: what is written is read back by libpng, byte for byte the same each time, with no chunk but
 * those wanted. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "image.h"
#include <png.h>
#include <stdlib.h>
#include <string.h>

#define OUT_MAX (64u << 20)

static uint8_t *pattern(struct image_shape s)
{
    uint8_t *pixels = malloc(image_shape_count(s));
    uint32_t x = 12345;
    assert_non_null(pixels);
    for (size_t i = 0; i < image_shape_count(s); i++) {
        x = x * 1664525u + 1013904223u;
        pixels[i] = (uint8_t)(x >> 24);
    }
    return pixels;
}

struct reader {
    const unsigned char *data;
    size_t length, at;
};

static void read_bytes(png_structp png, png_bytep out, size_t n)
{
    struct reader *r = png_get_io_ptr(png);
    if (n > r->length - r->at)
        png_error(png, "ends early");
    memcpy(out, r->data + r->at, n);
    r->at += n;
}

static void no_warning(png_structp png, png_const_charp message)
{
    (void)png;
    fail_msg("libpng warns: %s", message);
}

static void no_error(png_structp png, png_const_charp message)
{
    (void)png;
    fail_msg("libpng: %s", message);
}

/* Decodes and compares pixels and the one text (or none). */
static void check_decoded(const struct buf *b, struct image_shape s, const uint8_t *pixels,
                          const char *key, const char *text, int compression)
{
    struct reader r = {b->data, b->length, 0};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, no_error, no_warning);
    png_infop info = png_create_info_struct(png);
    size_t stride = (size_t)s.width * (size_t)s.channels;
    uint8_t *row = malloc(stride);
    png_textp texts = NULL;
    int n_texts = 0;
    png_set_read_fn(png, &r, read_bytes);
    png_read_info(png, info); /* texts before the image data only */
    assert_int_equal(png_get_image_width(png, info), s.width);
    assert_int_equal(png_get_image_height(png, info), s.height);
    assert_int_equal(png_get_bit_depth(png, info), 8);
    assert_int_equal(png_get_channels(png, info), s.channels);
    assert_int_equal(png_get_interlace_type(png, info), PNG_INTERLACE_NONE);
    png_get_text(png, info, &texts, &n_texts);
    assert_int_equal(n_texts, key ? 1 : 0);
    if (key) {
        assert_string_equal(texts[0].key, key);
        assert_string_equal(texts[0].text, text);
        assert_int_equal(texts[0].compression, compression);
    }
    for (int y = 0; y < s.height; y++) {
        png_read_row(png, row, NULL);
        assert_memory_equal(row, pixels + (size_t)y * stride, stride);
    }
    png_read_end(png, NULL);
    assert_int_equal(r.at, r.length);
    free(row);
    png_destroy_read_struct(&png, &info, NULL);
}

static void round_trip(void **state)
{
    static const struct image_shape shapes[] = {{1, 1, 1},  {3, 1, 1},   {1, 28, 28},  {3, 32, 32},
                                                {3, 1, 65}, {1, 129, 1}, {3, 257, 300}};
    const char *json = "{\"seed\":\"7\",\"index\":3,\"note\":\"line\\nline\"}";
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct image_shape s = shapes[i];
        uint8_t *pixels = pattern(s);
        struct buf b;
        struct err e = {0};
        buf_init(&b, OUT_MAX);
        assert_int_equal(image_png_encode(pixels, s, "pfgm", json, &b, &e), 0);
        check_decoded(&b, s, pixels, "pfgm", json, PNG_TEXT_COMPRESSION_NONE);
        buf_reset(&b);
        assert_int_equal(image_png_encode(pixels, s, NULL, NULL, &b, &e), 0);
        check_decoded(&b, s, pixels, NULL, NULL, 0);
        buf_reset(&b);
        assert_int_equal(image_png_encode(pixels, s, "pfgm",
                                          "Gr\xc3\xbc\xc3\x9f"
                                          "e \xe2\x82\xac",
                                          &b, &e),
                         0);
        check_decoded(&b, s, pixels, "pfgm",
                      "Gr\xc3\xbc\xc3\x9f"
                      "e \xe2\x82\xac",
                      PNG_ITXT_COMPRESSION_NONE);
        buf_clear(&b);
        free(pixels);
    }
}

/* The names of the chunks in order, "IHDR tEXt IDAT IEND ", repeated IDATs as one. */
static void chunk_names(const struct buf *b, char out[200])
{
    size_t at = 8;
    char last[5] = "";
    out[0] = '\0';
    while (at < b->length) {
        const unsigned char *p = b->data + at;
        size_t length = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        char name[5] = {(char)p[4], (char)p[5], (char)p[6], (char)p[7], '\0'};
        if (strcmp(name, last) != 0) {
            strcat(out, name);
            strcat(out, " ");
        }
        memcpy(last, name, sizeof last);
        at += 12 + length;
    }
    assert_int_equal(at, b->length);
}

static void only_wanted_chunks(void **state)
{
    struct image_shape s = {3, 100, 100};
    uint8_t *pixels = pattern(s);
    char names[200];
    struct buf b;
    struct err e;
    (void)state;
    buf_init(&b, OUT_MAX);
    assert_int_equal(image_png_encode(pixels, s, "pfgm", "{}", &b, &e), 0);
    chunk_names(&b, names);
    assert_string_equal(names, "IHDR tEXt IDAT IEND ");
    buf_reset(&b);
    assert_int_equal(image_png_encode(pixels, s, NULL, NULL, &b, &e), 0);
    chunk_names(&b, names);
    assert_string_equal(names, "IHDR IDAT IEND ");
    buf_clear(&b);
    free(pixels);
}

/* A whole file, known in advance (the stream was checked by inflating it with zlib: 20 zero bytes):
 * any change of filter, level or chunks shows here. */
static void known_bytes(void **state)
{
    static const uint8_t black[4 * 4] = {0};
    static const unsigned char head[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0,
                                         0,    13,  'I', 'H', 'D',  'R',  0,    0,    0, 4,
                                         0,    0,   0,   4,   8,    0,    0,    0,    0};
    static const unsigned char tail[] = {0,    0,    0,    11,   'I',  'D',  'A',  'T',  0x08, 0x99,
                                         0x63, 0x60, 0xc0, 0x04, 0x00, 0x00, 0x14, 0x00, 0x01};
    struct buf b;
    struct err e;
    (void)state;
    buf_init(&b, OUT_MAX);
    assert_int_equal(image_png_encode(black, (struct image_shape){1, 4, 4}, NULL, NULL, &b, &e), 0);
    assert_int_equal(b.length, sizeof head + 4 + sizeof tail + 4 + 12);
    assert_memory_equal(b.data, head, sizeof head);
    assert_memory_equal(b.data + sizeof head + 4, tail, sizeof tail);
    buf_clear(&b);
}

static void same_bytes_each_time(void **state)
{
    struct image_shape s = {3, 64, 64};
    uint8_t *pixels = pattern(s);
    struct buf a, b;
    struct err e;
    (void)state;
    buf_init(&a, OUT_MAX);
    buf_init(&b, OUT_MAX);
    assert_int_equal(image_png_encode(pixels, s, "pfgm", "{\"seed\":\"1\"}", &a, &e), 0);
    for (int i = 0; i < 3; i++) {
        size_t before = b.length;
        assert_int_equal(image_png_encode(pixels, s, "pfgm", "{\"seed\":\"1\"}", &b, &e), 0);
        assert_int_equal(b.length - before, a.length); /* appended */
        assert_memory_equal(b.data + before, a.data, a.length);
    }
    buf_clear(&a);
    buf_clear(&b);
    free(pixels);
}

static void no_room_leaves_buffer_unchanged(void **state)
{
    struct image_shape s = {3, 64, 64};
    uint8_t *pixels = pattern(s);
    (void)state;
    for (size_t max = 3; max < 13000; max = max * 3 / 2 + 1) {
        struct buf b;
        struct err e = {0};
        buf_init(&b, max);
        assert_int_equal(buf_string(&b, "abc", &e), 0);
        assert_int_equal(image_png_encode(pixels, s, "pfgm", "x", &b, &e), -1);
        assert_int_equal(e.code, ERR_LIMIT);
        assert_int_equal(b.length, 3);
        assert_string_equal((char *)b.data, "abc");
        buf_clear(&b);
    }
    free(pixels);
}

static void refuse(struct image_shape s, const char *key, const char *text, enum err_code code)
{
    static const uint8_t pixels[64];
    struct buf b;
    struct err e = {0};
    buf_init(&b, OUT_MAX);
    assert_int_equal(image_png_encode(pixels, s, key, text, &b, &e), -1);
    assert_int_equal(e.code, code);
    assert_int_equal(b.length, 0);
    buf_clear(&b);
}

static void refuses_what_png_cannot_hold(void **state)
{
    struct image_shape good = {1, 2, 2};
    char long_key[81];
    (void)state;
    memset(long_key, 'k', 80);
    long_key[80] = '\0';
    refuse((struct image_shape){2, 2, 2}, NULL, NULL, ERR_UNSUPPORTED);
    refuse((struct image_shape){4, 2, 2}, NULL, NULL, ERR_UNSUPPORTED);
    refuse((struct image_shape){1, 0, 2}, NULL, NULL, ERR_INPUT);
    refuse((struct image_shape){1, 2, -1}, NULL, NULL, ERR_INPUT);
    refuse((struct image_shape){1, 1, IMAGE_SIDE_MAX + 1}, NULL, NULL, ERR_LIMIT);
    refuse((struct image_shape){3, 16384, 16384}, NULL, NULL, ERR_LIMIT);
    refuse(good, "", "x", ERR_INPUT);
    refuse(good, long_key, "x", ERR_INPUT);
    refuse(good, " a", "x", ERR_INPUT);
    refuse(good, "a ", "x", ERR_INPUT);
    refuse(good, "a  b", "x", ERR_INPUT);
    refuse(good, "a\tb", "x", ERR_INPUT);
    refuse(good, "k\xc3\xbc", "x", ERR_INPUT);
    refuse(good, "k", "bell \a", ERR_INPUT);
    refuse(good, "k", "cut \xe2\x82", ERR_INPUT);
    refuse(good, "k", "overlong \xc0\xaf", ERR_INPUT);
    refuse(good, "k", "surrogate \xed\xa0\x80", ERR_INPUT);
    refuse(good, "k", "beyond \xf4\x90\x80\x80", ERR_INPUT);
}

static void largest_side(void **state)
{
    struct image_shape s = {1, 1, IMAGE_SIDE_MAX};
    uint8_t *pixels = pattern(s);
    struct buf b;
    struct err e;
    (void)state;
    buf_init(&b, OUT_MAX);
    assert_int_equal(image_png_encode(pixels, s, NULL, NULL, &b, &e), 0);
    check_decoded(&b, s, pixels, NULL, NULL, 0);
    buf_clear(&b);
    free(pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(only_wanted_chunks),
        cmocka_unit_test(known_bytes),
        cmocka_unit_test(same_bytes_each_time),
        cmocka_unit_test(no_room_leaves_buffer_unchanged),
        cmocka_unit_test(refuses_what_png_cannot_hold),
        cmocka_unit_test(largest_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
