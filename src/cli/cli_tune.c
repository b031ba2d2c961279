/* `pfgm tune`: finds, for numbers of evaluations, the method and the nodes whose ends are nearest
 * to the exact path's, and stores them in the checkpoint's description.
 *
 * First every multistep method on a few grids and beginnings, on a part of the starts. The grids of
 * the best two methods are then bent: their nodes put on a curve of a few numbers, which is shifted
 * as long as that helps. Last come the nodes of the better one, one by one, up and down in ln t by
 * a share of the gap beside them, or of the way that the checkpoint has, where that is better. What
 * was learned from some starts is judged on as many others: grid, curve, nodes or the old way,
 * whatever is best there, so that a search that has only learned its starts by heart is thrown
 * away.
 *
 * What is made small is the mean over the images of each one's distance, and with it what the ends
 * as a whole lack in spread. Of the mean square nine tenths may belong to two or three starts that
 * the least change sends to another image: a search for that is one for luck. And distance alone
 * has a liking for pale pictures, since who does not know the detail errs least without it: of ways
 * equally near the one that keeps the spread has the better Fréchet distance (docs/field.md). */
#include "cli.h"
#include "cli_json.h"
#include "cli_paths.h"
#include "tune_way.h"
#include "base_cpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STARTS_DEFAULT 128
#define STARTS_MAX 10000
#define ROUNDS_DEFAULT 4
#define ROUNDS_MAX 50
#define FIRST_SHARE 0.3 /* of a gap, that a node is moved by */
#define FIRST_BEND 0.35 /* of a curve, as a logarithm; the last is an eighth of that */
#define SPREAD_WEIGHT 4.0
#define SCREEN_PART 4 /* of the starts, one in so many for the grids */
#define SCREEN_MIN 16
enum { METHODS = 4, BENT_METHODS = 2 };

static const char help[] =
    "usage: pfgm tune MODEL --nfe N[,N...] -o OUT.safetensors [options]\n"
    "\n"
    "Searches the solver and the nodes that come nearest to the exact path in N evaluations, and\n"
    "writes the model with what it found: --schedule tuned, and the default way if 20 is among\n"
    "them. Ways that MODEL has for other numbers stay. OUT may be MODEL itself; its SHA-256, "
    "which\n"
    "PNGs carry, is another then.\n"
    "\n"
    "  --nfe N,N,...     numbers of evaluations, 2 to 100\n"
    "  --starts N        starts to learn from, and as many others to judge by (128)\n"
    "  --rounds N        times that all nodes are tried, and twice as often the curve (4)\n"
    "  --seed S          of the starts (0)\n"
    "  --kernel K        as of pfgm sample\n"
    "  --json            tell the result as JSON\n"
    "  -o, --output OUT\n";

struct tune_options {
    const char *model, *output, *kernel;
    int nfe[CKPT_TUNED_MAX], nfe_count;
    int64_t starts, rounds;
    uint64_t seed;
    bool json;
};

struct tuning {
    const struct tune_options *o;
    struct cli_paths learn, judge;
    double t_max, t_min;
    struct model_solver base; /* what all ways share */
    int64_t tried;
    int64_t shown_ns;
    struct {
        struct tune_way best;
        struct cli_distance judged, before; /* on the other starts: found, and the default's */
    } * found;                              /* [nfe_count] */
    float *mean;
};

/* ---- trying ways ---- */

static void show(struct tuning *t, int nfe, double error)
{
    int64_t now = clock_ns();

    if (!isatty(STDERR_FILENO) || now - t->shown_ns < 200000000)
        return;
    t->shown_ns = now;
    fprintf(stderr, "\r\033[K%d evaluations: %lld ways tried, %.5f from the path", nfe,
            (long long)t->tried, error);
    fflush(stderr);
}

static struct model_solver solver_of(const struct tuning *t, const struct tune_way *way, int nfe)
{
    struct model_solver s = t->base;

    s.ode.method = way->method;
    s.ode.steps = nfe;
    s.ode.schedule = ODE_SCHEDULE_TUNED;
    s.ode.nodes = way->nodes;
    return s;
}

