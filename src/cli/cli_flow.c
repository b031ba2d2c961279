/* What the subcommands of the flow share, and `pfgm decode`, which is little more than that. */
#include "cli_flow.h"

#include "cli_json.h"
#include "cli_npz.h"
#include "cli_report.h"
#include "cli_stream.h"

#include <string.h>

#define FRAMES_MAX 10000

/* "7,9" */
static int take_seeds(struct cli_flow_options *o, const char *word, struct err *e)
{
    const char *comma = strchr(word, ',');
    char first[32] = "";
    if (comma && (size_t)(comma - word) < sizeof first)
        memcpy(first, word, (size_t)(comma - word));
    o->seeds_given = true;
    if (cli_parse_u64("--seeds", first, &o->seeds[0], NULL) != 0 ||
        cli_parse_u64("--seeds", comma + 1, &o->seeds[1], NULL) != 0)
        return err_fail(e, ERR_INPUT, "--seeds", "\"%s\" is not two seeds such as 7,9", word);
    return 0;
}

/* The option's own word, and the word after it. */
static int take_between(struct cli_flow_options *o, const char *word, struct err *e)
{
    o->between[0] = word;
    if (optind >= o->argc || o->argv[optind][0] == '-')
        return err_fail(e, ERR_INPUT, "--between", "needs two pictures, A.png B.png");
    o->between[1] = o->argv[optind++];
    return 0;
}

/* One of two words; which in *second. */
static int take_word(const char *option, const char *word, const char *first, const char *other,
                     bool *second, struct err *e)
{
    *second = strcmp(word, other) == 0;
    return *second || strcmp(word, first) == 0
               ? 0
               : err_fail(e, ERR_INPUT, option, "is %s or %s, not \"%s\"", first, other, word);
}

/* What is edited, and how. */
static int take_edit(struct cli_flow_options *o, int c, const char *word, struct err *e)
{
    switch (c) {
    case CLI_FLOW_IMAGE:
        o->input = word;
        return 0;
    case CLI_FLOW_MASK:
        o->mask = word;
        return 0;
    case CLI_FLOW_INDEX:
        o->has_index = true;
        return cli_parse_u64("--index", word, &o->index, e);
    case CLI_FLOW_NEW_SEED:
        o->has_new_seed = true;
        return cli_parse_u64("--new-seed", word, &o->new_seed, e);
    case CLI_FLOW_FIRST_INDEX:
        return cli_parse_u64("--first-index", word, &o->first_index, e);
    case CLI_FLOW_STRENGTH:
        o->has_strength = true;
        if (cli_parse_real("--strength", word, &o->strength, e) != 0)
            return -1;
        return o->strength >= 0.0 && o->strength <= 1.0
                   ? 0
                   : err_fail(e, ERR_INPUT, "--strength", "must be 0 to 1, is %s", word);
    case 'n':
        return cli_parse_int("-n", word, 1, FRAMES_MAX, &o->frames, e);
    default:
        return err_fail(e, ERR_INTERNAL, "", "an option without a meaning");
    }
}

/* What begins with and how it is judged. */
static int take_input(struct cli_flow_options *o, int c, const char *word, struct err *e)
{
    switch (c) {
    case 'i':
        o->input = word;
        return 0;
    case CLI_FLOW_LATENTS:
        o->latents = word;
        return 0;
    case CLI_FLOW_BETWEEN:
        return take_between(o, word, e);
    case CLI_FLOW_SEEDS:
        return take_seeds(o, word, e);
    case CLI_FLOW_SEED:
        o->has_seed = true;
        return cli_parse_u64("--seed", word, &o->seed, e);
    case CLI_FLOW_FRAMES:
        return cli_parse_int("--steps", word, 2, FRAMES_MAX, &o->frames, e);
    case CLI_FLOW_PROBES:
        return cli_parse_int("--probes", word, 1, MODEL_PROBES_MAX, &o->probes, e);
    case CLI_FLOW_EXACT_TRACE:
        o->exact_trace = true;
        return 0;
    case CLI_FLOW_CONSTANT:
        return take_word("--constant", word, "exact", "reference",
                         &o->likelihood.reference_constant, e);
    case CLI_FLOW_TIME:
        return take_word("--time", word, "log", "linear", &o->linear, e);
    case CLI_FLOW_EPSILON:
        o->epsilon = word;
        return 0;
    default:
        return take_edit(o, c, word, e);
    }
}

int cli_flow_take(void *context, int c, const char *word, struct err *e)
{
    struct cli_flow_options *o = context;
    switch (c) {
    case 'o':
        o->output.path = word;
        return 0;
    case CLI_FLOW_CLASS:
        o->class = word;
        return 0;
    case CLI_FLOW_KERNEL:
        o->kernel = word;
        return 0;
    case CLI_FLOW_PRECISION:
        o->precision = word;
        return 0;
    case CLI_FLOW_WORKERS:
        return cli_parse_int("--workers", word, 1, ENGINE_WORKERS_MAX, &o->workers, e);
    case CLI_FLOW_COLUMNS:
        return cli_parse_int("--columns", word, 1, IMAGE_SIDE_MAX, &o->output.columns, e);
    case CLI_FLOW_SCALE:
        return cli_parse_int("--scale", word, 1, IMAGE_SIDE_MAX, &o->output.scale, e);
    case CLI_FLOW_DTYPE:
        return cli_output_take_dtype(&o->output, word, e);
    case CLI_FLOW_JSON:
        o->json = true;
        return 0;
    default:
        return take_input(o, c, word, e);
    }
}

