/* Bodies that are no JSON, and the mask over numbers that the parser cannot hold. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "http_body.h"

#include <stdlib.h>
#include <string.h>

static enum http_problem_code parse(const char *text, size_t length, char detail[800])
{
    struct http_problem p;
    struct buf body;
    http_problem_init(&p);
    buf_init(&body, 1 << 20);
    assert_int_equal(buf_append(&body, text, length, NULL), 0);
    json_t *value = http_body_parse(&body, http_body_fields(64), &p);
    assert_true((value != NULL) == (p.code == HTTP_PROBLEM_NONE));
    snprintf(detail, 800, "%s", p.detail);
    json_decref(value);
    buf_clear(&body);
    http_problem_clear(&p);
    return p.code;
}

static void broken_json_llamafile_116(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{:",
        " ",
        "{\"seed\":1",
        "{\"seed\":1}}",
        "{\"seed\":01}",
        "{'n':1}",
        "{\"n\":1,}",
        "{\"n\":+1}",
        "{\"n\":.5}",
        "{\"n\":1.}",
        "{\"n\":NaN}",
        "{\"n\":1e}",
        "\xff\xfe",
        "{\"seed\":18446744073709551616",
        "{\"seed\":018446744073709551616}",
    };
    char detail[800];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(parse(rows[i], strlen(rows[i]), detail), HTTP_PROBLEM_MALFORMED_JSON);
        assert_non_null(strstr(detail, "line"));
    }
    assert_int_equal(parse("", 0, detail), HTTP_PROBLEM_MALFORMED_JSON);
    assert_non_null(strstr(detail, "empty"));
}

static void more_values_than_fields_can_need(void **state)
{
    enum { MORE = 1024 + 64 };
    char text[2 * MORE + 2], detail[800];
    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 2 ? '7' : ',';
    text[0] = '[';
    text[2 * MORE] = ']';
    assert_int_equal(parse(text, 2 * MORE + 1, detail), HTTP_PROBLEM_MALFORMED_JSON);
    assert_string_equal(detail, "the body: JSON holds 1089 values, the limit is 1088 here");
    text[2 * MORE - 2] = ']';
    assert_int_equal(parse(text, 2 * MORE - 1, detail), HTTP_PROBLEM_NONE);
}

static void nul_bytes_monero_11361(void **state)
{
    (void)state;
    static const char raw[] = "{\"seed\":1}\0junk";
    static const char value[] = "{\"solver\":\"rk45\\u0000x\"}";
    static const char key[] = "{\"seed\\u0000\":1}";
    char detail[800];
    assert_int_equal(parse(raw, sizeof raw - 1, detail), HTTP_PROBLEM_MALFORMED_JSON);
    assert_int_equal(parse(value, sizeof value - 1, detail), HTTP_PROBLEM_MALFORMED_JSON);
    assert_int_equal(parse(key, sizeof key - 1, detail), HTTP_PROBLEM_MALFORMED_JSON);
}

static void duplicate_keys_jsoncons_505(void **state)
{
    (void)state;
    char detail[800];
    static const char *const rows[] = {"{\"seed\":1,\"seed\":2}", "{\"seed\":1,\"se\\u0065d\":2}"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(parse(rows[i], strlen(rows[i]), detail), HTTP_PROBLEM_MALFORMED_JSON);
        assert_non_null(strstr(detail, "duplicate"));
    }
}

static void deep_nesting_jansson_282(void **state)
{
    (void)state;
    char detail[800];
    size_t n = 100000;
    char *deep = malloc(n);
    assert_non_null(deep);
    memset(deep, '[', n);
    assert_int_equal(parse(deep, n, detail), HTTP_PROBLEM_MALFORMED_JSON);
    assert_non_null(strstr(detail, "deep"));
    for (size_t i = 0; i + 5 <= 10000; i += 5)
        memcpy(deep + i, "{\"a\":", 5);
    assert_int_equal(parse(deep, 10000, detail), HTTP_PROBLEM_MALFORMED_JSON);
    free(deep);
}

static void numbers_beyond_64_bits_are_masked_in_place(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"9223372036854775807", "9223372036854775807"},
        {"9223372036854775808", "null               "},
        {"-9223372036854775808", "-9223372036854775808"},
        {"-9223372036854775809", "null                "},
        {"1e308", "1e308"},
        {"1e309", "null "},
        {"-1e999", "null  "},
        {"1e-999", "1e-999"},
        {"[1e400,2]", "[null ,2]"},
        {"{\"a\":99999999999999999999}", "{\"a\":null                }"},
        /* strings, also with escapes, and what is no number stay */
        {"\"99999999999999999999\"", "\"99999999999999999999\""},
        {"\"\\\"99999999999999999999\"", "\"\\\"99999999999999999999\""},
        {"\"\\\\\",1e999", "\"\\\\\",null "},
        {"99999999999999999999x", "99999999999999999999x"},
        {"099999999999999999999", "099999999999999999999"},
        {"99999999999999999999.", "99999999999999999999."},
        {"1e999e", "1e999e"},
        {"-", "-"},
        {"\"unterminated 1e999", "\"unterminated 1e999"},
        {"\"\\", "\"\\"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t length = strlen(rows[i].in);
        unsigned char *text = malloc(length + 1);
        assert_non_null(text);
        memcpy(text, rows[i].in, length + 1);
        http_body_mask_numbers(text, length);
        assert_string_equal((char *)text, rows[i].out);
        free(text);
    }
}

/* As strings, where the reader takes those; the body itself stays. */
static void numbers_beyond_64_bits_are_kept_as_text(void **state)
{
    (void)state;
    static const char text[] = "[18446744073709551615,-1e999,\"9\",1,\"\\\"99999999999999999999\"]";
    static const char *const strings[] = {"18446744073709551615", "-1e999", "9", NULL,
                                          "\"99999999999999999999"};
    struct buf body;
    struct http_problem p;
    buf_init(&body, sizeof text + 8);
    http_problem_init(&p);
    assert_int_equal(buf_append(&body, text, sizeof text - 1, NULL), 0);
    assert_int_equal(buf_string(&body, "\x01\x02", NULL), 0);
    json_t *value = http_body_parse_whole(&body, sizeof text - 1, http_body_fields(64), &p);
    assert_int_equal(json_array_size(value), 5);
    for (size_t i = 0; i < 5; i++)
        if (strings[i])
            assert_string_equal(json_string_value(json_array_get(value, i)), strings[i]);
        else
            assert_int_equal(json_integer_value(json_array_get(value, i)), 1);
    assert_memory_equal(body.data, text, sizeof text - 1);
    json_decref(value);
    assert_null(http_body_parse_whole(&body, body.length, http_body_fields(64), &p));
    assert_int_equal(p.code, HTTP_PROBLEM_MALFORMED_JSON);
    http_problem_clear(&p);
    buf_clear(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_json_llamafile_116),
        cmocka_unit_test(more_values_than_fields_can_need),
        cmocka_unit_test(nul_bytes_monero_11361),
        cmocka_unit_test(duplicate_keys_jsoncons_505),
        cmocka_unit_test(deep_nesting_jansson_282),
        cmocka_unit_test(numbers_beyond_64_bits_are_masked_in_place),
        cmocka_unit_test(numbers_beyond_64_bits_are_kept_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
