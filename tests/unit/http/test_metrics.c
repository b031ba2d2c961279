/* The text of the metrics where no daemon shows it: escaping and the fixed sets of labels. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "http_metrics.h"

#include <string.h>

static const char *routes[HTTP_ROUTES_MAX] = {[0] = "/a", [HTTP_ROUTES_MAX - 1] = "other"};

static void text_of(struct http_metrics *m, struct buf *out)
{
    struct err e = {0};
    const struct engine_options options = {.workers = 1, .batch = 1};
    struct engine *g = engine_new(&options, &e);
    assert_non_null(g);
    const struct http_metrics_state state = {
        .engine = g, .version = "1\"2\\3\n4", .route_labels = routes};
    buf_init(out, HTTP_METRICS_MAX);
    assert_int_equal(http_metrics_text(m, &state, out, &e), 0);
    engine_free(g);
}

static void values_are_escaped_gitlab_tokens_exporter_221(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 1000);
    assert_int_equal(http_metrics_escape(&out, "a\"b\\c\nd", NULL), 0);
    assert_string_equal((char *)out.data, "a\\\"b\\\\c\\nd");
    buf_clear(&out);
    struct http_metrics m;
    http_metrics_init(&m);
    text_of(&m, &out);
    assert_non_null(strstr((char *)out.data, "pfgmd_build_info{version=\"1\\\"2\\\\3\\n4\"} 1\n"));
    assert_int_equal(out.data[out.length - 1], '\n');
    buf_clear(&out);
    http_metrics_clear(&m);
}

static void what_is_not_known_is_other(void **state)
{
    (void)state;
    struct buf out;
    struct http_metrics m;
    http_metrics_init(&m);
    http_metrics_count(&m, 0, "GET", 200, HTTP_PROBLEM_NONE, 0.01);
    http_metrics_count(&m, HTTP_ROUTES_MAX - 1, "BREW", 418, HTTP_PROBLEM_NOT_FOUND, 0.01);
    http_metrics_count(&m, 0, "POST", 500, HTTP_PROBLEM_NUMERICAL_FAILURE, 1000.0);
    text_of(&m, &out);
    static const char *const lines[] = {
        "pfgmd_http_requests_total{route=\"/a\",method=\"GET\",code=\"200\"} 1\n",
        "pfgmd_http_requests_total{route=\"other\",method=\"other\",code=\"other\"} 1\n",
        "pfgmd_requests_rejected_total{reason=\"not_found\"} 1\n",
        "pfgmd_http_request_duration_seconds_bucket{route=\"/a\",le=\"300\"} 1\n",
        "pfgmd_http_request_duration_seconds_bucket{route=\"/a\",le=\"+Inf\"} 2\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr((char *)out.data, lines[i]))
            fail_msg("no %s", lines[i]);
    assert_null(strstr((char *)out.data, "numerical_failure")); /* an answer, not a refusal */
    buf_clear(&out);
    http_metrics_clear(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_escaped_gitlab_tokens_exporter_221),
        cmocka_unit_test(what_is_not_known_is_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
