/* Names, proxies and the address under which clients know the server. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "http_front.h"

#include <string.h>

static void settings_are_read_or_named(void **state)
{
    (void)state;
    static const struct {
        const char *url, *hosts, *proxies, *at; /* NULL: good */
    } rows[] = {
        {"", "", "", NULL},
        {"https://a.example", "a b.example *", "127.0.0.1 10.0.0.0/8 fd00::/8 ::1 0.0.0.0/0", NULL},
        {"http://[::1]:8080/x/y/", " ", " ", NULL},
        {"https://", "", "", "public_url"},
        {"ftp://a", "", "", "public_url"},
        {"a.example", "", "", "public_url"},
        {"https://a//b", "", "", "public_url"},
        {"https://a/b?c", "", "", "public_url"},
        {"https://u@a", "", "", "public_url"},
        {"", "a:80", "", "hosts"},
        {"", "a/b", "", "hosts"},
        {"", "", "localhost", "trusted_proxies"},
        {"", "", "10.0.0.0/33", "trusted_proxies"},
        {"", "", "10.0.0.0/", "trusted_proxies"},
        {"", "", "::/129", "trusted_proxies"},
        {"", "", "1.2.3", "trusted_proxies"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct http_front f;
        struct err e = {0};
        int bad = http_front_read(&f, rows[i].url, rows[i].hosts, rows[i].proxies, &e);
        if ((bad != 0) != (rows[i].at != NULL) || (bad && strcmp(e.at, rows[i].at) != 0))
            fail_msg("row %zu: %d %s %s", i, bad, e.at, e.text);
    }
}

