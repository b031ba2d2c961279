/* `pfgm eval`: how good a model is on pictures that it has not seen.
 *
 * Samples come from the engine, all numbers from train_eval.h; one thread and a pool. Beside each
 * distance between samples and data stands the same between two halves of the data, which is what a
 * perfect model would get in the mean. */
#include "base_cpu.h"
#include "base_file.h"
#include "cli.h"
#include "base_log.h"
#include "cli_json.h"
#include "cli_output.h"
#include "engine.h"
#include "train_eval.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES_DEFAULT 500
#define SAMPLES_MAX 20000
#define LOSS_POINTS_DEFAULT 1024
#define DIRECTIONS 256
#define SHEET_ROWS 10

enum {
    OPTION_LABELS = 256,
    OPTION_TRAIN,
    OPTION_CROP,
    OPTION_RESIZE,
    OPTION_SEED,
    OPTION_POINTS,
    OPTION_KERNEL,
    OPTION_JSON
};

struct eval_options {
    const char *model, *data, *labels, *train, *output, *kernel;
    int64_t n, points, crop, resize;
    uint64_t seed;
    bool json;
    struct model_choice solver;
};

/* What was measured. */
struct eval {
    const struct eval_options *o;
    struct pool *pool;
    struct data_set held_out, train;
    struct engine *engine;
    struct engine_model *em;
    struct engine_request *request;
    struct train_eval_loss loss;
    size_t n, d;     /* samples, numbers in each */
    size_t points;   /* of the loss; 0: it has none */
    size_t *chosen;  /* [2n] of the held-out pictures: those of the halves, in turn */
    size_t *nearest; /* [n] of the training pictures: each sample's; NULL without */
    float *samples, *data[2];
    double energy, energy_floor, sliced, sliced_floor;
    double nearest_median; /* of the distances to the training set; NaN without */
};

/* ---- options ---- */

static int take_option(void *context, int option, const char *word, struct err *e)
{
    struct eval_options *o = context;
    switch (option) {
    case 'd':
        o->data = word;
        return 0;
    case 'o':
        o->output = word;
        return 0;
    case 'n':
        return cli_parse_int("-n", word, 2, SAMPLES_MAX, &o->n, e);
    case OPTION_LABELS:
        o->labels = word;
        return 0;
    case OPTION_TRAIN:
        o->train = word;
        return 0;
    case OPTION_CROP:
        return cli_parse_int("--center-crop", word, 1, IMAGE_SIDE_MAX, &o->crop, e);
    case OPTION_RESIZE:
        return cli_parse_int("--resize", word, 1, DATA_SIDE_MAX, &o->resize, e);
    case OPTION_SEED:
        return cli_parse_u64("--seed", word, &o->seed, e);
    case OPTION_POINTS:
        return cli_parse_int("--loss-points", word, 0, 1000000, &o->points, e);
    case OPTION_KERNEL:
        o->kernel = word;
        return 0;
    default:
        o->json = true;
        return 0;
    }
}

/* -1 to go on, else the exit code. */
static int parse_options(int argc, char **argv, struct eval_options *o)
{
    int code = cli_options_take(&cli_eval_command, &o->solver, argc, argv, o);
    if (code >= 0)
        return code;
    if (optind + 1 != argc || !o->data)
        return cli_usage_error("eval", "one MODEL and --data are needed");
    if (o->output && !o->train)
        return cli_usage_error("eval", "-o shows nearest training pictures: it needs --train");
    if (o->output && !file_name_ends(o->output, ".png"))
        return cli_usage_error("eval", "-o is a sheet and must end in .png");
    o->model = argv[optind];
    return -1;
}

/* ---- opening ---- */

static int open_data(const struct model *m, const struct eval_options *o, const char *path,
                     const char *labels, struct data_set *out, struct err *e)
{
    struct image_shape shape = model_shape(m);
    const struct data_options options = {
        .path = path, .labels = labels, .center_crop = (int)o->crop, .resize = (int)o->resize};
    if (data_open(&options, out, e) != 0)
        return -1;
    if (out->values && image_shape_is_vector(shape) && shape.width == out->channels)
        return 0;
    if (!out->values && !model_vectors(m) && out->channels == shape.channels &&
        out->side == shape.height && out->side == shape.width)
        return 0;
    if (out->values)
        return err_fail(e, ERR_INPUT, path,
                        "has vectors of %d coordinates, the model makes data of %d×%d×%d",
                        out->channels, shape.channels, shape.height, shape.width);
    return err_fail(e, ERR_INPUT, path, "has pictures of %d×%d×%d, the model makes %s of %d×%d×%d",
                    out->channels, out->side, out->side, model_vectors(m) ? "vectors" : "pictures",
                    shape.channels, shape.height, shape.width);
}

