/* The rules of an order: what each option may be, what goes with what, and the defaults. Nothing
 * here knows of queues or threads. */
#include "engine_internal.h"

#include "base_rng.h"

#include <math.h>
#include <string.h>

int engine_class_check(const struct model *m, const struct engine_class *class, struct err *e)
{
    const int count = model_class_count(m);
    if (class->rule != ENGINE_CLASS_GIVEN)
        return 0;
    if (count == 0)
        return err_fail(e, ERR_INPUT, "class", "this model knows no classes: leave it out");
    return class->label >= 0 && class->label < count
               ? 0
               : err_fail(e, ERR_INPUT, "class", "must be 0 to %d, is %d", count - 1, class->label);
}

int engine_class_parse(const struct model *m, const char *word, struct engine_class *out,
                       struct err *e)
{
    static const struct {
        const char *word;
        enum engine_class_rule rule;
    } rules[] = {
        {"drawn", ENGINE_CLASS_DRAWN}, {"none", ENGINE_CLASS_NONE}, {"each", ENGINE_CLASS_EACH}};
    *out = (struct engine_class){.rule = ENGINE_CLASS_GIVEN};
    if (model_class_find(m, word, &out->label, NULL) == 0)
        return 0;
    for (size_t i = 0; i < sizeof rules / sizeof *rules && model_class_count(m) > 0; i++)
        if (strcmp(word, rules[i].word) == 0) {
            out->rule = rules[i].rule;
            return 0;
        }
    return model_class_find(m, word, &out->label, e);
}

static int32_t draw_label(const struct model *m, uint64_t seed, uint64_t index)
{
    return (int32_t)rng_below(seed, index, RNG_CLASS, (uint64_t)model_class_count(m));
}

int engine_class_between(const struct model *m, const struct engine_end ends[2],
                         struct engine_class *out, struct err *e)
{
    static const char remedy[] = "name one for all images from end to end, or none (of all data)";
    char *const *names = model_description(m)->labels;
    int32_t label[2];
    *out = (struct engine_class){.rule = ENGINE_CLASS_NONE};
    if (model_class_count(m) == 0)
        return 0;
    for (int i = 0; i < 2; i++)
        label[i] = ends[i].kind == ENGINE_END_SEED ? draw_label(m, ends[i].seed, ends[i].index)
                                                   : MODEL_CLASS_NONE;
    const int first = label[0] == MODEL_CLASS_NONE;
    if (label[first] == MODEL_CLASS_NONE)
        return 0;
    if (ends[!first].kind == ENGINE_END_LATENT)
        return err_fail(e, ERR_INPUT, "class",
                        "one end is of the class \"%s\", and a latent does not say its own: %s",
                        names[label[first]], remedy);
    if (ends[!first].kind == ENGINE_END_SEED && label[0] != label[1])
        return err_fail(e, ERR_INPUT, "class", "the ends are of two classes, \"%s\" and \"%s\": %s",
                        names[label[0]], names[label[1]], remedy);
    *out = (struct engine_class){ENGINE_CLASS_GIVEN, label[first]};
    return 0;
}

int32_t engine_order_label(const struct engine_order *order, uint64_t index)
{
    const uint64_t count = (uint64_t)model_class_count(order->model->model);
    if (count == 0)
        return MODEL_CLASS_NONE;
    switch (order->class.rule) {
    case ENGINE_CLASS_DRAWN:
        return draw_label(order->model->model, order->seed, index);
    case ENGINE_CLASS_GIVEN:
        return order->class.label;
    case ENGINE_CLASS_EACH:
        return (int32_t)(index % count);
    case ENGINE_CLASS_LISTED:
        return order->labels[index - order->first_index];
    case ENGINE_CLASS_NONE:
        break;
    }
    return MODEL_CLASS_NONE;
}

static int check_finite(const struct engine_order *o, struct err *e)
{
    const size_t d = model_dimension(o->model->model);
    const size_t probes = o->epsilon ? (size_t)o->likelihood.probes : 0;
    for (size_t i = 0; i < o->n; i++) {
        for (size_t j = 0; j < d; j++)
            if (!isfinite(o->points[i * d + j]))
                return err_fail(e, ERR_INPUT, "points", "value %zu of image %zu is not finite", j,
                                i);
        for (size_t j = 0; j < probes * d; j++)
            if (!isfinite(o->epsilon[i * probes * d + j]))
                return err_fail(e, ERR_INPUT, "epsilon",
                                "value %zu of the probes of image %zu is not finite", j, i);
    }
    return 0;
}

