/* What the server is started with. */
#ifndef HTTP_OPTIONS_H
#define HTTP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_MODELS_MAX 64

struct jobs;

/* What the admin listener asks of the process. Called on a server thread; must return at once. */
struct http_hooks {
    void *context;
    void (*drain)(void *context);
    /* Begins to load the model of that place anew; what came of it is told by
     * http_server_reloaded. */
    void (*reload)(void *context, size_t model);
};

struct http_options {
    int listen_fd;     /* bound and listening; taken over, also on failure */
    int admin_fd;      /* the same of a unix socket, or -1 */
    size_t n_max;      /* images of a request; at most queue_images_max is taken */
    int timeout_max_s; /* deadline of every request that is no job; 0: none */
    int64_t nfe_max;   /* evaluations per image that a request may ask for; 0: no bound */
    size_t body_max, queue_images_max;
    int connections;             /* open at once; the last few get no work but a 503 */
    int connections_per_address; /* of them from one address; 0: no limit */
    int threads;                 /* that serve connections */
    int idle_s;     /* a connection without a request, or a client that does not read */
    int read_s;     /* the longest a body may take to arrive */
    int watchdog_s; /* age of an evaluation from which on /livez is 503; 0: never */
    bool public_metrics;
    /* Texts and arrays must outlive the server. */
    const char *public_url, *hosts, *trusted_proxies; /* http_front.h; NULL or empty: none */
    const char *cors_origins;       /* words between blanks, "*" for any; NULL or empty: none */
    const char *keys_file;          /* NULL or empty: everybody may ask */
    const char *link_secret;        /* file; NULL or empty: drawn for the life of the process */
    int link_lifetime_s;            /* of signed links */
    const char *certificate, *key;  /* PEM; NULL: no TLS */
    const char *const *model_names; /* as configured, in order */
    size_t model_count;
    struct jobs *jobs;        /* not owned; NULL: there are none */
    const char *jobs_trouble; /* why there are none though there should be; NULL: nobody asked */
    struct http_hooks hooks;
};

#endif
