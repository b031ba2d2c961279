/* A set takes as many pictures as its bytes allow, and when it is full nothing is left out without
 * an error. The limit is 16 GB; here it is a few pictures. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base_file.h"
#include "data_source.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIDE = 4, SIZE = SIDE * SIDE };

static const uint8_t pixels[SIZE] = {1, 2, 3, 4};

static void data_set_takes_all_that_fits(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 63, 64, 65, 100, 127, 128, 129, 200};
    const struct data_options options = {.path = "here"};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct data_draft set = {.options = &options, .bytes_max = counts[i] * SIZE + SIZE - 1};
        struct err e = {0};
        for (size_t k = 0; k < counts[i]; k++)
            if (data_draft_add(&set, pixels, 1, SIDE, SIDE, -1, "one", &e) != 0)
                fail_msg("image %zu of %zu: %s", k, counts[i], e.text);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(data_draft_add(&set, pixels, 1, SIDE, SIDE, -1, "one", &e), -1);
            assert_int_equal(e.code, ERR_LIMIT);
            assert_non_null(strstr(e.text, "--resize"));
        }
        assert_int_equal(set.data.count, counts[i]);
        data_clear(&set.data);
    }
}

/* Pictures 0.png … of a folder; where `odd`, 1.png is not square. */
static void write_folder(const char *folder, int count, bool odd)
{
    static const uint8_t wide[2 * SIZE];
    for (int i = 0; i < count; i++) {
        char path[256];
        struct buf png;
        const bool other = odd && i == 1;
        snprintf(path, sizeof path, "%s/%d.png", folder, i);
        buf_init(&png, 1 << 16);
        assert_int_equal(image_png_encode(other ? wide : pixels,
                                          (struct image_shape){1, SIDE, other ? 2 * SIDE : SIDE},
                                          NULL, NULL, &png, NULL),
                         0);
        assert_int_equal(file_write_atomic(path, png.data, png.length, NULL), 0);
        buf_clear(&png);
    }
}

static void data_folder_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    char folder[] = "/tmp/pfgm-draft-XXXXXX";
    assert_non_null(mkdtemp(folder));
    const struct data_options options = {.path = folder};
    struct data_draft small = {.options = &options, .bytes_max = 2 * SIZE};
    struct data_draft large = {.options = &options, .bytes_max = 3 * SIZE};
    struct err e = {0};
    write_folder(folder, 4, true); /* a picture that is skipped takes no place */
    assert_int_equal(data_folder_read(&options, &large, &e), 0);
    assert_true(large.data.count == 3 && large.data.skipped == 1);
    assert_int_equal(data_folder_read(&options, &small, &e), -1);
    assert_int_equal(e.code, ERR_LIMIT);
    assert_non_null(strstr(e.text, "more than 2 images"));
    assert_int_equal(small.data.skipped, 1);
    data_clear(&large.data);
    data_clear(&small.data);
    for (int i = 0; i < 4; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%d.png", folder, i);
        unlink(path);
    }
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_set_takes_all_that_fits),
        cmocka_unit_test(data_folder_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests_name("draft", tests, NULL, NULL);
}
