/* The part of a path that an edit goes along: from an image up to some t, and down again.
 *
 * Up, the image goes straight towards a latent on t_max: the field line that ends in the image, if
 * it were the only one. So the point on the plane t is x0 + t/t_max (x_T − x0), as far from x0 as
 * the perturbation of training puts it.
 *
 * How far an image has to go to be forgotten is a matter of that distance, and not of t: the
 * latents of the prior lie at distances that differ by a factor of a hundred (D = 1), so at one t
 * some images would be new and others hardly touched. Therefore a strength says how far, and each
 * latent has its own t for that. */
#include "model_family.h"

#include "base_math.h"

#include <math.h>
#include <string.h>

#define EXPONENT 10.0 /* of the default grid: a strength is the share of its steps */
/* Ends that are no more apart are one. */
#define APART (1.0 + 1e-9)

double model_edit_strength(bool masked)
{
    return masked ? 1.0 : MODEL_EDIT_STRENGTH;
}

double model_edit_time(const struct model *m, const struct model_solver *solver, double strength,
                       const double *latent)
{
    const double *centre = model_prior_centre(m);
    const double low = math_pow(solver->t_min, 1.0 / EXPONENT),
                 high = math_pow(solver->t_max, 1.0 / EXPONENT);
    double sum = 0.0;
    if (strength <= 0.0)
        return 0.0;
    if (strength >= 1.0)
        return solver->t_max;
    for (size_t j = 0; j < m->dimension; j++) {
        const double x = latent[j] - (centre ? centre[j] : 0.0);
        sum += x * x;
    }
    const double distance = math_pow(low + strength * (high - low), EXPONENT),
                 unit = sqrt(sum / (double)m->dimension) / solver->t_max, t = distance / unit;
    if (!(t < solver->t_max))
        return solver->t_max;
    return t > solver->t_min * APART ? t : 0.0;
}

/* The node of the nodes [steps + 1] that is the nearest to t by their ratio, the last excepted. */
static double nearest(const double *nodes, int steps, double t)
{
    int best = 0;
    for (int i = 1; i < steps; i++)
        if (fmax(nodes[i] / t, t / nodes[i]) < fmax(nodes[best] / t, t / nodes[best]))
            best = i;
    return nodes[best];
}

/* Leaves of the nodes those below t, behind t itself; without the next one where it is less than
 * half a step away, since so short a step gains nothing. t lies below the first. How many steps. */
static int cut_nodes(double *nodes, int steps, double t)
{
    int first = 1;
    while (first < steps && nodes[first] >= t)
        first++;
    const double left = t / nodes[first], step = nodes[first - 1] / nodes[first];
    if (first < steps && left * left < step)
        first++;
    memmove(nodes + 1, nodes + first, (size_t)(steps + 1 - first) * sizeof *nodes);
    nodes[0] = t;
    return steps + 1 - first;
}

double model_solver_below(const struct model *m, const struct model_solver *solver, double t,
                          struct model_solver *out, double *nodes)
{
    const struct ode_options *ode = &solver->ode;
    *out = *solver;
    if (t >= solver->t_max)
        return solver->t_max;
    out->t_max = t;
    if (!ode_method_is_fixed_step(ode->method))
        return t;
    const bool tuned = ode->schedule == ODE_SCHEDULE_TUNED;
    const int steps = ode_options_grid_steps(ode);
    ode_options_nodes(ode, tuned ? ode->nodes[0] : solver->t_max, solver->t_min, nodes);
    if (tuned && t >= ode->nodes[0] && !model_is_student(m))
        return t; /* from where the first of them is reached without an evaluation */
    if (model_is_student(m))
        out->t_max = nearest(nodes, steps, t);
    out->ode.nodes = nodes;
    out->ode.schedule = ODE_SCHEDULE_TUNED;
    out->ode.exponent = 0.0;
    out->ode.steps = cut_nodes(nodes, steps, out->t_max) + (ode->to_zero ? 1 : 0);
    /* what it adds at a step stays what it was */
    out->ode.churn.amount *= (double)out->ode.steps / (double)ode->steps;
    return out->t_max;
}

void model_edit_point(const struct model *m, const struct model_solver *solver, double t,
                      const double *image, const double *latent, double *out)
{
    const double share = t / solver->t_max;
    for (size_t j = 0; j < m->dimension; j++)
        out[j] = t >= solver->t_max ? latent[j] : image[j] + share * (latent[j] - image[j]);
}
