/* `pfgm bench solvers`: quality against evaluations for each solver on a model, as a table, as JSON
 * and as a figure. */
#include "cli.h"
#include "figures.h"

static const char help[] =
    "usage: pfgm bench solvers MODEL [options]\n"
    "\n"
    "How far each solver ends from the exact path (rk45 at 1e-6) by the number of evaluations.\n"
    "\n"
    "  -n N              starts (64)\n"
    "  --seed S          of the starts (0)\n"
    "  --kernel K        as of pfgm sample\n"
    "  --plot FILE       the figure too, .png or .svg\n"
    "  --json\n";

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

int cli_bench_solvers(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"seed", required_argument, NULL, 's'}, {"kernel", required_argument, NULL, 'k'},
        {"plot", required_argument, NULL, 'p'}, {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0}};
    static const struct cli_options options = {"bench solvers", help, ":n:h", long_options,
                                               take_option};
    struct solvers_options o = {0};
    struct err e = {0};
    int code = cli_take_options(&options, argc, argv, &o);
    if (code >= 0)
        return code;
    if (argc - optind != 1)
        return cli_usage_error("bench solvers", "one MODEL is needed, %d given", argc - optind);
    o.model.model = argv[optind];
    return figures_solvers(o.plot, &o.model, &e) == 0 ? CLI_EXIT_OK : cli_fail("bench solvers", &e);
}
