/* Log lines to standard error: "TIME LEVEL message", one write a line, safe from any thread.
 * Control characters from outside become '?'. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base_err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
/* "error", "warn", "info" or "debug"; -1 for any other word. */
int log_level_parse(const char *word, enum log_level *out);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
