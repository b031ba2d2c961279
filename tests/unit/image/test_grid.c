/* Contact sheets: sizes, places, enlargement and limits. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "image.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static void columns_are_root_rounded_up(void **state)
{
    (void)state;
    assert_int_equal(image_grid_columns(0), 1);
    assert_int_equal(image_grid_columns(1), 1);
    assert_int_equal(image_grid_columns(2), 2);
    assert_int_equal(image_grid_columns(4), 2);
    assert_int_equal(image_grid_columns(5), 3);
    assert_int_equal(image_grid_columns(16), 4);
    assert_int_equal(image_grid_columns(17), 5);
    assert_int_equal(image_grid_columns(1000000), 1000);
    assert_int_equal(image_grid_columns(SIZE_MAX), IMAGE_SIDE_MAX);
}

static void shape_of_sheet(void **state)
{
    struct image_shape one = {3, 5, 7}, sheet;
    struct err e;
    (void)state;
    assert_int_equal(image_grid_shape((struct image_grid){4, 2, 1}, one, 9, &sheet, &e), 0);
    assert_int_equal(sheet.channels, 3);
    assert_int_equal(sheet.width, (4 * 7 + 3) * 2);
    assert_int_equal(sheet.height, (3 * 5 + 2) * 2);
    /* One image at scale 1 is its own sheet. */
    assert_int_equal(image_grid_shape((struct image_grid){1, 1, 9}, one, 1, &sheet, &e), 0);
    assert_int_equal(sheet.width, 7);
    assert_int_equal(sheet.height, 5);
}

/* What a sheet must hold at (row y, column x), written as a definition instead of as a loop of
 * copies. */
static uint8_t expected(struct image_grid g, struct image_shape one, size_t n, size_t y, size_t x,
                        size_t c)
{
    size_t sy = y / (size_t)g.scale, sx = x / (size_t)g.scale;
    size_t ph = (size_t)(one.height + g.gap), pw = (size_t)(one.width + g.gap);
    size_t k = sy / ph * (size_t)g.columns + sx / pw;
    if (sy % ph >= (size_t)one.height || sx % pw >= (size_t)one.width || k >= n)
        return 0;
    return (uint8_t)(1 + (k * 60 + sy % ph * 20 + sx % pw * 4 + c) % 255);
}

static void check_sheet(struct image_grid g, struct image_shape one, size_t n)
{
    struct image_shape sheet;
    struct err e;
    uint8_t *all, *pixels = malloc(image_shape_count(one));
    assert_int_equal(image_grid_shape(g, one, n, &sheet, &e), 0);
    all = calloc(image_shape_count(sheet), 1);
    assert_non_null(all);
    assert_non_null(pixels);
    for (size_t k = n; k-- > 0;) { /* backwards: the order does not matter */
        for (size_t i = 0; i < image_shape_count(one); i++) {
            size_t c = i % (size_t)one.channels, p = i / (size_t)one.channels;
            size_t y = p / (size_t)one.width, x = p % (size_t)one.width;
            pixels[i] = (uint8_t)(1 + (k * 60 + y * 20 + x * 4 + c) % 255);
        }
        image_grid_place(g, one, sheet, k, pixels, all);
    }
    for (size_t i = 0; i < image_shape_count(sheet); i++) {
        size_t c = i % (size_t)one.channels, p = i / (size_t)one.channels;
        assert_int_equal(all[i],
                         expected(g, one, n, p / (size_t)sheet.width, p % (size_t)sheet.width, c));
    }
    free(all);
    free(pixels);
}

static void places_and_scale(void **state)
{
    (void)state;
    check_sheet((struct image_grid){1, 1, 0}, (struct image_shape){1, 3, 5}, 1);
    check_sheet((struct image_grid){3, 1, 0}, (struct image_shape){3, 3, 5}, 7);
    check_sheet((struct image_grid){3, 4, 2}, (struct image_shape){3, 2, 3}, 7);
    check_sheet((struct image_grid){4, 3, 1}, (struct image_shape){1, 3, 2}, 2);
    check_sheet((struct image_grid){1, 2, 3}, (struct image_shape){2, 2, 2}, 4);
}

static void limits(void **state)
{
    struct image_shape one = {3, 32, 32}, sheet = {9, 9, 9};
    struct err e = {0};
    (void)state;
    assert_int_equal(image_grid_shape((struct image_grid){1, 1, 0}, one, 1024, &sheet, &e), 0);
    assert_int_equal(sheet.height, IMAGE_SIDE_MAX);
    sheet.height = 9;
    assert_int_equal(image_grid_shape((struct image_grid){1, 1, 0}, one, 1025, &sheet, &e), -1);
    assert_int_equal(e.code, ERR_LIMIT);
    assert_int_equal(sheet.height, 9);
    assert_int_equal(image_grid_shape((struct image_grid){1, 1, 0}, one, SIZE_MAX, &sheet, &e), -1);
    assert_int_equal(e.code, ERR_LIMIT);
    assert_int_equal(
        image_grid_shape((struct image_grid){INT_MAX, INT_MAX, INT_MAX}, one, SIZE_MAX, &sheet, &e),
        -1);
    assert_int_equal(e.code, ERR_LIMIT);
    /* Both sides are fine, the whole is not: 16384 · 16384 · 3 bytes. */
    assert_int_equal(image_grid_shape((struct image_grid){1, 512, 0}, one, 1, &sheet, &e), -1);
    assert_int_equal(e.code, ERR_LIMIT);
    assert_non_null(strstr(e.text, "bytes"));
}

static void refuses_impossible_grids(void **state)
{
    struct image_shape one = {1, 4, 4}, sheet;
    struct err e = {0};
    (void)state;
    assert_int_equal(image_grid_shape((struct image_grid){0, 1, 0}, one, 4, &sheet, &e), -1);
    assert_string_equal(e.at, "columns");
    assert_int_equal(image_grid_shape((struct image_grid){1, 0, 0}, one, 4, &sheet, &e), -1);
    assert_string_equal(e.at, "scale");
    assert_int_equal(image_grid_shape((struct image_grid){1, 1, -1}, one, 4, &sheet, &e), -1);
    assert_string_equal(e.at, "gap");
    assert_int_equal(image_grid_shape((struct image_grid){1, 1, 0}, one, 0, &sheet, &e), -1);
    assert_string_equal(e.at, "n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_root_rounded_up),
        cmocka_unit_test(shape_of_sheet),
        cmocka_unit_test(places_and_scale),
        cmocka_unit_test(limits),
        cmocka_unit_test(refuses_impossible_grids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