int cli_flow_main(const struct cli_flow_command *flow, int argc, char **argv)
{
    const struct cli_command *command = flow->command;
    struct cli_flow_options o = {.argc = argc, .argv = argv, .steps = command->solver.steps};
    struct err e = {0};
    int code = cli_options_take(command, &o.solver, argc, argv, &o);
    if (code >= 0)
        return code;
    if (argc - optind != 1)
        return cli_usage_error(command->name, "one MODEL is needed, %d given", argc - optind);
    o.model = argv[optind];
    const char *missing = flow->missing(&o);
    if (!missing && o.json && o.output.path && cli_stream_is_standard(o.output.path))
        missing = "--json and -o - both write to standard output";
    if (missing)
        return cli_usage_error(command->name, "%s", missing);
    if (o.json && cli_json_paths(o.model, o.output.path, &e) != 0)
        return cli_fail(command->name, &e);
    return flow->run(&o, &e) == 0 ? CLI_EXIT_OK : cli_fail(command->name, &e);
}

void cli_flow_clear(struct cli_run *run, struct cli_points *points, struct model *m)
{
    cli_run_clear(run);
    cli_points_clear(points);
    model_free(m);
}

struct cli_output_guard cli_flow_guard(const struct cli_flow_options *o)
{
    return (struct cli_output_guard){.inputs = {o->model, o->input, o->mask, o->latents,
                                                o->between[0], o->between[1], o->epsilon}};
}

int cli_flow_prepare(const struct cli_flow_options *o, const struct model *m,
                     enum cli_output_kind *kind, struct err *e)
{
    const struct cli_output_guard guard = cli_flow_guard(o);
    return cli_output_choose(&o->output, m, kind, e) != 0
               ? -1
               : cli_output_prepare(*kind, o->output.path, model_shape(m), &guard, e);
}

int cli_flow_decode(struct cli_run *run, const struct cli_flow_options *o,
                    enum cli_output_kind kind, const struct cli_points *latents, struct err *e)
{
    const struct model *m = engine_model_get(run->model);
    bool sheet = latents->n > 1 || o->output.scale > 1 || o->output.columns > 0;
    struct engine_order order = {
        .model = run->model,
        .n = latents->n,
        .latents = latents->values,
        .labels = latents->labels,
        .class = {.rule = latents->labels ? ENGINE_CLASS_LISTED : ENGINE_CLASS_NONE},
        .output = cli_output_engine(kind, sheet),
        .grid = cli_output_grid(&o->output, latents->n)};
    if (cli_run_class(m, o->class, &order.class, e) != 0 ||
        cli_solver_choose(m, NULL, o->steps, &o->solver, &order.solver, e) != 0)
        return -1;
    if (o->class)
        order.labels = NULL;
    return cli_flow_make(run, o, kind, &order, e);
}

int cli_flow_make(struct cli_run *run, const struct cli_flow_options *o, enum cli_output_kind kind,
                  const struct engine_order *order, struct err *e)
{
    const struct image_shape shape = model_shape(engine_model_get(order->model));
    const struct cli_output_guard guard = cli_flow_guard(o);
    if (kind == CLI_OUTPUT_NPZ && cli_npz_check(o->output.path, shape, order->n, e) != 0)
        return -1;
    if (cli_run_check(run, order, e) != 0 ||
        cli_output_make_folder(kind, o->output.path, order, &guard, e) != 0)
        return -1;
    struct engine_request *request = cli_run_order(run, order, e);
    int result = request ? cli_output_write(kind, o->output.path, request, e) : -1;
    if (result == 0) {
        struct cli_report report = {request, o->model, o->output.path, run->seconds};
        if (o->json)
            result = cli_report_print_json(&report, e);
        else
            cli_report_print(&report);
    }
    engine_request_free(request);
    return result;
}

/* ---- decode ---- */

static const struct cli_option options[] = {
    CLI_FLOW_LATENTS_OPTION("float32 or float64 [n,C,H,W], for vectors [n,d] too, in a .npy (-: on "
                            "standard input), or as "
                            "the tensor x or prior.x (PFGM++: heun18.latent) of a safetensors "
                            "file, with their classes "
                            "as class_onehot [n,classes] if it has one"),
    CLI_OPTION_CLASS(CLI_FLOW_CLASS, "default, unless the file has classes"),
    CLI_FLOW_OPTIONS,
    CLI_FLOW_IMAGE_OPTIONS("about the square root of n"),
    {0}};

static int decode(const struct cli_flow_options *o, struct err *e)
{
    struct model *m = cli_model_load(o->model, o->kernel, o->precision, e);
    struct cli_points latents = {0};
    struct cli_run run = {0};
    enum cli_output_kind kind;
    int result = -1;
    if (m && cli_flow_prepare(o, m, &kind, e) == 0 &&
        cli_points_latents(m, o->latents, !o->class, &latents, e) == 0) {
        result = cli_run_open(&run, m, o->workers, latents.n, e);
        m = NULL; /* the run has it */
    }
    if (result == 0)
        result = cli_flow_decode(&run, o, kind, &latents, e);
    cli_flow_clear(&run, &latents, m);
    return result;
}

static const char *decode_missing(const struct cli_flow_options *o)
{
    return !o->latents ? "--latents FILE is needed" : !o->output.path ? "-o OUT is needed" : NULL;
}

static int decode_main(int argc, char **argv)
{
    static const struct cli_flow_command flow = {&cli_decode_command, decode_missing, decode};
    return cli_flow_main(&flow, argc, argv);
}

const struct cli_command cli_decode_command = {
    .name = "decode",
    .summary = "turn latents into images",
    .synopsis = "decode MODEL --latents FILE [options] -o OUT",
    .about = "Follows the flow from latents, points on t = T, down to images. This is the inverse "
             "of pfgm encode.",
    .options = options,
    .solver = {.title = "The solver:"},
    .words = CLI_VALUES_FILES,
    .take = cli_flow_take,
    .run = decode_main};
