/* The seed rule in words: the inputs that an image's bytes are a function of, as text. */
#include "engine_internal.h"

#include <inttypes.h>

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

int engine_seed_text(const struct engine_order *order, uint64_t index,
                     const struct image_grid *grid, struct buf *out, struct err *e)
{
    const struct model *m = order->model->model;
    char seed[24], number[24];
    snprintf(seed, sizeof seed, "%" PRIu64, order->seed);
    snprintf(number, sizeof number, "%" PRIu64, index);
    /* max_nfe is left out: it decides whether there is an image, not which. */
    json_t *o = json_pack("{s:s, s:s, s:s, s:o, s:n, s:i, s:s, s:s, s:s}", "model", model_sha256(m),
                          "kernel", model_kernel_id(m), "precision", model_precision_name(m),
                          "solver", solver_json(&order->solver, false), "class", "temperature", 1,
                          "format", "png", "seed", seed, "index", number);
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
