/* What the subcommands of `pfgm` share: how they fail, how they read options, how they open a
 * model. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "cli_command.h"
#include "model.h"
#include <getopt.h>
#include <stdint.h>

#define CLI_EXIT_OK 0
#define CLI_EXIT_FAILED 1
#define CLI_EXIT_INPUT 2

/* Prints "pfgm SUBCOMMAND: at: text" to stderr and returns the exit code (err_exit_code). */
int cli_fail(const char *subcommand, const struct err *e);
/* Prints a usage error with the hint "try pfgm SUBCOMMAND --help"; returns 2. */
int cli_usage_error(const char *subcommand, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The error of a lower room, whose `at` is a field of a request, with the option of the command
 * line in its place; `steps` as in cli_solver_options. */
int cli_fail_field(const struct err *why, const char *steps, struct err *e);
/* Reads all options of the command line; `optind` is then at the first other word. The solver's go
 * to `choice`, which may be NULL where the command has none. -1 to go on, else the exit code: help
 * was asked for and printed, or a usage error was, with the option that a misspelt one may mean. */
int cli_options_take(const struct cli_command *command, struct model_choice *choice, int argc,
                     char **argv, void *context);

/* Numbers from the command line. Each takes the whole word or fails with ERR_INPUT, `at` being the
 * option's name: no space, no other base, no sign where none can be right, no overflow. Digits mean
 * the same in every locale. */
int cli_parse_int(const char *option, const char *word, int64_t min, int64_t max, int64_t *out,
                  struct err *e);
int cli_parse_u64(const char *option, const char *word, uint64_t *out, struct err *e);
int cli_parse_real(const char *option, const char *word, double *out, struct err *e);

/* The words of --kernel and --precision (NULL: auto). A kernel or a precision that this machine or
 * build does not have is an error that says so. */
int cli_model_options(const char *kernel, const char *precision, struct model_options *out,
                      struct err *e);

/* model_solver_choose, or with a `forward` model_solver_choose_forward, with errors that name the
 * option of the command line; `steps` as in cli_solver_options. */
int cli_solver_choose(const struct model *m, const struct model_solver *forward, const char *steps,
                      const struct model_choice *choice, struct model_solver *out, struct err *e);
/* The same of model_solver_choose or, with `once`, model_solver_choose_once. */
int cli_solver_choose_once(const struct model *m, bool once, const char *steps,
                           const struct model_choice *choice, struct model_solver *out,
                           struct err *e);

/* Opens a model with those words. NULL on failure. */
struct model *cli_model_load(const char *path, const char *kernel, const char *precision,
                             struct err *e);

#endif
