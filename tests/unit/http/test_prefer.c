/* Preferences of a request, in every form that the field may have. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "http_prefer.h"

#include <string.h>

static void preferences_are_found_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *prefer, *name, *value; /* NULL: there is no such preference */
    } rows[] = {
        {"", "wait", NULL},
        {"wait=20", "wait", "20"},
        {"Wait=20", "wait", "20"},
        {"WAIT = 20", "wait", "20"},
        {"wait=\"20\"", "wait", "20"},
        {"wait=\"2\\0\"", "wait", "20"},
        {"respond-async, wait=20", "wait", "20"},
        {"respond-async,wait=20;x=\"a,b\",wait=5", "wait", "20"}, /* the first one counts */
        {"wait", "wait", ""},
        {"wait; a=1", "wait", ""},
        {"wait-long=20", "wait", NULL},
        {"await=20", "wait", NULL},
        {"note=\"a, wait=20\"", "wait", NULL},
        {"note=\"a \\\" , wait=20\", wait=3", "wait", "3"},
        {"a;b=\"x,wait=1\", wait=3", "wait", "3"},
        {"note=\"never ends, wait=20", "wait", NULL},
        {", ,\t,Respond-Async", "respond-async", ""},
        {"respond-async=1", "respond-async", "1"},
        {"=wait", "wait", NULL},
        {"wait=1234567890", "wait", "1234567"}, /* cut to what there is room for */
        {"wait=\"1234567890\", b", "b", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char value[8] = "?";
        const bool found = http_prefers(rows[i].prefer, rows[i].name, value, sizeof value);
        if (found != (rows[i].value != NULL) ||
            strcmp(value, rows[i].value ? rows[i].value : "") != 0)
            fail_msg("row %zu: %s: %d \"%s\"", i, rows[i].prefer, (int)found, value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(preferences_are_found_by_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
