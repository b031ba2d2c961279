/* What the log and the counters say of an exchange that has ended. */
#include "http_exchange.h"

#include "base_cpu.h"
#include "base_log.h"

#include <stdio.h>
#include <string.h>

#define TARGET_SHOWN 512 /* bytes of a target in the log */

/* The target in bytes that a log may hold, and as much of it as leaves a line room for the rest. */
static void show_target(const char *raw, char out[TARGET_SHOWN + 4])
{
    size_t used = 0;
    for (const char *c = raw; *c; c++) {
        bool plain = *c > 0x20 && *c < 0x7f;
        if (used + (plain ? 1 : 3) > TARGET_SHOWN) {
            snprintf(out + used, 4, "...");
            return;
        }
        used += (size_t)snprintf(out + used, 4, plain ? "%c" : "%%%02X", (unsigned char)*c);
    }
    out[used] = '\0';
}

/* A monitor, or a page that somebody has left open, asks every few seconds: good answers to that
 * are lines for debugging only. */
static enum log_level level_of(const struct http_exchange *x, bool delivered)
{
    const struct api_route *route = x->request.route;
    return route && route->polled && x->reply.status < 400 && delivered ? LOG_DEBUG : LOG_INFO;
}

/* The log has one line per request. A link's signature is as good as a key while it lasts, and some
 * put their key into the query, so such values are cut out. */
static void log_exchange(struct http_exchange *x, double seconds, bool delivered)
{
    const struct http_request *q = &x->request;
    const enum http_problem_code problem = (enum http_problem_code)x->reply.problem;
    const struct engine_timings t =
        x->timed ? x->times
                 : (struct engine_timings){.queue_ns = -1, .compute_ns = -1, .encode_ns = -1};
    char trace[sizeof q->trace], *parent = strchr(strcpy(trace, q->trace), '-');
    http_target_redact(x->raw_target);
    if (parent)
        *parent++ = '\0';
    char target[TARGET_SHOWN + 4] = "";
    show_target(x->raw_target, target);
    const struct log_field fields[] = {
        {"method", LOG_TEXT, true, x->method[0] ? x->method : "-", 0.0},
        {"target", LOG_TEXT, true, target, 0.0},
        {"status", LOG_INTEGER, true, NULL, x->reply.status},
        {"duration_ms", LOG_MS, true, NULL, seconds * 1e3},
        {"request_id", LOG_TEXT, true, q->id, 0.0},
        {"code", LOG_TEXT, false, problem ? http_problem_word(problem) : NULL, 0.0},
        {"key", LOG_TEXT, false, q->client, 0.0},
        {"address", LOG_TEXT, false, x->connection->address, 0.0},
        {"trace_id", LOG_TEXT, false, trace, 0.0},
        {"parent_id", LOG_TEXT, false, parent, 0.0},
        {"label", LOG_TEXT, false, x->call.order.label, 0.0},
        {"queue_ms", LOG_MS, false, NULL, (double)t.queue_ns / 1e6},
        {"compute_ms", LOG_MS, false, NULL, (double)t.compute_ns / 1e6},
        {"encode_ms", LOG_MS, false, NULL, (double)t.encode_ns / 1e6},
        {"not delivered", LOG_FLAG, true, NULL, !delivered},
    };
    log_fields(level_of(x, delivered), "request", fields, sizeof fields / sizeof *fields);
}

void http_exchange_account(struct http_exchange *x, bool delivered)
{
    double seconds = (double)(clock_ns() - x->started_ns) / 1e9;
    if (!x->reply.status)
        x->reply.status = HTTP_CLIENT_GONE;
    http_metrics_count(&x->app->metrics, api_route_number(x->request.route), x->method,
                       x->reply.status, (enum http_problem_code)x->reply.problem, seconds);
    log_exchange(x, seconds, delivered);
}
