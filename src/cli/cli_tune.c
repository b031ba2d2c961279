/* `pfgm tune`: finds, for numbers of evaluations, the method and the nodes whose ends are nearest
 * to the exact path's, and stores them in the checkpoint's description.
 *
 * First every multistep method on a few grids and starts; then the nodes of the best one by one, up
 * and down in ln t by a share of the gap beside them, as long as that helps. What it learned from
 * some starts is judged on as many others: the winner is what is best there, so that a search that
 * has only learned its starts by heart is thrown away. */
#include "cli.h"
#include "cli_json.h"
#include "cli_paths.h"
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

static const char help[] =
    "usage: pfgm tune MODEL --nfe N[,N...] -o OUT.safetensors [options]\n"
    "\n"
    "Searches the solver and the nodes that come nearest to the exact path in N evaluations, and\n"
    "writes the model with what it found: --schedule tuned, and the default way if 20 is among\n"
    "them. OUT may be MODEL itself; its SHA-256, which PNGs carry, is another then.\n"
    "\n"
    "  --nfe N,N,...     numbers of evaluations, 2 to 100\n"
    "  --starts N        starts to learn from, and as many others to judge by (128)\n"
    "  --rounds N        times that all nodes are tried (4)\n"
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

/* A way that is tried: nodes of a method. */
struct way {
    enum ode_method method;
    double nodes[CKPT_TUNED_STEPS_MAX + 1];
    double error;
};

struct tuning {
    const struct tune_options *o;
    struct cli_paths learn, judge;
    double t_max, t_min;
    struct model_solver base; /* what all ways share */
    int64_t tried;
    int64_t shown_ns;
    struct {
        struct way best;
        double judged, before; /* on the other starts: found, and the default's */
    } * found;                 /* [nfe_count] */
    float *mean;
};

/* ---- trying ways ---- */

static void show(struct tuning *t, int steps, double error)
{
    int64_t now = clock_ns();

    if (!isatty(STDERR_FILENO) || now - t->shown_ns < 200000000)
        return;
    t->shown_ns = now;
    fprintf(stderr, "\r\033[K%d evaluations: %lld ways tried, %.5f from the path", steps,
            (long long)t->tried, error);
    fflush(stderr);
}

static struct model_solver solver_of(const struct tuning *t, const struct way *way, int steps)
{
    struct model_solver s = t->base;

    s.ode.method = way->method;
    s.ode.steps = steps;
    s.ode.schedule = ODE_SCHEDULE_TUNED;
    s.ode.nodes = way->nodes;
    return s;
}

/* Its error on the starts to learn from; a way that fails is no way. */
static int try(struct tuning *t, struct way *way, int steps, struct err *e)
{
    struct model_solver s = solver_of(t, way, steps);
    struct err own = {0};

    t->tried++;
    if (cli_paths_distance(&t->learn, &s, &way->error, NULL, &own) == 0)
        return 0;
    if (own.code != ERR_NUMERIC)
        return err_fail(e, own.code, own.at, "%s", own.text);
    way->error = INFINITY;
    return 0;
}

/* Nodes even in t^(1/exponent), or in ln t for 0. */
static void lay_nodes(struct way *way, int steps, double begin, double end, double exponent)
{
    for (int i = 0; i <= steps; i++) {
        double f = (double)i / (double)steps;
        double u = exponent == 0.0
                       ? (1.0 - f) * log(begin) + f * log(end)
                       : (1.0 - f) * pow(begin, 1.0 / exponent) + f * pow(end, 1.0 / exponent);
        way->nodes[i] = exponent == 0.0 ? exp(u) : pow(u, exponent);
    }
    way->nodes[0] = begin;
    way->nodes[steps] = end;
}

static int try_grids(struct tuning *t, int steps, struct way *best, struct err *e)
{
    static const enum ode_method methods[] = {ODE_MULTISTEP2, ODE_MULTISTEP3, ODE_UNIPC3,
                                              ODE_IPNDM4};
    static const double exponents[] = {0.0, 4.0, 7.0, 10.0, 20.0}, parts[] = {1.0, 0.5, 0.25};
    struct way way;

    best->error = INFINITY;
    for (size_t k = 0; k < 4 * 5 * 3; k++) {
        way.method = methods[k % 4];
        lay_nodes(&way, steps, t->t_max * parts[k / 20], t->t_min, exponents[k / 4 % 5]);
        if (try(t, &way, steps, e) != 0)
            return -1;
        if (way.error < best->error)
            *best = way;
        show(t, steps, best->error);
    }
    return isfinite(best->error) ? 0
                                 : err_fail(e, ERR_NUMERIC, t->o->model,
                                            "no way of %d evaluations came to an end", steps);
}

/* Moves node i by a share of the gap above (share > 0) or below it, in ln t. */
static bool move_node(const struct tuning *t, struct way *way, int i, double share)
{
    double above = i == 0 ? t->t_max : way->nodes[i - 1];
    double gap = share > 0 ? log(above / way->nodes[i]) : log(way->nodes[i] / way->nodes[i + 1]);

    if (!(gap > 0.0))
        return false;
    way->nodes[i] *= exp(share * gap);
    return way->nodes[i] > way->nodes[i + 1] && way->nodes[i] <= t->t_max &&
           (i == 0 || way->nodes[i] < above);
}

