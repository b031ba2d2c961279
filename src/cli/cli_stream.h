/* What a user names as an input or an output, where "-" means standard input or standard output.
 *
 * A file is written beside its name and renamed, so that an interrupted run leaves no half file; to
 * standard output goes what there is at once. Errors name the file. */
#ifndef CLI_STREAM_H
#define CLI_STREAM_H

#include "base_file.h"

bool cli_stream_is_standard(const char *path);
/* The path of an output as a line of a report shows it, in `out`, which is returned: what a
 * terminal would obey is written as "\x1b", and so is what is not UTF-8. */
enum { CLI_SHOWN_MAX = 8192 };
const char *cli_shown(const char *path, char out[CLI_SHOWN_MAX]);
/* Where a report goes: standard output, or standard error when that is taken. */
FILE *cli_stream_report(const char *output);
/* Whether bytes may go to standard output: ERR_INPUT when it is a terminal. */
int cli_stream_check(const char *output, struct err *e);

/* A whole input. */
struct cli_source {
    const unsigned char *data;
    size_t length;
    const char *name; /* for errors */
    struct file_map map;
    struct buf buf; /* of standard input */
};
int cli_source_open(struct cli_source *s, const char *path, struct err *e);
void cli_source_close(struct cli_source *s);

/* An output that is written piece by piece. */
struct cli_sink {
    FILE *stream;
    const char *path;
    struct file_writer writer;
};
int cli_sink_open(struct cli_sink *s, const char *path, struct err *e);
int cli_sink_put(struct cli_sink *s, const void *data, size_t length, struct err *e);
/* Ends it: what was put is there now. */
int cli_sink_commit(struct cli_sink *s, struct err *e);
/* Gives up what is not committed, and harmless else, on a zeroed one too. */
void cli_sink_close(struct cli_sink *s);

/* The three for bytes in memory. */
int cli_sink_write(const char *path, const void *data, size_t length, struct err *e);

#endif
