/* The framing guards, row by row of what the HTTP library lets through. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "http_guard.h"

#include <string.h>

#define ROW_FIELDS 3

struct row {
    const char *fields[ROW_FIELDS][2];
    unsigned status; /* 0: passes */
};

static unsigned check(const struct row *row, bool http_1_0, struct http_framing *framing)
{
    struct http_field fields[ROW_FIELDS];
    struct http_problem p;
    size_t n = 0;
    for (; n < ROW_FIELDS && row->fields[n][0]; n++)
        fields[n] = (struct http_field){row->fields[n][0], row->fields[n][1],
                                        strlen(row->fields[n][0]), strlen(row->fields[n][1])};
    http_problem_init(&p);
    int failed = http_guard_check(fields, n, http_1_0, framing, &p);
    assert_true(!failed || p.close); /* a doubtful frame always ends the connection */
    http_problem_clear(&p);
    return failed ? http_problem_status(p.code) : 0;
}

static void heads_that_can_be_read_two_ways(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {{{"Host", "x"}, {"Content-Length", "2"}}, 0},
        {{{"Host", "x"}, {"Transfer-Encoding", "chunked"}}, 0},
        {{{"Host", "x"}, {"transfer-encoding", "Chunked"}}, 0},
        {{{"Content-Length", "2"}, {"Transfer-Encoding", "chunked"}}, 400},
        {{{"Transfer-Encoding", "chunked"}, {"content-length", "2"}}, 400},
        {{{"Content-Length", "2"}, {"Content-Length", "3"}}, 400},
        {{{"Content-Length", "2"}, {"Content-Length", "2"}}, 400},
        {{{"Content-Length", "2, 2"}}, 400},
        {{{"Content-Length", "+2"}}, 400},
        {{{"Content-Length", "-2"}}, 400},
        {{{"Content-Length", "0x2"}}, 400},
        {{{"Content-Length", "2 "}}, 400},
        {{{"Content-Length", ""}}, 400},
        {{{"Content-Length", "99999999999999999999"}}, 400},
        {{{"Transfer-Encoding", "xchunked"}}, 501},
        {{{"Transfer-Encoding", "gzip, chunked"}}, 501},
        {{{"Transfer-Encoding", "chunked, identity"}}, 501},
        {{{"Transfer-Encoding", "identity"}}, 501},
        {{{"Transfer-Encoding", ""}}, 501},
        {{{"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}}, 501},
        {{{"Transfer-Encoding ", "chunked"}}, 400},
        {{{"Transfer Encoding", "chunked"}}, 400},
        {{{"Content-Length\t", "2"}}, 400},
        {{{" Host", "x"}}, 400},
        {{{"", "x"}}, 400},
        {{{"X\x01", "x"}}, 400},
        {{{"X\xc3\xa4", "x"}}, 400},
        {{{"X", "a\rb"}}, 400},
        {{{"X", "a\x7f"}}, 400},
        {{{"X", "a\tb \xc3\xa4"}}, 0},
        {{{"Host", "x"}, {"Host", "x"}}, 400},
        {{{"Expect", "100-continue"}, {"Content-Length", "5"}}, 0},
        {{{"Expect", "100-Continue"}, {"Content-Length", "5"}}, 0},
        {{{"Expect", "200-ok"}}, 417},
        {{{"Expect", ""}}, 417},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct http_framing framing;
        unsigned status = check(&rows[i], false, &framing);
        if (status != rows[i].status)
            fail_msg("row %zu gave %u, not %u", i, status, rows[i].status);
    }
}

static void http_1_0_has_no_chunks(void **state)
{
    (void)state;
    struct http_framing framing;
    const struct row chunked = {{{"Transfer-Encoding", "chunked"}}, 400};
    const struct row plain = {{{"Content-Length", "7"}, {"Expect", "100-continue"}}, 0};
    assert_int_equal(check(&chunked, true, &framing), 400);
    assert_int_equal(check(&plain, true, &framing), 0);
    assert_false(framing.expects_continue);
}

static void the_frame_is_told(void **state)
{
    (void)state;
    struct http_framing framing;
    const struct row length = {{{"Content-Length", "1048577"}, {"Expect", "100-continue"}}, 0};
    const struct row chunked = {{{"Transfer-Encoding", "chunked"}}, 0};
    assert_int_equal(check(&length, false, &framing), 0);
    assert_true(framing.has_length && framing.expects_continue && !framing.chunked);
    assert_int_equal(framing.length, 1048577);
    assert_int_equal(check(&chunked, false, &framing), 0);
    assert_true(framing.chunked && !framing.has_length);
}

static void fields_are_joined_and_cut(void **state)
{
    (void)state;
    const struct http_field fields[] = {
        {"Accept", "a/b", 6, 3}, {"X", "y", 1, 1}, {"ACCEPT", "c/d", 6, 3}};
    char out[16], small[6];
    assert_true(http_field_join(fields, 3, "accept", out, sizeof out));
    assert_string_equal(out, "a/b, c/d");
    assert_true(http_field_join(fields, 3, "accept", small, sizeof small));
    assert_string_equal(small, "a/b, ");
    const struct http_field trailed = {"Host", "localhost \t ", 4, 12}, blank = {"Host", " ", 4, 1};
    assert_true(http_field_join(&trailed, 1, "Host", out, sizeof out));
    assert_string_equal(out, "localhost");
    assert_true(http_field_join(&blank, 1, "Host", out, sizeof out));
    assert_string_equal(out, "");
    assert_false(http_field_join(fields, 3, "Host", out, sizeof out));
    assert_string_equal(out, "");
    assert_ptr_equal(http_field_find(fields, 3, "x"), &fields[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_that_can_be_read_two_ways),
        cmocka_unit_test(http_1_0_has_no_chunks),
        cmocka_unit_test(the_frame_is_told),
        cmocka_unit_test(fields_are_joined_and_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