/* The path up has no data prediction to jump along and no tuned nodes. */
static int check_upward_solver(const struct engine_order *o, struct err *e)
{
    const struct ode_options *ode = &o->solver.ode;
    if (o->task == ENGINE_TASK_LIKELIHOOD && ode->method != ODE_RK45)
        return err_fail(e, ERR_INPUT, "method",
                        "must be rk45 for a likelihood, whose integral needs its error control");
    if (ode->churn.amount != 0.0)
        return err_fail(e, ERR_INPUT, "churn",
                        "is noise on the path down: on the path up from images it would make the "
                        "latent noise too");
    if (ode->to_zero ||
        (ode_method_is_fixed_step(ode->method) && ode->schedule == ODE_SCHEDULE_TUNED))
        return err_fail(e, ERR_INPUT, "schedule",
                        "goes down only: the path from images up to t_max is rk45's, or has the "
                        "schedule log, power or rho");
    return 0;
}

/* An order's task and what belongs to it alone. */
static int check_task(const struct engine_order *o, struct err *e)
{
    const struct model *m = o->model->model;
    if (o->task == ENGINE_TASK_SAMPLE)
        return o->points || o->epsilon
                   ? err_fail(e, ERR_INPUT, "points", "are what encode and likelihood begin with")
                   : 0;
    if (!o->points)
        return err_fail(e, ERR_INPUT, "points", "are needed: encode and likelihood begin there");
    if (o->latents || o->temperature != 1.0)
        return err_fail(e, ERR_INPUT, o->latents ? "latents" : "temperature",
                        "is for sampling: encode and likelihood begin with images");
    if (o->preview_every != 0)
        return err_fail(e, ERR_UNSUPPORTED, "preview_every", "is for sampling only");
    if (model_solver_unguided(&o->solver, e) != 0)
        return -1;
    if (o->task == ENGINE_TASK_LIKELIHOOD && model_likelihood_check(m, &o->likelihood, e) != 0)
        return -1;
    if (o->epsilon && (o->task != ENGINE_TASK_LIKELIHOOD || o->likelihood.probes < 1))
        return err_fail(e, ERR_INPUT, "epsilon", "holds probes, and none are asked for");
    return check_upward_solver(o, e) != 0 ? -1 : check_finite(o, e);
}

static int check_edit(const struct engine_order *o, struct err *e)
{
    const struct engine_edit *edit = &o->edit;
    if (!edit->image)
        return edit->kept ? err_fail(e, ERR_INPUT, "mask", "is of an image, and none is given") : 0;
    if (o->task != ENGINE_TASK_SAMPLE || o->latents || o->seeds)
        return err_fail(e, ERR_INPUT, "image", "is for edits, which begin with nothing else");
    if (!(edit->strength >= 0.0 && edit->strength <= 1.0))
        return err_fail(e, ERR_INPUT, "strength", "must be 0 to 1, is %g", edit->strength);
    for (size_t j = 0; j < model_dimension(o->model->model); j++)
        if (!isfinite(edit->image[j]))
            return err_fail(e, ERR_INPUT, "image", "value %zu is not finite", j);
    if (edit->kept && !ode_method_evaluates_once(o->solver.ode.method))
        return err_fail(e, ERR_INPUT, "method",
                        "%s takes more than one evaluation per step, and what a mask keeps is set "
                        "once per step: take euler, multistep2, multistep3, ipndm4 or unipc3",
                        ode_method_name(o->solver.ode.method));
    return 0;
}

/* Guidance leads to a class, and some models know nothing but their classes. */
static int check_classless(const struct engine_order *o, struct err *e)
{
    const struct model *m = o->model->model;
    bool classless = o->class.rule == ENGINE_CLASS_NONE;
    for (size_t i = 0; o->class.rule == ENGINE_CLASS_LISTED && i < o->n; i++)
        classless |= o->labels[i] == MODEL_CLASS_NONE;
    if (!classless)
        return 0;
    if (ode_options_guided(&o->solver.ode))
        return err_fail(e, ERR_INPUT, "guidance",
                        "leads towards a class, and an image is of none: name a class");
    return model_class_count(m) == 0 || model_null_class(m)
               ? 0
               : err_fail(e, ERR_INPUT, "class",
                          "an image is of none, and the model has not learned the field of no "
                          "class (it was trained without leaving labels out): name a class");
}

