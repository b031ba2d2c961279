/* Which name a misspelt word may mean, and what is too far from all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "cli_command.h"
#include <string.h>

static const char *const names[] = {"sample", "encode", "decode", "interpolate",
                                    "train",  "tune",   "plot",   "bench"};

static const char *nearest(const char *word)
{
    return cli_nearest(word, names, sizeof names / sizeof *names);
}

static void a_slip_is_understood(void **state)
{
    (void)state;
    static const char *const slips[][2] = {{"sampel", "sample"}, {"smaple", "sample"},
                                           {"sampl", "sample"},  {"samplee", "sample"},
                                           {"simple", "sample"}, {"incode", "encode"},
                                           {"trian", "train"},   {"interpolte", "interpolate"},
                                           {"tnue", "tune"},     {"interplotate", "interpolate"}};
    for (size_t i = 0; i < sizeof slips / sizeof *slips; i++) {
        const char *found = nearest(slips[i][0]);
        if (!found || strcmp(found, slips[i][1]) != 0)
            fail_msg("%s: %s", slips[i][0], found ? found : "none");
    }
}

static void another_word_is_not(void **state)
{
    (void)state;
    char vast[5000];
    memset(vast, 'a', sizeof vast);
    vast[sizeof vast - 1] = '\0';
    static const char *const words[] = {"", "x", "frobnicate", "convolution", "-"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_null(nearest(words[i]));
    for (size_t length = 40; length < sizeof vast; length += 1 + length / 30)
        assert_null(nearest(vast + sizeof vast - 1 - length));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slip_is_understood),
        cmocka_unit_test(another_word_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
