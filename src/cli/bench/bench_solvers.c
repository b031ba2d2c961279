/* The table of solvers: each at the same few numbers of evaluations, an adaptive one at tolerances
 * that lead to about as many. */
#include "bench_solvers.h"

#include "bench_paths.h"
#include "cli_json.h"
#include "cli_options.h"

#include <math.h>
#include <stdio.h>

#define STARTS_DEFAULT 64

struct candidate {
    const char *name;
    enum ode_method method;
    enum ode_schedule schedule;
    bool halved; /* two evaluations per step */
};
static const struct candidate candidates[] = {
    {"Euler, log", ODE_EULER, ODE_SCHEDULE_LOG, false},
    {"Heun, rho", ODE_HEUN, ODE_SCHEDULE_RHO, true},
    {"improved Euler, log", ODE_IMPROVED_EULER, ODE_SCHEDULE_LOG, true},
    {"iPNDM-4, power", ODE_IPNDM4, ODE_SCHEDULE_POWER, false},
    {"multistep 2, power", ODE_MULTISTEP2, ODE_SCHEDULE_POWER, false},
    {"multistep 3, power", ODE_MULTISTEP3, ODE_SCHEDULE_POWER, false},
    {"UniPC-3, power", ODE_UNIPC3, ODE_SCHEDULE_POWER, false},
    {"tuned", ODE_MULTISTEP3, ODE_SCHEDULE_TUNED, false},
    {"rk45, tolerances 1e-2 to 1e-5", ODE_RK45, ODE_SCHEDULE_LOG, false},
};
_Static_assert(sizeof candidates / sizeof *candidates == BENCH_SOLVERS, "a row each");
static const int evaluations[] = {5, 6, 8, 10, 14, 20, 28, 36, 50, 100};
_Static_assert(sizeof evaluations / sizeof *evaluations == BENCH_SOLVERS_POINTS, "a column each");

const char *bench_solvers_name(size_t i)
{
    return candidates[i].name;
}

/* The most steps that take no more evaluations than the k-th column says. Two evaluations a step,
 * but one for the last step of improved Euler, and for any last step to 0. */
static int steps_of(const struct model *m, const struct candidate *c, size_t k)
{
    const int less =
        c->method == ODE_IMPROVED_EULER || model_description(m)->family != CKPT_FAMILY_PFGM;
    return c->halved ? (evaluations[k] + less) / 2 : evaluations[k];
}

/* The k-th cell's solver of a candidate, or false where it has none. */
static bool choose_cell(const struct model *m, const struct candidate *c, size_t k,
                        struct model_solver *out)
{
    static const double tolerances[] = {1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5};
    struct model_choice choice = {.given =
                                      c->schedule != ODE_SCHEDULE_TUNED ? MODEL_GIVEN(METHOD) : 0,
                                  .value.ode.method = c->method};
    struct err e = {0};
    if (c->method == ODE_RK45) {
        if (k >= sizeof tolerances / sizeof *tolerances)
            return false;
        choice.given |= MODEL_GIVEN(RTOL) | MODEL_GIVEN(ATOL);
        choice.value.ode.rtol = choice.value.ode.atol = tolerances[k];
    } else {
        choice.given |= MODEL_GIVEN(STEPS) | MODEL_GIVEN(SCHEDULE);
        choice.value.ode.schedule = c->schedule;
        choice.value.ode.steps = steps_of(m, c, k);
    }
    return model_solver_choose(m, &choice, out, &e) == 0 && model_solver_resolve(m, out, &e) == 0;
}

static int fill_table(const struct bench_paths *paths, struct bench_solvers *t, struct err *e)
{
    const struct model *m = engine_model_get(paths->em);
    for (size_t i = 0; i < BENCH_SOLVERS; i++)
        for (size_t k = 0; k < BENCH_SOLVERS_POINTS; k++) {
            struct model_solver solver;
            struct bench_distance found;
            struct err why = {0};
            t->nfe[i][k] = t->rms[i][k] = NAN;
            if (!choose_cell(m, &candidates[i], k, &solver))
                continue;
            if (bench_paths_distance(paths, &solver, &found, &why) == 0) {
                t->nfe[i][k] = found.nfe;
                t->rms[i][k] = found.rms;
                t->method[i][k] = solver.ode.method;
            } else if (why.code != ERR_NUMERIC) { /* who does not come to an end leaves a gap */
                return err_pass(e, &why);
            }
        }
    return 0;
}

