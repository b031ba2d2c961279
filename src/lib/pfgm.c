/* The public C library: a model and an engine of its own behind a few plain functions. Thread-safe
 * as the engine is; a model's threads sleep while nothing is asked for. */
#include "pfgm.h"

#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pfgm_model {
    struct engine *engine;
    struct engine_model *em;
};

static int report(struct pfgm_error *error, const struct err *e)
{
    if (!error)
        return -1;
    switch (e->code) {
    case ERR_INPUT:
    case ERR_UNSUPPORTED:
    case ERR_LIMIT:
        error->code = PFGM_BAD_INPUT;
        break;
    case ERR_NUMERIC:
        error->code = PFGM_NON_FINITE;
        break;
    case ERR_CANCELLED:
        error->code = PFGM_CANCELLED;
        break;
    default:
        error->code = PFGM_FAILED;
    }
    err_line(e, error->text, sizeof error->text);
    return -1;
}

const char *pfgm_version(void)
{
    return PFGM_VERSION;
}

static struct engine_model *open_into(struct engine *g, const char *path,
                                      const struct pfgm_open_options *options, struct err *e)
{
    struct model_options model_options = {0};
    if (options && options->kernel &&
        nn_kernel_parse(options->kernel, &model_options.kernel, e) != 0)
        return NULL;
    struct model *m = model_load(path, &model_options, e);
    return m ? engine_model_add(g, "model", m, e) : NULL;
}

struct pfgm_model *pfgm_model_open(const char *path, const struct pfgm_open_options *options,
                                   struct pfgm_error *error)
{
    struct err e = {0};
    struct engine_options engine_options = {.queue_images_max = SIZE_MAX};
    if (options) {
        engine_options.workers = options->workers;
        engine_options.batch = options->batch;
    }
    struct pfgm_model *model = calloc(1, sizeof *model);
    if (!model)
        err_fail_memory(&e, sizeof *model);
    else if ((model->engine = engine_new(&engine_options, &e)) != NULL)
        model->em = open_into(model->engine, path, options, &e);
    if (model && model->em)
        return model;
    report(error, &e);
    pfgm_model_close(model);
    return NULL;
}

void pfgm_model_close(struct pfgm_model *model)
{
    if (!model)
        return;
    engine_free(model->engine);
    free(model);
}

static const struct model *model_of(const struct pfgm_model *model)
{
    return engine_model_get(model->em);
}

int pfgm_model_channels(const struct pfgm_model *model)
{
    return model_shape(model_of(model)).channels;
}

int pfgm_model_height(const struct pfgm_model *model)
{
    return model_shape(model_of(model)).height;
}

int pfgm_model_width(const struct pfgm_model *model)
{
    return model_shape(model_of(model)).width;
}

size_t pfgm_model_image_bytes(const struct pfgm_model *model)
{
    return model_dimension(model_of(model));
}

const char *pfgm_model_sha256(const struct pfgm_model *model)
{
    return model_sha256(model_of(model));
}

const char *pfgm_model_kernel(const struct pfgm_model *model)
{
    return model_kernel_id(model_of(model));
}

int pfgm_model_label_count(const struct pfgm_model *model)
{
    return model_class_count(model_of(model));
}

const char *pfgm_model_label(const struct pfgm_model *model, int i)
{
    const struct model *m = model_of(model);
    return i >= 0 && i < model_class_count(m) ? model_description(m)->labels[i] : NULL;
}

void pfgm_sample_options_default(const struct pfgm_model *model,
                                 struct pfgm_sample_options *options)
{
    struct model_solver solver = model_solver_default(model_of(model));
    *options = (struct pfgm_sample_options){
        .n = 1,
        .method = ode_method_name(solver.ode.method),
        .steps = solver.ode.steps,
        .rtol = solver.ode.rtol,
        .atol = solver.ode.atol,
        .max_nfe = solver.ode.max_nfe,
        .temperature = 1.0,
    };
}

