/* A job's images as one file from the server. For src/cli only. */
#ifndef CLI_JOBS_ARCHIVE_H
#define CLI_JOBS_ARCHIVE_H

#include "cli_jobs_common.h"

struct cli_jobs_archive {
    const char *output;               /* ends in .zip, .npz or .npy */
    uint64_t n;                       /* images of the job */
    char (*digests)[SHA256_HEX_SIZE]; /* [n], of what is stored */
};
bool cli_jobs_is_archive(const char *output);
/* Before anything is waited for: whether so many images can be in it. */
int cli_jobs_archive_check(const char *output, uint64_t n, struct err *e);
/* Downloads it, compares what is in it, and gives it its name only then. A download that breaks off
 * goes on where it was, if the server can do that; else it begins anew, which standard error says.
 */
int cli_jobs_archive(struct remote *r, const struct cli_jobs *j, const struct cli_jobs_archive *a,
                     struct err *e);

#endif
