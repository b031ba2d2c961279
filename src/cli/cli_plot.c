/* `pfgm plot`: the pictures by which people know the method, from computed fields and from real
 * models. */
#include "cli.h"
#include "cli_output.h"
#include "figures.h"
#include "plot.h"

#include <string.h>

struct plot_options {
    const char *output;
    const char *of_models;       /* the option given last that only figures of a model have */
    const char *of_trajectories; /* the option given that only the trajectories have */
    struct figures_options model;
};

static int take_option(void *context, int option, const char *word, struct err *e)
{
    static const struct {
        int id;
        const char *name;
    } names[] = {{'n', "-n"}, {'c', "--columns"}, {'s', "--seed"}, {'k', "--kernel"}};
    struct plot_options *o = context;
    int64_t value = 0;
    int result = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].id == option)
            o->of_models = names[i].name;
    switch (option) {
    case 'o':
        o->output = word;
        return 0;
    case 'n':
        result = cli_parse_int("-n", word, 1, 10000, &value, e);
        o->model.n = (int)value;
        return result;
    case 'c':
        o->of_trajectories = "--columns";
        result = cli_parse_int("--columns", word, 2, 40, &value, e);
        o->model.columns = (int)value;
        return result;
    case 's':
        return cli_parse_u64("--seed", word, &o->model.seed, e);
    default:
        o->model.kernel = word;
        return 0;
    }
}

static const struct {
    const char *name;
    int (*draw)(const char *path, struct err *e);
    int (*draw_model)(const char *path, const struct figures_options *o, struct err *e);
} figures[] = {
    {"field", figures_field, NULL},     {"farfield", figures_farfield, NULL},
    {"shell", figures_shell, NULL},     {"lift", figures_lift, NULL},
    {"prior", figures_prior, NULL},     {"trajectories", NULL, figures_trajectories},
    {"solvers", NULL, figures_solvers},
};

static int no_figure(const char *word)
{
    const char *names[sizeof figures / sizeof *figures];
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        names[i] = figures[i].name;
    const char *nearest = cli_nearest(word, names, sizeof names / sizeof *names);
    return cli_usage_error("plot", "there is no figure \"%s\"%s%s%s", word,
                           nearest ? ": did you mean " : "", nearest ? nearest : "",
                           nearest ? "?" : "");
}

static int plot_main(int argc, char **argv)
{
    struct plot_options o = {0};
    struct err e = {0};
    size_t k = 0;
    int code = cli_options_take(&cli_plot_command, NULL, argc, argv, &o);
    if (code >= 0)
        return code;
    if (argc == optind)
        return cli_usage_error("plot", "a FIGURE is needed");
    while (k < sizeof figures / sizeof *figures && strcmp(argv[optind], figures[k].name) != 0)
        k++;
    if (k == sizeof figures / sizeof *figures)
        return no_figure(argv[optind]);
    if (argc - optind != (figures[k].draw_model ? 2 : 1))
        return cli_usage_error(
            "plot", figures[k].draw_model ? "%s needs one MODEL" : "%s takes no further word",
            figures[k].name);
    if (o.of_models && figures[k].draw)
        return cli_usage_error("plot", "%s is for the figures of a model, and %s has none",
                               o.of_models, figures[k].name);
    if (o.of_trajectories && figures[k].draw_model != figures_trajectories)
        return cli_usage_error("plot", "%s is for trajectories, not for %s", o.of_trajectories,
                               figures[k].name);
    if (!o.output)
        return cli_usage_error("plot", "-o OUT.png or OUT.svg is needed");
    o.model.model = figures[k].draw_model ? argv[optind + 1] : NULL;
    const struct cli_output_guard guard = {.inputs = {o.model.model}};
    if (plot_name_check(o.output, &e) != 0 || cli_output_prepare_file(o.output, &guard, &e) != 0)
        return cli_fail("plot", &e);
    code = figures[k].draw ? figures[k].draw(o.output, &e)
                           : figures[k].draw_model(o.output, &o.model, &e);
    return code == 0 ? CLI_EXIT_OK : cli_fail("plot", &e);
}

static const struct cli_term terms[] = {
    {"field", "four sources in the plane and their lines of force"},
    {"farfield", "the same from afar, beside one source at the centre of mass"},
    {"shell", "a shell, and no force inside"},
    {"lift", "points on a line lifted to (x, t): lines come down from T"},
    {"prior", "the half-sphere projected onto t = T, and the density of the starts"},
    {"trajectories MODEL", "samples on their path from noise to images"},
    {"solvers MODEL", "distance from the exact path over evaluations, for each solver"},
    {0}};

static const struct cli_option options[] = {
    {NULL, 'n', 0, "N", NULL, "samples (5), or starts of solvers (64)"},
    {"columns", 0, 'c', "N", NULL, "states of each sample (9)"},
    {"seed", 0, 's', "S", NULL, "of samples and starts (0)"},
    CLI_OPTION_KERNEL('k'),
    {"output", 'o', 0, "OUT", CLI_VALUES_FILES, "the picture, .png or .svg"},
    {0}};

const struct cli_command cli_plot_command = {
    .name = "plot",
    .summary = "draw the method's figures, from computed fields and from models",
    .synopsis = "plot FIGURE [MODEL] -o OUT.png|OUT.svg [options]",
    .about = "Draws one of these figures:",
    .terms = terms,
    .options = options,
    .words = "field farfield shell lift prior trajectories solvers",
    .take = take_option,
    .run = plot_main};