static void only_own_names_are_answered(void **state)
{
    (void)state;
    struct http_front f;
    static const struct {
        const char *host;
        bool plain, named; /* on loopback without, and with hosts and public_url */
    } rows[] = {
        {"", true, true},
        {"localhost", true, true},
        {"LocalHost:8080", true, true},
        {"app.localhost.", true, true},
        {"127.0.0.1:9", true, true},
        {"192.168.1.7", true, true},
        {"[::1]:8080", true, true},
        {"[fd00::2]", true, true},
        {"evil.example", false, false},
        {"evil.example:8080", false, false},
        {"localhost.evil.example", false, false},
        {"notlocalhost", false, false},
        {"127.0.0.1.evil.example", false, false},
        {"[::1", false, false},
        {"[evil]", false, false},
        {"::1", false, false},
        {"localhost:x", false, false},
        {"localhost\"", false, false},
        {"images.example", false, true},
        {"IMAGES.example:443", false, true},
        {"pub.example", false, true},
        {"x.images.example", false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(http_front_read(&f, NULL, NULL, NULL, NULL), 0);
        if (http_front_answers(&f, rows[i].host, true) != rows[i].plain)
            fail_msg("row %zu", i);
        assert_true(
            http_front_answers(&f, rows[i].host, false)); /* whoever reaches it may name it */
        assert_int_equal(
            http_front_read(&f, "https://pub.example:8443", "other images.example", "", NULL), 0);
        for (int loopback = 0; loopback < 2; loopback++)
            if (http_front_answers(&f, rows[i].host, loopback) != rows[i].named)
                fail_msg("row %zu with names", i);
    }
    assert_int_equal(http_front_read(&f, "", "*", "", NULL), 0);
    assert_true(http_front_answers(&f, "evil.example", true));
}

static void origins_are_own_or_not(void **state)
{
    (void)state;
    struct http_front f;
    assert_int_equal(http_front_read(&f, "https://pub.example/pfgm", "", "", NULL), 0);
    assert_true(http_front_is_own(&f, "http://127.0.0.1:8080", "127.0.0.1:8080"));
    assert_true(http_front_is_own(&f, "https://pub.example", "127.0.0.1:8080"));
    assert_false(http_front_is_own(&f, "http://pub.example", "127.0.0.1:8080"));
    assert_false(http_front_is_own(&f, "http://127.0.0.1:3000", "127.0.0.1:8080"));
    assert_false(http_front_is_own(&f, "null", "127.0.0.1:8080"));
    assert_false(http_front_is_own(&f, "http://", ""));
}

#define MANY "1.1.1.1, 1.1.1.1, 1.1.1.1, 1.1.1.1, 1.1.1.1, 1.1.1.1, 1.1.1.1, 1.1.1.1, 1.1.1.1, "

/* What a client writes itself stands left of what the trusted proxies add. */
static void only_trusted_proxies_speak(void **state)
{
    (void)state;
    struct http_front f;
    assert_int_equal(http_front_read(&f, "", "", "10.0.0.0/8 fd00::/16", NULL), 0);
    static const struct {
        const char *peer, *forwarded, *to, *proto, *host, *prefix;
        const char *address, *scheme, *name, *path; /* NULL: refused */
    } rows[] = {
        {"10.1.1.1", NULL, "6.6.6.6, 9.9.9.9", "https", "h.example", "/p/", "9.9.9.9", "https",
         "h.example", "/p"},
        {"10.1.1.1", NULL, "6.6.6.6, 9.9.9.9, 10.2.2.2", "https, http", NULL, NULL, "9.9.9.9",
         "http", "", ""},
        {"10.1.1.1", NULL, "9.9.9.9, 10.2.2.2", "https, http", NULL, NULL, "9.9.9.9", "https", "",
         ""},
        {"10.1.1.1", NULL, "6.6.6.6, unknown", "gopher", "a b", "//evil", "", "", "", ""},
        {"10.1.1.1", NULL, "[2001:db8::1]:99", "HTTPS", "[::1]:80", "x", "2001:db8::1", "https",
         "[::1]:80", ""},
        {"8.8.8.8", NULL, "9.9.9.9", "https", "h", "/p", "", "", "", ""},
        {"10.1.1.1", "for=6.6.6.6, for=9.9.9.9:99;proto=https;host=\"h:1\"", NULL, NULL, NULL, "/p",
         "9.9.9.9", "https", "h:1", "/p"},
        {"fd00::1", "For=\"[2001:db8::7]:1\" ; Proto=http, for=10.3.3.3", NULL, NULL, NULL, NULL,
         "2001:db8::7", "http", "", ""},
        {"10.1.1.1", "for=9.9.9.9", "9.9.9.9", "https", NULL, NULL, "9.9.9.9", "", "", ""},
        {"10.1.1.1", "for=6.6.6.6", "9.9.9.9", NULL, NULL, NULL, NULL, NULL, NULL, NULL},
        {"10.1.1.1", "for=6.6.6.6;x=\", for=9.9.9.9", NULL, NULL, NULL, NULL, NULL, NULL, NULL,
         NULL},
        {"10.1.1.1", NULL, MANY MANY MANY MANY "9.9.9.9", NULL, NULL, NULL, NULL, NULL, NULL, NULL},
        {"10.1.1.1", ";;,=,\"\",for=,for", NULL, NULL, NULL, NULL, "", "", "", ""},
        {"10.1.1.1", NULL, "", "", "", "", "", "", "", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *const names[] = {"Forwarded", "X-Forwarded-For", "x-forwarded-proto",
                                     "X-Forwarded-Host", "X-Forwarded-Prefix"};
        const char *const texts[] = {rows[i].forwarded, rows[i].to, rows[i].proto, rows[i].host,
                                     rows[i].prefix};
        struct http_field fields[5];
        size_t count = 0;
        for (size_t k = 0; k < 5; k++)
            if (texts[k])
                fields[count++] =
                    (struct http_field){names[k], texts[k], strlen(names[k]), strlen(texts[k])};
        struct http_forwarded out;
        struct http_problem p;
        http_problem_init(&p);
        int bad = http_front_forwarded(&f, rows[i].peer, fields, count, &out, &p);
        if ((bad != 0) != !rows[i].address)
            fail_msg("row %zu: %d %s", i, bad, p.detail);
        if (!bad &&
            (strcmp(out.address, rows[i].address) != 0 || strcmp(out.scheme, rows[i].scheme) != 0 ||
             strcmp(out.host, rows[i].name) != 0 || strcmp(out.prefix, rows[i].path) != 0))
            fail_msg("row %zu: %s %s %s %s", i, out.address, out.scheme, out.host, out.prefix);
        http_problem_clear(&p);
    }
}

static void a_prefix_is_cut_once(void **state)
{
    (void)state;
    struct http_front f;
    assert_int_equal(http_front_read(&f, "https://a/pfgm/", "", "", NULL), 0);
    assert_string_equal(f.prefix, "/pfgm");
    char path[][32] = {"/pfgm/v1", "/pfgm/pfgm/v1", "/pfgmx/v1", "/v1", "/pfgm/"};
    static const char *const cut[] = {"/v1", "/pfgm/v1", "/pfgmx/v1", "/v1", "/"};
    for (size_t i = 0; i < 5; i++) {
        http_front_strip(&f, path[i]);
        assert_string_equal(path[i], cut[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_read_or_named), cmocka_unit_test(only_own_names_are_answered),
        cmocka_unit_test(origins_are_own_or_not),     cmocka_unit_test(only_trusted_proxies_speak),
        cmocka_unit_test(a_prefix_is_cut_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
