/* MHD_quiesce_daemon marks each thread of the pool as quiesced and then takes the listening socket
 * out of the thread's epoll set. A thread that wakes between the two takes it out itself, and
 * libmicrohttpd 0.9.75 ends the process when it does not find it any more. It looks at ENOENT for a
 * single thread, but not for a pool. So where that is the reason, its call is left, and made again:
 * it holds no lock there, and by the second time the thread has noted what it has done. */
#include "http_quiesce.h"

#include <microhttpd.h>

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TRIES 2000
#define PAUSE_NS 500000

static _Thread_local jmp_buf *way_out; /* of a thread that quiesces */

static void on_panic(void *context, const char *file, unsigned line, const char *reason)
{
    const int why = errno;
    (void)context;
    if (way_out && why == ENOENT)
        longjmp(*way_out, 1);
    fprintf(stderr, "libmicrohttpd cannot go on: %s:%u: %s\n", file, line, reason);
    abort();
}

void http_quiesce_prepare(void)
{
    MHD_set_panic_func(on_panic, NULL);
}

int http_quiesce(struct MHD_Daemon *daemon)
{
    static const struct timespec pause = {.tv_nsec = PAUSE_NS};
    jmp_buf here;
    volatile int tries = 0;
    if (setjmp(here) != 0)
        nanosleep(&pause, NULL);
    way_out = tries++ < TRIES ? &here : NULL; /* at the end the library has its say */
    const MHD_socket listening = MHD_quiesce_daemon(daemon);
    way_out = NULL;
    return listening;
}
