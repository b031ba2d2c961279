/* The path of log lines to standard error: a bounded queue and a thread of its own that writes, so
 * that nobody who logs waits for whoever reads the log. A part of base_log.c. */
#ifndef BASE_LOG_QUEUE_H
#define BASE_LOG_QUEUE_H

#include "base_err.h"
#include <stdint.h>

/* Starts the thread; before it, and after a log_queue_stop that wrote everything, a line is written
 * by its caller. `lost` is called on the thread when lines flow again after `count` were dropped;
 * it may put a line. */
int log_queue_start(void (*lost)(uint64_t count), struct err *e);
/* Waits until all lines are written, at most that long, and ends the thread; what is not written by
 * then, and every later line, is dropped. */
void log_queue_stop(int timeout_ms);
/* A whole line with its line feed; dropped when the queue has no room for it. Never waits. */
void log_queue_put(const void *line, size_t length);
/* Lines that were dropped or could not be written, since the start. */
uint64_t log_queue_dropped(void);

#endif
