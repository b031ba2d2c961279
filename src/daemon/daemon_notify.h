/* Telling systemd about the state of life, where the build has its library and the service runs
 * under it; otherwise nothing happens. */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

/* Still loading; asks for 30 more seconds. Call at least that often. */
void daemon_notify_loading(const char *what);
void daemon_notify_ready(void);
void daemon_notify_stopping(void);

#endif