static int open_engine(struct eval *v, struct err *e)
{
    const struct cli_output_guard guard = {
        .inputs = {v->o->model, v->o->data, v->o->labels, v->o->train}};
    struct model_options options;
    struct model *m = NULL;
    if (v->o->output && cli_output_prepare_file(v->o->output, &guard, e) != 0)
        return -1;
    if (cli_model_options(v->o->kernel, NULL, &options, e) == 0)
        m = model_load(v->o->model, &options, e);
    if (!m)
        return -1;
    v->d = model_dimension(m);
    if (v->o->output && model_vectors(m)) {
        model_free(m);
        return err_fail(e, ERR_INPUT, v->o->output,
                        "the model makes vectors, of which there is no sheet: leave out -o");
    }
    const struct engine_options engine = {.queue_images_max = SAMPLES_MAX};
    if (open_data(m, v->o, v->o->data, v->o->labels, &v->held_out, e) != 0 ||
        (v->o->train && open_data(m, v->o, v->o->train, NULL, &v->train, e) != 0) ||
        !(v->engine = engine_new(&engine, e))) {
        model_free(m);
        return -1;
    }
    v->em = engine_model_add(v->engine, "model", m, e);
    v->pool = v->em ? pool_new(cpu_worker_count(), e) : NULL;
    size_t half = v->held_out.count / 2;
    v->n = half < (size_t)v->o->n ? half : (size_t)v->o->n;
    if (v->pool && v->n < 2)
        return err_fail(e, ERR_INPUT, v->o->data, "has %zu pictures, 4 at least are needed",
                        v->held_out.count);
    return v->pool ? 0 : -1;
}

/* ---- measuring ---- */

/* Two halves of n held-out pictures each, drawn by the seed with every class in its share: a file
 * may hold its pictures class by class. */
static int take_halves(struct eval *v, struct err *e)
{
    v->chosen = calloc(2 * v->n, sizeof *v->chosen);
    if (!v->chosen)
        return err_fail_memory(e, 2 * v->n * sizeof *v->chosen);
    if (train_eval_choose(&v->held_out, 2 * v->n, v->o->seed, v->chosen, e) != 0)
        return -1;
    for (size_t h = 0; h < 2; h++) {
        v->data[h] = calloc(v->n * v->d, sizeof **v->data);
        if (!v->data[h])
            return err_fail_memory(e, v->n * v->d * sizeof **v->data);
        for (size_t i = 0; i < v->n; i++)
            data_image(&v->held_out, v->chosen[2 * i + h], (struct data_view){0},
                       v->data[h] + i * v->d);
    }
    return 0;
}

/* The classes of the pictures that the samples are compared with, by their names, so that a model
 * of classes is not blamed for the shares that a set happens to have. False where the pictures have
 * no classes, or others than the model. */
static bool match_classes(const struct eval *v, int32_t *labels)
{
    const struct model *m = engine_model_get(v->em);
    const struct data_set *d = &v->held_out;
    if (model_class_count(m) == 0 || d->classes == 0 || !d->label)
        return false;
    for (size_t i = 0; i < v->n; i++) {
        int32_t label = d->label[v->chosen[2 * i]];
        labels[i] = MODEL_CLASS_NONE;
        if (label >= 0 && model_class_find(m, d->names[label], &labels[i], NULL) != 0)
            return false;
    }
    return true;
}

static int draw_samples(struct eval *v, struct err *e)
{
    struct engine_order order = {
        .model = v->em, .seed = v->o->seed, .n = v->n, .output = ENGINE_OUTPUT_SAMPLE};
    int32_t *labels = calloc(v->n, sizeof *labels);
    if (!labels)
        return err_fail_memory(e, v->n * sizeof *labels);
    if (match_classes(v, labels)) {
        order.class.rule = ENGINE_CLASS_LISTED;
        order.labels = labels;
    }
    struct err unfit = {0};
    int result =
        cli_solver_choose(engine_model_get(v->em), NULL, NULL, &v->o->solver, &order.solver, e);
    if (result == 0 && engine_submit(v->engine, &order, &v->request, &unfit) != 0)
        result = cli_fail_field(&unfit, NULL, e);
    free(labels);
    if (result != 0)
        return -1;
    engine_request_wait(v->request, -1);
    const struct err *why = engine_request_error(v->request);
    if (why)
        return err_pass(e, why);
    v->samples = calloc(v->n * v->d, sizeof *v->samples);
    if (!v->samples)
        return err_fail_memory(e, v->n * v->d * sizeof *v->samples);
    for (size_t i = 0; i < v->n; i++)
        memcpy(v->samples + i * v->d, engine_request_image(v->request, i)->sample,
               v->d * sizeof(float));
    return 0;
}

