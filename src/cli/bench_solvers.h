/* `pfgm bench solvers`, a subcommand of bench with options of its own. */
#ifndef BENCH_SOLVERS_H
#define BENCH_SOLVERS_H

/* argv[0] is "solvers"; the exit code. */
int bench_solvers(int argc, char **argv);

#endif
