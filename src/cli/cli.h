/* The subcommands of `pfgm`.
 *
 * Each is one function in one file. It gets the words after `pfgm` (argv[0] is its own name), may
 * use getopt, and returns the exit code: 0 done, 1 it failed, 2 bad input. Nothing below main()
 * ends the process. One thread, except for the engine's workers. */
#ifndef CLI_H
#define CLI_H

#include "cli_options.h"

int cli_sample(int argc, char **argv);
int cli_field(int argc, char **argv);
int cli_convert(int argc, char **argv);
int cli_inspect(int argc, char **argv);
int cli_bench(int argc, char **argv);
int cli_tune(int argc, char **argv);
int cli_plot(int argc, char **argv);
int cli_train(int argc, char **argv);
int cli_encode(int argc, char **argv);
int cli_decode(int argc, char **argv);
int cli_interpolate(int argc, char **argv);
int cli_likelihood(int argc, char **argv);
int cli_eval(int argc, char **argv);

/* `pfgm bench solvers`, which has options of its own; argv[0] is "solvers". */
int cli_bench_solvers(int argc, char **argv);

#endif
