/* Timing a network; see bench_net.h. The caller's thread drives, the team's threads evaluate; each
 * lane belongs to the worker of its index. */
#include "bench_net.h"
#include "bench_machine.h"
#include "bench_time.h"
#include "cli_options.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROUND_SECONDS 0.020 /* at least, so that waking the team does not count */
#define ROUNDS_MIN 2
#define REPEATS_MAX 100000
#define SEEDS 4 /* images solved to learn a model's nfe */
#define SEED 7
#define STEPS_DEFAULT 100 /* the reference's */
#define PUBLISHED_NFE 104 /* of cifar10-ddpmpp */

/* ---- evaluations per image ---- */

/* The evaluations of a fixed-step method do not depend on the field: counted on a field of zeros.
 */
static int count_fixed(const struct model_solver *solver, double *nfe, struct err *e)
{
    const double zero = 0;
    struct ode_solver *s = ode_solver_new(&solver->ode, 1, e);
    if (!s)
        return -1;
    int result = ode_solver_start(s, &zero, solver->t_max, solver->t_min, e);
    while (result == 0 && ode_solver_status(s) == ODE_WANTS_SLOPE)
        ode_solver_feed(s, &zero);
    *nfe = (double)ode_solver_counts(s).nfe;
    ode_solver_free(s);
    return result;
}

struct solving {
    const struct model *model;
    struct model_solver solver;
    int workers;
    int64_t nfe[SEEDS]; /* -1: failed */
    struct err error[SEEDS];
};

static int solve(const struct solving *s, struct ode_solver *ode, struct model_workspace *ws,
                 double *x, double *slope, uint64_t index, struct err *e)
{
    model_prior_draw(s->model, &s->solver, 1.0, SEED, index, x);
    if (ode_solver_start(ode, x, s->solver.t_max, s->solver.t_min, e) != 0)
        return -1;
    while (ode_solver_status(ode) == ODE_WANTS_SLOPE) {
        const struct model_query query = model_query_of(ode, MODEL_CLASS_NONE, slope);
        model_slopes(s->model, ws, 1, &query);
        ode_solver_feed(ode, slope);
    }
    if (ode_solver_status(ode) == ODE_DONE)
        return 0;
    *e = *ode_solver_error(ode);
    return -1;
}

static void solve_image(struct solving *s, int i)
{
    size_t d = model_dimension(s->model);
    struct err *e = &s->error[i];
    struct ode_solver *ode = ode_solver_new(&s->solver.ode, d, e);
    struct model_workspace *ws = ode ? model_workspace_new(s->model, 1, e) : NULL;
    double *block = ws ? calloc(2 * d, sizeof *block) : NULL;
    s->nfe[i] = -1;
    if (block && solve(s, ode, ws, block, block + d, (uint64_t)i, e) == 0)
        s->nfe[i] = ode_solver_counts(ode).nfe;
    else if (ws && !block)
        err_fail_memory(e, 2 * d * sizeof *block);
    free(block);
    model_workspace_free(ws);
    ode_solver_free(ode);
}

static void solve_share(void *context, int worker)
{
    struct solving *s = context;
    for (int i = worker; i < SEEDS; i += s->workers)
        solve_image(s, i);
}

/* The mean over a few images, each solved to its end. */
static int measure_nfe(const struct model *model, const struct model_solver *solver, int workers,
                       double *nfe, struct err *e)
{
    struct solving *s = calloc(1, sizeof *s);
    if (!s)
        return err_fail_memory(e, sizeof *s);
    *s = (struct solving){
        .model = model, .solver = *solver, .workers = workers < SEEDS ? workers : SEEDS};
    struct bench_team *team = bench_team_new(s->workers, solve_share, s, e);
    int result = team ? 0 : -1;
    if (team)
        bench_team_run(team);
    bench_team_free(team);
    *nfe = 0;
    for (int i = 0; i < SEEDS && result == 0; i++) {
        *nfe += (double)s->nfe[i] / SEEDS;
        if (s->nfe[i] < 0) {
            *e = s->error[i];
            result = -1;
        }
    }
    free(s);
    return result;
}

/* Of rk45 at the tolerances of the published results, for networks without trained weights; 0 where
 * none is published. */
static double published_nfe(const char *preset)
{
    static const struct {
        const char *preset;
        double nfe;
    } table[] = {{"cifar10-ddpmpp", PUBLISHED_NFE},
                 {"cifar10-ddpmpp-deep", 110},
                 {"celeba64-ddpmpp", 110},
                 {"bedroom-ddpmpp", 122}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(preset, table[i].preset) == 0)
            return table[i].nfe;
    return 0;
}

/* The solver of the images per second, before anything is measured. */
static int choose_solver(const struct bench_net_options *o, struct bench_net_result *r,
                         struct err *e)
{
    const struct model *m = r->subject.model;
    struct err why = {0};
    if (!m) {
        r->solver = (struct model_solver){.ode = {.method = o->method ? *o->method : ODE_RK45,
                                                  .steps = o->steps ? o->steps : STEPS_DEFAULT},
                                          .t_max = 2.0,
                                          .t_min = 1.0};
        return 0;
    }
    struct model_choice choice = {0};
    if (o->method) {
        choice.given |= MODEL_GIVEN(METHOD);
        choice.value.ode.method = *o->method;
    }
    if (o->steps || (o->method && ode_method_is_fixed_step(*o->method))) {
        choice.given |= MODEL_GIVEN(STEPS);
        choice.value.ode.steps = o->steps ? o->steps : STEPS_DEFAULT;
    }
    return model_solver_choose(m, &choice, &r->solver, &why) == 0 &&
                   model_solver_resolve(m, &r->solver, &why) == 0 &&
                   model_solver_check(m, &r->solver, &why) == 0
               ? 0
               : cli_fail_field(&why, NULL, e);
}

