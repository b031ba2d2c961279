/* What the subcommands of `pfgm` share: how they fail, how they read options, how they open a
 * model. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

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
/* The usage error for what getopt_long returned as '?' or ':' (with opterr = 0); returns 2. */
int cli_option_error(const char *subcommand, int answer, char **argv);

/* The options of a subcommand, for cli_take_options. */
struct cli_options {
    const char *subcommand, *help;
    const char *short_options; /* begins with ':' and has 'h' */
    const struct option *long_options;
    /* Takes one option and its value (NULL without one) into what `context` points to. */
    int (*take)(void *context, int option, const char *word, struct err *e);
};
/* Reads all options with getopt_long; `optind` is then at the first other word. -1 to go on, else
 * the exit code: help was asked for and printed, or a usage error was told. */
int cli_take_options(const struct cli_options *options, int argc, char **argv, void *context);

/* The options of a subcommand whose solver can be chosen: one for each row of model_choice.h. */
struct cli_solver_options {
    const char *title; /* of these options in the help, which ends with them */
    const char *steps; /* the option of the steps, where "--steps" means something else; or NULL */
    bool adaptive;     /* the method is rk45 in any case, and so is what can be chosen */
};
/* cli_take_options with these options too, whose values go to `choice`. */
int cli_take_options_solver(const struct cli_options *options,
                            const struct cli_solver_options *solver, struct model_choice *choice,
                            int argc, char **argv, void *context);

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

/* Opens a model with those words. NULL on failure. */
struct model *cli_model_load(const char *path, const char *kernel, const char *precision,
                             struct err *e);

#endif
