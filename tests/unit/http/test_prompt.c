/* Which label a prompt names. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "api_prompt.h"

#include <stdio.h>
#include <string.h>

#define NONE (-1)

/* The labels are one word, with ';' between them. */
static int find(const char *prompt, const char *words, bool *blank)
{
    char text[256], *labels[16], *rest = text;
    struct err e = {0};
    int n = 0, best = 99;
    snprintf(text, sizeof text, "%s", words);
    while (rest)
        labels[n++] = strsep(&rest, ";");
    if (api_prompt_find(prompt, labels, n, &best, blank, &e) != 0)
        fail_msg("%s: %s", prompt, e.text);
    return best;
}

static const char fashion[] = "T-shirt/top;Trouser;Pullover;Dress;Coat;Sandal;Shirt;Sneaker;Bag;"
                              "Ankle boot";

static void check(const char *prompt, const char *labels, int label)
{
    bool blank;
    const int found = find(prompt, labels, &blank);
    if (found != label)
        fail_msg("\"%s\" names %d of %s, not %d", prompt, found, labels, label);
}

static void alternatives_numbers_and_the_longest(void **state)
{
    (void)state;
    static const struct {
        const char *prompt;
        int label;
    } rows[] = {
        {"T-shirt", 0},
        {"a t-shirt, please", 0},
        {"t shirt", 0},
        {"tshirts", 0},
        {"T\xe2\x80\x91SHIRT", 0}, /* U+2011, a dash that does not break */
        {"two tops", 0},
        {"T-shirt/top", 0},
        {"a shirt", 6},
        {"shirts", 6},
        {"sneakers", 7},
        {"my sneaker's sole", 7},
        {"ankle boots", 9},
        {"Ankle-Boots", 9},
        {"ankle\n  boot", 9},
        {"dresses", 3},
        {"trousers", 1},
        {"a bag and a coat", 4},   /* the longer */
        {"a shirt or a dress", 6}, /* as long, and before it */
        {"a dress or a shirt", 3},
        {"", NONE},
        {"anything", NONE},
        {"baggage", NONE},
        {"handbag", NONE},
        {"boot", NONE},
        {"stop", NONE},
        {"shirtes", 6},
        {"coating", NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check(rows[i].prompt, fashion, rows[i].label);
    check("puppies", "Puppy;Cat", 0);
    check("one sandal", "Sandals;Boots", 0);
    check("glas", "Glass", NONE);
    check("a", "/;a//b; / ", 1);
    check("b", "/;a//b; / ", 1);
    check("ac/dc live", "AC;AC/DC", 1);
}

static void case_and_scripts(void **state)
{
    (void)state;
    check("EINE GRÖßE MEHR", "Farbe;Größe", 1);
    check("GRÖSSE", "Größe", 0);
    check("чёрный КОТ", "пёс;кот", 1);
    check("котик", "кот", NONE);
    check("ΟΔΥΣΣΕΥΣ", "Οδυσσευς", 0);
    check("cafe\xcc\x81", "CAFÉ", 0);                        /* a letter and its accent */
    check("cafe\xcc\x81", "cafe", NONE);                     /* which belongs to the letter */
    check("\xef\xbc\xa3\xef\xbc\xa1\xef\xbc\xb4", "cat", 0); /* of full width */
    check("かわいい猫の写真", "犬;猫", 1);
    check("白猫", "猫", 0);
    check("二匹のネコ", "ネコ", 0);
    check("cat写真", "cat", 0);
    check("รูปแมวสีดำ", "หมา;แมว", 1);
    check("고양이 사진", "고양이", 0);
}

static void a_blank_prompt_is_told(void **state)
{
    (void)state;
    bool blank = false;
    assert_int_equal(find(" \t-_\xe3\x80\x80", fashion, &blank), NONE);
    assert_true(blank);
    assert_int_equal(find("?", fashion, &blank), NONE);
    assert_false(blank);
}

static void what_is_not_utf8_is_an_error(void **state)
{
    (void)state;
    char *labels[] = {(char[]){"a"}};
    struct err e = {0};
    bool blank;
    int best;
    assert_int_not_equal(api_prompt_find("\xff", labels, 1, &best, &blank, &e), 0);
    assert_int_equal(e.code, ERR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alternatives_numbers_and_the_longest),
        cmocka_unit_test(case_and_scripts),
        cmocka_unit_test(a_blank_prompt_is_told),
        cmocka_unit_test(what_is_not_utf8_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
