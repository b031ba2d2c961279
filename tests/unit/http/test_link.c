/* The secret that signs links: read, drawn, kept. What links do is tested over sockets. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "http_link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void hmac_is_that_of_rfc_4231(void **state)
{
    (void)state;
    char out[SHA256_HEX_SIZE];
    static const char key[] = "Jefe", text[] = "what do ya want for nothing?";
    assert_int_equal(hmac_sha256_hex(key, 4, text, sizeof text - 1, out, NULL), 0);
    assert_string_equal(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_true(secret_equal("abc", "abd", 2));
    assert_false(secret_equal("abc", "abd", 3));
}

static void a_drawn_secret_stays_and_a_file_takes_its_place(void **state)
{
    (void)state;
    struct http_links a, b;
    struct err e = {0};
    char path[] = "/tmp/pfgmd-secret-XXXXXX";
    http_links_init(&a, 60);
    http_links_init(&b, 60);
    assert_int_equal(http_links_read(&a, NULL, &e), 0);
    assert_int_equal(http_links_read(&b, "", &e), 0);
    assert_string_not_equal(a.secret, b.secret);
    char drawn[SHA256_HEX_SIZE];
    memcpy(drawn, a.secret, sizeof drawn);
    assert_int_equal(http_links_read(&a, NULL, &e), 0);
    assert_string_equal(a.secret, drawn);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "fifteen bytes..", 15), 15);
    assert_int_equal(http_links_read(&a, path, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_string_equal(e.at, path);
    assert_string_equal(a.secret, drawn);
    assert_int_equal(write(fd, "!", 1), 1);
    assert_int_equal(http_links_read(&a, path, &e), 0);
    assert_int_equal(http_links_read(&b, path, &e), 0);
    assert_string_not_equal(a.secret, drawn);
    assert_string_equal(a.secret, b.secret);
    close(fd);
    unlink(path);
    assert_int_equal(http_links_read(&a, path, &e), -1);
    assert_string_equal(a.secret, b.secret);
    http_links_clear(&a);
    http_links_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hmac_is_that_of_rfc_4231),
        cmocka_unit_test(a_drawn_secret_stays_and_a_file_takes_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
