/* `pfgm sample`: one request to an engine of its own, waited for, written, reported.
 *
 * The images are those that the daemon makes of the same seed, index and solver, bit for bit: both
 * go through the engine, and nothing of an image is decided here. The main thread only waits and
 * draws the progress bar; the work is in the engine's workers. */
#include "cli.h"
#include "cli_json.h"
#include "cli_npz.h"
#include "cli_output.h"
#include "cli_points.h"
#include "cli_report.h"
#include "cli_run.h"
#include "cli_shard.h"
#include "cli_stream.h"
#include "cli_trajectory.h"
#include "base_cpu.h"
#include "base_size.h"
#include "engine.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define OWN_OUTPUTS_MAX 9999

enum { /* of options without a letter */
       OPTION_SEED = 256,
       OPTION_FIRST_INDEX,
       OPTION_CLASS,
       OPTION_TEMPERATURE,
       OPTION_LATENTS,
       OPTION_KERNEL,
       OPTION_PRECISION,
       OPTION_WORKERS,
       OPTION_TRAJECTORY,
       OPTION_COLUMNS,
       OPTION_SCALE,
       OPTION_DTYPE,
       OPTION_SHARD,
       OPTION_RESUME,
       OPTION_JSON
};

/* As given; 0, NULL and false mean absent, except where there is a has_. */
struct sample_options {
    const char *model, *latents, *kernel, *precision, *class;
    struct cli_output_options output;
    char own_output[32]; /* where none was given */
    bool has_seed, json, resume;
    struct cli_range shard; /* its n is that of the whole; shards 0: absent */
    struct model_choice solver;
    uint64_t seed, first_index;
    double temperature;
    int64_t n, workers, trajectory;
};

struct sample_run {
    struct sample_options *options;
    enum cli_output_kind kind;
    size_t n;
    struct cli_points latents;
    struct cli_run run;
    struct engine_request *request;
};

static int take_latents(struct sample_run *r, const struct model *m, struct err *e)
{
    const struct sample_options *o = r->options;
    r->n = o->n > 0 ? (size_t)o->n : 1;
    if (!o->latents)
        return 0;
    if (cli_points_latents(m, o->latents, !o->class, &r->latents, e) != 0)
        return -1;
    if (o->n > 0 && (uint64_t)o->n > r->latents.n)
        return err_fail(e, ERR_INPUT, o->latents, "holds %zu latents, -n asks for %" PRId64,
                        r->latents.n, o->n);
    r->n = o->n > 0 ? (size_t)o->n : r->latents.n;
    return 0;
}

/* sample.png, or for what is no picture sample.npy; a file that is there already stays. */
static int choose_output(struct sample_options *o, const struct model *m, struct err *e)
{
    const struct image_shape s = model_shape(m);
    const bool picture = !model_vectors(m) && (s.channels == 1 || s.channels == 3);
    const char *ending = picture && !o->output.dtype_given ? "png" : "npy";
    for (int i = 1; i <= OWN_OUTPUTS_MAX; i++) {
        char number[12] = "";
        if (i > 1)
            snprintf(number, sizeof number, "-%d", i);
        snprintf(o->own_output, sizeof o->own_output, "sample%s.%s", number, ending);
        if (access(o->own_output, F_OK) != 0) {
            o->output.path = o->own_output;
            return 0;
        }
    }
    return err_fail(e, ERR_INPUT, "--output",
                    "%s is there, and so are %d names before it: name one", o->own_output,
                    OWN_OUTPUTS_MAX - 1);
}

static int check_room(const struct sample_run *r, const struct model *m, struct err *e)
{
    struct cli_range range = r->options->shard;
    range.n = r->n;
    const uint64_t n = range.shards ? cli_range_end(range) - cli_range_begin(range) : r->n;
    return r->kind == CLI_OUTPUT_NPZ ? cli_npz_check(r->options->output.path, model_shape(m), n, e)
                                     : 0;
}

static struct cli_output_guard guard_of(const struct sample_options *o)
{
    return (struct cli_output_guard){.inputs = {o->model, o->latents},
                                     .shards = o->shard.shards > 0};
}

/* Model, output and latents are looked at before threads start or anything is computed. */
static int open_engine(struct sample_run *r, struct err *e)
{
    struct sample_options *o = r->options;
    const struct cli_output_guard guard = guard_of(o);
    struct model *m = cli_model_load(o->model, o->kernel, o->precision, e);
    if (!m)
        return -1;
    if ((!o->output.path && choose_output(o, m, e) != 0) ||
        (!o->trajectory && cli_output_choose(&o->output, m, &r->kind, e) != 0) ||
        cli_output_prepare(r->kind, o->output.path, model_shape(m), &guard, e) != 0 ||
        take_latents(r, m, e) != 0 || check_room(r, m, e) != 0) {
        model_free(m);
        return -1;
    }
    return cli_run_open(&r->run, m, o->workers, r->n, e);
}

