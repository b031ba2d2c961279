/* The stream is read line by line as it comes. An event that was cut off by the end of a connection
 * comes again with the next one. */
#include "remote_events.h"

#include "base_text.h"

#include <inttypes.h>
#include <string.h>

#define EVENT_BYTES_MAX ((size_t)16 << 20)

struct stream {
    struct remote_reader *reader;
    struct buf line, data;
    char kind[32];
    uint64_t id;
    bool came; /* an event, on this connection */
    int result;
    struct err error;
};

static int give(struct stream *s)
{
    json_t *data;
    if (s->kind[0] == '\0')
        return 0;
    data = json_parse(s->data.data, s->data.length, "an event of the server", &s->error);
    if (!data)
        return -1;
    const struct remote_event event = {.id = s->id, .kind = s->kind, .data = data};
    const int result = s->reader->event(s->reader->context, &event, &s->error);
    json_decref(data);
    if (result >= 0 && s->id > 0)
        s->reader->last = s->id;
    s->came = true;
    return result;
}

/* What stands behind "NAME:", or NULL where it is another field. */
static const char *field(const char *line, const char *name)
{
    const size_t length = strlen(name);
    if (strncmp(line, name, length) != 0 || line[length] != ':')
        return NULL;
    return line + length + 1 + (line[length + 1] == ' ');
}

static int take_line(struct stream *s)
{
    const char *line = s->line.length > 0 ? (const char *)s->line.data : "", *value;
    int result = 0;
    if (*line == '\0') {
        result = give(s);
        buf_reset(&s->data);
        s->kind[0] = '\0';
    } else if ((value = field(line, "event")) != NULL) {
        snprintf(s->kind, sizeof s->kind, "%.31s", value);
    } else if ((value = field(line, "id")) != NULL) {
        if (!text_digits(value, &s->id))
            s->id = 0;
    } else if ((value = field(line, "data")) != NULL) {
        result = buf_string(&s->data, value, &s->error);
    }
    buf_reset(&s->line);
    return result;
}

static int take(void *context, const struct remote_answer *a, const void *data, size_t length)
{
    struct stream *s = context;
    const char *text = data;
    (void)a;
    for (const char *end; length > 0 && s->result == 0;) {
        end = memchr(text, '\n', length);
        const size_t bytes = end ? (size_t)(end - text) : length;
        if (buf_append(&s->line, text, bytes, &s->error) != 0)
            s->result = -1;
        else if (end)
            s->result = take_line(s);
        text += bytes + (end != NULL);
        length -= bytes + (end != NULL);
    }
    return s->result;
}

/* One connection. 0 and 1 as remote_follow; 2: there is more to come. */
static int read_some(struct remote *r, const char *path, struct stream *s, struct remote_answer *a,
                     struct err *e)
{
    char last[64];
    snprintf(last, sizeof last, "Last-Event-ID: %" PRIu64, s->reader->last);
    const struct remote_call call = {.method = "GET",
                                     .path = path,
                                     .accept = "text/event-stream",
                                     .headers = {s->reader->last > 0 ? last : NULL},
                                     .take = take,
                                     .context = s};
    const int result = remote_ask(r, &call, a, e);
    if (s->result != 0)
        return s->result > 0 ? 0 : err_pass(e, &s->error);
    if (result == 0 && a->status == 204)
        return 1;
    if (result == 0) {
        a->passes = true; /* the server stops, and goes on with its next start */
        err_fail(e, ERR_IO, "", "the server ended the events before the last one");
    }
    return 2;
}

int remote_follow(struct remote *r, const char *path, struct remote_reader *reader, struct err *e)
{
    struct remote_pause pause = {0};
    int result = 2;
    while (result == 2) {
        struct remote_answer a = {.after_s = -1};
        struct stream s = {.reader = reader};
        struct err why = {0};
        buf_init(&s.line, EVENT_BYTES_MAX);
        buf_init(&s.data, EVENT_BYTES_MAX);
        result = read_some(r, path, &s, &a, &why);
        if (s.came)
            pause = (struct remote_pause){0};
        if (result < 0)
            err_pass(e, &why);
        else if (result == 2 && remote_pause(r, &pause, &a, &why, e) != 0)
            result = -1;
        remote_answer_clear(&a);
        buf_clear(&s.line);
        buf_clear(&s.data);
    }
    return result;
}
