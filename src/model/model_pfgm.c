/* The learned PFGM family: the network approximates the normalised field, scaled to √d,
 *
 *     v ≈ √d · E / (‖E‖ + γ),   E = the empirical field toward the data,
 *
 * and a sample follows dx/dt = v_x / v_t. As in the reference, t and the slope are what single
 * precision makes of them: its rk45 reacts to rounding near the data, and its paths are met more
 * closely when both round alike. */
#include "model_family.h"

#include "field_flow.h"
#include "field_prior.h"

static size_t pfgm_time_components(const struct model *m)
{
    struct image_shape shape = model_shape(m);
    if (model_vectors(m))
        return 1;
    return (size_t)shape.height * (size_t)shape.width;
}

/* Pictures lie about 0 as the reference has it; vectors lie where they lie. */
static const double *pfgm_prior_centre(const struct model *m)
{
    return model_vectors(m) ? m->mean : NULL;
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
    const double *centre = pfgm_prior_centre(m);
    field_prior_draw(&prior, seed, index, x);
    for (size_t j = 0; centre && j < prior.d; j++)
        x[j] += centre[j];
}

static void pfgm_slopes(const struct model *m, struct model_workspace *ws, int n,
                        const struct model_query *queries)
{
    const size_t d = model_dimension(m);
    const struct field_flow flow = {
        .gamma = m->description.gamma,
        .t_substitution = m->description.t_substitution,
        .offset = m->description.divisor_offset,
    };
    for (int i = 0; i < n; i++) {
        float *x = ws->block + (size_t)i * d;
        for (size_t j = 0; j < d; j++)
            x[j] = (float)queries[i].x[j];
        ws->t[i] = (float)queries[i].t;
        ws->label[i] = queries[i].label;
    }
    nn_net_forward(m->net, ws->nn, n, ws->x, ws->t, ws->label, ws->v_x, ws->v_t);
    for (int i = 0; i < n; i++) {
        const float *v_x = ws->v_x[i];
        double t = (double)ws->t[i];
        double divisor = field_flow_divisor(&flow, v_x, d, (double)ws->v_t[i], t);
        double factor = (queries[i].form == ODE_SLOPE_DLNT ? t : 1.0) / divisor;
        for (size_t j = 0; j < d; j++)
            queries[i].slope[j] = (double)(float)(factor * (double)v_x[j]);
    }
}

const struct model_family model_family_pfgm = {
    .rounding = IMAGE_ROUND_PFGM,
    .load = model_net_load,
    .unload = model_net_unload,
    .kernel_id = model_net_kernel_id,
    .mean = model_net_mean,
    .workspace_fill = model_net_workspace_fill,
    .workspace_clear = model_net_workspace_clear,
    .time_components = pfgm_time_components,
    .prior_centre = pfgm_prior_centre,
    .prior_draw = pfgm_prior_draw,
    .slopes = pfgm_slopes,
    .field = model_net_field,
};