static int draw_seed(uint64_t *out, struct err *e)
{
    if (getrandom(out, sizeof *out, 0) != (ssize_t)sizeof *out)
        return err_fail_errno(e, errno, "--seed", "draw a seed");
    return 0;
}

static int fill_order(const struct sample_run *r, struct engine_order *order, struct err *e)
{
    const struct sample_options *o = r->options;
    const struct model *m = engine_model_get(r->run.model);
    bool sheet = r->n > 1 || o->output.scale > 1 || o->output.columns > 0;
    *order = (struct engine_order){
        .model = r->run.model,
        .seed = o->seed,
        .first_index = o->first_index,
        .n = r->n,
        .temperature = o->temperature,
        .latents = r->latents.values,
        .output = cli_output_engine(r->kind, sheet),
        .grid = cli_output_grid(&o->output, r->n),
    };
    if (cli_solver_choose(m, NULL, NULL, &o->solver, &order->solver, e) != 0)
        return -1;
    if (r->latents.labels) {
        order->class.rule = ENGINE_CLASS_LISTED;
        order->labels = r->latents.labels;
    }
    if (cli_run_class(m, o->class, &order->class, e) != 0)
        return -1;
    if (order->class.rule == ENGINE_CLASS_EACH && !o->output.columns)
        order->grid.columns = model_class_count(m);
    return o->has_seed || o->latents ? 0 : draw_seed(&order->seed, e);
}

/* In place of the images themselves; there is no request then. */
static int write_trajectory(const struct sample_run *r, const struct engine_order *order,
                            struct err *e)
{
    const struct sample_options *o = r->options;
    int frames = (int)o->trajectory, scale = o->output.scale ? (int)o->output.scale : 1;
    if (cli_trajectory_write(order, frames, scale, o->output.path, e) != 0)
        return -1;
    char shown[CLI_SHOWN_MAX];
    fprintf(cli_stream_report(o->output.path),
            "%zu image%s, seed %" PRIu64 ", %s, %d states each, %s\n", order->n,
            order->n == 1 ? "" : "s", order->seed, ode_method_name(order->solver.ode.method),
            frames, cli_shown(o->output.path, shown));
    return 0;
}

/* In place of all images those of a shard. */
static int write_shard(struct sample_run *r, const struct engine_order *order, struct err *e)
{
    const struct sample_options *o = r->options;
    struct cli_shard shard = {.range = o->shard, .resume = o->resume, .path = o->output.path};
    shard.range.n = r->n;
    if (cli_shard_make(&r->run, order, &shard, e) != 0)
        return -1;
    const uint64_t begin = cli_range_begin(shard.range), end = cli_range_end(shard.range);
    char shown[CLI_SHOWN_MAX];
    printf("shard %" PRIu64 "/%" PRIu64 ": %" PRIu64 " image%s from index %" PRIu64
           " on, %zu of them there before, seed %" PRIu64 ", %s, %s\n",
           shard.range.shard, shard.range.shards, end - begin, end - begin == 1 ? "" : "s",
           order->first_index + begin, shard.kept, order->seed,
           ode_method_name(order->solver.ode.method), cli_shown(o->output.path, shown));
    return 0;
}

static int sample(struct sample_run *r, struct err *e)
{
    const struct cli_output_guard guard = guard_of(r->options);
    struct engine_order order;
    if (fill_order(r, &order, e) != 0)
        return -1;
    if (cli_run_check(&r->run, &order, e) != 0 ||
        cli_output_make_folder(r->kind, r->options->output.path, &order, &guard, e) != 0)
        return -1;
    if (r->options->shard.shards)
        return write_shard(r, &order, e);
    if (r->options->trajectory)
        return write_trajectory(r, &order, e);
    r->request = cli_run_order(&r->run, &order, e);
    return r->request ? 0 : -1;
}

/* A trajectory's output has rules of its own. */
static int check_trajectory(const struct sample_options *o, enum cli_output_kind *out,
                            struct err *e)
{
    *out = CLI_OUTPUT_PNG;
    if (o->latents || o->json || o->workers > 1 || o->output.columns || o->output.dtype_given)
        return err_fail(e, ERR_INPUT, "--trajectory", "does not go with %s",
                        o->latents          ? "--latents"
                        : o->json           ? "--json"
                        : o->workers > 1    ? "--workers: it is made by one thread"
                        : o->output.columns ? "--columns"
                                            : "--dtype");
    return o->output.path ? cli_trajectory_check(o->output.path, e) : 0;
}

