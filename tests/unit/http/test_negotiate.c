/* Accept and ?format= against the two formats there are. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "http_negotiate.h"

#define NONE (-1)

static int choose(const char *accept, const char *word, bool png)
{
    const bool available[HTTP_FORMATS] = {[HTTP_FORMAT_JSON] = true, [HTTP_FORMAT_PNG] = png};
    enum http_format format;
    return http_negotiate(accept, word, available, &format) == 0 ? (int)format : NONE;
}

static void accept_is_read_with_qualities(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        int with_png, without_png;
    } rows[] = {
        {NULL, HTTP_FORMAT_JSON, HTTP_FORMAT_JSON},
        {"", HTTP_FORMAT_JSON, HTTP_FORMAT_JSON},
        {"*/*", HTTP_FORMAT_JSON, HTTP_FORMAT_JSON},
        {"application/json", HTTP_FORMAT_JSON, HTTP_FORMAT_JSON},
        {"image/png", HTTP_FORMAT_PNG, NONE},
        {"IMAGE/PNG", HTTP_FORMAT_PNG, NONE},
        {"image/*", HTTP_FORMAT_PNG, NONE},
        {"application/*", HTTP_FORMAT_JSON, HTTP_FORMAT_JSON},
        {"image/png, application/json;q=0.5", HTTP_FORMAT_PNG, HTTP_FORMAT_JSON},
        {"image/png;q=0.4, application/json;q=0.5", HTTP_FORMAT_JSON, HTTP_FORMAT_JSON},
        {"image/png;q=0.501 ,application/json ; q=0.5", HTTP_FORMAT_PNG, HTTP_FORMAT_JSON},
        {"image/png, */*", HTTP_FORMAT_PNG, HTTP_FORMAT_JSON},
        {"image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", HTTP_FORMAT_PNG,
         HTTP_FORMAT_JSON},
        {"*/*, image/png;q=0", HTTP_FORMAT_JSON, HTTP_FORMAT_JSON},
        {"*/*, application/json;q=0", HTTP_FORMAT_PNG, NONE},
        {"application/json;q=0.0", NONE, NONE},
        {"text/html", NONE, NONE},
        {"text/html, application/xhtml+xml", NONE, NONE},
        {"application/jsonx", NONE, NONE},
        {"image/pn", NONE, NONE},
        {"application/json;charset=utf-8", HTTP_FORMAT_JSON, HTTP_FORMAT_JSON},
        {"application/json;note=\"a,b;q=0\"", HTTP_FORMAT_JSON, HTTP_FORMAT_JSON},
        /* what cannot be read is passed over */
        {"image/png;q=x, application/json;q=0.1", HTTP_FORMAT_JSON, HTTP_FORMAT_JSON},
        {"image/png;q=1.5, application/json;q=0.1", HTTP_FORMAT_JSON, HTTP_FORMAT_JSON},
        {"image/png;q=0.1234, application/json;q=0.1", HTTP_FORMAT_JSON, HTTP_FORMAT_JSON},
        {",,;q=,image/png", HTTP_FORMAT_PNG, NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (choose(rows[i].accept, NULL, true) != rows[i].with_png ||
            choose(rows[i].accept, NULL, false) != rows[i].without_png)
            fail_msg("row %zu: Accept: %s", i, rows[i].accept);
    }
}

static void the_query_beats_accept(void **state)
{
    (void)state;
    assert_int_equal(choose("application/json", "png", true), HTTP_FORMAT_PNG);
    assert_int_equal(choose("image/png", "json", true), HTTP_FORMAT_JSON);
    assert_int_equal(choose("application/json", "png", false), NONE);
    assert_int_equal(choose("application/json", "gif", true), NONE);
    assert_int_equal(choose("application/json", "", true), NONE);
}

static void a_wildcard_alone_leaves_the_choice_open(void **state)
{
    (void)state;
    static const bool available[HTTP_FORMATS] = {
        [HTTP_FORMAT_JSON] = true, [HTTP_FORMAT_PNG] = true};
    static const char *const open[] = {
        "",
        " ",
        "*/*",
        "*/*;q=0.8",
        "text/html, */*;q=0.1",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,"
        "*/*;q=0.8"};
    static const char *const closed[] = {"image/png, */*", "image/*, */*;q=0.5", "*/*;q=0",
                                         "application/json;q=0.5, */*", "text/html"};
    assert_true(http_accepts_anything(NULL, available));
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        if (!http_accepts_anything(open[i], available))
            fail_msg("Accept: %s", open[i]);
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++)
        if (http_accepts_anything(closed[i], available))
            fail_msg("Accept: %s", closed[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accept_is_read_with_qualities),
        cmocka_unit_test(the_query_beats_accept),
        cmocka_unit_test(a_wildcard_alone_leaves_the_choice_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