/* Steps between the nodes of a way of so many evaluations. */
static int between(const struct tuning *t, int nfe)
{
    struct ode_options options = t->base.ode;
    options.steps = nfe;
    return ode_options_grid_steps(&options);
}

static double error_of(const struct cli_distance *d)
{
    return d->mean + SPREAD_WEIGHT * fabs(d->spread);
}

/* Its error on the paths; a way that fails is no way. */
static int try(struct tuning *t, const struct cli_paths *paths, struct tune_way *way, int nfe,
               struct err *e)
{
    struct model_solver s = solver_of(t, way, nfe);
    struct cli_distance found;
    struct err own = {0};

    t->tried++;
    if (cli_paths_distance(paths, &s, &found, &own) == 0) {
        way->error = error_of(&found);
        return 0;
    }
    if (own.code != ERR_NUMERIC)
        return err_fail(e, own.code, own.at, "%s", own.text);
    way->error = INFINITY;
    return 0;
}

/* The better of two ways stays in `best`; whether that is the new one. */
static bool keep(struct tune_way *best, const struct tune_way *way)
{
    if (!(way->error < best->error))
        return false;
    *best = *way;
    return true;
}

/* The best grid of each method on a part of the starts, the best method first. */
static int try_grids(struct tuning *t, int nfe, struct tune_way best[METHODS], struct err *e)
{
    static const enum ode_method methods[METHODS] = {ODE_MULTISTEP2, ODE_MULTISTEP3, ODE_UNIPC3,
                                                     ODE_IPNDM4};
    static const double exponents[] = {0.0, 4.0, 7.0, 10.0, 20.0}, parts[] = {1.0, 0.5, 0.25};
    struct cli_paths few = t->learn; /* its first starts */

    few.n = few.n / SCREEN_PART;
    few.n = few.n < SCREEN_MIN ? SCREEN_MIN : few.n;
    few.n = few.n < t->learn.n ? few.n : t->learn.n;
    for (size_t i = 0; i < METHODS; i++) {
        best[i].error = INFINITY;
        for (size_t k = 0; k < 5 * 3; k++) {
            struct tune_way way = {.method = methods[i], .steps = between(t, nfe)};
            tune_way_lay(&way, t->t_max * parts[k / 5], t->t_min, exponents[k % 5]);
            if (try(t, &few, &way, nfe, e) != 0)
                return -1;
            keep(&best[i], &way);
            show(t, nfe, best[i].error);
        }
        for (size_t k = i; k > 0 && best[k].error < best[k - 1].error; k--) {
            struct tune_way other = best[k];
            best[k] = best[k - 1];
            best[k - 1] = other;
        }
    }
    return isfinite(best[0].error) ? 0
                                   : err_fail(e, ERR_NUMERIC, t->o->model,
                                              "no way of %d evaluations came to an end", nfe);
}

