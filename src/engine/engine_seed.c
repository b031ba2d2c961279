/* The seed rule in words: the inputs that an image's bytes are a function of, as text. */
#include "engine_internal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Adds the members; without an upper bound churn_t_max is left out. */
static int churn_json(const struct ode_churn *c, json_t *o)
{
    return json_object_set_new(o, "churn", json_real(c->amount)) |
           json_object_set_new(o, "churn_t_min", json_real(c->t_min)) |
           (isinf(c->t_max) ? 0 : json_object_set_new(o, "churn_t_max", json_real(c->t_max))) |
           json_object_set_new(o, "churn_noise", json_real(c->noise));
}

static json_t *solver_json(const struct model_solver *s, bool with_budget)
{
    json_t *o = json_pack("{s:s}", "method", ode_method_name(s->ode.method));
    int bad = o == NULL;
    if (!bad && ode_method_is_fixed_step(s->ode.method)) {
        bad |= json_object_set_new(o, "steps", json_integer(s->ode.steps));
        bad |= json_object_set_new(o, "schedule", json_string(ode_schedule_name(s->ode.schedule)));
        /* 0: the schedule's own exponent, and no break. */
        if (s->ode.exponent != 0.0)
            bad |= json_object_set_new(o, "exponent", json_real(s->ode.exponent));
        if (s->ode.churn.amount != 0.0)
            bad |= churn_json(&s->ode.churn, o);
        if (s->ode.t_break != 0.0)
            bad |= json_object_set_new(o, "t_break", json_real(s->ode.t_break));
    } else if (!bad) {
        bad |= json_object_set_new(o, "rtol", json_real(s->ode.rtol));
        bad |= json_object_set_new(o, "atol", json_real(s->ode.atol));
    }
    if (!bad) {
        bad |= json_object_set_new(o, "t_max", json_real(s->t_max));
        bad |= json_object_set_new(o, "t_min", json_real(s->t_min));
    }
    if (!bad && with_budget)
        bad |= json_object_set_new(o, "max_nfe",
                                   json_integer(s->ode.max_nfe ? s->ode.max_nfe : ODE_NFE_MAX));
    if (!bad)
        return o;
    json_decref(o);
    return NULL;
}

json_t *engine_solver_json(const struct model_solver *solver)
{
    return solver_json(solver, true);
}

static bool has_classes(const struct model *m)
{
    return model_label_count(m) > 0;
}

/* Of one image its class. A sheet of several tells the rule, as the bytes hold them all. */
static json_t *class_json(const struct engine_order *order, uint64_t index, bool sheet)
{
    if (sheet && has_classes(order->model->model)) {
        if (order->class.rule == ENGINE_CLASS_DRAWN)
            return json_string("drawn");
        if (order->class.rule == ENGINE_CLASS_EACH)
            return json_string("each");
        if (order->class.rule == ENGINE_CLASS_LISTED)
            return json_string("listed");
    }
    int32_t label = engine_order_label(order, index);
    return label == MODEL_LABEL_NONE ? json_null() : json_integer(label);
}

/* The usual one as an integer. */
static json_t *temperature_json(const struct engine_order *order)
{
    return order->temperature == 0.0 || order->temperature == 1.0 ? json_integer(1)
                                                                  : json_real(order->temperature);
}

int engine_seed_text(const struct engine_order *order, uint64_t index,
                     const struct image_grid *grid, struct buf *out, struct err *e)
{
    const struct model *m = order->model->model;
    char seed[24], number[24];
    snprintf(seed, sizeof seed, "%" PRIu64, order->seed);
    snprintf(number, sizeof number, "%" PRIu64, index);
    /* max_nfe is left out: it decides whether there is an image, not which. */
    json_t *o = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:s, s:s, s:s}", "model", model_sha256(m),
                          "kernel", model_kernel_id(m), "precision", model_precision_name(m),
                          "solver", solver_json(&order->solver, false), "class",
                          class_json(order, index, grid != NULL), "temperature",
                          temperature_json(order), "format", "png", "seed", seed, "index", number);
    int bad = o == NULL;
    if (!bad && grid) {
        bad |= json_object_set_new(o, "n", json_integer((json_int_t)order->n));
        bad |= json_object_set_new(o, "columns", json_integer(grid->columns));
        bad |= json_object_set_new(o, "scale", json_integer(grid->scale));
    }
    if (!bad && order->latents)
        bad |= json_object_set_new(o, "latents", json_string("given"));
    int result = bad ? err_fail_memory(e, 512) : json_append(out, o, 0, e);
    json_decref(o);
    return result;
}
