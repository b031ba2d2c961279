/* Quality against evaluations: how far each solver ends from the exact path (bench_paths.h) with
 * few evaluations of a model. */
#ifndef BENCH_SOLVERS_H
#define BENCH_SOLVERS_H

#include "base_crypto.h"
#include "ode_solver.h"

enum { BENCH_SOLVERS = 9, BENCH_SOLVERS_POINTS = 10 };

struct bench_solvers_options {
    const char *model, *kernel;
    uint64_t seed;
    int n; /* starts; 0: a default */
};

struct bench_solvers {
    char sha256[SHA256_HEX_SIZE]; /* of the model */
    size_t starts;
    double exact_nfe; /* of the exact paths, a mean */
    /* [i] a solver's, root mean square distances in data scale; NaN where it has none */
    double nfe[BENCH_SOLVERS][BENCH_SOLVERS_POINTS], rms[BENCH_SOLVERS][BENCH_SOLVERS_POINTS];
    /* of each that has one: tuned schedules have methods of their own */
    enum ode_method method[BENCH_SOLVERS][BENCH_SOLVERS_POINTS];
};

/* Opens the model and measures. A solver that does not come to an end leaves a gap. */
int bench_solvers_run(const struct bench_solvers_options *o, struct bench_solvers *out,
                      struct err *e);
/* To standard output, as a table or as JSON. */
int bench_solvers_print(const struct bench_solvers *t, bool json, struct err *e);
/* What solver i is called in the table. */
const char *bench_solvers_name(size_t i);

#endif
