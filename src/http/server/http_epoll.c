/* This file has the process's epoll_ctl and epoll_wait, which the library calls in the place of the
 * C library's.
 *
 * Where listening ends, MHD_quiesce_daemon takes the listening socket out of the epoll set of each
 * of its threads. A thread that wakes meanwhile takes it out itself; so does one that has as many
 * connections as it may have. Who comes second finds nothing to take out (ENOENT), and the library
 * ends the process for that, in all but two of these places. But then what was to be done is done:
 * a removal of what is not there is no failure.
 *
 * A thread asks for so many events at once, and as soon as it gets as many it asks again, for as
 * long as the time that it meant to wait at first. The first ones are in hand and their sockets
 * will not be reported again, so where no further ones come, those requests lie unread: until the
 * oldest silent connection of the thread is due, or for ever. So it never gets as many as it asks
 * for. What is left it fetches after it has seen to the first ones, without waiting. */
#include "http_epoll.h"

#include <dlfcn.h>
#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <sys/epoll.h>

typedef int control_function(int set, int operation, int fd, struct epoll_event *event);
typedef int wait_function(int set, struct epoll_event *events, int count, int timeout_ms);

static control_function *next_epoll_ctl;
static wait_function *next_epoll_wait;
static pthread_once_t found = PTHREAD_ONCE_INIT;

static void find_next(void)
{
    *(void **)&next_epoll_ctl = dlsym(RTLD_NEXT, "epoll_ctl");
    *(void **)&next_epoll_wait = dlsym(RTLD_NEXT, "epoll_wait");
}

__attribute__((visibility("default"))) int epoll_ctl(int set, int operation, int fd,
                                                     struct epoll_event *event)
{
    pthread_once(&found, find_next);
    if (!next_epoll_ctl) {
        errno = ENOSYS;
        return -1;
    }
    const int result = next_epoll_ctl(set, operation, fd, event);
    return result != 0 && operation == EPOLL_CTL_DEL && errno == ENOENT ? 0 : result;
}

__attribute__((visibility("default"))) int epoll_wait(int set, struct epoll_event *events,
                                                      int count, int timeout_ms)
{
    pthread_once(&found, find_next);
    if (!next_epoll_wait) {
        errno = ENOSYS;
        return -1;
    }
    return next_epoll_wait(set, events, count > 1 ? count - 1 : count, timeout_ms);
}

/* In this file so that whoever quiesces is linked with its functions. */
int http_quiesce(struct MHD_Daemon *daemon)
{
    return MHD_quiesce_daemon(daemon);
}
