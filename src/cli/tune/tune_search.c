/* The order of the search. First every multistep method on a few grids and beginnings, on a part of
 * the starts. The grids of the best two methods are then bent: their nodes put on a curve of a few
 * numbers, which is shifted as long as that helps. Last come the nodes of the better one, one by
 * one, up and down in ln t by a share of the gap beside them, or of the schedule that the
 * checkpoint has, where that is better. What was learned from some starts is judged on as many
 * others: grid, curve, nodes or the old schedule, whatever is best there, so that a search that has
 * only learned its starts by heart is thrown away.
 *
 * What is made small is the mean over the images of each one's distance, and with it what the ends
 * as a whole lack in spread. Of the mean square nine tenths may belong to two or three starts that
 * the least change sends to another image: a search for that is one for luck. And distance alone
 * has a liking for pale pictures, since who does not know the detail errs least without it: of
 * schedules equally near the one that keeps the spread has the better Fréchet distance
 * (docs/field.md). */
#include "tune_search.h"

#include "cli_options.h"
#include "base_cpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_SHARE 0.3 /* of a gap, that a node is moved by */
#define FIRST_BEND 0.35 /* of a curve, as a logarithm; the last is an eighth of that */
#define SPREAD_WEIGHT 4.0
#define SCREEN_PART 4 /* of the starts, one in so many for the grids */
#define SCREEN_MIN 16
enum { METHODS = 4, BENT_METHODS = 2 };

static void show(struct tune_search *t, int nfe, double error)
{
    int64_t now = clock_ns();
    if (!isatty(STDERR_FILENO) || now - t->shown_ns < 200000000)
        return;
    t->shown_ns = now;
    fprintf(stderr, "\r\033[K%d evaluations: %lld schedules tried, %.5f from the path", nfe,
            (long long)t->tried, error);
    fflush(stderr);
}

static struct model_solver solver_of(const struct tune_search *t,
                                     const struct tune_schedule *schedule, int nfe)
{
    struct model_solver s = t->base;
    s.ode.method = schedule->method;
    s.ode.steps = nfe;
    s.ode.schedule = ODE_SCHEDULE_TUNED;
    s.ode.nodes = schedule->nodes;
    return s;
}

/* Steps between the nodes of a schedule of so many evaluations. */
static int between(const struct tune_search *t, int nfe)
{
    struct ode_options options = t->base.ode;
    options.steps = nfe;
    return ode_options_grid_steps(&options);
}

static double error_of(const struct bench_distance *d)
{
    return d->mean + SPREAD_WEIGHT * fabs(d->spread);
}

/* Its error on the paths; a schedule that fails is no schedule. */
static int try(struct tune_search *t, const struct bench_paths *paths,
               struct tune_schedule *schedule, int nfe, struct err *e)
{
    struct model_solver s = solver_of(t, schedule, nfe);
    struct bench_distance found;
    struct err why = {0};
    t->tried++;
    if (bench_paths_distance(paths, &s, &found, &why) == 0) {
        schedule->error = error_of(&found);
        return 0;
    }
    if (why.code != ERR_NUMERIC)
        return err_pass(e, &why);
    schedule->error = INFINITY;
    return 0;
}

/* The better of two schedules stays in `best`; whether that is the new one. */
static bool keep(struct tune_schedule *best, const struct tune_schedule *schedule)
{
    if (!(schedule->error < best->error))
        return false;
    *best = *schedule;
    return true;
}

/* The best grid of each method on a part of the starts, the best method first. */
static int try_grids(struct tune_search *t, int nfe, struct tune_schedule best[METHODS],
                     struct err *e)
{
    static const enum ode_method methods[METHODS] = {ODE_MULTISTEP2, ODE_MULTISTEP3, ODE_UNIPC3,
                                                     ODE_IPNDM4};
    static const double exponents[] = {0.0, 4.0, 7.0, 10.0, 20.0}, parts[] = {1.0, 0.5, 0.25};
    struct bench_paths few = t->learn; /* its first starts */
    few.n = few.n / SCREEN_PART;
    few.n = few.n < SCREEN_MIN ? SCREEN_MIN : few.n;
    few.n = few.n < t->learn.n ? few.n : t->learn.n;
    for (size_t i = 0; i < METHODS; i++) {
        best[i].error = INFINITY;
        for (size_t k = 0; k < 5 * 3; k++) {
            struct tune_schedule schedule = {.method = methods[i], .steps = between(t, nfe)};
            tune_schedule_lay(&schedule, t->t_max * parts[k / 5], t->t_min, exponents[k % 5]);
            if (try(t, &few, &schedule, nfe, e) != 0)
                return -1;
            keep(&best[i], &schedule);
            show(t, nfe, best[i].error);
        }
        for (size_t k = i; k > 0 && best[k].error < best[k - 1].error; k--) {
            struct tune_schedule other = best[k];
            best[k] = best[k - 1];
            best[k - 1] = other;
        }
    }
    return isfinite(best[0].error) ? 0
                                   : err_fail(e, ERR_NUMERIC, t->o->model,
                                              "no schedule of %d evaluations came to an end", nfe);
}