/* Shards are of one run, so what they have in common must be said. */
static int check_shard(struct sample_options *o, enum cli_output_kind *out, struct err *e)
{
    const char *option = o->shard.shards ? "--shard" : "--resume";
    if (!o->shard.shards)
        o->shard = (struct cli_range){.shard = 1, .shards = 1};
    if (o->latents || o->json || o->trajectory || o->output.columns || o->output.scale ||
        o->output.dtype_given)
        return err_fail(e, ERR_INPUT, option, "does not go with %s",
                        o->latents          ? "--latents"
                        : o->json           ? "--json"
                        : o->trajectory     ? "--trajectory"
                        : o->output.columns ? "--columns"
                        : o->output.scale   ? "--scale"
                                            : "--dtype");
    if (!o->has_seed || o->n < 1)
        return err_fail(e, ERR_INPUT, option, "needs %s, which all shards of a run have in common",
                        o->has_seed ? "-n, the images of the whole" : "--seed");
    if ((uint64_t)o->n < o->shard.shards)
        return err_fail(e, ERR_INPUT, "-n", "%" PRId64 " images are too few for %" PRIu64 " shards",
                        o->n, o->shard.shards);
    if (!o->output.path || cli_output_kind_parse(o->output.path, out, e) != 0 ||
        (*out != CLI_OUTPUT_FOLDER && *out != CLI_OUTPUT_NPZ))
        return err_fail(e, ERR_INPUT, "--output", "of a shard is a folder DIR/ or a file .npz");
    return 0;
}

static int run(struct sample_options *o, struct err *e)
{
    struct sample_run r = {.options = o};
    if (o->json && cli_json_paths(o->model, o->output.path, e) != 0)
        return -1;
    int result = o->shard.shards || o->resume ? check_shard(o, &r.kind, e)
                 : o->trajectory              ? check_trajectory(o, &r.kind, e)
                 : o->output.path             ? cli_output_kind_parse(o->output.path, &r.kind, e)
                                              : 0;
    if (result == 0)
        result = open_engine(&r, e);
    if (result == 0)
        result = sample(&r, e);
    if (result == 0 && r.request)
        result = cli_output_write(r.kind, o->output.path, r.request, e);
    if (result == 0 && r.request) {
        struct cli_report report = {r.request, o->model, o->output.path, r.run.seconds};
        if (o->json)
            result = cli_report_print_json(&report, e);
        else
            cli_report_print(&report);
    }
    engine_request_free(r.request);
    cli_run_clear(&r.run);
    cli_points_clear(&r.latents);
    return result;
}

static int take_option(void *context, int c, const char *word, struct err *e)
{
    struct sample_options *o = context;
    switch (c) {
    case 'n':
        return cli_parse_int("-n", word, 1, CLI_IMAGES_MAX, &o->n, e);
    case 'o':
        o->output.path = word;
        return 0;
    case OPTION_SEED:
        o->has_seed = true;
        return cli_parse_u64("--seed", word, &o->seed, e);
    case OPTION_FIRST_INDEX:
        return cli_parse_u64("--first-index", word, &o->first_index, e);
    case OPTION_CLASS:
        o->class = word;
        return 0;
    case OPTION_TEMPERATURE:
        return cli_run_temperature(word, &o->temperature, e);
    case OPTION_LATENTS:
        o->latents = word;
        return 0;
    case OPTION_KERNEL:
        o->kernel = word;
        return 0;
    case OPTION_PRECISION:
        o->precision = word;
        return 0;
    case OPTION_WORKERS:
        return cli_parse_int("--workers", word, 1, ENGINE_WORKERS_MAX, &o->workers, e);
    case OPTION_TRAJECTORY:
        return cli_parse_int("--trajectory", word, 2, CLI_TRAJECTORY_MAX, &o->trajectory, e);
    case OPTION_COLUMNS:
        return cli_parse_int("--columns", word, 1, IMAGE_SIDE_MAX, &o->output.columns, e);
    case OPTION_SCALE:
        return cli_parse_int("--scale", word, 1, IMAGE_SIDE_MAX, &o->output.scale, e);
    case OPTION_DTYPE:
        return cli_output_take_dtype(&o->output, word, e);
    case OPTION_SHARD:
        return cli_shard_parse(word, &o->shard, e);
    case OPTION_RESUME:
        o->resume = true;
        return 0;
    case OPTION_JSON:
        o->json = true;
        return 0;
    default:
        return err_fail(e, ERR_INTERNAL, "", "an option without a meaning");
    }
}

