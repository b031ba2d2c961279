/* The subcommands of `pfgm`.
 *
 * Each is a table in a file of its own (cli_command.h). Nothing below main() ends the process. Exit
 * codes: 0 done, 1 it failed, 2 bad input. One thread, except for the engine's workers. */
#ifndef CLI_H
#define CLI_H

#include "cli_options.h"

extern const struct cli_command cli_sample_command, cli_encode_command, cli_decode_command,
    cli_interpolate_command, cli_edit_command, cli_likelihood_command, cli_field_command,
    cli_convert_command, cli_inspect_command, cli_train_command, cli_distill_command,
    cli_eval_command, cli_tune_command, cli_plot_command, cli_bench_command, cli_bench_ops_command,
    cli_bench_solvers_command, cli_merge_command, cli_jobs_command, cli_jobs_submit_command,
    cli_jobs_list_command, cli_jobs_watch_command, cli_jobs_fetch_command, cli_jobs_cancel_command;

/* The manual page of the subcommands in `list`, which ends with NULL, in roff to standard output.
 */
void cli_man_print(const struct cli_command *const *list);
/* Their completions for a shell: "bash", "zsh" or "fish". -1 for another. */
int cli_completions_print(const struct cli_command *const *list, const char *shell);

#endif
