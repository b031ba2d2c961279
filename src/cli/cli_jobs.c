/* `pfgm jobs`: work that a server does, from the command line. */
#include "cli.h"

static int take_option(void *context, int c, const char *word, struct err *e)
{
    (void)context, (void)c, (void)word;
    return err_fail(e, ERR_INTERNAL, "", "an option without a meaning");
}

static int jobs_main(int argc, char **argv)
{
    int code = cli_options_take(&cli_jobs_command, NULL, argc, argv, NULL);
    if (code >= 0)
        return code;
    return cli_usage_error("jobs", "what to do is submit, list, watch, fetch or cancel");
}

static const struct cli_option options[] = {{0}};
static const struct cli_command *const inner[] = {&cli_jobs_submit_command, &cli_jobs_list_command,
                                                  &cli_jobs_watch_command,  &cli_jobs_fetch_command,
                                                  &cli_jobs_cancel_command, NULL};

const struct cli_command cli_jobs_command = {
    .name = "jobs",
    .summary = "file, follow and fetch work of a server",
    .synopsis = "jobs submit|list|watch|fetch|cancel ...",
    .about = "Jobs are work that a pfgmd does and keeps, up to a million images each. They go on "
             "when the connection is lost, and after a restart of the server.\n\n"
             "The exit status is 0 when what was asked for is done; 1 when the job failed or was "
             "cancelled, or the server did not answer for longer than --patience; 2 when an option "
             "is wrong, or the server refuses: there is no such job, or the key is not known.",
    .options = options,
    .words = "submit list watch fetch cancel",
    .inner = inner,
    .take = take_option,
    .run = jobs_main};
