/* Base64: the vectors of RFC 4648, there and back for every length, and all that is not base64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base_crypto.h"
#include <stdlib.h>
#include <string.h>

static void the_vectors_of_rfc_4648(void **state)
{
    static const char *const vectors[][2] = {{"", ""},
                                             {"f", "Zg=="},
                                             {"fo", "Zm8="},
                                             {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="},
                                             {"fooba", "Zm9vYmE="},
                                             {"foobar", "Zm9vYmFy"}};
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct buf b;
        struct err e = {0};
        buf_init(&b, 100);
        assert_int_equal(base64_read(&b, vectors[i][1], strlen(vectors[i][1]), &e), 0);
        assert_int_equal(b.length, strlen(vectors[i][0]));
        assert_memory_equal(b.length ? (const char *)b.data : "", vectors[i][0], b.length);
        buf_clear(&b);
    }
}

static void every_length_comes_back(void **state)
{
    unsigned char bytes[200];
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 167 + 250);
    for (size_t n = 1; n <= sizeof bytes; n++) {
        struct buf text, back;
        buf_init(&text, 1000);
        buf_init(&back, 1000);
        assert_int_equal(base64_append(&text, bytes, n, NULL), 0);
        assert_int_equal(base64_read(&back, (const char *)text.data, text.length, NULL), 0);
        assert_int_equal(back.length, n);
        assert_memory_equal(back.data, bytes, n);
        buf_clear(&text);
        buf_clear(&back);
    }
}

static void anything_else_is_refused(void **state)
{
    static const char *const wrong[] = {"Zg=",      "Zg",      "Z",
                                        "Zg==\n",   "Z g=",    "Zm9v\n\n\n\n",
                                        "=Zm9",     "Zm=v",    "Zm9v====",
                                        "A===",     "====",    "Zm-_",
                                        "Zm9v!m9v", "Zm\xff/", "data:image/png;base64,Zm9v"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        /* A copy of its very size, so that a sanitizer sees a read past the end. */
        const size_t length = strlen(wrong[i]);
        char *text = malloc(length);
        struct buf b;
        struct err e = {0};
        assert_non_null(text);
        memcpy(text, wrong[i], length);
        buf_init(&b, 100);
        assert_int_equal(base64_read(&b, text, length, &e), -1);
        assert_int_equal(e.code, ERR_INPUT);
        assert_non_null(strstr(e.text, "base64"));
        assert_int_equal(b.length, 0);
        buf_clear(&b);
        free(text);
    }
}

static void stray_bits_are_refused(void **state)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (void)state;
    for (int padding = 1; padding <= 2; padding++)
        for (int digit = 0; digit < 64; digit++) {
            char text[] = "Zm9v====";
            struct buf b;
            struct err e = {0};
            for (int i = 4; i < 8 - padding; i++)
                text[i] = digits[digit];
            const bool stray = digit % (padding == 1 ? 4 : 16) != 0;
            buf_init(&b, 100);
            assert_int_equal(base64_read(&b, text, 8, &e), stray ? -1 : 0);
            assert_int_equal(b.length, stray ? 0 : 6 - padding);
            assert_int_equal(e.code, stray ? ERR_INPUT : ERR_NONE);
            buf_clear(&b);
        }
}

static void the_buffers_limit_holds(void **state)
{
    struct buf b;
    struct err e = {0};
    (void)state;
    buf_init(&b, 2);
    assert_int_equal(base64_read(&b, "Zm9v", 4, &e), -1);
    assert_int_equal(e.code, ERR_LIMIT);
    buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_rfc_4648),  cmocka_unit_test(every_length_comes_back),
        cmocka_unit_test(anything_else_is_refused), cmocka_unit_test(stray_bits_are_refused),
        cmocka_unit_test(the_buffers_limit_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