static int move_nodes(struct tuning *t, int steps, struct way *best, struct err *e)
{
    double share = FIRST_SHARE;

    for (int64_t round = 0; round < t->o->rounds; round++) {
        bool better = false;
        for (int k = 0; k < 2 * steps; k++) {
            struct way way = *best;
            if (!move_node(t, &way, k / 2, k % 2 ? -share : share))
                continue;
            if (try(t, &way, steps, e) != 0)
                return -1;
            better = better || way.error < best->error;
            if (way.error < best->error)
                *best = way;
            show(t, steps, best->error);
        }
        if (!better)
            share *= 0.5;
    }
    return 0;
}

/* The way for the k-th number of evaluations: the moved nodes, or the grid that they came from
 * where that is better on the other starts. */
static int tune_one(struct tuning *t, int k, struct err *e)
{
    const int steps = t->o->nfe[k];
    struct way grid, moved;
    double on_grid, on_moved;

    if (try_grids(t, steps, &grid, e) != 0)
        return -1;
    moved = grid;
    if (move_nodes(t, steps, &moved, e) != 0)
        return -1;
    struct model_solver of_grid = solver_of(t, &grid, steps),
                        of_moved = solver_of(t, &moved, steps);
    struct model_solver before = t->base;
    before.ode.steps = steps;
    if (cli_paths_distance(&t->judge, &of_grid, &on_grid, NULL, e) != 0 ||
        cli_paths_distance(&t->judge, &of_moved, &on_moved, NULL, e) != 0 ||
        cli_paths_distance(&t->judge, &before, &t->found[k].before, NULL, e) != 0)
        return -1;
    t->found[k].best = on_moved < on_grid ? moved : grid;
    t->found[k].judged = fmin(on_moved, on_grid);
    return 0;
}

/* ---- the checkpoint that is written ---- */

static int describe(const struct tuning *t, const struct model *m, json_t **out, struct err *e)
{
    struct ckpt_description d = *model_description(m); /* arrays are borrowed */
    struct ckpt_tuned tuned[CKPT_TUNED_MAX];

    for (int k = 0; k < t->o->nfe_count; k++)
        tuned[k] =
            (struct ckpt_tuned){t->found[k].best.method, t->o->nfe[k], t->found[k].best.nodes};
    d.tuned = tuned;
    d.tuned_count = t->o->nfe_count;
    *out = ckpt_description_json(&d, e);
    return *out ? 0 : -1;
}

/* All tensors of `f` as they are, with the mean, under the new description. */
static int write_tensors(const struct tuning *t, const struct ckpt_file *f, struct image_shape s,
                         const json_t *metadata, struct err *e)
{
    size_t count = ckpt_file_count(f), n = 0;
    struct ckpt_output *out = calloc(count + 1, sizeof *out);

    if (!out)
        return err_fail_memory(e, (count + 1) * sizeof *out);
    for (size_t i = 0; i < count; i++) {
        const struct ckpt_tensor *tensor = ckpt_file_tensor(f, i);
        if (t->mean && strcmp(tensor->name, CKPT_DATA_MEAN) == 0)
            continue;
        out[n] = (struct ckpt_output){.name = tensor->name,
                                      .dtype = tensor->dtype,
                                      .rank = tensor->rank,
                                      .data = tensor->data};
        memcpy(out[n++].shape, tensor->shape, sizeof tensor->shape);
    }
    if (t->mean)
        out[n++] = (struct ckpt_output){
            .name = CKPT_DATA_MEAN,
            .dtype = CKPT_F32,
            .rank = 3,
            .shape = {(uint64_t)s.channels, (uint64_t)s.height, (uint64_t)s.width},
            .data = t->mean};
    int result = ckpt_file_write(t->o->output, out, n, metadata, e);
    free(out);
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
                   t->found[k].judged, t->found[k].before, t->found[k].best.nodes[0]);
        json_t *nodes = json_array();
        for (int i = 0; i <= t->o->nfe[k] && nodes; i++)
            json_array_append_new(nodes, json_real(t->found[k].best.nodes[i]));
        json_array_append_new(list, json_pack("{s:i, s:s, s:f, s:f, s:o}", "nfe", t->o->nfe[k],
                                              "method", method, "rms", t->found[k].judged,
                                              "rms_default", t->found[k].before, "nodes", nodes));
    }
    json_t *root = json_pack("{s:s, s:s, s:I, s:I, s:f, s:o}", "model", t->o->model, "output",
                             t->o->output, "starts", (json_int_t)t->o->starts, "ways_tried",
                             (json_int_t)t->tried, "exact_nfe", t->judge.exact_nfe, "tuned", list);
    int result = root ? 0 : err_fail(e, ERR_INPUT, t->o->model, "a file name is not UTF-8");
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
