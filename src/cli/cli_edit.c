/* `pfgm edit`: variations of an image, and new parts of it under a mask.
 *
 * What is done is the engine's to say (struct engine_edit); here the image and the mask are read,
 * or the image is made by its seed and index as the daemon makes it. */
#include "cli_flow.h"

#include "base_crypto.h"
#include "base_file.h"

#include <stdlib.h>

static const struct cli_option options[] = {
    {"image", 0, CLI_FLOW_IMAGE, "FILE", CLI_VALUES_FILES,
     "the image: one of what pfgm encode takes as IMAGES"},
    {"seed", 0, CLI_FLOW_SEED, "S", NULL,
     "or the image of this seed, with the class that it draws"},
    {"index", 0, CLI_FLOW_INDEX, "I", NULL, "and this index (0)"},
    {"strength", 0, CLI_FLOW_STRENGTH, "X", NULL,
     "how far the image goes up, 0 to 1: 0 leaves it as it is, and 1 leaves nothing of it (0.5; "
     "1 with a mask)"},
    {"mask", 0, CLI_FLOW_MASK, "FILE.png", CLI_VALUES_FILES,
     "what is kept: the pixels that are lighter than the middle, and opaque. The solver must take "
     "one evaluation per step"},
    {NULL, 'n', 0, "N", NULL, "images (1)"},
    CLI_OPTION_SEED("new-seed", CLI_FLOW_NEW_SEED, "the seed of what is new, ",
                    "drawn and printed if absent"),
    CLI_OPTION_FIRST_INDEX(CLI_FLOW_FIRST_INDEX),
    CLI_OPTION_CLASS(CLI_FLOW_CLASS, "default, but with --seed the image's own"),
    CLI_FLOW_OPTIONS,
    CLI_FLOW_IMAGE_OPTIONS("about the square root of n"),
    {0}};

static int read_mask(const struct model *m, const char *path, uint8_t **kept, struct err *e)
{
    struct file_map map;
    *kept = malloc(model_dimension(m));
    if (!*kept)
        return err_fail_memory(e, model_dimension(m));
    if (file_map_open(&map, path, e) != 0)
        return -1;
    int result = model_points_mask(m, map.data, map.length, false, path, *kept, e);
    file_map_close(&map);
    return result;
}

/* The image (seed, index) as values, into `image` [d]. Its class is the order's, unless another one
 * is given. What is wrong with the edit is reported before the image is made. */
static int make_image(struct cli_run *run, const struct cli_flow_options *o,
                      struct engine_order *order, double *image, struct err *e)
{
    const struct model *m = engine_model_get(run->model);
    const struct engine_order source = {.model = run->model,
                                        .seed = o->seed,
                                        .first_index = o->index,
                                        .n = 1,
                                        .solver = order->solver,
                                        .output = model_vectors(m) ? ENGINE_OUTPUT_SAMPLE
                                                                   : ENGINE_OUTPUT_PIXELS};
    const int32_t label = engine_order_label(&source, o->index);
    if (!o->class && label != MODEL_CLASS_NONE)
        order->class = (struct engine_class){ENGINE_CLASS_GIVEN, label};
    struct engine_request *request =
        cli_run_check(run, order, e) == 0 ? cli_run_order(run, &source, e) : NULL;
    if (!request)
        return -1;
    model_points_finished(m, engine_request_image(request, 0)->pixels,
                          engine_request_image(request, 0)->sample, image);
    engine_request_free(request);
    return 0;
}

static int fill_order(struct cli_run *run, const struct cli_flow_options *o,
                      enum cli_output_kind kind, struct cli_points *image, uint8_t *kept,
                      struct engine_order *order, struct err *e)
{
    const struct model *m = engine_model_get(run->model);
    const size_t n = o->frames ? (size_t)o->frames : 1;
    const bool sheet = n > 1 || o->output.scale > 1 || o->output.columns > 0;
    *order = (struct engine_order){.model = run->model,
                                   .seed = o->new_seed,
                                   .first_index = o->first_index,
                                   .n = n,
                                   .class = {.rule = ENGINE_CLASS_NONE},
                                   .output = cli_output_engine(kind, sheet),
                                   .grid = cli_output_grid(&o->output, n)};
    if (!o->has_new_seed && random_bytes(&order->seed, sizeof order->seed, e) != 0)
        return -1;
    if (cli_solver_choose_once(m, kept != NULL, o->steps, &o->solver, &order->solver, e) != 0)
        return -1;
    order->edit = (struct engine_edit){
        image->values, kept, o->has_strength ? o->strength : model_edit_strength(kept != NULL)};
    if (cli_run_class(m, o->class, &order->class, e) != 0)
        return -1;
    return o->input ? 0 : make_image(run, o, order, image->values, e);
}

static int read_image(const struct cli_flow_options *o, const struct model *m,
                      struct cli_points *image, struct err *e)
{
    if (!o->input) {
        image->n = 1;
        image->values = calloc(model_dimension(m), sizeof *image->values);
        return image->values ? 0 : err_fail_memory(e, model_dimension(m) * sizeof(double));
    }
    if (cli_points_images(m, o->input, (struct model_scale){0}, image, e) != 0)
        return -1;
    return image->n == 1
               ? 0
               : err_fail(e, ERR_INPUT, o->input, "holds %zu images: one is edited", image->n);
}

static int edit(const struct cli_flow_options *o, struct err *e)
{
    struct model *m = cli_model_load(o->model, o->kernel, o->precision, e);
    struct cli_points image = {0};
    struct cli_run run = {0};
    struct engine_order order;
    enum cli_output_kind kind;
    uint8_t *kept = NULL;
    int result = -1;
    if (m && cli_flow_prepare(o, m, &kind, e) == 0 && read_image(o, m, &image, e) == 0 &&
        (!o->mask || read_mask(m, o->mask, &kept, e) == 0)) {
        result = cli_run_open(&run, m, o->workers, o->frames ? (size_t)o->frames : 1, e);
        m = NULL; /* the run has it */
    }
    if (result == 0)
        result = fill_order(&run, o, kind, &image, kept, &order, e);
    if (result == 0)
        result = cli_flow_make(&run, o, kind, &order, e);
    free(kept);
    cli_flow_clear(&run, &image, m);
    return result;
}

static const char *missing(const struct cli_flow_options *o)
{
    if ((o->input != NULL) + o->has_seed != 1)
        return "one of --image and --seed says which image is edited";
    if (o->has_index && o->input)
        return "--index goes with --seed: an --image has none";
    return o->output.path ? NULL : "-o OUT is needed";
}

static int edit_main(int argc, char **argv)
{
    static const struct cli_flow_command flow = {&cli_edit_command, missing, edit};
    return cli_flow_main(&flow, argc, argv);
}

const struct cli_command cli_edit_command = {
    .name = "edit",
    .summary = "vary an image, or make parts of it anew",
    .synopsis = "edit MODEL (--image FILE | --seed S [--index I]) [options] -o OUT",
    .about = "Makes N variations of an image. Each goes up from it towards a latent of its own, as "
             "far as the strength says, and down again. What a mask keeps stays the same in every "
             "byte.",
    .options = options,
    .solver = {.title = "The solver:"},
    .words = CLI_VALUES_FILES,
    .take = cli_flow_take,
    .run = edit_main};
