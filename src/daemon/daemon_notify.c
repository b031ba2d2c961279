/* sd_notify. Its failures are not ours to act on: without a manager there is no one to tell. */
#include "daemon_notify.h"

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>

void daemon_notify_loading(const char *what)
{
    sd_notifyf(0, "STATUS=Loading %s\nEXTEND_TIMEOUT_USEC=30000000", what);
}

void daemon_notify_ready(void)
{
    sd_notify(0, "READY=1\nSTATUS=Serving");
}

void daemon_notify_stopping(void)
{
    sd_notify(0, "STOPPING=1\nSTATUS=Finishing what runs");
}
#else
void daemon_notify_loading(const char *what)
{
    (void)what;
}

void daemon_notify_ready(void)
{
}

void daemon_notify_stopping(void)
{
}
#endif