/* What the options say of the solver. */
static int choice_of(const struct pfgm_sample_options *options, struct model_choice *out,
                     struct err *e)
{
    *out = (struct model_choice){.given = MODEL_GIVEN(METHOD) | MODEL_GIVEN(MAX_NFE),
                                 .value.ode = {.steps = options->steps,
                                               .rtol = options->rtol,
                                               .atol = options->atol,
                                               .max_nfe = options->max_nfe}};
    if (!options->method || ode_method_parse(options->method, &out->value.ode.method) != 0)
        return err_fail(e, ERR_INPUT, "method", "\"%s\" is not a solver",
                        options->method ? options->method : "(null)");
    out->given |= ode_method_is_fixed_step(out->value.ode.method)
                      ? MODEL_GIVEN(STEPS)
                      : MODEL_GIVEN(RTOL) | MODEL_GIVEN(ATOL);
    return 0;
}

/* What the caller's fields say of it. */
static int choice_read(const struct pfgm_field *solver, size_t count, struct model_choice *out,
                       struct err *e)
{
    *out = (struct model_choice){0};
    for (size_t i = 0; i < count; i++) {
        const struct model_choice_field *field =
            solver[i].name ? model_choice_find(solver[i].name) : NULL;
        if (!field)
            return err_fail(e, ERR_INPUT, "solver",
                            "\"%s\" is not a field: pfgm_field_name has those that are",
                            solver[i].name ? solver[i].name : "(null)");
        if (model_choice_given(out, field))
            return err_fail(e, ERR_INPUT, field->name, "occurs twice");
        if (!solver[i].value)
            return err_fail(e, ERR_INPUT, field->name, "has no value");
        if (model_choice_read_word(out, field, solver[i].value, e) != 0)
            return -1;
    }
    return 0;
}

/* Row i of those that can be chosen. */
static const struct model_choice_field *field_at(int i)
{
    const struct model_choice_field *field = NULL;
    for (size_t row = 0; i >= 0 && (field = model_choice_field(row)) != NULL; row++)
        if (!field->hidden && i-- == 0)
            return field;
    return NULL;
}

const char *pfgm_field_name(int i)
{
    const struct model_choice_field *field = field_at(i);
    return field ? field->name : NULL;
}

const char *pfgm_field_help(int i)
{
    const struct model_choice_field *field = field_at(i);
    return field ? field->help : NULL;
}

static int order_from(const struct pfgm_model *model, const struct pfgm_sample_options *options,
                      const struct model_choice *choice, enum engine_output output,
                      struct engine_order *order, struct err *e)
{
    *order = (struct engine_order){
        .model = model->em,
        .seed = options->seed,
        .first_index = options->first_index,
        .n = options->n,
        .temperature = options->temperature,
        .latents = options->latents,
        .output = output,
    };
    if (options->temperature == 0.0) /* which the engine reads as absent */
        return err_fail(e, ERR_INPUT, "temperature",
                        "is 0: begin with pfgm_sample_options_default");
    if (options->label &&
        engine_class_parse(model_of(model), options->label, &order->class, e) != 0)
        return -1;
    return model_solver_choose(model_of(model), choice, &order->solver, e);
}

/* Exactly one of pixels and samples is given; `choice` NULL: what the options say. */
static int sample(struct pfgm_model *model, const struct pfgm_sample_options *options,
                  const struct model_choice *choice, uint8_t *pixels, float *samples,
                  struct pfgm_error *error)
{
    struct err e = {0};
    struct engine_order order;
    struct engine_request *r = NULL;
    struct model_choice own;
    enum engine_output output = pixels ? ENGINE_OUTPUT_PIXELS : ENGINE_OUTPUT_SAMPLE;
    if ((!choice && choice_of(options, &own, &e) != 0) ||
        order_from(model, options, choice ? choice : &own, output, &order, &e) != 0 ||
        engine_submit(model->engine, &order, &r, &e) != 0)
        return report(error, &e);
    engine_request_wait(r, -1);
    const struct err *failure = engine_request_error(r);
    if (failure)
        report(error, failure);
    const size_t d = pfgm_model_image_bytes(model);
    for (size_t i = 0; i < options->n && !failure; i++) {
        const struct engine_image *image = engine_request_image(r, i);
        if (pixels)
            memcpy(pixels + i * d, image->pixels, d);
        else
            memcpy(samples + i * d, image->sample, d * sizeof *samples);
    }
    engine_request_free(r);
    return failure ? -1 : 0;
}

