/* One edited image: up towards its latent, down by what is left of the solver's path. Nothing here
 * is drawn beside the latent, so an edit is a function of the image and of (seed, index). */
#include "engine_edit.h"

#include <stdlib.h>
#include <string.h>

static int take_memory(struct engine_slot *slot, size_t d, size_t nodes, struct err *e)
{
    slot->slope = malloc(d * sizeof *slot->slope);
    slot->latent = malloc(d * sizeof *slot->latent);
    slot->nodes = nodes ? malloc(nodes * sizeof *slot->nodes) : NULL;
    return slot->slope && slot->latent && (!nodes || slot->nodes)
               ? 0
               : err_fail_memory(e, (2 * d + nodes) * sizeof(double));
}

int engine_edit_begin(struct engine_slot *slot, struct err *e)
{
    struct engine_request *r = slot->request;
    const struct engine_order *o = &r->order;
    const struct model *m = o->model->model;
    const size_t d = model_dimension(m);
    const bool fixed = ode_method_is_fixed_step(o->solver.ode.method);
    struct model_solver path;
    if (take_memory(slot, d, fixed ? (size_t)ode_options_grid_steps(&o->solver.ode) + 2 : 0, e) !=
        0)
        return -1;
    model_prior_draw(m, &o->solver, o->temperature, engine_request_seed(r, slot->image),
                     r->images[slot->image].index, slot->latent);
    double t = model_edit_time(m, &o->solver, o->edit.strength, slot->latent);
    slot->unchanged = t == 0.0;
    if (slot->unchanged)
        return 0;
    t = model_solver_below(m, &o->solver, t, &path, slot->nodes);
    slot->solver = ode_solver_new(&path.ode, d, e);
    if (!slot->solver)
        return -1;
    model_edit_point(m, &o->solver, t, o->edit.image, slot->latent, slot->slope);
    t = model_solver_begin(m, &path, slot->slope);
    return ode_solver_start(slot->solver, slot->slope, t, path.t_min, e);
}

void engine_edit_hold(struct engine_slot *slot)
{
    const struct engine_order *o = &slot->request->order;
    if (!o->edit.kept || ode_solver_status(slot->solver) != ODE_WANTS_SLOPE)
        return;
    model_edit_point(o->model->model, &o->solver, ode_solver_time(slot->solver), o->edit.image,
                     slot->latent, slot->slope);
    ode_solver_hold(slot->solver, o->edit.kept, slot->slope);
}

const double *engine_edit_state(struct engine_slot *slot)
{
    const struct engine_order *o = &slot->request->order;
    if (slot->unchanged)
        return o->edit.image;
    const double *state = ode_solver_state(slot->solver);
    if (!o->edit.kept)
        return state;
    for (size_t j = 0; j < model_dimension(o->model->model); j++)
        slot->slope[j] = o->edit.kept[j] ? o->edit.image[j] : state[j];
    return slot->slope;
}
