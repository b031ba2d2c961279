/* The file of keys and what a key may do. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "http_keys.h"

#include "base_cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* printf %s secret | sha256sum, and of "other" */
#define SECRET "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
#define OTHER "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"

static int read_bytes(struct http_keys *k, const char *text, size_t length, struct err *e)
{
    char path[] = "/tmp/pfgmd-keys-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, length), length);
    close(fd);
    int result = http_keys_read(k, path, e);
    unlink(path);
    return result;
}

static int read_text(struct http_keys *k, const char *text, struct err *e)
{
    return read_bytes(k, text, strlen(text), e);
}

static enum http_problem_code judge(struct http_keys *k, const char *field, bool work)
{
    char name[HTTP_KEY_NAME_MAX + 1] = "";
    struct http_problem p;
    http_problem_init(&p);
    int failed = http_keys_judge(k, field, work, name, &p);
    enum http_problem_code code = p.code;
    assert_int_equal(failed != 0, code != HTTP_PROBLEM_NONE);
    http_problem_clear(&p);
    return code;
}

static void without_a_file_everybody_may_ask(void **state)
{
    (void)state;
    struct http_keys k;
    http_keys_init(&k);
    assert_int_equal(judge(&k, NULL, true), HTTP_PROBLEM_NONE);
    assert_int_equal(judge(&k, "Bearer nonsense", true), HTTP_PROBLEM_NONE);
    assert_false(http_keys_required(&k));
    http_keys_clear(&k);
}