/* Where a row has cells that took other evaluations than their columns say: how many they took. */
static void print_taken(const double nfe[BENCH_SOLVERS_POINTS])
{
    bool other = false;
    for (size_t k = 0; k < BENCH_SOLVERS_POINTS; k++)
        other = other || (isfinite(nfe[k]) && fabs(nfe[k] - evaluations[k]) > 0.5);
    if (!other)
        return;
    printf("%-30s", "  which took evaluations");
    for (size_t k = 0; k < BENCH_SOLVERS_POINTS; k++)
        printf(isfinite(nfe[k]) ? " %7.0f" : "       –", nfe[k]);
    printf("\n");
}

/* In eight columns; of a small one its digits, not the zeros before them. */
static void print_rms(double rms)
{
    if (isfinite(rms))
        printf(rms < 1e-3 ? " %7.2g" : rms < 100 ? " %7.4f" : " %7.5g", rms);
    else
        printf("       –");
}

/* A line for each tolerance. */
static void print_adaptive(const struct bench_solvers *t, size_t i)
{
    for (size_t k = 0; k < BENCH_SOLVERS_POINTS; k++) {
        if (!isfinite(t->rms[i][k]))
            continue;
        printf("rk45 with %5.1f evaluations     ", t->nfe[i][k]);
        print_rms(t->rms[i][k]);
        printf("\n");
    }
}

static void print_table(const struct bench_solvers *t)
{
    printf("root mean square distance from the exact path's ends, in data scale\n%-30s", "");
    for (size_t k = 0; k < BENCH_SOLVERS_POINTS; k++)
        printf(" %7d", evaluations[k]);
    printf("  evaluations\n");
    for (size_t i = 0; i < BENCH_SOLVERS; i++) {
        if (candidates[i].method == ODE_RK45) {
            print_adaptive(t, i);
            continue;
        }
        printf("%-30s", candidates[i].name);
        for (size_t k = 0; k < BENCH_SOLVERS_POINTS; k++)
            print_rms(t->rms[i][k]);
        printf("\n");
        print_taken(t->nfe[i]);
    }
}

static int print_json(const struct bench_solvers *t, struct err *e)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < BENCH_SOLVERS; i++)
        for (size_t k = 0; k < BENCH_SOLVERS_POINTS; k++)
            if (isfinite(t->rms[i][k]))
                rows = json_plus(rows, json_pack("{s:s, s:s, s:f, s:f}", "solver",
                                                 ode_method_name(t->method[i][k]), "schedule",
                                                 candidates[i].method == ODE_RK45
                                                     ? "own"
                                                     : ode_schedule_name(candidates[i].schedule),
                                                 "nfe", t->nfe[i][k], "rms", t->rms[i][k]));
    json_t *root = json_pack("{s:s, s:I, s:f, s:o}", "model", t->sha256, "starts",
                             (json_int_t)t->starts, "exact_nfe", t->exact_nfe, "rows", rows);
    int result = root ? cli_json_print(root, e) : err_fail_memory(e, 4096);
    json_decref(root);
    return result;
}

int bench_solvers_run(const struct bench_solvers_options *o, struct bench_solvers *out,
                      struct err *e)
{
    struct model *m = cli_model_load(o->model, o->kernel, NULL, e);
    struct bench_paths paths = {0};
    size_t n = o->n ? (size_t)o->n : STARTS_DEFAULT;
    int result = m ? bench_paths_open(&paths, m, n, o->seed, "exact paths", e) : -1;
    if (result == 0) {
        snprintf(out->sha256, sizeof out->sha256, "%s", model_sha256(engine_model_get(paths.em)));
        out->starts = paths.n;
        out->exact_nfe = paths.exact_nfe;
        result = fill_table(&paths, out, e);
    }
    bench_paths_clear(&paths);
    return result;
}

int bench_solvers_print(const struct bench_solvers *t, bool json, struct err *e)
{
    if (json)
        return print_json(t, e);
    print_table(t);
    return 0;
}
