/* The strict rules of reading, and numbers that survive writing. */
#include "base_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../peak_memory.h"

static struct err parse_fails(const char *text, size_t length)
{
    struct err e = {0};
    json_t *value = json_parse(text, length, "text", &e);
    assert_null(value);
    assert_int_not_equal(e.code, ERR_NONE);
    return e;
}

static void refuses_what_is_not_one_json_value(void **state)
{
    (void)state;
    const char *bad[] = {"",
                         " ",
                         "{:",
                         "{\"seed\":1",
                         "{\"seed\":1}}",
                         "[1,]",
                         "{\"a\":01}",
                         "nan",
                         "[1e999]",
                         "{\"a\":\"\\u0000\"}",
                         "\"\xff\"",
                         "[1] 2",
                         "{\"a\\u0000\":1}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(parse_fails(bad[i], strlen(bad[i])).code, ERR_INPUT);
    parse_fails("{\"seed\":1}\0junk", 15); /* a raw NUL ends nothing */
}

static void refuses_equal_keys_jsoncons_505(void **state)
{
    (void)state;
    const char *texts[] = {"{\"seed\":1,\"seed\":2}", "{\"seed\":1,\"se\\u0065d\":2}"};
    for (int i = 0; i < 2; i++) {
        struct err e = parse_fails(texts[i], strlen(texts[i]));
        assert_non_null(strstr(e.text, "duplicate"));
        assert_non_null(strstr(e.text, i ? "se\\u0065d" : "seed"));
    }
}

static void refuses_deep_nesting_jansson_282(void **state)
{
    (void)state;
    enum { N = 100000 };
    char *text = malloc(N);
    assert_non_null(text);
    memset(text, '[', N);
    struct err e = parse_fails(text, N);
    assert_non_null(strstr(e.text, "nested"));
    free(text);
    const char *brackets_in_string =
        "\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\"";
    json_t *value = json_parse(brackets_in_string, strlen(brackets_in_string), "text", NULL);
    assert_non_null(value);
    json_decref(value);
}

static void counts_values_before_it_makes_them(void **state)
{
    static const struct {
        const char *text;
        size_t values, groups;
    } rows[] = {
        {"7", 1, 0},
        {"[1,2,3]", 4, 1},
        {"{\"a\":[1],\"b\":{\"c\":2}}", 5, 3},
        {"[[],[]]", 5, 3}, /* the empty ones count once more */
        {"[\"a,b[{\\\",[\",1]", 3, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const size_t length = strlen(rows[i].text), values = rows[i].values,
                     groups = rows[i].groups;
        struct err e = {0};
        json_t *value = json_parse_bounded(rows[i].text, length,
                                           (struct json_bound){values, groups}, "text", &e);
        assert_non_null(value);
        json_decref(value);
        assert_null(json_parse_bounded(rows[i].text, length,
                                       (struct json_bound){values - 1, groups}, "text", &e));
        assert_int_equal(e.code, ERR_LIMIT);
        assert_non_null(strstr(e.text, "values"));
        if (groups == 0)
            continue;
        assert_null(json_parse_bounded(rows[i].text, length,
                                       (struct json_bound){values, groups - 1}, "text", &e));
        assert_int_equal(e.code, ERR_LIMIT);
        assert_non_null(strstr(e.text, "arrays and objects"));
    }
}

static void many_small_values_take_little_memory(void **state)
{
    static const char *const items[] = {"{},", "[],", "\"\",", "0,"};
    enum { N = 4 << 20 };
    char *text = malloc(N);
    assert_non_null(text);
    (void)state;
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        const size_t length = strlen(items[i]);
        text[0] = '[';
        for (size_t at = 1; at < N; at++)
            text[at] = items[i][(at - 1) % length];
        const long before = peak_memory_kib(true);
        assert_int_equal(parse_fails(text, N).code, ERR_LIMIT);
        assert_in_range(peak_memory_kib(false), 1, before + 1024);
    }
    free(text);
}

static void numbers_come_out_as_they_went_in(void **state)
{
    (void)state;
    const char *text = "{\"seed\":9223372036854775807,\"a\":0.1,\"b\":1e-12,\"c\":12.345,\"d\":1.0,"
                       "\"e\":0.30000000000000004,\"f\":[1,2.5,\"x\\\"y\",null,true,{}]}";
    json_t *value = json_parse(text, strlen(text), "text", NULL);
    assert_non_null(value);
    struct buf out;
    buf_init(&out, 4096);
    assert_int_equal(json_append(&out, value, 0, NULL), 0);
    assert_string_equal((char *)out.data, text);
    buf_clear(&out);
    buf_init(&out, 20); /* all or nothing */
    struct err e = {0};
    assert_int_equal(json_append(&out, value, 0, &e), -1);
    assert_int_equal(e.code, ERR_LIMIT);
    assert_int_equal(out.length, 0);
    buf_clear(&out);
    json_decref(value);
}

static void numbers_of_64_bits_keep_them(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 1, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
    static const char *const refused[] = {"-1",     "1.0",    "true",
                                          "\"\"",   "\"01\"", "\"-1\"",
                                          "\" 1\"", "\"1x\"", "\"18446744073709551616\""};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        uint64_t back = 7;
        json_t *value = json_u64(values[i]);
        assert_true(json_is_integer(value) == (values[i] <= INT64_MAX));
        assert_true(json_u64_read(value, &back) && back == values[i]);
        json_decref(value);
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct err e = {0};
        uint64_t back = 7;
        json_t *value = json_parse(refused[i], strlen(refused[i]), "value", &e);
        if (!value || json_u64_read(value, &back) || back != 7)
            fail_msg("%s was taken as %llu", refused[i], (unsigned long long)back);
        json_decref(value);
    }
}

