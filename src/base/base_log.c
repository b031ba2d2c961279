/* Log lines. One write(2) a line keeps lines whole between threads without a lock. A line that is
 * too long is cut in text; in JSON its longest values are, before they go in, so that every line
 * parses. */
#include "base_log.h"

#include "base_json.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1600
#define VALUE_MAX 1200      /* bytes of a value in JSON */
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

static void write_line(const void *line, size_t length)
{
    /* A log that cannot be written has nowhere to say so. */
    ssize_t ignored = write(STDERR_FILENO, line, length);
    (void)ignored;
}

static void clean(char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
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

static size_t put_field(char *line, size_t used, const struct log_field *f)
{
    used = put(line, used, " ");
    if (f->kind == LOG_FLAG)
        return put(line, used, "(%s)", f->key);
    if (!f->bare)
        used = put(line, used, "%s=", f->key);
    if (f->kind == LOG_TEXT)
        return put(line, used, "%s", f->text);
    if (f->kind == LOG_INTEGER)
        return put(line, used, "%.0f", f->number);
    return f->bare ? put(line, used, "%.1fms", f->number) : put(line, used, "%.3f", f->number);
}

static json_t *text_json(const char *text)
{
    char cut[VALUE_MAX + 1];
    snprintf(cut, sizeof cut, "%s", text);
    clean(cut, strlen(cut));
    return json_text(cut);
}

static json_t *field_json(const struct log_field *f)
{
    switch (f->kind) {
    case LOG_TEXT:
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

static void write_json(enum log_level level, const char *event, const struct log_field *fields,
                       size_t count)
{
    char time[32];
    struct buf line;
    put_time(time, sizeof time);
    buf_init(&line, JSON_LINE_MAX);
    json_t *o =
        json_pack("{s:s, s:s, s:s}", "time", time, "level", level_names[level], "event", event);
    int bad = o == NULL;
    for (size_t i = 0; i < count && !bad; i++)
        if (!is_absent(&fields[i]))
            bad = json_object_set_new(o, fields[i].key, field_json(&fields[i]));
    bad = bad || json_append(&line, o, 0, NULL) != 0 || buf_string(&line, "\n", NULL) != 0;
    json_decref(o);
    static const char failed[] =
        "{\"level\":\"error\",\"event\":\"log\",\"message\":\"out of memory\"}\n";
    write_line(bad ? (const void *)failed : line.data, bad ? sizeof failed - 1 : line.length);
    buf_free(&line);
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
    clean(line, used);
    line[used] = '\n';
    write_line(line, used + 1);
}

void log_line(enum log_level level, const char *format, ...)
{
    char text[LINE_MAX_BYTES];
    if ((int)level > current_level)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const struct log_field message = {"message", LOG_TEXT, true, text, 0.0};
    log_fields(level, "log", &message, 1);
}