static void keys_are_told_apart(void **state)
{
    (void)state;
    struct http_keys k;
    http_keys_init(&k);
    assert_int_equal(read_text(&k, "a " SECRET "\n#x\n\n  b " OTHER " read-only\r\n", NULL), 0);
    static const struct {
        const char *field;
        bool work;
        enum http_problem_code code;
    } rows[] = {
        {NULL, true, HTTP_PROBLEM_UNAUTHENTICATED},
        {"", true, HTTP_PROBLEM_UNAUTHENTICATED},
        {"Bearer ", true, HTTP_PROBLEM_UNAUTHENTICATED},
        {"Bearer secret", true, HTTP_PROBLEM_NONE},
        {"bearer   secret \t", true, HTTP_PROBLEM_NONE},
        {"Bearer secre", true, HTTP_PROBLEM_UNAUTHENTICATED},
        {"Bearer secrets", true, HTTP_PROBLEM_UNAUTHENTICATED},
        {"Basic secret", true, HTTP_PROBLEM_UNAUTHENTICATED},
        {"secret", true, HTTP_PROBLEM_UNAUTHENTICATED},
        {"Bearer " SECRET, true, HTTP_PROBLEM_UNAUTHENTICATED},
        {"Bearer secret, Bearer other", true, HTTP_PROBLEM_UNAUTHENTICATED},
        {"Bearer other", true, HTTP_PROBLEM_FORBIDDEN},
        {"Bearer other", false, HTTP_PROBLEM_NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (judge(&k, rows[i].field, rows[i].work) != rows[i].code)
            fail_msg("row %zu", i);
    http_keys_clear(&k);
}

static void rates_fill_up_again(void **state)
{
    (void)state;
    struct http_keys k;
    http_keys_init(&k);
    assert_int_equal(read_text(&k, "a " SECRET " rate=20\n", NULL), 0);
    int served = 0;
    int64_t begun = clock_ns();
    for (int i = 0; i < 40; i++)
        served += judge(&k, "Bearer secret", true) == HTTP_PROBLEM_NONE;
    const double seconds = (double)(clock_ns() - begun) * 1e-9; /* in which it fills up again */
    assert_true(served >= 20 && served <= 21 + 20 * seconds);
    usleep(120000);
    assert_int_equal(judge(&k, "Bearer secret", true), HTTP_PROBLEM_NONE);
    http_keys_clear(&k);
}

static void quotas_outlive_a_new_file(void **state)
{
    (void)state;
    int64_t day = 0;
    struct http_keys k;
    struct http_problem p;
    http_keys_init(&k);
    assert_int_equal(read_text(&k, "a " SECRET " images=5\n", NULL), 0);
    http_problem_init(&p);
    assert_int_equal(http_keys_charge(&k, "a", 4, &day, &p), 0);
    assert_int_equal(read_text(&k, "b " OTHER "\na " SECRET " images=5\n", NULL), 0);
    assert_int_equal(http_keys_charge(&k, "a", 2, &day, &p), -1);
    assert_int_equal(p.code, HTTP_PROBLEM_QUOTA_EXCEEDED);
    assert_int_equal(p.limit, 5);
    assert_true(p.retry_after_s > 0);
    http_problem_clear(&p);
    http_problem_init(&p);
    assert_int_equal(http_keys_charge(&k, "a", 1, &day, &p), 0);
    assert_int_equal(http_keys_charge(&k, "b", SIZE_MAX, &day, &p), 0);
    http_keys_clear(&k);
}

static void faults_name_the_line_and_change_nothing(void **state)
{
    (void)state;
    struct http_keys k;
    http_keys_init(&k);
    assert_int_equal(read_text(&k, "a " SECRET "\n", NULL), 0);
    static const struct {
        const char *text, *word;
    } rows[] = {
        {"", "no key"},
        {"# only\n", "no key"},
        {"a\n", ":1"},
        {"x " OTHER "\na 12\n", ":2"},
        {"a! " OTHER "\n", "name"},
        {"a " OTHER "0\n", "SHA-256"},
        {"a " OTHER " rate=\n", "rate="},
        {"a " OTHER " rate=nan\n", "rate="},
        {"a " OTHER " images=0\n", "images="},
        {"a " OTHER " images=5x\n", "images="},
        {"a " OTHER " root\n", "root"},
        {"a e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n", "empty key"},
        {"x " OTHER "\n\nx " SECRET "\n", ":3"},
        {"a " OTHER "\na " SECRET "\n", "two keys"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        char line[1100];
        assert_int_equal(read_text(&k, rows[i].text, &e), -1);
        assert_int_equal(e.code, ERR_INPUT);
        if (!strstr(err_line(&e, line, sizeof line), rows[i].word))
            fail_msg("row %zu: %s", i, line);
        assert_int_equal(judge(&k, "Bearer secret", true), HTTP_PROBLEM_NONE);
    }
    http_keys_clear(&k);
}

/* What stands behind it would be passed over, and nobody would know. */
static void a_nul_is_an_error_of_its_line(void **state)
{
    (void)state;
    static const char text[] = "a " SECRET "\nb " OTHER "\0\nc " OTHER "\n";
    struct http_keys k;
    struct err e = {0};
    char line[1100];
    http_keys_init(&k);
    assert_int_equal(read_bytes(&k, text, sizeof text - 1, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(err_line(&e, line, sizeof line), ":2: holds a NUL"));
    assert_false(http_keys_required(&k));
    http_keys_clear(&k);
}

/* 20,000 keys took 24 s when each was compared with all others, and nobody was served meanwhile.
 * With strict checks of strings the address sanitizer reads on to the text's end for each word. */
#ifdef __SANITIZE_ADDRESS__
#define MANY 1000
#else
#define MANY 40000
#endif

static void many_keys_are_read_at_once(void **state)
{
    (void)state;
    struct http_keys k;
    struct http_problem p;
    struct err e = {0};
    int64_t day = 0;
    char name[16], *text = malloc((size_t)MANY * 96), *end = text;
    assert_non_null(text);
    http_keys_init(&k);
    for (int i = 0; i < MANY; i++)
        end += sprintf(end, "k%d %064x images=9\n", i, (unsigned)i * 2654435761u);
    end += sprintf(end, "last " SECRET " images=9\n");
    const int64_t begun = clock_thread_ns(); /* whatever else runs */
    for (int round = 0; round < 3; round++) {
        assert_int_equal(read_text(&k, text, &e), 0);
        assert_int_equal(judge(&k, "Bearer secret", true), HTTP_PROBLEM_NONE);
        http_problem_init(&p);
        snprintf(name, sizeof name, "k%d", round * (MANY / 4));
        assert_int_equal(http_keys_charge(&k, name, 9, &day, &p), 0);
        assert_int_equal(http_keys_charge(&k, "k0", 1, &day, &p), -1); /* since the first round */
        http_problem_clear(&p);
    }
    assert_true(clock_thread_ns() - begun < 5000000000);
    free(text);
    http_keys_clear(&k);
}

/* What is dropped after midnight is not given to the new day, which did not pay for it. */
static void what_another_day_paid_is_not_given_back(void **state)
{
    (void)state;
    int64_t day = 0;
    struct http_keys k;
    struct http_problem p;
    http_keys_init(&k);
    assert_int_equal(read_text(&k, "a " SECRET " images=10\n", NULL), 0);
    http_problem_init(&p);
    assert_int_equal(http_keys_charge(&k, "a", 10, &day, &p), 0);
    assert_true(day > 20000); /* since 1970 */
    http_keys_return(&k, "a", 6, day - 1);
    assert_int_equal(http_keys_charge(&k, "a", 1, &day, &p), -1);
    http_problem_clear(&p);
    http_keys_return(&k, "a", 6, day);
    http_problem_init(&p);
    assert_int_equal(http_keys_charge(&k, "a", 6, &day, &p), 0);
    http_keys_clear(&k);
}

static void a_lower_quota_leaves_none(void **state)
{
    (void)state;
    int64_t day = 0;
    struct http_keys k;
    struct http_problem p;
    http_keys_init(&k);
    assert_int_equal(read_text(&k, "a " SECRET " images=10\n", NULL), 0);
    http_problem_init(&p);
    assert_int_equal(http_keys_charge(&k, "a", 8, &day, &p), 0);
    assert_int_equal(read_text(&k, "a " SECRET " images=5\n", NULL), 0);
    assert_int_equal(http_keys_charge(&k, "a", 1, &day, &p), -1);
    assert_non_null(strstr(p.detail, "has 0 of 5"));
    http_problem_clear(&p);
    http_keys_return(&k, "a", 4, day);
    http_problem_init(&p);
    assert_int_equal(http_keys_charge(&k, "a", 1, &day, &p), 0);
    assert_int_equal(http_keys_charge(&k, "a", 1, &day, &p), -1);
    http_problem_clear(&p);
    http_keys_return(&k, "a", 400, day); /* never below none */
    http_problem_init(&p);
    assert_int_equal(http_keys_charge(&k, "a", 6, &day, &p), -1);
    http_problem_clear(&p);
    http_keys_clear(&k);
}

/* A day of UTC must not end within the tests of its quotas. */
static void stay_away_from_midnight(void)
{
    const unsigned left = 86400 - (unsigned)(time(NULL) % 86400);
    if (left < 60)
        sleep(left + 1);
}

int main(void)
{
    stay_away_from_midnight();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_file_everybody_may_ask),
        cmocka_unit_test(keys_are_told_apart),
        cmocka_unit_test(rates_fill_up_again),
        cmocka_unit_test(quotas_outlive_a_new_file),
        cmocka_unit_test(faults_name_the_line_and_change_nothing),
        cmocka_unit_test(a_nul_is_an_error_of_its_line),
        cmocka_unit_test(many_keys_are_read_at_once),
        cmocka_unit_test(what_another_day_paid_is_not_given_back),
        cmocka_unit_test(a_lower_quota_leaves_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