static int find_nfe(const struct bench_net_options *o, struct bench_net_result *r, struct err *e)
{
    r->nfe_from = "given";
    r->nfe = (double)o->nfe;
    if (o->nfe > 0)
        return 0;
    r->nfe_from = "exact";
    if (ode_method_is_fixed_step(r->solver.ode.method))
        return count_fixed(&r->solver, &r->nfe, e);
    r->nfe_from = "measured";
    if (r->subject.model)
        return measure_nfe(r->subject.model, &r->solver, r->workers, &r->nfe, e);
    r->nfe = published_nfe(r->subject.name);
    r->nfe_from = r->nfe > 0 ? "published" : "assumed";
    if (r->nfe == 0)
        r->nfe = PUBLISHED_NFE;
    return 0;
}

/* ---- evaluations per second ---- */

/* With fewer images than workers, those without an image help those with one, as the engine's do.
 */
struct timing {
    const struct bench_subject *subject;
    int repeats;
    int count;  /* lanes; of the helpers' only the workspaces are used */
    int owners; /* the first lanes, which have images */
    struct bench_lane lane[BENCH_WORKERS_MAX];
    struct nn_team *team[BENCH_WORKERS_MAX]; /* of owners */
    unsigned round[BENCH_WORKERS_MAX];       /* that a helper has been through */
};

static void run_lane(void *context, int worker)
{
    struct timing *t = context;
    if (worker >= t->owners) { /* an owner dismisses its team once per round */
        bench_lane_help(&t->lane[worker], t->team[worker % t->owners], t->round[worker]++);
        return;
    }
    for (int i = 0; i < t->repeats; i++)
        bench_lane_run(&t->lane[worker], t->subject);
    nn_team_dismiss(t->team[worker]);
}

static void timing_free(struct timing *t)
{
    for (int i = 0; t && i < t->count; i++)
        bench_lane_clear(&t->lane[i]);
    for (int i = 0; t && i < t->owners; i++)
        nn_team_free(t->team[i]);
    free(t);
}

/* The batch shared out over the workers, the first ones taking what is left over. */
static struct timing *timing_new(const struct bench_subject *s, int batch, int workers,
                                 struct err *e)
{
    struct timing *t = calloc(1, sizeof *t);
    if (!t) {
        err_fail_memory(e, sizeof *t);
        return NULL;
    }
    t->subject = s;
    t->owners = workers < batch ? workers : batch;
    for (; t->count < workers; t->count++) {
        struct bench_lane *lane = &t->lane[t->count];
        int share = batch / t->owners + (t->count < batch % t->owners);
        struct nn_team **team = t->count < t->owners ? &t->team[t->count] : NULL;
        if ((team && !(*team = nn_team_new(e))) || bench_lane_init(lane, s, share, e) != 0) {
            timing_free(t);
            return NULL;
        }
        if (team)
            bench_lane_team(lane, *team);
    }
    return t;
}

static void measure(struct timing *t, struct bench_team *team, double seconds,
                    struct bench_net_result *r)
{
    struct bench_series series;
    t->repeats = 1;
    double once = bench_team_run(team); /* touches all memory, so it is slower than the next */
    if (once < 10 * ROUND_SECONDS)
        once = bench_team_run(team);
    double wanted = ceil(ROUND_SECONDS / once);
    t->repeats = wanted < REPEATS_MAX ? (int)wanted : REPEATS_MAX;
    double cpu = bench_team_cpu_total(team);
    bench_team_measure(team, seconds, ROUNDS_MIN, &series);
    r->cpu_s = (bench_team_cpu_total(team) - cpu) / (double)series.count / t->repeats;
    r->repeats = t->repeats;
    r->rounds = series.count;
    r->median_s = bench_series_median(&series) / t->repeats;
    r->best_s = bench_series_best(&series) / t->repeats;
    r->peak_rss = bench_peak_rss();
}

static int measure_subject(const struct bench_net_options *o, struct bench_net_result *r,
                           struct err *e)
{
    struct timing *t = timing_new(&r->subject, o->batch, r->workers, e);
    struct bench_team *team = t ? bench_team_new(r->workers, run_lane, t, e) : NULL;
    int result = team ? 0 : -1;
    if (team)
        measure(t, team, o->seconds, r);
    bench_team_free(team);
    for (int i = 0; result == 0 && i < t->owners; i++)
        result = bench_lane_check(&t->lane[i], &r->subject, e);
    timing_free(t);
    return result;
}

int bench_net_run(const struct bench_net_options *o, struct bench_net_result *out, struct err *e)
{
    *out = (struct bench_net_result){.workers = o->workers};
    enum nn_kernel kernel = o->load.kernel;
    enum nn_precision precision = o->load.precision;
    if (nn_precision_resolve(&kernel, &precision, e) != 0)
        return -1;
    out->peak_one = bench_peak_gflops(kernel, precision, 1, e);
    out->peak_all = out->peak_one;
    if (out->peak_one >= 0 && out->workers > 1)
        out->peak_all = bench_peak_gflops(kernel, precision, out->workers, e);
    if (out->peak_all < 0 ||
        bench_subject_open(&out->subject, o->model, o->preset, &o->load, e) != 0)
        return -1;
    if (choose_solver(o, out, e) != 0) {
        bench_subject_clear(&out->subject);
        return -1;
    }
    out->flop = 2.0 * (double)nn_arch_macs(out->subject.arch);
    if (measure_subject(o, out, e) == 0 && find_nfe(o, out, e) == 0 &&
        (!o->profile ||
         bench_profile_take(&out->subject, o->batch, o->seconds, &out->profile, e) == 0))
        return 0;
    bench_subject_clear(&out->subject);
    return -1;
}