int pfgm_sample(struct pfgm_model *model, const struct pfgm_sample_options *options,
                uint8_t *pixels, struct pfgm_error *error)
{
    return sample(model, options, NULL, pixels, NULL, error);
}

int pfgm_sample_float(struct pfgm_model *model, const struct pfgm_sample_options *options,
                      float *samples, struct pfgm_error *error)
{
    return sample(model, options, NULL, NULL, samples, error);
}

int pfgm_sample_with(struct pfgm_model *model, const struct pfgm_sample_options *options,
                     const struct pfgm_field *solver, size_t count, uint8_t *pixels, float *samples,
                     struct pfgm_error *error)
{
    struct model_choice choice;
    struct err e = {0};
    if (!pixels == !samples)
        err_fail(&e, ERR_INPUT, "", "one of pixels and samples is to be given");
    else if (choice_read(solver, count, &choice, &e) == 0)
        return sample(model, options, &choice, pixels, samples, error);
    return report(error, &e);
}

int pfgm_images_from_pixels(const struct pfgm_model *model, size_t n, const uint8_t *pixels,
                            const uint64_t *noise, uint64_t first_index, double *images,
                            struct pfgm_error *error)
{
    const struct model *m = model_of(model);
    const size_t d = model_dimension(m);
    struct err e = {0};
    if (model_vectors(m)) {
        err_fail(&e, ERR_INPUT, "", "the model's data are vectors, of which there are no pixels");
        return report(error, &e);
    }
    for (size_t i = 0; i < n; i++)
        if (noise)
            image_dequantise(pixels + i * d, model_shape(m), *noise, first_index + i,
                             images + i * d);
        else
            image_unquantise(pixels + i * d, model_shape(m), model_rounding(m), images + i * d);
    return 0;
}

static struct pfgm_encode_options forward_of(const struct model_solver *solver)
{
    return (struct pfgm_encode_options){
        .n = 1, .rtol = solver->ode.rtol, .atol = solver->ode.atol, .max_nfe = solver->ode.max_nfe};
}

void pfgm_encode_options_default(const struct pfgm_model *model,
                                 struct pfgm_encode_options *options)
{
    const struct model_solver solver = model_solver_forward_default(model_of(model));
    *options = forward_of(&solver);
}

void pfgm_likelihood_options_default(const struct pfgm_model *model,
                                     struct pfgm_likelihood_options *options)
{
    const struct model_solver solver = model_solver_likelihood_default(model_of(model));
    *options = (struct pfgm_likelihood_options){.encode = forward_of(&solver), .probes = 1};
}

/* What the options of a path up say of the solver. */
static struct model_choice choice_up(const struct pfgm_encode_options *options)
{
    return (struct model_choice){
        .given = MODEL_GIVEN(RTOL) | MODEL_GIVEN(ATOL) | MODEL_GIVEN(MAX_NFE),
        .value.ode = {.rtol = options->rtol, .atol = options->atol, .max_nfe = options->max_nfe}};
}

