/* Log lines: how they look. A value that is too long is cut before it goes in, so that every line
 * parses and no value pushes the fields behind it out of the line. base_log_queue.c writes them. */
#include "base_log.h"

#include "base_json.h"
#include "base_log_queue.h"
#include "base_text.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LINE_MAX_BYTES 4095 /* with its line feed what a pipe takes in one piece */
#define VALUE_MAX 1200      /* bytes of a value */
#define JSON_LINE_MAX 32768 /* escapes grow a value by six at most */

static _Atomic int current_level = LOG_INFO;
static _Atomic int current_format = LOG_FORMAT_TEXT;
static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const char *const format_names[] = {"text", "json"};

void log_set_level(enum log_level level)
{
    current_level = (int)level;
}

void log_set_format(enum log_format format)
{
    current_format = (int)format;
}

static int find_word(const char *const *words, int count, const char *word)
{
    for (int i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0)
            return i;
    return -1;
}

int log_level_parse(const char *word, enum log_level *out)
{
    int i = find_word(level_names, 4, word);
    if (i >= 0)
        *out = (enum log_level)i;
    return i < 0 ? -1 : 0;
}

int log_format_parse(const char *word, enum log_format *out)
{
    int i = find_word(format_names, 2, word);
    if (i >= 0)
        *out = (enum log_format)i;
    return i < 0 ? -1 : 0;
}

static size_t put_time(char *out, size_t size)
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &utc);
    return used + (size_t)snprintf(out + used, size - used, ".%03ldZ", now.tv_nsec / 1000000);
}

/* Appends what fits; the new length. */
static size_t put(char *line, size_t used, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static size_t put(char *line, size_t used, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line + used, LINE_MAX_BYTES - used, format, args);
    va_end(args);
    if (n < 0)
        return used;
    return (size_t)n < LINE_MAX_BYTES - used ? used + (size_t)n : LINE_MAX_BYTES - 1;
}

static bool is_absent(const struct log_field *f)
{
    switch (f->kind) {
    case LOG_TEXT:
    case LOG_MESSAGE:
        return !f->text || !*f->text;
    case LOG_MS:
        return f->number < 0.0;
    case LOG_FLAG:
        return f->number == 0.0;
    case LOG_INTEGER:
        break;
    }
    return false;
}

/* Whether a reader that splits fields at blanks, and keys from values at '=', would misread it. */
static bool needs_quotes(const char *text, bool bare)
{
    for (size_t step; *text; text += step) {
        step = text_sequence(text);
        if (step == 0 || text_is_control(text, step) || strchr(bare ? " \"\\" : " \"\\=", *text))
            return true;
    }
    return false;
}

static size_t put_text(char *line, size_t used, const struct log_field *f)
{
    char value[VALUE_MAX + 1];
    const bool quoted = f->kind == LOG_TEXT && needs_quotes(f->text, f->bare);
    text_escape(value, sizeof value, f->text, quoted);
    return put(line, used, quoted ? "\"%s\"" : "%s", value);
}

static size_t put_field(char *line, size_t used, const struct log_field *f)
{
    used = put(line, used, " ");
    if (f->kind == LOG_FLAG)
        return put(line, used, "(%s)", f->key);
    if (!f->bare)
        used = put(line, used, "%s=", f->key);
    if (f->kind == LOG_TEXT || f->kind == LOG_MESSAGE)
        return put_text(line, used, f);
    if (f->kind == LOG_INTEGER)
        return put(line, used, "%.0f", f->number);
    return f->bare ? put(line, used, "%.1fms", f->number) : put(line, used, "%.3f", f->number);
}

static json_t *text_json(const char *text)
{
    char cut[VALUE_MAX + 1];
    text_copy(cut, sizeof cut, text);
    return json_text(cut);
}

static json_t *field_json(const struct log_field *f)
{
    switch (f->kind) {
    case LOG_TEXT:
    case LOG_MESSAGE:
        return text_json(f->text);
    case LOG_INTEGER:
        return json_integer((json_int_t)f->number);
    case LOG_MS:
        return json_real((double)(int64_t)(f->number * 1000.0) / 1000.0);
    case LOG_FLAG:
        break;
    }
    return json_true();
}

/* JSON's own escapes leave DEL, C1 and the like as they are, which a terminal obeys. */
static int escape_controls(const struct buf *from, struct buf *to)
{
    int result = 0;
    const char *at = (const char *)from->data;
    for (size_t step, left = from->length; left && result == 0; left -= step, at += step) {
        step = text_sequence(at); /* never 0: text_copy saw to it */
        result = text_is_control(at, step)
                     ? buf_format(to, NULL, "\\u%04x", text_code_point(at, step))
                     : buf_append(to, at, step, NULL);
    }
    return result != 0 ? -1 : buf_string(to, "\n", NULL);
}

static void write_json(enum log_level level, const char *event, const struct log_field *fields,
                       size_t count)
{
    char time[32];
    struct buf text, line;
    put_time(time, sizeof time);
    buf_init(&text, JSON_LINE_MAX);
    buf_init(&line, JSON_LINE_MAX);
    json_t *o =
        json_pack("{s:s, s:s, s:s}", "time", time, "level", level_names[level], "event", event);
    int result = o == NULL;
    for (size_t i = 0; i < count && result == 0; i++)
        if (!is_absent(&fields[i]))
            result = json_object_set_new(o, fields[i].key, field_json(&fields[i]));
    result =
        result != 0 || json_append(&text, o, 0, NULL) != 0 || escape_controls(&text, &line) != 0;
    json_decref(o);
    static const char failed[] =
        "{\"level\":\"error\",\"event\":\"log\",\"message\":\"out of memory\"}\n";
    log_queue_put(result != 0 ? (const void *)failed : line.data,
                  result != 0 ? sizeof failed - 1 : line.length);
    buf_clear(&text);
    buf_clear(&line);
}

void log_fields(enum log_level level, const char *event, const struct log_field *fields,
                size_t count)
{
    if ((int)level > current_level)
        return;
    if (current_format == LOG_FORMAT_JSON) {
        write_json(level, event, fields, count);
        return;
    }
    char line[LINE_MAX_BYTES + 1];
    size_t used = put_time(line, sizeof line);
    used = put(line, used, " %s", level_names[level]);
    for (size_t i = 0; i < count; i++)
        if (!is_absent(&fields[i]))
            used = put_field(line, used, &fields[i]);
    line[used] = '\n';
    log_queue_put(line, used + 1);
}

void log_line(enum log_level level, const char *format, ...)
{
    char text[LINE_MAX_BYTES - 64];
    if ((int)level > current_level)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const struct log_field message = {"message", LOG_MESSAGE, true, text, 0.0};
    log_fields(level, "log", &message, 1);
}

static void say_lost(uint64_t count)
{
    log_line(LOG_WARN, "%llu lines of the log were dropped, as standard error did not take them",
             (unsigned long long)count);
}

int log_start(struct err *e)
{
    return log_queue_start(say_lost, e);
}

void log_stop(int timeout_ms)
{
    log_queue_stop(timeout_ms);
}

uint64_t log_dropped(void)
{
    return log_queue_dropped();
}
