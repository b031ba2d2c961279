/* Telling systemd about the state of life, where the build has its library and the service runs
 * under it; otherwise nothing happens. */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include "base_err.h"

#include <stdint.h>

/* Still loading; asks for 30 more seconds. Call at least that often. */
void daemon_notify_loading(const char *what);
void daemon_notify_ready(void);
/* Stopping; asks for so many seconds, where the manager would give fewer. */
void daemon_notify_stopping(int64_t seconds);
/* A sign of life for the watchdog. */
void daemon_notify_alive(void);
/* Milliseconds between two signs that the manager wants, -1 when it has no watchdog. */
int daemon_notify_interval_ms(void);
/* A listening stream socket that the manager has opened for us (socket activation), or -1. More
 * than one is an error, as one would be left unserved. */
int daemon_notify_socket(struct err *e);

#endif