/* The request of a path up when it has ended well; NULL otherwise, with the error reported. */
static struct engine_request *go_up(struct pfgm_model *model,
                                    const struct pfgm_encode_options *options,
                                    const struct model_choice *choice, bool linear,
                                    struct engine_order *order, struct pfgm_error *error)
{
    const struct model *m = model_of(model);
    struct err e = {0};
    struct engine_request *r = NULL;
    const struct model_solver base = order->task == ENGINE_TASK_LIKELIHOOD
                                         ? model_solver_likelihood_default(m)
                                         : model_solver_forward_default(m);
    order->model = model->em;
    order->n = options->n;
    int result = model_solver_choose_forward(m, &base, choice, &order->solver, &e) != 0;
    if (linear)
        order->solver.ode.clock = ODE_CLOCK_LINEAR;
    if (result != 0 ||
        (options->label && engine_class_parse(m, options->label, &order->class, &e) != 0) ||
        engine_submit(model->engine, order, &r, &e) != 0) {
        report(error, &e);
        return NULL;
    }
    engine_request_wait(r, -1);
    const struct err *failure = engine_request_error(r);
    if (!failure)
        return r;
    report(error, failure);
    engine_request_free(r);
    return NULL;
}

static int encode(struct pfgm_model *model, const struct pfgm_encode_options *options,
                  const struct model_choice *choice, const double *images, double *latents,
                  struct pfgm_error *error)
{
    const size_t d = pfgm_model_image_bytes(model);
    struct engine_order order = {.task = ENGINE_TASK_ENCODE, .points = images};
    struct engine_request *r = go_up(model, options, choice, false, &order, error);
    for (size_t i = 0; i < options->n && r; i++)
        memcpy(latents + i * d, engine_request_image(r, i)->state, d * sizeof *latents);
    engine_request_free(r);
    return r ? 0 : -1;
}

int pfgm_encode(struct pfgm_model *model, const struct pfgm_encode_options *options,
                const double *images, double *latents, struct pfgm_error *error)
{
    const struct model_choice choice = choice_up(options);
    return encode(model, options, &choice, images, latents, error);
}

int pfgm_encode_with(struct pfgm_model *model, const struct pfgm_encode_options *options,
                     const struct pfgm_field *solver, size_t count, const double *images,
                     double *latents, struct pfgm_error *error)
{
    struct model_choice choice;
    struct err e = {0};
    return choice_read(solver, count, &choice, &e) == 0
               ? encode(model, options, &choice, images, latents, error)
               : report(error, &e);
}

static int likelihood(struct pfgm_model *model, const struct pfgm_likelihood_options *options,
                      const struct model_choice *choice, const double *images,
                      double *log_likelihood, double *bits_per_dimension, struct pfgm_error *error)
{
    struct engine_order order = {
        .task = ENGINE_TASK_LIKELIHOOD,
        .points = images,
        .seed = options->seed,
        .first_index = options->first_index,
        .likelihood = {.probes = options->probes,
                       .reference_constant = options->reference_constant != 0},
        .epsilon = options->epsilon,
    };
    struct engine_request *r =
        go_up(model, &options->encode, choice, options->linear_time != 0, &order, error);
    for (size_t i = 0; i < options->encode.n && r; i++) {
        const struct engine_image *image = engine_request_image(r, i);
        if (log_likelihood)
            log_likelihood[i] = image->log_likelihood;
        if (bits_per_dimension)
            bits_per_dimension[i] = image->bits_per_dimension;
    }
    engine_request_free(r);
    return r ? 0 : -1;
}

int pfgm_likelihood(struct pfgm_model *model, const struct pfgm_likelihood_options *options,
                    const double *images, double *log_likelihood, double *bits_per_dimension,
                    struct pfgm_error *error)
{
    const struct model_choice choice = choice_up(&options->encode);
    return likelihood(model, options, &choice, images, log_likelihood, bits_per_dimension, error);
}

int pfgm_likelihood_with(struct pfgm_model *model, const struct pfgm_likelihood_options *options,
                         const struct pfgm_field *solver, size_t count, const double *images,
                         double *log_likelihood, double *bits_per_dimension,
                         struct pfgm_error *error)
{
    struct model_choice choice;
    struct err e = {0};
    return choice_read(solver, count, &choice, &e) == 0
               ? likelihood(model, options, &choice, images, log_likelihood, bits_per_dimension,
                            error)
               : report(error, &e);
}
