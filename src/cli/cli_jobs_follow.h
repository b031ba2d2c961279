/* A job's events, from the first to the last, with a bar on a terminal. For src/cli only. */
#ifndef CLI_JOBS_FOLLOW_H
#define CLI_JOBS_FOLLOW_H

#include "cli_jobs_common.h"
#include "cli_progress.h"

struct cli_jobs_follow {
    bool json; /* each event as a line on standard output */
    /* Gets each image that is stored: its place in the job, from 0, and the SHA-256 of what is
     * stored. Or NULL. */
    int (*image)(void *context, uint64_t place, const char *sha256, struct err *e);
    void *context;
    json_t *job; /* out: as it is at its end, a reference; NULL before */
    /* Of the bar. */
    struct cli_progress bar;
    uint64_t handled, first; /* images; when it began to be drawn */
    int64_t first_ns;        /* 0: not yet */
};

/* 0 when the job has ended, however; its job is then the caller's to free. Restarts of the server
 * are waited for. */
int cli_jobs_follow(struct remote *r, const struct cli_jobs *j, struct cli_jobs_follow *f,
                    struct err *e);

#endif
