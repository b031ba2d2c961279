/* Loading models, at the start and again while the daemon serves.
 *
 * One thread at a time does it; it is started and joined by the main thread, which is the only one
 * that changes the configuration, and only while no such thread runs. */
#ifndef DAEMON_MODELS_H
#define DAEMON_MODELS_H

#include "daemon_config.h"
#include "http_server.h"

#include <pthread.h>
#include <stdatomic.h>

struct daemon_models {
    struct daemon_config *config;
    struct engine *engine;
    struct http_server *server;
    int done; /* eventfd: the thread has ended */
    bool running;
    pthread_t thread;
    _Atomic bool stop;
    _Atomic bool wanted[DAEMON_MODELS_MAX]; /* to be loaded anew */
    bool again;                             /* what runs is not the first load */
    struct err error;                       /* of the first load, once it has ended */
};

/* Starts the first load, of all models; the first failure ends it and lies in `error`. */
int daemon_models_load(struct daemon_models *m, struct err *e);
/* Starts a load of what is wanted, if anything is and nothing runs; failures are logged and the old
 * models stay. */
int daemon_models_reload(struct daemon_models *m, struct err *e);
/* After `done` has spoken. */
void daemon_models_join(struct daemon_models *m);
/* Tells the thread to stop after the model it is at, and waits a second for it; false when it is
 * still at it then. */
bool daemon_models_end(struct daemon_models *m);

#endif
