/* Somebody is always faster: whoever takes a socket out of an epoll set finds that it is gone. */
#include "quiesce_shim.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((visibility("default"))) atomic_int quiesce_shim_fd = -1, quiesce_shim_lost;

__attribute__((visibility("default"))) int epoll_ctl(int set, int operation, int fd,
                                                     struct epoll_event *event)
{
    const int result = (int)syscall(SYS_epoll_ctl, set, operation, fd, event);
    if (result != 0 || operation != EPOLL_CTL_DEL || fd != atomic_load(&quiesce_shim_fd))
        return result;
    atomic_fetch_add(&quiesce_shim_lost, 1);
    errno = ENOENT;
    return -1;
}