/* Puts the nodes on a curve and bends it. */
static int bend(struct tune_search *t, int nfe, struct tune_schedule *best, struct err *e)
{
    struct tune_curve curve = tune_curve_of(best);
    struct tune_schedule schedule = *best;
    double amount = FIRST_BEND;
    tune_curve_lay(&curve, &schedule);
    if (try(t, &t->learn, best, nfe, e) != 0 || try(t, &t->learn, &schedule, nfe, e) != 0)
        return -1;
    /* from the curve even where the grid itself is better: all else lies on curves */
    struct tune_schedule bent = schedule;
    for (int64_t round = 0; round < 2 * t->o->rounds && amount > FIRST_BEND / 16.0; round++) {
        bool better = false;
        for (int k = 0; k < 2 * TUNE_HANDLES; k++) {
            struct tune_curve other = curve;
            if (!tune_curve_bend(&other, k / 2, k % 2 ? -amount : amount, t->t_max))
                continue;
            tune_curve_lay(&other, &schedule);
            if (try(t, &t->learn, &schedule, nfe, e) != 0)
                return -1;
            if (keep(&bent, &schedule)) {
                curve = other;
                better = true;
            }
            show(t, nfe, bent.error);
        }
        if (!better)
            amount *= 0.5;
    }
    keep(best, &bent);
    return 0;
}

static int move_nodes(struct tune_search *t, int nfe, struct tune_schedule *best, struct err *e)
{
    double share = FIRST_SHARE;
    for (int64_t round = 0; round < t->o->rounds; round++) {
        bool better = false;
        for (int k = 0; k < 2 * best->steps; k++) {
            struct tune_schedule schedule = *best;
            if (!tune_schedule_move(&schedule, k / 2, k % 2 ? -share : share, t->t_max))
                continue;
            if (try(t, &t->learn, &schedule, nfe, e) != 0)
                return -1;
            better = keep(best, &schedule) || better;
            show(t, nfe, best->error);
        }
        if (!better)
            share *= 0.5;
    }
    return 0;
}

/* The schedule that the checkpoint already has for so many steps, if it has one. */
static bool own_schedule(const struct tune_search *t, int steps, struct tune_schedule *out)
{
    const struct ckpt_description *d = model_description(engine_model_get(t->learn.em));
    for (int i = 0; i < d->tuned_count; i++) {
        if (d->tuned[i].steps != steps)
            continue;
        *out = (struct tune_schedule){.method = d->tuned[i].method, .steps = steps};
        memcpy(out->nodes, d->tuned[i].nodes, ((size_t)steps + 1) * sizeof *out->nodes);
        return true;
    }
    return false;
}

