/* Raw targets, queries and the exactness of routes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "api_route.h"

#include <string.h>

static int split(const char *raw, struct http_target *t)
{
    struct http_problem p;
    http_problem_init(&p);
    int failed = http_target_parse(raw, t, &p);
    if (failed)
        assert_int_equal(http_problem_status(p.code), 400);
    http_problem_clear(&p);
    return failed;
}

static void targets_are_split(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"/readyz", "/readyz", ""},
        {"/readyz?verbose", "/readyz", "verbose"},
        {"/a?b?c", "/a", "b?c"},
        {"/a%2Fb/../c", "/a%2Fb/../c", ""},
        {"http://x:1/livez?y", "/livez", "y"},
        {"HTTPS://x/livez", "/livez", ""},
        {"http://x", "/", ""},
        {"http://x?q", "/", "q"},
        {"*", "*", ""},
        {"//livez", "//livez", ""},
    };
    struct http_target t;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(split(rows[i][0], &t), 0);
        assert_string_equal(t.path, rows[i][1]);
        assert_string_equal(t.query, rows[i][2]);
    }
}

static void doubtful_targets_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",     "livez", "/livez%00", "/livez?x=%00", "/%",   "/%g0",          "/%0",
        "/a b", "/\x01", "/\x7f",     "/\xc3\xa4",    "/a#b", "ftp://x/livez", "*x",
    };
    struct http_target t;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (split(rows[i], &t) == 0)
            fail_msg("\"%s\" passed as \"%s\"", rows[i], t.path);
    char *longer = test_malloc(5000);
    memset(longer, 'a', 4999);
    longer[0] = '/';
    longer[4999] = '\0';
    assert_int_equal(split(longer, &t), -1);
    longer[5] = '?';
    assert_int_equal(split(longer, &t), -1);
    test_free(longer);
}

static void queries_are_walked(void **state)
{
    (void)state;
    char key[16], value[16];
    size_t at = 0;
    const char *query = "&a=1&b&&c=%41+&long0123456789abcdef=1&d==";
    static const char *const want[][2] = {{"a", "1"}, {"b", ""}, {"c", "A "}, {"", ""}, {"d", "="}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        assert_true(http_query_next(query, &at, key, sizeof key, value, sizeof value));
        assert_string_equal(key, want[i][0]);
        assert_string_equal(value, want[i][1]);
    }
    assert_false(http_query_next(query, &at, key, sizeof key, value, sizeof value));
    assert_true(http_query_find("x=1&format=png", "format", value, sizeof value));
    assert_string_equal(value, "png");
    assert_false(http_query_find("xformat=png", "format", value, sizeof value));
}

static void routes_match_exactly(void **state)
{
    (void)state;
    char names[HTTP_NAMES_MAX][HTTP_PATH_MAX];
    static const char *const there[] = {
        "/",        "/v1/images",   "/v1/models", "/v1/models/digits8", "/v1/capabilities",
        "/livez",   "/readyz",      "/healthz",   "/version",           "/v1/images/1/2",
        "/metrics", "/openapi.json"};
    static const char *const nowhere[] = {"//livez",
                                          "/livez/",
                                          "/LIVEZ",
                                          "/v1%2Fimages",
                                          "/v1/images/",
                                          "/v1/models/",
                                          "/v1/../livez",
                                          "/v1/models/a/b",
                                          "/./livez",
                                          "/v1/models/%00",
                                          "*",
                                          "/v1/images/1",
                                          "/v1/images/1/2/",
                                          "/v1/images//2",
                                          "/debug/slots",
                                          "/admin/v1/drain"};
    for (size_t i = 0; i < sizeof there / sizeof *there; i++)
        assert_non_null(api_route_find(HTTP_PUBLIC, there[i], names));
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++)
        if (api_route_find(HTTP_PUBLIC, nowhere[i], names))
            fail_msg("%s is a route", nowhere[i]);
    assert_non_null(api_route_find(HTTP_PUBLIC, "/v1/models/a%62c", names));
    assert_string_equal(names[0], "abc");
    assert_non_null(api_route_find(HTTP_PUBLIC, "/v1/images/12/3", names));
    assert_string_equal(names[0], "12");
    assert_string_equal(names[1], "3");
    assert_non_null(api_route_find(HTTP_ADMIN, "/admin/v1/models/a/reload", names));
    assert_null(api_route_find(HTTP_ADMIN, "/v1/images", names));
}

static unsigned method_status(const char *path, const char *method, char allow[64])
{
    char names[HTTP_NAMES_MAX][HTTP_PATH_MAX];
    bool options;
    struct http_problem p;
    http_problem_init(&p);
    int failed = api_route_method(api_route_find(HTTP_PUBLIC, path, names), method, &options, &p);
    memcpy(allow, p.allow, sizeof p.allow);
    http_problem_clear(&p);
    return failed ? http_problem_status(p.code) : 0;
}

static void methods_match_exactly(void **state)
{
    (void)state;
    char allow[64];
    assert_int_equal(method_status("/livez", "GET", allow), 0);
    assert_int_equal(method_status("/livez", "HEAD", allow), 0);
    assert_int_equal(method_status("/livez", "OPTIONS", allow), 0);
    assert_int_equal(method_status("/livez", "POST", allow), 405);
    assert_string_equal(allow, "GET, HEAD, OPTIONS");
    assert_int_equal(method_status("/v1/images", "POST", allow), 0);
    assert_int_equal(method_status("/v1/images", "GET", allow), 405);
    assert_string_equal(allow, "POST, OPTIONS");
    assert_int_equal(method_status("/livez", "get", allow), 501);
    assert_int_equal(method_status("/livez", "BREW", allow), 501);
}

static void plus_is_a_blank_in_a_query_only(void **state)
{
    (void)state;
    char key[16], value[32];
    size_t at = 0;
    assert_true(
        http_query_next("class=Ankle+boot&a+b=%2B+", &at, key, sizeof key, value, sizeof value));
    assert_string_equal(value, "Ankle boot");
    assert_true(
        http_query_next("class=Ankle+boot&a+b=%2B+", &at, key, sizeof key, value, sizeof value));
    assert_string_equal(key, "a b");
    assert_string_equal(value, "+ ");
    assert_true(http_percent_decode("a+b", 3, value, sizeof value));
    assert_string_equal(value, "a+b");
}

static void secrets_are_cut_out_of_a_target(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"/v1/models", "/v1/models"},
        {"/x?", "/x?"},
        {"/x?key=abc", "/x?key="},
        {"/x?a=1&KEY=abc&b=2", "/x?a=1&KEY=&b=2"},
        {"/x?api_key=abc&&access_token=d=e&", "/x?api_key=&&access_token=&"},
        {"/x?%6bey=abc&model=m", "/x?%6bey=&model=m"},
        {"/x?%zz=abc&key", "/x?%zz=&key"},
        {"/v1/images/7/0?model=m&key=alice&expires=1&signature=0123",
         "/v1/images/7/0?model=m&key=&expires=1&signature="},
        {"/x?steps=5&label=monkeys", "/x?steps=5&label=monkeys"},
        {"/x?a%00b=1&authorization=Bearer%20x", "/x?a%00b=&authorization="},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[128];
        snprintf(text, sizeof text, "%s", rows[i][0]);
        http_target_redact(text);
        if (strcmp(text, rows[i][1]) != 0)
            fail_msg("row %zu: %s", i, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plus_is_a_blank_in_a_query_only),
        cmocka_unit_test(secrets_are_cut_out_of_a_target),
        cmocka_unit_test(targets_are_split),
        cmocka_unit_test(doubtful_targets_are_refused),
        cmocka_unit_test(queries_are_walked),
        cmocka_unit_test(routes_match_exactly),
        cmocka_unit_test(methods_match_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
