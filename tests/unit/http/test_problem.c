/* Problem documents: members, headers, and text that is not UTF-8. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "http_problem.h"

#include <string.h>

static const char *header(const struct http_reply *r, const char *name)
{
    for (size_t i = 0; i < r->header_count; i++)
        if (strcmp(r->headers[i].name, name) == 0)
            return r->headers[i].value;
    return NULL;
}

static json_t *document(const struct http_reply *r)
{
    struct err e = {0};
    json_t *o = json_parse(r->body.data, r->body.length, "problem", &e);
    assert_non_null(o);
    return o;
}

static const char *text(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static void members_and_headers(void **state)
{
    (void)state;
    struct http_problem p;
    struct http_reply r;
    http_problem_init(&p);
    http_reply_init(&r);
    http_problem_set(&p, HTTP_PROBLEM_QUEUE_FULL, "full: %d wait", 9);
    http_problem_set(&p, HTTP_PROBLEM_INTERNAL, "a later one does not hide it");
    p.retry_after_s = 3;
    p.limit = 1024;
    http_problem_reply(&p, "abc", &r);
    assert_int_equal(r.status, 503);
    assert_string_equal(r.content_type, "application/problem+json");
    assert_string_equal(header(&r, "Retry-After"), "3");
    json_t *o = document(&r);
    assert_string_equal(text(o, "code"), "queue_full");
    assert_string_equal(text(o, "detail"), "full: 9 wait");
    assert_string_equal(text(o, "instance"), "urn:pfgm:request:abc");
    assert_int_equal(json_integer_value(json_object_get(o, "status")), 503);
    assert_int_equal(json_integer_value(json_object_get(o, "retry_after_s")), 3);
    assert_int_equal(json_integer_value(json_object_get(o, "limit")), 1024);
    json_decref(o);
    http_reply_clear(&r);
}

static void text_that_is_not_utf8_is_still_told(void **state)
{
    (void)state;
    struct http_problem p;
    struct http_reply r;
    http_problem_init(&p);
    http_reply_init(&r);
    http_problem_point(&p, "/a\xc3", "cut in the middle: \xe2\x82");
    http_problem_reply(&p, "x", &r);
    assert_int_equal(r.status, 422);
    json_t *o = document(&r);
    const json_t *entry = json_array_get(json_object_get(o, "errors"), 0);
    assert_string_equal(text(entry, "pointer"), "/a?");
    assert_string_equal(text(entry, "detail"), "cut in the middle: ??");
    json_decref(o);
    http_reply_clear(&r);
}

static void errors_are_bounded_and_pointers_cut(void **state)
{
    (void)state;
    struct http_problem p;
    char key[400], pointer[32] = "/solver";
    memset(key, '~', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    http_pointer_step(pointer, sizeof pointer, key);
    assert_true(strlen(pointer) < sizeof pointer);
    assert_memory_equal(pointer, "/solver/~0~0", 12);
    http_problem_init(&p);
    for (int i = 0; i < 1000; i++)
        http_problem_point(&p, "/x", "is wrong");
    assert_int_equal(json_array_size(p.errors), HTTP_PROBLEM_ERRORS_MAX);
    http_problem_clear(&p);
}

static void headers_cannot_be_split(void **state)
{
    (void)state;
    struct http_reply r;
    http_reply_init(&r);
    http_reply_header(&r, "X", "a\r\nSet-Cookie: b");
    assert_string_equal(header(&r, "X"), "a??Set-Cookie: b");
    http_reply_clear(&r);
}

/* A value is whole, or its header is not there. */
static void a_long_header_is_whole_or_left_out(void **state)
{
    (void)state;
    struct http_reply r;
    char link[1400], endless[HTTP_REPLY_VALUES_MAX];
    memset(link, 'l', sizeof link - 1);
    memset(endless, 'e', sizeof endless - 1);
    link[sizeof link - 1] = endless[sizeof endless - 1] = '\0';
    http_reply_init(&r);
    http_reply_header(&r, "First", "%s", link);
    http_reply_header(&r, "Second", "%s", endless);
    http_reply_header(&r, "Third", "a\rb");
    assert_string_equal(header(&r, "First"), link);
    assert_null(header(&r, "Second"));
    assert_string_equal(header(&r, "Third"), "a?b");
    http_reply_restart(&r);
    assert_null(header(&r, "First"));
    http_reply_header(&r, "Fourth", "%d", 4);
    assert_string_equal(header(&r, "Fourth"), "4");
    http_reply_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_and_headers),
        cmocka_unit_test(text_that_is_not_utf8_is_still_told),
        cmocka_unit_test(errors_are_bounded_and_pointers_cut),
        cmocka_unit_test(headers_cannot_be_split),
        cmocka_unit_test(a_long_header_is_whole_or_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