static void members_are_checked(void **state)
{
    (void)state;
    const char *text = "{\"n\":3,\"x\":0.5,\"t\":true,\"s\":\"word\"}";
    json_t *o = json_parse(text, strlen(text), "text", NULL);
    struct err e = {0};
    int64_t n = 0;
    double x = 0;
    const char *s = NULL;
    assert_int_equal(json_get_int(o, "n", true, 1, 10, &n, "text", &e), 0);
    assert_int_equal(n, 3);
    assert_int_equal(json_get_int(o, "n", true, 4, 10, &n, "text", &e), -1);
    assert_int_equal(json_get_int(o, "x", true, 0, 10, &n, "text", &e), -1);
    assert_int_equal(json_get_int(o, "absent", false, 0, 10, &n, "text", &e), 0);
    assert_int_equal(json_get_int(o, "absent", true, 0, 10, &n, "text", &e), -1);
    assert_non_null(strstr(e.text, "absent"));
    assert_int_equal(json_get_real(o, "n", true, 0, 10, &x, "text", &e), 0);
    assert_int_equal(json_get_real(o, "t", true, 0, 10, &x, "text", &e), -1);
    assert_int_equal(json_get_string(o, "s", true, &s, "text", &e), 0);
    assert_string_equal(s, "word");
    const char *keys[] = {"n", "x", "t"};
    assert_int_equal(json_only_keys(o, keys, 3, "text", &e), -1);
    assert_non_null(strstr(e.text, "\"s\""));
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_is_not_one_json_value),
        cmocka_unit_test(refuses_equal_keys_jsoncons_505),
        cmocka_unit_test(refuses_deep_nesting_jansson_282),
        cmocka_unit_test(counts_values_before_it_makes_them),
        cmocka_unit_test(many_small_values_take_little_memory),
        cmocka_unit_test(numbers_come_out_as_they_went_in),
        cmocka_unit_test(numbers_of_64_bits_keep_them),
        cmocka_unit_test(members_are_checked),
    };
    return cmocka_run_group_tests_name("base: json", tests, NULL, NULL);
}
