/* Where listening ends, MHD_quiesce_daemon takes the listening socket out of the epoll set of each
 * of its threads. A thread that wakes meanwhile takes it out itself; so does one that has as many
 * connections as it may have. Who comes second finds nothing to take out (ENOENT), and
 * libmicrohttpd 0.9.75 ends the process for that, in all but two of these places. But then what was
 * to be done is done. So this file has the process's epoll_ctl, for which a removal of what is not
 * there is no failure; the library calls it in the place of the C library's. */
#include "http_quiesce.h"

#include <dlfcn.h>
#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <sys/epoll.h>

typedef int epoll_function(int set, int operation, int fd, struct epoll_event *event);

static epoll_function *next_epoll_ctl;
static pthread_once_t found = PTHREAD_ONCE_INIT;

static void find_next(void)
{
    *(void **)&next_epoll_ctl = dlsym(RTLD_NEXT, "epoll_ctl");
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

/* In this file so that whoever quiesces is linked with its epoll_ctl. */
int http_quiesce(struct MHD_Daemon *daemon)
{
    return MHD_quiesce_daemon(daemon);
}