/* Puts the nodes on a curve and bends it. */
static int bend(struct tuning *t, int nfe, struct tune_way *best, struct err *e)
{
    struct tune_curve curve = tune_curve_of(best);
    struct tune_way way = *best;
    double amount = FIRST_BEND;

    tune_curve_lay(&curve, &way);
    if (try(t, &t->learn, best, nfe, e) != 0 || try(t, &t->learn, &way, nfe, e) != 0)
        return -1;
    /* from the curve even where the grid itself is better: all else lies on curves */
    struct tune_way bent = way;
    for (int64_t round = 0; round < 2 * t->o->rounds && amount > FIRST_BEND / 16.0; round++) {
        bool better = false;
        for (int k = 0; k < 2 * TUNE_HANDLES; k++) {
            struct tune_curve other = curve;
            if (!tune_curve_bend(&other, k / 2, k % 2 ? -amount : amount, t->t_max))
                continue;
            tune_curve_lay(&other, &way);
            if (try(t, &t->learn, &way, nfe, e) != 0)
                return -1;
            if (keep(&bent, &way)) {
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

static int move_nodes(struct tuning *t, int nfe, struct tune_way *best, struct err *e)
{
    double share = FIRST_SHARE;

    for (int64_t round = 0; round < t->o->rounds; round++) {
        bool better = false;
        for (int k = 0; k < 2 * best->steps; k++) {
            struct tune_way way = *best;
            if (!tune_way_move(&way, k / 2, k % 2 ? -share : share, t->t_max))
                continue;
            if (try(t, &t->learn, &way, nfe, e) != 0)
                return -1;
            better = keep(best, &way) || better;
            show(t, nfe, best->error);
        }
        if (!better)
            share *= 0.5;
    }
    return 0;
}

/* The way that the checkpoint already has for so many steps, if it has one. */
static bool own_way(const struct tuning *t, int steps, struct tune_way *out)
{
    const struct ckpt_description *d = model_description(engine_model_get(t->learn.em));

    for (int i = 0; i < d->tuned_count; i++) {
        if (d->tuned[i].steps != steps)
            continue;
        *out = (struct tune_way){.method = d->tuned[i].method, .steps = steps};
        memcpy(out->nodes, d->tuned[i].nodes, ((size_t)steps + 1) * sizeof *out->nodes);
        return true;
    }
    return false;
}

/* The way for the k-th number of evaluations: what is best on the other starts. */
static int tune_one(struct tuning *t, int k, struct err *e)
{
    enum { GRID, BENT, OWN, MOVED, CANDIDATES };
    const int nfe = t->o->nfe[k];
    struct tune_way grids[METHODS], candidates[CANDIDATES];
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
    if (own_way(t, between(t, nfe), &candidates[OWN])) {
        if (try(t, &t->learn, &candidates[OWN], nfe, e) != 0)
            return -1;
        keep(&candidates[MOVED], &candidates[OWN]);
    }
    if (move_nodes(t, nfe, &candidates[MOVED], e) != 0)
        return -1;
    double least = INFINITY;
    for (int i = 0; i < CANDIDATES; i++) {
        struct model_solver s = solver_of(t, &candidates[i], nfe);
        struct cli_distance judged;
        if (cli_paths_distance(&t->judge, &s, &judged, e) != 0)
            return -1;
        if (error_of(&judged) < least) {
            least = error_of(&judged);
            t->found[k].judged = judged;
            t->found[k].best = candidates[i];
        }
    }
    before.ode.steps = nfe;
    return cli_paths_distance(&t->judge, &before, &t->found[k].before, e);
}

/* ---- the checkpoint that is written ---- */

/* What was found, and the checkpoint's own ways for other numbers of evaluations. */
static int merge(const struct tuning *t, const struct ckpt_description *own,
                 struct ckpt_tuned tuned[CKPT_TUNED_MAX], int *count, struct err *e)
{
    int next = 0;

    *count = 0;
    for (int k = 0; k < t->o->nfe_count || next < own->tuned_count;) {
        const struct tune_way *best = k < t->o->nfe_count ? &t->found[k].best : NULL;
        const struct ckpt_tuned *old = next < own->tuned_count ? &own->tuned[next] : NULL;
        if (*count == CKPT_TUNED_MAX)
            return err_fail(e, ERR_LIMIT, "--nfe",
                            "with those that it has, the model has more than "
                            "%d tuned ways",
                            CKPT_TUNED_MAX);
        if (best && (!old || best->steps <= old->steps)) {
            next += old && best->steps == old->steps;
            tuned[(*count)++] =
                (struct ckpt_tuned){best->method, best->steps, t->found[k++].best.nodes};
        } else {
            tuned[(*count)++] = *old;
            next++;
        }
    }
    return 0;
}

static int describe(const struct tuning *t, const struct model *m, json_t **out, struct err *e)
{
    struct ckpt_description d = *model_description(m); /* arrays are borrowed */
    struct ckpt_tuned tuned[CKPT_TUNED_MAX];
    int count;

    if (merge(t, &d, tuned, &count, e) != 0)
        return -1;
    d.tuned = tuned;
    d.tuned_count = count;
    *out = ckpt_description_json(&d, e);
    return *out ? 0 : -1;
}

/* All tensors of `f` as they are, with the mean, under the new description. */
static int write_tensors(const struct tuning *t, const struct ckpt_file *f, struct image_shape s,
                         const json_t *metadata, struct err *e)
{
    size_t count = ckpt_file_count(f), n = 0;
    void *data = NULL;
    struct ckpt_output *out = ckpt_file_outputs(f, 1, &data, e);

    if (!out)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (!t->mean || strcmp(out[i].name, CKPT_DATA_MEAN) != 0)
            out[n++] = out[i];
    if (t->mean)
        out[n++] = (struct ckpt_output){
            .name = CKPT_DATA_MEAN,
            .dtype = CKPT_F32,
            .rank = 3,
            .shape = {(uint64_t)s.channels, (uint64_t)s.height, (uint64_t)s.width},
            .data = t->mean};
    int result = ckpt_file_check(f, e);
    if (result == 0)
        result = ckpt_file_write(t->o->output, out, n, metadata, e);
    free(out);
    free(data);
    return result;
}

static int write_model(const struct tuning *t, struct err *e)
{
    const struct model *m = engine_model_get(t->learn.em);
    struct ckpt_file *f = ckpt_file_open(t->o->model, e);
    json_t *description = NULL, *metadata = NULL;
    char *text = NULL;
    int result = f ? describe(t, m, &description, e) : -1;

    if (result == 0) {
        text = json_dumps(description, JSON_COMPACT);
        metadata = text ? json_pack("{s:s}", CKPT_DESCRIPTION_KEY, text) : NULL;
        result =
            metadata ? write_tensors(t, f, model_shape(m), metadata, e) : err_fail_memory(e, 4096);
    }
    json_decref(metadata);
    free(text);
    json_decref(description);
    ckpt_file_close(f);
    return result;
}

/* ---- the run ---- */

static int tell(const struct tuning *t, struct err *e)
{
    json_t *list = json_array();

    if (!t->o->json)
        printf("%s\n  evaluations  method       from the path   as by default   first node\n",
               t->o->output);
    for (int k = 0; k < t->o->nfe_count; k++) {
        const char *method = ode_method_name(t->found[k].best.method);
        if (!t->o->json)
            printf("  %11d  %-11s  %13.5f  %14.5f  %11.4g\n", t->o->nfe[k], method,
                   t->found[k].judged.rms, t->found[k].before.rms, t->found[k].best.nodes[0]);
        json_t *nodes = json_array();
        for (int i = 0; i <= t->found[k].best.steps && nodes; i++)
            json_array_append_new(nodes, json_real(t->found[k].best.nodes[i]));
        json_array_append_new(
            list, json_pack("{s:i, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:o}", "nfe", t->o->nfe[k],
                            "method", method, "rms", t->found[k].judged.rms, "rms_default",
                            t->found[k].before.rms, "mean", t->found[k].judged.mean, "mean_default",
                            t->found[k].before.mean, "spread", t->found[k].judged.spread,
                            "spread_default", t->found[k].before.spread, "nodes", nodes));
    }
    json_t *root = json_pack("{s:s, s:s, s:I, s:I, s:f, s:o}", "model", t->o->model, "output",
                             t->o->output, "starts", (json_int_t)t->o->starts, "ways_tried",
                             (json_int_t)t->tried, "exact_nfe", t->judge.exact_nfe, "tuned", list);
    int result = root ? 0 : json_fail(e, ERR_INPUT, t->o->model, "a file name is not UTF-8");
    if (root && t->o->json)
        result = cli_json_print(root, e);
    json_decref(root);
    return result;
}

static int search(struct tuning *t, struct err *e)
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

/* A learned model needs the data's mean for a way that begins below t_max: where the checkpoint
 * does not tell it, it is measured. */
static struct model *model_with_mean(struct tuning *t, struct err *e)
{
    struct model *m = cli_model_load(t->o->model, t->o->kernel, NULL, e);

    if (!m || model_mean(m))
        return m;
    t->mean = malloc(model_dimension(m) * sizeof *t->mean);
    if (!t->mean)
        err_fail_memory(e, model_dimension(m) * sizeof *t->mean);
    if (t->mean && cli_paths_mean(m, (size_t)t->o->starts, t->o->seed, t->mean, e) == 0 &&
        model_mean_set(m, t->mean, e) == 0)
        return m;
    model_free(m);
    return NULL;
}

static int run(const struct tune_options *o, struct err *e)
{
    struct tuning t = {.o = o};
    struct model *m = model_with_mean(&t, e);
    int result = m ? cli_paths_open(&t.learn, m, (size_t)o->starts, o->seed, "exact paths", e) : -1;

    if (result == 0)
        result = cli_paths_open_beside(&t.judge, &t.learn, (uint64_t)o->starts, "exact paths", e);
    if (result == 0)
        result = search(&t, e);
    if (result == 0)
        result = write_model(&t, e);
    if (result == 0)
        result = tell(&t, e);
    if (m) {
        cli_paths_close(&t.judge);
        cli_paths_close(&t.learn);
    }
    free(t.found);
    free(t.mean);
    return result;
}

/* ---- options ---- */

static int take_nfe(struct tune_options *o, const char *word, struct err *e)
{
    char copy[256], *rest = copy, *part;

    if (strlen(word) >= sizeof copy)
        return err_fail(e, ERR_INPUT, "--nfe", "the list is too long");
    strcpy(copy, word);
    while ((part = strsep(&rest, ","))) {
        int64_t nfe;
        if (cli_parse_int("--nfe", part, 2, 100, &nfe, e) != 0)
            return -1;
        if (o->nfe_count == CKPT_TUNED_MAX)
            return err_fail(e, ERR_INPUT, "--nfe", "at most %d numbers", CKPT_TUNED_MAX);
        if (o->nfe_count > 0 && nfe <= o->nfe[o->nfe_count - 1])
            return err_fail(e, ERR_INPUT, "--nfe", "numbers must rise, %s does not", part);
        o->nfe[o->nfe_count++] = (int)nfe;
    }
    return 0;
}

static int take_option(void *context, int option, const char *word, struct err *e)
{
    struct tune_options *o = context;

    switch (option) {
    case 'o':
        o->output = word;
        return 0;
    case 'n':
        o->nfe_count = 0;
        return take_nfe(o, word, e);
    case 's':
        return cli_parse_int("--starts", word, 2, STARTS_MAX, &o->starts, e);
    case 'r':
        return cli_parse_int("--rounds", word, 0, ROUNDS_MAX, &o->rounds, e);
    case 'S':
        return cli_parse_u64("--seed", word, &o->seed, e);
    case 'k':
        o->kernel = word;
        return 0;
    default:
        o->json = true;
        return 0;
    }
}

int cli_tune(int argc, char **argv)
{
    static const struct option long_options[] = {{"nfe", required_argument, NULL, 'n'},
                                                 {"starts", required_argument, NULL, 's'},
                                                 {"rounds", required_argument, NULL, 'r'},
                                                 {"seed", required_argument, NULL, 'S'},
                                                 {"kernel", required_argument, NULL, 'k'},
                                                 {"json", no_argument, NULL, 'j'},
                                                 {"output", required_argument, NULL, 'o'},
                                                 {"help", no_argument, NULL, 'h'},
                                                 {NULL, 0, NULL, 0}};
    static const struct cli_options options = {"tune", help, ":o:h", long_options, take_option};
    struct tune_options o = {.starts = STARTS_DEFAULT, .rounds = ROUNDS_DEFAULT};
    struct err e = {0};
    int code = cli_take_options(&options, argc, argv, &o);

    if (code >= 0)
        return code;
    if (argc - optind != 1)
        return cli_usage_error("tune", "one MODEL is needed, %d given", argc - optind);
    if (!o.output || o.nfe_count == 0)
        return cli_usage_error("tune", "%s is needed", o.output ? "--nfe" : "-o OUT.safetensors");
    o.model = argv[optind];
    return run(&o, &e) == 0 ? CLI_EXIT_OK : cli_fail("tune", &e);
}