static const struct cli_option options[] = {
    {NULL, 'n', 0, "N", NULL, "images (1, or as many as there are latents)"},
    CLI_OPTION_SEED("seed", OPTION_SEED, "", "drawn and printed if absent"),
    CLI_OPTION_FIRST_INDEX(OPTION_FIRST_INDEX),
    CLI_OPTION_CLASS_DRAWN(OPTION_CLASS, "drawn none each", "; each: all in turn, one per column"),
    CLI_OPTION_TEMPERATURE(OPTION_TEMPERATURE),
    {"latents", 0, OPTION_LATENTS, "FILE", CLI_VALUES_FILES,
     "points on t = T to start from: float32 or float64 [n,C,H,W] in a .npy (-: on standard "
     "input), "
     "or as the tensor x or prior.x (PFGM++: heun18.latent) of a safetensors file; taken "
     "unchanged. If the file has class_onehot [n,classes], it gives their classes"},
    CLI_OPTION_KERNEL(OPTION_KERNEL),
    CLI_OPTION_PRECISION(OPTION_PRECISION),
    CLI_OPTION_WORKERS(OPTION_WORKERS),
    {"trajectory", 0, OPTION_TRAJECTORY, "K", NULL,
     "K states of each image along its path: as NAME.png with one row per image, as NAME.apng a "
     "moving sheet"},
    {"dtype", 0, OPTION_DTYPE, "T", "uint8 float32",
     "of a .npy: uint8 or float32 (for vectors always float32)"},
    {"columns", 0, OPTION_COLUMNS, "N", NULL,
     "images per row of a sheet (about the square root of n)"},
    {"scale", 0, OPTION_SCALE, "K", NULL, "enlarge a .png K times"},
    {"shard", 0, OPTION_SHARD, "I/N", NULL,
     "of the n images only part I of N (1/N to N/N), into DIR/, which all shards share, or into a "
     "NAME.npz for each; pfgm merge joins them"},
    {"resume", 0, OPTION_RESUME, NULL, NULL,
     "keep what an earlier run of the same command finished: images in DIR/, or a whole NAME.npz"},
    CLI_OPTION_JSON(OPTION_JSON),
    {"output", 'o', 0, "OUT", CLI_VALUES_FILES,
     "where the images go (sample.png, or a name after it that is free)"},
    {0}};

static const struct cli_term forms[] = {
    {"NAME.png", "one image, or a sheet of all"},
    {"DIR/", "one PNG per image, named by its index: 000003.png"},
    {"NAME.npy", "uint8 [n,H,W,C]; with --dtype float32 [n,C,H,W] in data scale; for a model of "
                 "vectors float32 [n,d]"},
    {"NAME.npz", "arr_0 (uint8 [n,H,W,C]), seed, index, and for a model that knows classes class "
                 "[n] (-1: none)"},
    {"NAME.safetensors",
     "samples (float32 [n,C,H,W], data scale, before rounding to bytes), and class as in .npz"},
    {"-", "standard output: a PNG, or with --dtype a .npy"},
    {0}};

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct sample_options *o)
{
    int code = cli_options_take(&cli_sample_command, &o->solver, argc, argv, o);
    if (code >= 0)
        return code;
    if (argc - optind != 1)
        return cli_usage_error("sample", "one MODEL is needed, %d given", argc - optind);
    if (o->json && o->output.path && cli_stream_is_standard(o->output.path))
        return cli_usage_error("sample", "--json and -o - both write to standard output");
    o->model = argv[optind];
    return -1;
}

static int sample_main(int argc, char **argv)
{
    struct sample_options o = {0};
    struct err e = {0};
    int code = parse(argc, argv, &o);
    if (code >= 0)
        return code;
    return run(&o, &e) == 0 ? CLI_EXIT_OK : cli_fail("sample", &e);
}

const struct cli_command cli_sample_command = {
    .name = "sample",
    .summary = "draw images from a model",
    .synopsis = "sample MODEL [options] [-o OUT]",
    .about = "Draws images and writes them to OUT. The name's ending chooses the format:",
    .terms = forms,
    .options = options,
    .solver = {.title = "The solver:"},
    .words = CLI_VALUES_FILES,
    .take = take_option,
    .run = sample_main};
