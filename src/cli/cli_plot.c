/* `pfgm plot`: the pictures by which people know the method, from computed fields and from real
 * models. */
#include "cli.h"
#include "figures.h"

#include <string.h>

static const char help[] =
    "usage: pfgm plot FIGURE [MODEL] -o OUT.png|OUT.svg [options]\n"
    "\n"
    "  field              four sources in the plane and their lines of force\n"
    "  farfield           the same from afar, beside one source at the centre of mass\n"
    "  shell              a shell, and no force inside\n"
    "  lift               points on a line lifted to (x, t): lines come down from T\n"
    "  trajectories MODEL samples on their way from noise to images\n"
    "  solvers MODEL      distance from the exact path over evaluations, for each solver\n"
    "\n"
    "  -n N               samples (5), or starts of solvers (64)\n"
    "  --columns N        states of each sample (9)\n"
    "  --seed S           of samples and starts (0)\n"
    "  --kernel K         as of pfgm sample\n"
    "  -o, --output OUT\n";

struct plot_options {
    const char *output;
    struct figures_options model;
};

static int take_option(void *context, int option, const char *word, struct err *e)
{
    struct plot_options *o = context;
    int64_t value = 0;
    int result = 0;
    switch (option) {
    case 'o':
        o->output = word;
        return 0;
    case 'n':
        result = cli_parse_int("-n", word, 1, 10000, &value, e);
        o->model.n = (int)value;
        return result;
    case 'c':
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
    {"field", figures_field, NULL},
    {"farfield", figures_farfield, NULL},
    {"shell", figures_shell, NULL},
    {"lift", figures_lift, NULL},
    {"trajectories", NULL, figures_trajectories},
    {"solvers", NULL, figures_solvers},
};

int cli_plot(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"output", required_argument, NULL, 'o'}, {"columns", required_argument, NULL, 'c'},
        {"seed", required_argument, NULL, 's'},   {"kernel", required_argument, NULL, 'k'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    static const struct cli_options options = {"plot", help, ":o:n:h", long_options, take_option};
    struct plot_options o = {0};
    struct err e = {0};
    size_t k = 0;
    int code = cli_take_options(&options, argc, argv, &o);
    if (code >= 0)
        return code;
    if (argc == optind)
        return cli_usage_error("plot", "a FIGURE is needed");
    while (k < sizeof figures / sizeof *figures && strcmp(argv[optind], figures[k].name) != 0)
        k++;
    if (k == sizeof figures / sizeof *figures)
        return cli_usage_error("plot", "there is no figure \"%s\"", argv[optind]);
    if (argc - optind != (figures[k].draw_model ? 2 : 1))
        return cli_usage_error(
            "plot", figures[k].draw_model ? "%s needs one MODEL" : "%s takes no further word",
            figures[k].name);
    if (!o.output)
        return cli_usage_error("plot", "-o OUT.png or OUT.svg is needed");
    if (figures[k].draw)
        code = figures[k].draw(o.output, &e);
    else {
        o.model.model = argv[optind + 1];
        code = figures[k].draw_model(o.output, &o.model, &e);
    }
    return code == 0 ? CLI_EXIT_OK : cli_fail("plot", &e);
}
