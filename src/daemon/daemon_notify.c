/* sd_notify. Its failures are not ours to act on: without a manager there is no one to notify. */
#include "daemon_notify.h"

#ifdef HAVE_SYSTEMD
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

void daemon_notify_loading(const char *what)
{
    sd_notifyf(0, "STATUS=Loading %s\nEXTEND_TIMEOUT_USEC=30000000", what);
}

void daemon_notify_ready(void)
{
    sd_notify(0, "READY=1\nSTATUS=Serving");
}

void daemon_notify_stopping(int64_t seconds)
{
    sd_notifyf(0, "STOPPING=1\nSTATUS=Finishing what runs\nEXTEND_TIMEOUT_USEC=%lld",
               (long long)seconds * 1000000);
}

void daemon_notify_alive(void)
{
    if (sd_watchdog_enabled(0, NULL) > 0)
        sd_notify(0, "WATCHDOG=1");
}

int daemon_notify_interval_ms(void)
{
    uint64_t limit_us = 0;
    if (sd_watchdog_enabled(0, &limit_us) <= 0)
        return -1;
    return limit_us > 2000000000 ? 1000000 : (int)(limit_us / 2000); /* twice as often as needed */
}

int daemon_notify_socket(struct err *e)
{
    int count = sd_listen_fds(1);
    if (count <= 0)
        return -1;
    int fd = SD_LISTEN_FDS_START;
    if (count > 1 || sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0) {
        err_fail(e, ERR_INPUT, "LISTEN_FDS",
                 "hands over %d sockets; one listening stream socket is needed", count);
        return -1;
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        err_fail_errno(e, errno, "LISTEN_FDS", "make the socket non-blocking");
        return -1;
    }
    return fd;
}
#else
void daemon_notify_loading(const char *what)
{
    (void)what;
}

void daemon_notify_ready(void)
{
}

void daemon_notify_stopping(int64_t seconds)
{
    (void)seconds;
}

void daemon_notify_alive(void)
{
}

int daemon_notify_interval_ms(void)
{
    return -1;
}

int daemon_notify_socket(struct err *e)
{
    (void)e;
    return -1;
}
#endif