/* The schedule for the k-th number of evaluations: what is best on the other starts. */
static int tune_one(struct tune_search *t, int k, struct err *e)
{
    enum { GRID, BENT, OWN, MOVED, CANDIDATES };
    const int nfe = t->o->nfe[k];
    struct tune_schedule grids[METHODS], candidates[CANDIDATES];
    struct model_solver before = t->base;
    if (try_grids(t, nfe, grids, e) != 0)
        return -1;
    candidates[GRID] = grids[0];
    candidates[BENT] = grids[0];
    candidates[BENT].error = INFINITY;
    for (int i = 0; i < BENT_METHODS; i++) {
        if (!isfinite(grids[i].error))
            continue;
        if (bend(t, nfe, &grids[i], e) != 0)
            return -1;
        keep(&candidates[BENT], &grids[i]);
    }
    candidates[OWN] = candidates[MOVED] = candidates[BENT];
    if (own_schedule(t, between(t, nfe), &candidates[OWN])) {
        if (try(t, &t->learn, &candidates[OWN], nfe, e) != 0)
            return -1;
        keep(&candidates[MOVED], &candidates[OWN]);
    }
    if (move_nodes(t, nfe, &candidates[MOVED], e) != 0)
        return -1;
    double least = INFINITY;
    for (int i = 0; i < CANDIDATES; i++) {
        struct model_solver s = solver_of(t, &candidates[i], nfe);
        struct bench_distance judged;
        if (bench_paths_distance(&t->judge, &s, &judged, e) != 0)
            return -1;
        if (error_of(&judged) < least) {
            least = error_of(&judged);
            t->found[k].judged = judged;
            t->found[k].best = candidates[i];
        }
    }
    before.ode.steps = ode_method_evaluates_once(before.ode.method) ? nfe : (nfe + 1) / 2;
    if (before.ode.to_zero && before.ode.steps < 2) /* the last one leads from t_min to 0 */
        before.ode.steps = 2;
    return bench_paths_distance(&t->judge, &before, &t->found[k].before, e);
}

static int search_all(struct tune_search *t, struct err *e)
{
    const struct model *m = engine_model_get(t->learn.em);
    t->base = model_solver_default(m);
    if (t->base.ode.schedule == ODE_SCHEDULE_TUNED)
        t->base.ode.schedule = ODE_SCHEDULE_POWER;
    t->t_max = t->base.t_max;
    t->t_min = t->base.t_min;
    t->found = calloc((size_t)t->o->nfe_count, sizeof *t->found);
    if (!t->found)
        return err_fail_memory(e, (size_t)t->o->nfe_count * sizeof *t->found);
    for (int k = 0; k < t->o->nfe_count; k++)
        if (tune_one(t, k, e) != 0)
            return -1;
    if (t->shown_ns)
        fprintf(stderr, "\r\033[K");
    return 0;
}

/* What is found goes beside the schedules that the model has for other numbers of evaluations. */
static int check_room(const struct tune_search *t, const struct model *m, struct err *e)
{
    const struct ckpt_description *d = model_description(m);
    struct ode_options options = model_solver_default(m).ode;
    int count = d->tuned_count;
    for (int k = 0; k < t->o->nfe_count; k++) {
        bool other = true;
        options.steps = t->o->nfe[k];
        for (int i = 0; i < d->tuned_count; i++)
            other = other && d->tuned[i].steps != ode_options_grid_steps(&options);
        count += other;
    }
    return count <= CKPT_TUNED_MAX
               ? 0
               : err_fail(e, ERR_LIMIT, "--nfe",
                          "with those that it has, the model would have %d tuned schedules, and %d "
                          "are the most: ask for fewer",
                          count, CKPT_TUNED_MAX);
}

/* A learned model needs the data's mean for a schedule that begins below t_max: where the
 * checkpoint does not have it, it is measured. */
static struct model *model_with_mean(struct tune_search *t, struct err *e)
{
    struct model *m = cli_model_load(t->o->model, t->o->kernel, NULL, e);
    if (m && check_room(t, m, e) != 0) {
        model_free(m);
        return NULL;
    }
    if (!m || model_mean(m))
        return m;
    t->mean = malloc(model_dimension(m) * sizeof *t->mean);
    if (!t->mean)
        err_fail_memory(e, model_dimension(m) * sizeof *t->mean);
    if (t->mean && bench_paths_mean(m, (size_t)t->o->starts, t->o->seed, t->mean, e) == 0 &&
        model_mean_set(m, t->mean, e) == 0)
        return m;
    model_free(m);
    return NULL;
}

int tune_search_run(const struct tune_options *o, struct tune_search *t, struct err *e)
{
    *t = (struct tune_search){.o = o};
    struct model *m = model_with_mean(t, e);
    int result =
        m ? bench_paths_open(&t->learn, m, (size_t)o->starts, o->seed, "exact paths", e) : -1;

    t->opened = m != NULL;
    if (result == 0)
        result =
            bench_paths_open_beside(&t->judge, &t->learn, (uint64_t)o->starts, "exact paths", e);
    return result == 0 ? search_all(t, e) : -1;
}

void tune_search_clear(struct tune_search *t)
{
    if (t->opened) {
        bench_paths_clear(&t->judge);
        bench_paths_clear(&t->learn);
    }
    free(t->found);
    free(t->mean);
    *t = (struct tune_search){0};
}
