/* The learned PFGM family: the network approximates the normalised field, scaled to √d,
 *
 *     v ≈ √d · E / (‖E‖ + γ),   E = the empirical field toward the data,
 *
 * and a sample follows dx/dt = v_x / v_t. As in the reference, t and the slope are what single
 * precision makes of them: its rk45 reacts to rounding near the data, and its paths are met more
 * closely when both round alike. */
#include "model_family.h"

#include "field_prior.h"

#include <math.h>

/* ‖v_x‖/√d reaches 1 only where E is infinite; a network may overshoot. */
#define FIELD_RATIO_MAX (1.0 - 1e-6)

static size_t pfgm_time_components(const struct model *m)
{
    struct image_shape shape = model_shape(m);
    return (size_t)shape.height * (size_t)shape.width;
}

static void pfgm_prior_draw(const struct model *m, const struct model_solver *solver, uint64_t seed,
                            uint64_t index, double *x)
{
    const struct ckpt_description *d = &m->description;
    const struct field_prior prior = {
        .d = model_dimension(m),
        .t_max = solver->t_max,
        .norm_min = d->norm_min,
        .norm_max = d->norm_max,
    };
    field_prior_draw(&prior, seed, index, x);
}

/* The divisor of the flow: the network's v_t, or near the data what v_t must be for the length of
 * v_x.
 *
 * From a = ‖v_x‖/√d follows the unnormalised length e = γa/(1-a) of E_x, hence ‖E‖ = s = √(e² + t²)
 * if the data lie in the plane t = 0, and v_t = -√d·t/(s + γ). */
static double flow_divisor(const struct ckpt_description *d, const float *v_x, double v_t, double t,
                           size_t n)
{
    if (t < d->t_substitution && d->gamma > 0.0) {
        double square = 0.0;
        for (size_t i = 0; i < n; i++)
            square += (double)v_x[i] * (double)v_x[i];
        double root = sqrt((double)n);
        double a = sqrt(square) / root;
        if (a > FIELD_RATIO_MAX)
            a = FIELD_RATIO_MAX;
        double e = d->gamma * a / (1.0 - a);
        double s = sqrt(e * e + t * t);
        v_t = -root * t / (s + d->gamma);
    }
    return v_t + d->divisor_offset;
}

static void pfgm_slopes(const struct model *m, struct model_workspace *ws, int n,
                        const struct model_query *queries)
{
    const size_t d = model_dimension(m);
    for (int i = 0; i < n; i++) {
        float *x = ws->block + (size_t)i * d;
        for (size_t j = 0; j < d; j++)
            x[j] = (float)queries[i].x[j];
        ws->t[i] = (float)queries[i].t;
    }
    nn_net_forward(m->net, ws->nn, n, ws->x, ws->t, ws->v_x, ws->v_t);
    for (int i = 0; i < n; i++) {
        const float *v_x = ws->v_x[i];
        double t = (double)ws->t[i];
        double divisor = flow_divisor(&m->description, v_x, (double)ws->v_t[i], t, d);
        double factor = (queries[i].form == ODE_SLOPE_DLNT ? t : 1.0) / divisor;
        for (size_t j = 0; j < d; j++)
            queries[i].slope[j] = (double)(float)(factor * (double)v_x[j]);
    }
}

const struct model_family model_family_pfgm = {
    .rounding = IMAGE_ROUND_PFGM,
    .time_components = pfgm_time_components,
    .prior_draw = pfgm_prior_draw,
    .slopes = pfgm_slopes,
};
