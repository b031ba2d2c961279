/* `pfgm interpolate`: images along the path between two.
 *
 * The two ends are latents: those that the pictures encode to, those that two seeds draw, or two of
 * a file. Between them directions go along the great circle and norms in even steps
 * (model_latents_between); the points on the path are then decoded. */
#include "cli_flow.h"

#include <stdlib.h>
#include <string.h>

#define FRAMES 10 /* as in the reference */

static const struct cli_option options[] = {
    {"between", 0, CLI_FLOW_BETWEEN, "A B", CLI_VALUES_FILES,
     "two pictures, which are encoded first (rk45 at 1e-5)"},
    {"seeds", 0, CLI_FLOW_SEEDS, "A,B", NULL,
     "the images of index 0 of two seeds, with the class that both draw"},
    CLI_FLOW_LATENTS_OPTION(
        "two latents, as pfgm encode writes them (-: a .npy on standard input)"),
    {"steps", 0, CLI_FLOW_FRAMES, "K", NULL, "images, the ends included (10)"},
    CLI_OPTION_CLASS(CLI_FLOW_CLASS,
                     "default, unless the ends are seeds, which must draw one class"),
    CLI_FLOW_OPTIONS,
    CLI_FLOW_IMAGE_OPTIONS("all"),
    {0}};

/* What the ends are made of: pictures in data scale, or latents. */
static int read_ends(const struct cli_flow_options *o, const struct model *m,
                     struct cli_points *ends, struct err *e)
{
    const size_t d = model_dimension(m);
    struct model_solver solver;
    if (cli_solver_choose(m, NULL, o->steps, &o->solver, &solver, e) != 0)
        return -1;
    if (o->between[0])
        return cli_points_pair(m, o->between, (struct model_scale){0}, ends, e);
    if (o->latents) {
        if (cli_points_latents(m, o->latents, false, ends, e) != 0)
            return -1;
        return ends->n == 2
                   ? 0
                   : err_fail(e, ERR_INPUT, o->latents,
                              "holds %zu latents: the two ends of the path are needed", ends->n);
    }
    ends->values = calloc(2, d * sizeof *ends->values);
    if (!ends->values)
        return err_fail_memory(e, 2 * d * sizeof *ends->values);
    ends->n = 2;
    struct engine_class class = {.rule = ENGINE_CLASS_NONE};
    const struct engine_end seeds[2] = {{.seed = o->seeds[0]}, {.seed = o->seeds[1]}};
    struct err why = {0};
    if (!o->class && engine_class_between(m, seeds, &class, &why) != 0)
        return err_rename(e, &why, "--class");
    if (class.rule == ENGINE_CLASS_GIVEN) {
        ends->labels = malloc(2 * sizeof *ends->labels);
        if (!ends->labels)
            return err_fail_memory(e, 2 * sizeof *ends->labels);
        ends->labels[0] = ends->labels[1] = class.label;
    }
    for (size_t i = 0; i < 2; i++)
        model_prior_draw(m, &solver, 1.0, o->seeds[i], 0, ends->values + i * d);
    return 0;
}

/* The pictures become their latents, in place. */
static int encode_ends(struct cli_run *run, const struct cli_flow_options *o,
                       struct cli_points *ends, struct err *e)
{
    const struct model *m = engine_model_get(run->model);
    const size_t d = model_dimension(m);
    struct engine_order order = {.model = run->model,
                                 .n = 2,
                                 .task = ENGINE_TASK_ENCODE,
                                 .points = ends->values,
                                 .solver = model_solver_forward_default(m)};
    struct model_solver down;
    struct err why = {0};
    if (cli_run_class(m, o->class, &order.class, e) != 0 ||
        cli_solver_choose(m, NULL, o->steps, &o->solver, &down, e) != 0)
        return -1;
    if (model_solver_unguided(&down, &why) != 0)
        return cli_fail_field(&why, o->steps, e);
    order.solver.t_max = down.t_max; /* where the path down begins and ends */
    order.solver.t_min = down.t_min;
    struct engine_request *request = cli_run_order(run, &order, e);
    for (size_t i = 0; i < 2 && request; i++)
        memcpy(ends->values + i * d, engine_request_image(request, i)->state,
               d * sizeof *ends->values);
    engine_request_free(request);
    return request ? 0 : -1;
}

static int lay_path(const struct model *m, const struct cli_points *ends, size_t frames,
                    struct cli_points *path, struct err *e)
{
    const size_t d = model_dimension(m);
    path->values = calloc(frames, d * sizeof *path->values);
    if (!path->values)
        return err_fail_memory(e, frames * d * sizeof *path->values);
    path->n = frames;
    if (ends->labels) { /* of the images of seeds */
        path->labels = malloc(frames * sizeof *path->labels);
        if (!path->labels)
            return err_fail_memory(e, frames * sizeof *path->labels);
        for (size_t i = 0; i < frames; i++)
            path->labels[i] = ends->labels[0];
    }
    /* by the seed that the daemon takes where none is given */
    model_latents_between(m, ends->values, frames, 0, path->values);
    return 0;
}

static int interpolate(const struct cli_flow_options *o, struct err *e)
{
    struct model *m = cli_model_load(o->model, o->kernel, o->precision, e);
    const size_t frames = o->frames ? (size_t)o->frames : FRAMES;
    struct cli_points ends = {0}, path = {0};
    struct cli_run run = {0};
    enum cli_output_kind kind;
    int result = -1;
    if (m && cli_flow_prepare(o, m, &kind, e) == 0 && read_ends(o, m, &ends, e) == 0) {
        result = cli_run_open(&run, m, o->workers, frames, e);
        run.steps = o->steps;
        m = NULL; /* the run has it */
    }
    if (result == 0 && o->between[0])
        result = encode_ends(&run, o, &ends, e);
    if (result == 0)
        result = lay_path(engine_model_get(run.model), &ends, frames, &path, e);
    if (result == 0) {
        struct cli_flow_options in_a_row = *o;
        if (kind == CLI_OUTPUT_PNG && !o->output.columns)
            in_a_row.output.columns = (int64_t)frames;
        result = cli_flow_decode(&run, &in_a_row, kind, &path, e);
    }
    cli_points_clear(&path);
    cli_flow_clear(&run, &ends, m);
    return result;
}

static const char *missing(const struct cli_flow_options *o)
{
    if ((o->between[0] != NULL) + o->seeds_given + (o->latents != NULL) != 1)
        return "one of --between, --seeds and --latents says where the path ends";
    return o->output.path ? NULL : "-o OUT is needed";
}

static int interpolate_main(int argc, char **argv)
{
    static const struct cli_flow_command flow = {&cli_interpolate_command, missing, interpolate};
    return cli_flow_main(&flow, argc, argv);
}

const struct cli_command cli_interpolate_command = {
    .name = "interpolate",
    .summary = "draw images on the path between two",
    .synopsis = "interpolate MODEL (--between A.png B.png | --seeds A,B | --latents FILE)\n"
                "                 [options] -o OUT",
    .about = "Makes images on the path between two. On t = T the path follows a great circle of "
             "directions, with the norm in even steps. Both ends are among the images.",
    .options = options,
    .solver = {.title = "The solver of the path down:", .steps = "solver-steps"},
    .words = CLI_VALUES_FILES,
    .take = cli_flow_take,
    .run = interpolate_main};
