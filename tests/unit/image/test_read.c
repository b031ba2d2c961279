/* What strangers send: NPY headers that lie, pictures of the wrong size or kind, and bytes that
 * come back as they were from data scale. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "image.h"
#include "archive_npy.h"
#include "archive_npy_read.h"
#include "image_png_read.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 1000000

/* Reads a copy of its very size, so that a sanitizer sees a read past the end. */
static int read_exactly(const void *data, size_t length, struct archive_npy *out, struct err *e)
{
    unsigned char *copy = malloc(length ? length : 1);
    assert_non_null(copy);
    if (length)
        memcpy(copy, data, length);
    int bad = archive_npy_read(copy, length, MOST, "x.npy", out, e);
    free(copy);
    return bad;
}

static void an_array_of_ours_comes_back(void **state)
{
    const uint64_t shape[3] = {2, 1, 3};
    const double values[6] = {0.0, -1.5, 1e300, INFINITY, NAN, 7.0};
    struct buf b;
    struct archive_npy a;
    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(archive_npy_header(ARCHIVE_NPY_F64, 3, shape, &b, NULL), 0);
    assert_int_equal(buf_append(&b, values, sizeof values, NULL), 0);
    assert_int_equal(archive_npy_read(b.data, b.length, MOST, "x.npy", &a, NULL), 0);
    assert_string_equal(a.type, "<f8");
    assert_int_equal(a.rank, 3);
    assert_int_equal(a.count, 6);
    assert_int_equal(a.shape[2], 3);
    assert_int_equal(a.width, 8);
    for (size_t i = 0; i < 6; i++)
        assert_true(archive_npy_real(&a, i) == values[i] ||
                    (i == 4 && isnan(archive_npy_real(&a, i))));
    for (size_t cut = 0; cut < b.length; cut++) {
        struct err e = {0};
        assert_int_equal(read_exactly(b.data, cut, &a, &e), -1);
        assert_int_equal(e.code, ERR_INPUT);
    }
    buf_clear(&b);
}

static void a_header_that_lies_is_refused(void **state)
{
    static const struct {
        const char *header;
        enum err_code code;
    } rows[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999, 999999999999), }",
         ERR_LIMIT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (999999, 2), }", ERR_LIMIT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", ERR_INPUT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", ERR_INPUT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", ERR_INPUT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 1, 1), }",
         ERR_INPUT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1", ERR_INPUT},
        {"{'descr': '<f4', 'fortran_order': False}", ERR_INPUT},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (1,), }", ERR_UNSUPPORTED},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", ERR_UNSUPPORTED},
        {"{'descr': '', 'fortran_order': False, 'shape': (1,), }", ERR_UNSUPPORTED},
        {"{'descr': '<c16', 'fortran_order': False, 'shape': (1,), }", ERR_UNSUPPORTED},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", ERR_INPUT},
        {"{'descr': '<verylongtype4', 'fortran_order': False, 'shape': (1,), }", ERR_INPUT},
        {"{'descr': '<f4", ERR_INPUT},
        {"", ERR_INPUT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned char file[400] = "\x93NUMPY\x01";
        const size_t length = strlen(rows[i].header);
        struct archive_npy a;
        struct err e = {0};
        file[8] = (unsigned char)length;
        memcpy(file + 10, rows[i].header, length);
        if (read_exactly(file, 10 + length + 4, &a, &e) != -1 || e.code != rows[i].code)
            fail_msg("row %zu: %d %s", i, e.code, e.text);
        assert_string_equal(e.at, "x.npy");
    }
    struct archive_npy a;
    struct err e = {0};
    assert_int_equal(read_exactly("\x93NUMPY\x01\x00\xff\xff", 10, &a, &e), -1);
    assert_int_equal(read_exactly("\x93NUMPY\x02\x00\xff\xff\xff\xff", 12, &a, &e), -1);
    assert_int_equal(read_exactly("\x93NUMPY\x02\x00\xff\xff", 10, &a, &e), -1);
}

/* A PNG of `channels` [H,W,C] with 1 or 3, by our own encoder. */
static void encode(const uint8_t *pixels, int channels, int height, int width, struct buf *out)
{
    buf_init(out, 1 << 20);
    assert_int_equal(image_png_encode(pixels, (struct image_shape){channels, height, width}, NULL,
                                      NULL, out, NULL),
                     0);
}

static void pictures_fit_where_nothing_is_lost(void **state)
{
    const uint8_t grey[6] = {0, 1, 127, 128, 254, 255};
    uint8_t colour[18], back[18];
    struct buf b;
    struct err e = {0};
    (void)state;
    for (size_t i = 0; i < 18; i++)
        colour[i] = grey[i / 3];
    encode(grey, 1, 2, 3, &b);
    assert_int_equal(
        image_png_read_as(b.data, b.length, (struct image_shape){3, 2, 3}, "p", back, &e), 0);
    assert_memory_equal(back, colour, sizeof colour);
    assert_int_equal(
        image_png_read_as(b.data, b.length, (struct image_shape){1, 2, 3}, "p", back, &e), 0);
    assert_memory_equal(back, grey, sizeof grey);
    assert_int_equal(
        image_png_read_as(b.data, b.length, (struct image_shape){1, 3, 2}, "p", back, &e), -1);
    assert_non_null(strstr(e.text, "3×2 pixels, 2×3"));
    assert_int_equal(
        image_png_read_as(b.data, b.length, (struct image_shape){1, 2, 2}, "p", back, &e), -1);
    assert_int_equal(e.code, ERR_LIMIT);
    assert_int_equal(
        image_png_read_as(b.data, b.length - 9, (struct image_shape){1, 2, 3}, "p", back, &e), -1);
    buf_clear(&b);
    encode(colour, 3, 2, 3, &b);
    assert_int_equal(
        image_png_read_as(b.data, b.length, (struct image_shape){1, 2, 3}, "p", back, &e), 0);
    assert_memory_equal(back, grey, sizeof grey);
    buf_clear(&b);
    colour[13] ^= 1;
    encode(colour, 3, 2, 3, &b);
    assert_int_equal(
        image_png_read_as(b.data, b.length, (struct image_shape){1, 2, 3}, "p", back, &e), -1);
    assert_non_null(strstr(e.text, "has colour at column 1, row 1"));
    buf_clear(&b);
}

static void bytes_come_back_from_data_scale(void **state)
{
    const struct image_shape shape = {3, 16, 16};
    uint8_t pixels[768], back[768];
    double sample[768];
    (void)state;
    for (size_t i = 0; i < 768; i++)
        pixels[i] = (uint8_t)(i / 3 + i % 3 * 5);
    for (int rounding = 0; rounding < 2; rounding++)
        for (int off = -1; off <= 1; off++) {
            image_unquantise(pixels, shape, (enum image_rounding)rounding, sample);
            assert_true(fabs(sample[0] + 1.0) <= 0.5 / 127.5);
            for (size_t i = 0; i < 768; i++)
                sample[i] += off * 0.49 / 127.5;
            assert_int_equal(
                image_quantise(sample, shape, (enum image_rounding)rounding, back, NULL), 0);
            assert_memory_equal(back, pixels, sizeof pixels);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_array_of_ours_comes_back),
        cmocka_unit_test(a_header_that_lies_is_refused),
        cmocka_unit_test(pictures_fit_where_nothing_is_lost),
        cmocka_unit_test(bytes_come_back_from_data_scale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
