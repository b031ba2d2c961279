/* Server-sent events, followed over restarts of the server: whoever saw event N goes on behind it
 * (Last-Event-ID). */
#ifndef REMOTE_EVENTS_H
#define REMOTE_EVENTS_H

#include "remote.h"

struct remote_event {
    uint64_t id;
    const char *kind;
    const json_t *data; /* borrowed for the call */
};

struct remote_reader {
    uint64_t last; /* the id that was seen last; 0: none */
    /* 0: go on; 1: that was enough; -1: it failed, and `e` says why. */
    int (*event)(void *context, const struct remote_event *event, struct err *e);
    void *context;
};

/* Reads until `event` has enough (0), or the server says that everything was seen (1). -1: it
 * failed, or nothing came for longer than patience lasts. */
int remote_follow(struct remote *r, const char *path, struct remote_reader *reader, struct err *e);

#endif
