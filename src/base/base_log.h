/* Log lines to standard error, one write per line, safe from any thread; as text
 * ("TIME LEVEL message") or as one JSON object per line. Every line is valid UTF-8; control
 * characters from outside are escaped.
 * What must not be known to whoever reads logs (keys, signatures) is the caller's to leave out. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base_err.h"
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

void log_set_level(enum log_level level);
/* "error", "warn", "info" or "debug"; -1 for any other word. */
int log_level_parse(const char *word, enum log_level *out);
void log_set_format(enum log_format format);
/* "text" or "json"; -1 for any other word. */
int log_format_parse(const char *word, enum log_format *out);

/* From now on a thread writes the lines, and who logs never waits for whoever reads them: a line
 * for which there is no room is dropped and counted. Without it each line is written by its caller.
 */
int log_start(struct err *e);
/* Waits until the lines are written, at most that long; what is not written by then is dropped. */
void log_stop(int timeout_ms);
/* Lines that were dropped, or that standard error did not take. */
uint64_t log_dropped(void);

/* A line of words; in JSON they are its "message". */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A line of fields. In JSON each is a member; in text the bare ones are their value alone and the
 * others KEY=VALUE, in the order given. In text a value stands in quotes, with '"' and '\' escaped,
 * when it could be read as more than one field. */
enum log_kind {
    LOG_TEXT,    /* left out when NULL or empty */
    LOG_MESSAGE, /* the same of words, which are never quoted */
    LOG_INTEGER, /* of `number` */
    LOG_MS,      /* milliseconds of `number`; left out when negative */
    LOG_FLAG     /* left out when `number` is 0; in text "(key)" */
};
struct log_field {
    const char *key;
    enum log_kind kind;
    bool bare;
    const char *text;
    double number;
};
/* `event` says what kind of line it is, in JSON only. */
void log_fields(enum log_level level, const char *event, const struct log_field *fields,
                size_t count);

#endif