static int measure_distances(struct eval *v, struct err *e)
{
    const struct train_rows_view samples = {v->samples, v->n, v->d};
    const struct train_rows_view one = {v->data[0], v->n, v->d}, two = {v->data[1], v->n, v->d};
    const uint64_t seed = v->o->seed;
    return train_energy_distance(v->pool, samples, one, &v->energy, e) != 0 ||
                   train_energy_distance(v->pool, two, one, &v->energy_floor, e) != 0 ||
                   train_sliced_distance(v->pool, samples, one, DIRECTIONS, seed, &v->sliced, e) !=
                       0 ||
                   train_sliced_distance(v->pool, two, one, DIRECTIONS, seed, &v->sliced_floor,
                                         e) != 0
               ? -1
               : 0;
}

/* A row of samples, below it their nearest training pictures, and so on. */
static int write_sheet(const struct eval *v, struct err *e)
{
    const struct model *m = engine_model_get(v->em);
    struct image_shape one = model_shape(m), shape;
    const struct image_grid grid = {SHEET_ROWS, one.width < 64 ? 2 : 1, IMAGE_GRID_GAP};
    size_t shown = v->n < SHEET_ROWS * SHEET_ROWS / 2 ? v->n : SHEET_ROWS * SHEET_ROWS / 2;
    struct buf png;
    if (image_grid_shape(grid, one, 2 * ((shown + 9) / 10) * 10, &shape, e) != 0)
        return -1;
    uint8_t *sheet = calloc(image_shape_count(shape), 1), *pixels = calloc(v->d, 1);
    double *values = calloc(v->d, sizeof *values);
    float *nearest = calloc(v->d, sizeof *nearest);
    int result =
        sheet && pixels && values && nearest ? 0 : err_fail_memory(e, image_shape_count(shape));
    for (size_t k = 0; result == 0 && k < 2 * shown; k++) {
        size_t i = k / 2, place = i / SHEET_ROWS * 2 * SHEET_ROWS + i % SHEET_ROWS;
        const float *from = k % 2 ? nearest : v->samples + i * v->d;
        data_image(&v->train, v->nearest[i], (struct data_view){0}, nearest);
        for (size_t j = 0; j < v->d; j++)
            values[j] = (double)from[j];
        /* Bytes of a training picture come back as they were when rounded to the nearest. */
        result =
            image_quantise(values, one, k % 2 ? IMAGE_ROUND_PFGMPP : model_rounding(m), pixels, e);
        image_grid_place(grid, one, shape, place + (k % 2 ? SHEET_ROWS : 0), pixels, sheet);
    }
    buf_init(&png, IMAGE_PIXELS_MAX);
    if (result == 0)
        result = image_png_encode(sheet, shape, NULL, NULL, &png, e);
    if (result == 0)
        result = file_write_atomic(v->o->output, png.data, png.length, e);
    buf_clear(&png);
    free(sheet);
    free(pixels);
    free(values);
    free(nearest);
    return result;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int measure_nearest(struct eval *v, struct err *e)
{
    size_t count = v->train.count;
    float *values = calloc(count * v->d, sizeof *values);
    double *distance = calloc(v->n, sizeof *distance);
    v->nearest = calloc(v->n, sizeof *v->nearest);
    int result =
        values && v->nearest && distance ? 0 : err_fail_memory(e, count * v->d * sizeof *values);
    for (size_t i = 0; result == 0 && i < count; i++)
        data_image(&v->train, i, (struct data_view){0}, values + i * v->d);
    if (result == 0) {
        const struct train_rows_view a = {v->samples, v->n, v->d}, b = {values, count, v->d};
        train_nearest(v->pool, a, b, v->nearest, distance);
        qsort(distance, v->n, sizeof *distance, compare);
        v->nearest_median = distance[v->n / 2];
    }
    free(values);
    free(distance);
    return result;
}

/* ---- showing ---- */

static json_t *real_or_null(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static int print_json(const struct eval *v, struct err *e)
{
    json_t *bins = json_array();
    for (int k = 0; k < TRAIN_EVAL_BINS && v->points > 0; k++)
        bins = json_plus(bins,
                         json_pack("{s:f, s:f, s:I, s:o}", "t_low", v->loss.bin[k].t_low, "t_high",
                                   v->loss.bin[k].t_high, "count", (json_int_t)v->loss.bin[k].count,
                                   "loss", real_or_null(v->loss.bin[k].loss)));
    json_t *root = json_pack(
        "{s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "model", v->o->model, "data",
        v->o->data, "n", (json_int_t)v->n, "energy_distance", real_or_null(v->energy),
        "energy_distance_data", real_or_null(v->energy_floor), "sliced_wasserstein",
        real_or_null(v->sliced), "sliced_wasserstein_data", real_or_null(v->sliced_floor),
        "nearest_median", real_or_null(v->nearest_median), "loss",
        v->points > 0 ? real_or_null(v->loss.mean) : json_null(), "loss_by_t", bins);
    const int result = cli_json_print(root, e);
    json_decref(root);
    return result;
}

static void print_text(const struct eval *v)
{
    if (v->points > 0) {
        printf("loss                  %.4g\n", v->loss.mean);
        for (int k = 0; k < TRAIN_EVAL_BINS; k++)
            if (v->loss.bin[k].count)
                printf("  t %8.3g to %-8.3g %.4g  (%zu points)\n", v->loss.bin[k].t_low,
                       v->loss.bin[k].t_high, v->loss.bin[k].loss, v->loss.bin[k].count);
    }
    printf("energy distance       %.4g   data to data %.4g   (%zu samples)\n", v->energy,
           v->energy_floor, v->n);
    printf("sliced Wasserstein    %.4g   data to data %.4g\n", v->sliced, v->sliced_floor);
    if (isfinite(v->nearest_median))
        printf("nearest in training   %.4g   median over the samples\n", v->nearest_median);
}

static int run(struct eval *v, struct err *e)
{
    if ((v->o->json && cli_json_paths(v->o->model, v->o->data, e) != 0) || open_engine(v, e) != 0)
        return -1;
    const char *no_loss = train_eval_no_loss(engine_model_get(v->em));
    if (!no_loss)
        v->points = (size_t)v->o->points;
    else if (v->o->points > 0)
        log_line(LOG_WARN, "%s: no loss: %s", v->o->model, no_loss);
    if (take_halves(v, e) != 0 || draw_samples(v, e) != 0 || measure_distances(v, e) != 0)
        return -1;
    if (v->points > 0 && train_eval_loss(engine_model_get(v->em), v->pool, &v->held_out, v->points,
                                         v->o->seed, &v->loss, e) != 0)
        return -1;
    if (v->o->train && measure_nearest(v, e) != 0)
        return -1;
    if (v->o->json && print_json(v, e) != 0)
        return -1;
    if (!v->o->json)
        print_text(v);
    return v->o->output ? write_sheet(v, e) : 0; /* a full disk costs no figure */
}

static int eval_main(int argc, char **argv)
{
    struct eval_options o = {.n = SAMPLES_DEFAULT, .points = LOSS_POINTS_DEFAULT, .seed = 1};
    struct eval v = {.o = &o, .nearest_median = NAN};
    struct err e = {0};
    int code = parse_options(argc, argv, &o);
    if (code >= 0)
        return code;
    int result = run(&v, &e);
    if (v.request)
        engine_request_free(v.request);
    if (v.engine)
        engine_free(v.engine);
    pool_free(v.pool);
    data_clear(&v.held_out);
    data_clear(&v.train);
    free(v.chosen);
    free(v.nearest);
    free(v.samples);
    free(v.data[0]);
    free(v.data[1]);
    return result != 0 ? cli_fail("eval", &e) : CLI_EXIT_OK;
}

static const struct cli_option options[] = {
    {"data", 'd', 0, "SRC", CLI_VALUES_FILES,
     "held-out pictures, in any form that pfgm train takes"},
    {"labels", 0, OPTION_LABELS, "FILE", CLI_VALUES_FILES,
     "labels of an IDX file, if its name does not lead to them"},
    {"train", 0, OPTION_TRAIN, "SRC", CLI_VALUES_FILES,
     "the training pictures: finds each sample's nearest among them"},
    {"output", 'o', 0, "FILE.png", CLI_VALUES_FILES,
     "with --train: a sheet, samples above their nearest training pictures"},
    {"center-crop", 0, OPTION_CROP, "N", NULL,
     "first cut N×N pixels from the middle of each picture"},
    {"resize", 0, OPTION_RESIZE, "N", NULL, "then scale to N×N pixels"},
    {NULL, 'n', 0, "N", NULL, "samples (default 500, and at most half of the pictures)"},
    {"seed", 0, OPTION_SEED, "S", NULL, "of the samples (default 1)"},
    {"loss-points", 0, OPTION_POINTS, "N", NULL,
     "perturbed pictures for the loss (default 1024; 0: none)"},
    CLI_OPTION_KERNEL(OPTION_KERNEL),
    CLI_OPTION_JSON(OPTION_JSON),
    {0}};

const struct cli_command cli_eval_command = {
    .name = "eval",
    .summary = "measure a model on pictures that it has not seen",
    .synopsis = "eval MODEL --data SRC [options]",
    .about =
        "Measures a model on held-out pictures: its loss by t, and the energy distance and the "
        "sliced Wasserstein distance of its samples to them, each beside that of the pictures' "
        "two halves. The pictures are drawn by the seed, each class in its share; a model with "
        "those classes is asked for as many samples of each.",
    .options = options,
    .solver = {.title = "The solver of the samples:"},
    .words = CLI_VALUES_FILES,
    .take = take_option,
    .run = eval_main};