static int check_order(const struct engine_order *o, struct err *e)
{
    const struct model *m = o->model->model;
    if (o->n < 1)
        return err_fail(e, ERR_INPUT, "n", "at least one image must be asked for");
    if (o->n - 1 > UINT64_MAX - o->first_index)
        return err_fail(e, ERR_INPUT, "first_index", "%llu + %zu images goes past 2^64",
                        (unsigned long long)o->first_index, o->n);
    if (check_task(o, e) != 0 || check_edit(o, e) != 0)
        return -1;
    if (model_vectors(m) && (o->output != ENGINE_OUTPUT_SAMPLE || o->preview_every != 0))
        return err_fail(e, ERR_UNSUPPORTED, o->preview_every ? "preview_every" : "format",
                        "the model makes vectors, of which there is no picture: ask for float32 "
                        "as npy or safetensors");
    if (o->output == ENGINE_OUTPUT_SHEET) {
        struct image_shape sheet;
        if (o->grid.columns < 1 || o->grid.scale < 1 || o->grid.gap < 0)
            return err_fail(e, ERR_INPUT, "grid", "columns and scale start at 1");
        if (image_grid_shape(o->grid, model_shape(m), o->n, &sheet, e) != 0)
            return err_fail(e, e ? e->code : ERR_LIMIT, "grid", "%s", e ? e->text : "");
    }
    if (o->priority >= ENGINE_PRIORITIES || o->preview_every < 0)
        return err_fail(e, ERR_INPUT, "preview_every", "must not be negative");
    if (!(o->temperature >= ENGINE_TEMPERATURE_MIN && o->temperature <= ENGINE_TEMPERATURE_MAX))
        return err_fail(e, ERR_INPUT, "temperature", "must be %g to %g, is %g",
                        ENGINE_TEMPERATURE_MIN, ENGINE_TEMPERATURE_MAX, o->temperature);
    if (!o->seeds != !o->indices ||
        (o->seeds && (o->latents || o->output == ENGINE_OUTPUT_PNG ||
                      o->output == ENGINE_OUTPUT_SHEET || o->preview_every)))
        return err_fail(e, ERR_UNSUPPORTED, "seed",
                        "a seed an image goes with arrays only, and not with latents");
    if (o->latents && o->temperature != 1.0)
        return err_fail(e, ERR_INPUT, "temperature", "does not apply to latents that are given");
    return engine_class_check(m, &o->class, e) != 0 || model_solver_check(m, &o->solver, e) != 0 ||
                   check_classless(o, e) != 0
               ? -1
               : 0;
}

int engine_order_resolve(const struct engine_order *order, struct engine_order *out, struct err *e)
{
    struct engine_order resolved = *order;
    if (resolved.temperature == 0.0)
        resolved.temperature = 1.0;
    if (resolved.task != ENGINE_TASK_SAMPLE) {
        resolved.output = ENGINE_OUTPUT_SAMPLE; /* nothing but numbers comes of it */
        if (resolved.class.rule == ENGINE_CLASS_DRAWN)
            resolved.class.rule = ENGINE_CLASS_NONE;
    }
    struct err why = {0}; /* check_order reads what went wrong */
    if (model_solver_resolve(order->model->model, &resolved.solver, &why) != 0 ||
        check_order(&resolved, &why) != 0) {
        if (e)
            *e = why;
        return -1;
    }
    if (resolved.edit.strength == 1.0 && !resolved.edit.kept)
        resolved.edit = (struct engine_edit){0}; /* nothing of the image is left */
    *out = resolved;
    return 0;
}

/* Of each value of an image, in the answer of this kind; no default, so that a new kind does not
 * compile without. */
static size_t kept_bytes(enum engine_output output)
{
    switch (output) {
    case ENGINE_OUTPUT_PNG: /* noise does not get smaller */
    case ENGINE_OUTPUT_SHEET:
    case ENGINE_OUTPUT_PIXELS:
        return 1;
    case ENGINE_OUTPUT_SAMPLE:
        return sizeof(float);
    case ENGINE_OUTPUT_ARRAYS:
        return 1 + sizeof(float);
    }
    return 0;
}

size_t engine_order_bytes(const struct engine_order *o)
{
    size_t each = o->task == ENGINE_TASK_SAMPLE ? kept_bytes(o->output) : sizeof(double);
    if (o->latents || o->points)
        each += sizeof(double);
    if (o->epsilon)
        each += sizeof(float) * (size_t)o->likelihood.probes;
    return sizeof(struct engine_image) + 256 + each * model_dimension(o->model->model);
}
