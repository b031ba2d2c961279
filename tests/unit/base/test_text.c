/* Text from outside is shown escaped, cut between characters, and never as what a terminal obeys.
 */
#include "base_text.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_sequences(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t step;
    } cases[] = {
        {"a", 1},
        {"", 1},
        {"\xc3\xa9", 2},
        {"\xe2\x82\xac", 3},
        {"\xf0\x9f\x98\x80", 4},
        {"\xf4\x8f\xbf\xbf", 4},
        {"\x80", 0},
        {"\xc3", 0},
        {"\xc0\x80", 0},
        {"\xc1\xbf", 0},
        {"\xe0\x80\x80", 0},
        {"\xe2\x82", 0},
        {"\xed\xa0\x80", 0},
        {"\xf0\x80\x80\x80", 0},
        {"\xf4\x90\x80\x80", 0},
        {"\xf5\x80\x80\x80", 0},
        {"\xff", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(text_sequence(cases[i].text), cases[i].step);
}

static void test_escapes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool quoted;
        const char *shown;
    } cases[] = {
        {"gr\xc3\xb6\xc3\x9f"
         "e",
         true,
         "gr\xc3\xb6\xc3\x9f"
         "e"},
        {"a\tb\nc\rd", false, "a\\tb\\nc\\rd"},
        {"\x1b[2J\x7f", false, "\\x1b[2J\\x7f"},
        {"\xc2\x85\xc2\x9b", false, "\\u0085\\u009b"},
        {"\xe2\x80\xa8\xe2\x80\xae\xe2\x81\xa6", false, "\\u2028\\u202e\\u2066"},
        {"\xff\xc3", false, "\\xff\\xc3"},
        {"say \"\\\"", true, "say \\\"\\\\\\\""},
        {"say \"\\\"", false, "say \"\\\""},
    };
    char out[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(text_escape(out, sizeof out, cases[i].text, cases[i].quoted),
                         strlen(cases[i].shown));
        assert_string_equal(out, cases[i].shown);
    }
}

/* Whatever the room, no character and no escape is cut. */
static void test_cuts(void **state)
{
    (void)state;
    static const char text[] = "a\xe2\x82\xac\x1b\xff\xc3\xa9";
    static const char *const escaped[] = {"a", "\xe2\x82\xac", "\\x1b", "\\xff", "\xc3\xa9"};
    static const char *const copied[] = {"a", "\xe2\x82\xac", "\x1b", "?", "\xc3\xa9"};
    for (size_t size = 1; size < 32; size++) {
        char out[32], want[2][32] = {"", ""};
        for (int form = 0; form < 2; form++)
            for (size_t i = 0; i < 5; i++) {
                const char *piece = form ? copied[i] : escaped[i];
                if (strlen(want[form]) + strlen(piece) >= size)
                    break;
                strcat(want[form], piece);
            }
        text_escape(out, size, text, false);
        assert_string_equal(out, want[0]);
        text_copy(out, size, text);
        assert_string_equal(out, want[1]);
    }
}

static void test_printable(void **state)
{
    (void)state;
    char text[] = "a\x1b"
                  "b\xc2\x9b"
                  "c\xff"
                  "d\xc3\xa9";
    text_make_printable(text);
    assert_string_equal(text, "a?b??c?d\xc3\xa9");
}

static void test_numbers(void **state)
{
    (void)state;
    static const char *const not_digits[] = {
        "", "+1", "-1", " 1", "1 ", "0x1", "18446744073709551616"};
    static const char *const not_integers[] = {"", "-", "--1", "1.0", "9223372036854775808"};
    static const char *const not_reals[] = {"", "-1", "+1", "nan", "inf", "0x1p3", "1e999", "1,5"};
    uint64_t digits = 5;
    int64_t integer = 5;
    double real = 5;
    for (size_t i = 0; i < sizeof not_digits / sizeof *not_digits; i++)
        assert_false(text_digits(not_digits[i], &digits));
    for (size_t i = 0; i < sizeof not_integers / sizeof *not_integers; i++)
        assert_false(text_integer(not_integers[i], &integer));
    for (size_t i = 0; i < sizeof not_reals / sizeof *not_reals; i++)
        assert_false(text_real(not_reals[i], &real));
    assert_true(digits == 5 && integer == 5 && real == 5);
    assert_true(text_digits("18446744073709551615", &digits) && digits == UINT64_MAX);
    assert_true(text_integer("-9223372036854775807", &integer) && integer == -INT64_MAX);
    assert_true(text_real("1e-4", &real) && real == 1e-4);
    assert_true(text_real(".5", &real) && real == 0.5);
}

/* A host program of the library may have one whose decimal sign is a comma. */
static void test_numbers_in_every_locale(void **state)
{
    (void)state;
    double real = 0;
#ifdef COMMA_LOCALE
    assert_non_null(setlocale(LC_ALL, COMMA_LOCALE));
    assert_string_equal(localeconv()->decimal_point, ",");
#endif
    assert_true(text_real("1.003", &real) && real == 1.003);
    assert_false(text_real("1,003", &real));
    assert_non_null(setlocale(LC_ALL, "C"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequences), cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_cuts),      cmocka_unit_test(test_printable),
        cmocka_unit_test(test_numbers),   cmocka_unit_test(test_numbers_in_every_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
