/* What the subcommands of `pfgm jobs` share: which server, whose key, and jobs as JSON. For src/cli
 * only. */
#ifndef CLI_JOBS_COMMON_H
#define CLI_JOBS_COMMON_H

#include "cli.h"
#include "remote.h"

enum { /* of their options, below those of a subcommand's own */
       CLI_JOBS_SERVER = 512,
       CLI_JOBS_KEY_FILE,
       CLI_JOBS_CA,
       CLI_JOBS_PATIENCE
};

#define CLI_JOBS_OPTIONS                                                                           \
    {"server", 0,    CLI_JOBS_SERVER,                                                              \
     "URL",    NULL, "the server; else $PFGM_URL, or http://127.0.0.1:8080"},                      \
        {"key-file",        0,                                                                     \
         CLI_JOBS_KEY_FILE, "FILE",                                                                \
         CLI_VALUES_FILES,  "its first line is the key for the server; else $PFGM_KEY"},           \
        {"ca",                                                                                     \
         0,                                                                                        \
         CLI_JOBS_CA,                                                                              \
         "FILE",                                                                                   \
         CLI_VALUES_FILES,                                                                         \
         "certificates (PEM) to trust in place of the system's"},                                  \
    {                                                                                              \
        "patience", 0, CLI_JOBS_PATIENCE, "S", NULL,                                               \
            "seconds for which a server that does not answer, or is full, is asked again, after "  \
            "growing pauses (300)"                                                                 \
    }

struct cli_jobs {
    struct remote_options to;
    const char *id; /* the job */
};

#define CLI_JOBS_PATIENCE_S 300

/* Takes an option of CLI_JOBS_OPTIONS. */
int cli_jobs_take(struct cli_jobs *j, int id, const char *word, struct err *e);
/* Opens the connection by the options and the environment. NULL: the error says why. */
struct remote *cli_jobs_open(struct cli_jobs *j, struct err *e);
/* Reads all options and the one ID behind them. -1: go on; else the exit code. */
int cli_jobs_parse(const struct cli_command *command, int argc, char **argv, struct cli_jobs *j,
                   void *context);

/* An ID is 36 of hexadecimal digits and "-". */
bool cli_jobs_is_id(const char *word);
/* "/v1/jobs/ID" with `more` behind it, appended. */
int cli_jobs_path(const struct cli_jobs *j, const char *more, struct buf *out, struct err *e);
/* The job: a new reference, or NULL. */
json_t *cli_jobs_get(struct remote *r, const struct cli_jobs *j, struct err *e);

/* Members of a job. Text is "" where it is absent, and printable. */
enum { CLI_JOBS_TEXT = 256 };
const char *cli_jobs_text(const json_t *job, const char *key, char out[CLI_JOBS_TEXT]);
uint64_t cli_jobs_count(const json_t *job, const char *key); /* of its progress */
bool cli_jobs_ended(const json_t *job);
/* 0 for one that has succeeded, else -1 and why not (ERR_IO). */
int cli_jobs_succeeded(const json_t *job, struct err *e);
/* "job ID succeeded: 20 of 20 images" on standard output. */
void cli_jobs_print(const json_t *job);

#endif
