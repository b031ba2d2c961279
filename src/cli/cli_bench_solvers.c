/* `pfgm bench solvers`: quality against evaluations for each solver on a model, as a table, as JSON
 * and as a figure. */
#include "cli.h"
#include "cli_output.h"
#include "figures.h"
#include "plot.h"

struct solvers_options {
    const char *plot;
    struct figures_options model;
};

static int take_option(void *context, int option, const char *word, struct err *e)
{
    struct solvers_options *o = context;
    int64_t n = 0;
    int result;
    switch (option) {
    case 'n':
        result = cli_parse_int("-n", word, 1, 10000, &n, e);
        o->model.n = (int)n;
        return result;
    case 's':
        return cli_parse_u64("--seed", word, &o->model.seed, e);
    case 'p':
        o->plot = word;
        return 0;
    case 'k':
        o->model.kernel = word;
        return 0;
    default:
        o->model.json = true;
        return 0;
    }
}

static int solvers_main(int argc, char **argv)
{
    struct solvers_options o = {0};
    struct err e = {0};
    int code = cli_options_take(&cli_bench_solvers_command, NULL, argc, argv, &o);
    if (code >= 0)
        return code;
    if (argc - optind != 1)
        return cli_usage_error("bench solvers", "one MODEL is needed, %d given", argc - optind);
    o.model.model = argv[optind];
    const struct cli_output_guard guard = {.inputs = {o.model.model}};
    if (o.plot &&
        (plot_name_check(o.plot, &e) != 0 || cli_output_prepare_file(o.plot, &guard, &e) != 0))
        return cli_fail("bench solvers", &e);
    return figures_solvers(o.plot, &o.model, &e) == 0 ? CLI_EXIT_OK : cli_fail("bench solvers", &e);
}

static const struct cli_option options[] = {
    {NULL, 'n', 0, "N", NULL, "starts (64)"},
    {"seed", 0, 's', "S", NULL, "of the starts (0)"},
    CLI_OPTION_KERNEL('k'),
    {"plot", 0, 'p', "FILE", CLI_VALUES_FILES, "the figure too, .png or .svg"},
    CLI_OPTION_JSON('j'),
    {0}};

const struct cli_command cli_bench_solvers_command = {
    .name = "bench solvers",
    .summary = "quality against evaluations, for each solver on a model",
    .synopsis = "bench solvers MODEL [options]",
    .about = "How far each solver ends from the exact path (rk45 at 1e-6) by the number of "
             "evaluations.",
    .options = options,
    .words = CLI_VALUES_FILES,
    .take = take_option,
    .run = solvers_main};
