/* What is said again, and when: this file knows HTTP's meaning and not libcurl. */
#include "remote.h"

#include "base_cpu.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define FIRST_PAUSE_MS 250
#define LONGEST_PAUSE_MS 15000

void remote_answer_clear(struct remote_answer *a)
{
    buf_clear(&a->body);
    *a = (struct remote_answer){.after_s = -1};
}

static void sleep_ms(int64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0)
        ;
}

/* Every process has pauses of its own, so that a fleet of them does not come back at one time. */
static int64_t spread(int64_t ms)
{
    return ms - (int64_t)((uint64_t)clock_ns() / 1000 % (uint64_t)(ms / 4 + 1));
}

int remote_pause(struct remote *r, struct remote_pause *p, const struct remote_answer *a,
                 const struct err *why, struct err *e)
{
    const int64_t now = clock_ns(), patience_ms = remote_patience_s(r) * 1000;
    if (p->since_ns == 0)
        *p = (struct remote_pause){now, FIRST_PAUSE_MS};
    int64_t ms = spread(p->next_ms);
    if (a->after_s >= 0 && a->after_s * 1000 > ms)
        ms = a->after_s * 1000;
    if (!a->passes || (now - p->since_ns) / 1000000 + ms > patience_ms)
        return err_pass(e, why);
    p->next_ms = p->next_ms * 2 < LONGEST_PAUSE_MS ? p->next_ms * 2 : LONGEST_PAUSE_MS;
    sleep_ms(ms);
    return 0;
}

int remote_insist(struct remote *r, const struct remote_call *call, struct remote_answer *a,
                  struct err *e)
{
    struct remote_pause pause = {0};
    struct err why = {0};
    while (remote_ask(r, call, a, &why) != 0) {
        if (remote_pause(r, &pause, a, &why, e) != 0)
            return -1;
        remote_answer_clear(a);
    }
    return 0;
}

/* `a` is to be cleared in any case. */
static json_t *ask_json(struct remote *r, const struct remote_call *call, struct remote_answer *a,
                        struct err *e)
{
    static const struct json_bound bound = {1u << 20, 1u << 18};
    if (remote_insist(r, call, a, e) != 0)
        return NULL;
    return a->body.length > 0
               ? json_parse_bounded(a->body.data, a->body.length, bound, "the server's answer", e)
               : json_object();
}

json_t *remote_json(struct remote *r, const char *method, const char *path, const char *body,
                    struct err *e)
{
    const struct remote_call call = {
        .method = method, .path = path, .body = body, .accept = "application/json"};
    struct remote_answer a = {.after_s = -1};
    json_t *value = ask_json(r, &call, &a, e);
    remote_answer_clear(&a);
    return value;
}

json_t *remote_tagged(struct remote *r, const char *method, const char *path,
                      char tag[REMOTE_TAG_SIZE], bool *changed, struct err *e)
{
    char condition[REMOTE_TAG_SIZE + sizeof "If-Match: "];
    const bool looks = strcmp(method, "GET") == 0;
    const struct remote_call call = {.method = method,
                                     .path = path,
                                     .accept = "application/json",
                                     .headers = {looks ? NULL : condition, NULL}};
    struct remote_answer a = {.after_s = -1};
    snprintf(condition, sizeof condition, "If-Match: %s", tag);
    json_t *value = ask_json(r, &call, &a, e);
    *changed = a.status == 412;
    if (looks)
        snprintf(tag, REMOTE_TAG_SIZE, "%s", a.etag[0] ? a.etag : "*");
    remote_answer_clear(&a);
    return value;
}
