/* Two faults in what libmicrohttpd 0.9.75 does with epoll, kept from doing harm. For
 * src/http/server only. */
#ifndef HTTP_EPOLL_H
#define HTTP_EPOLL_H

struct MHD_Daemon;

/* No connection is accepted from now on. Returns the listening socket, to be closed after
 * MHD_stop_daemon and not before, since a thread may still be about to accept from it; or -1. */
int http_quiesce(struct MHD_Daemon *daemon);

#endif
