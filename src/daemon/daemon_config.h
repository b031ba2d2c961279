/* The settings of pfgmd: a configuration file of "key = value" lines with "[model NAME]" sections,
 * and flags that override it. One table of keys serves both, so a flag and a key cannot differ in
 * meaning, range or default; conf/pfgmd.conf lists it with words. */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include "base_log.h"
#include "model.h"

#include <sys/un.h>

#define DAEMON_MODELS_MAX 64
#define DAEMON_NAME_MAX 64
#define DAEMON_CONFIG_MAX ((size_t)1 << 20) /* bytes of a configuration file */

struct daemon_model {
    char name[DAEMON_NAME_MAX + 1];
    char *path;     /* owned */
    bool from_file; /* a flag of the same name replaces the path */
    bool kernel_given, precision_given;
    char sha256[SHA256_HEX_SIZE]; /* that the file must have; empty: any */
    struct model_options options; /* where not given, the general one */
};

struct daemon_config {
    char listen[256]; /* "ADDRESS:PORT" or "[ADDRESS]:PORT" */
    int workers;      /* 0: as many as the machine gives */
    int batch;        /* live images a worker evaluates at once */
    int queue;        /* images that may wait */
    int n_max;        /* images in one request; where it was not given at most `queue` */
    bool n_max_given;
    int nfe_max;                 /* evaluations per image; 0: no bound */
    int timeout_max;             /* seconds of a request that is no job; 0: no bound */
    int connections;             /* that get work at once */
    int connections_per_address; /* 0: no limit */
    int http_threads;
    int idle_timeout, read_timeout, drain_delay, drain_timeout, watchdog; /* seconds */
    bool public_metrics;
    char admin[sizeof((struct sockaddr_un *)0)->sun_path]; /* path of the socket; empty: none */
    char state[256];                          /* folder of the store of jobs; empty: no jobs */
    char nats[1024];                          /* servers that keep jobs instead; empty: none */
    char nats_credentials[256], nats_ca[256]; /* files; empty: none */
    int nats_replicas;                        /* of what is stored there */
    int jobs_keep;                            /* seconds after a job's end */
    int jobs_keep_mib;                        /* of finished jobs; 0: no bound */
    int jobs_records;                         /* of jobs that have ended; 0: no bound */
    int jobs_live;                            /* of one key that have not ended; 0: no bound */
    char keys[256];                           /* file of bearer keys; empty: none are needed */
    char tls_certificate[256], tls_key[256];  /* PEM files; both or neither */
    char link_secret[256];                    /* file; empty: drawn anew by each process */
    int link_lifetime;                        /* seconds */
    char cors_origins[1024];
    char public_url[512], hosts[1024], trusted_proxies[1024]; /* http_front.h */
    enum log_level log_level;
    enum log_format log_format;
    struct model_options model_options; /* of models that say nothing else */
    struct daemon_model models[DAEMON_MODELS_MAX];
    size_t model_count;
};

void daemon_config_init(struct daemon_config *c);
void daemon_config_clear(struct daemon_config *c);

/* Sets one key of the general part; ERR_INPUT with `where` in front ("FILE:LINE" or "--flag"). */
int daemon_config_set(struct daemon_config *c, const char *key, const char *value,
                      const char *where, struct err *e);
/* Whether a general key of that name exists (the flags are "--" and the key with '-' for '_'). */
bool daemon_config_has(const char *key);
/* A --model flag: adds "NAME=PATH" or "PATH" (its name is then the file's, without ".safetensors"),
 * or gives a model that the file named another path. */
int daemon_config_add_model(struct daemon_config *c, const char *text, const char *where,
                            struct err *e);
/* Reads a file over what is set already. Unknown keys and sections, keys that occur twice, and bad
 * values are errors that name file and line. */
int daemon_config_read(struct daemon_config *c, const char *path, struct err *e);
/* What only the whole can show: at least one model, and each with a path. Fills in the models'
 * options. */
int daemon_config_finish(struct daemon_config *c, struct err *e);

/* Takes from `fresh` what may change while the daemon runs: paths and options of the models that
 * are there. What else differs is logged, as it takes a restart. */
void daemon_config_take(struct daemon_config *c, struct daemon_config *fresh);
/* Takes the files of certificate and key, whose contents serve already. */
void daemon_config_take_pair(struct daemon_config *c, const struct daemon_config *fresh);

#endif
