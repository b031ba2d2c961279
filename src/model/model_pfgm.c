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
    struct image_shape shape = m->shape;
    if (m->vectors)
        return 1;
    return (size_t)shape.height * (size_t)shape.width;
}

/* Pictures lie about 0 as the reference has it; vectors lie where they lie. */
static const double *pfgm_prior_centre(const struct model *m)
{
    return m->vectors ? m->mean : NULL;
}

static void pfgm_prior_draw(const struct model *m, const struct model_solver *solver, uint64_t seed,
                            uint64_t index, double *x)
{
    const struct ckpt_description *d = &m->description;
    const struct field_prior prior = {
        .d = m->dimension,
        .t_max = solver->t_max,
        .norm_min = d->norm_min,
        .norm_max = d->norm_max,
    };
    const double *centre = pfgm_prior_centre(m);
    field_prior_draw(&prior, seed, index, x);
    for (size_t j = 0; centre && j < prior.d; j++)
        x[j] += centre[j];
}

static struct field_flow flow_of(const struct model *m)
{
    return (struct field_flow){
        .gamma = m->description.gamma,
        .t_substitution = m->description.t_substitution,
        .offset = m->description.divisor_offset,
    };
}

/* The network's input, as it takes it. */
static void fill_rows(const struct model *m, struct model_workspace *ws, int n,
                      const struct model_query *queries)
{
    const size_t d = m->dimension;
    for (int i = 0; i < n; i++) {
        float *x = ws->block + (size_t)i * d;
        for (size_t j = 0; j < d; j++)
            x[j] = (float)queries[i].x[j];
        ws->t[i] = (float)queries[i].t;
        ws->label[i] = queries[i].label;
    }
}

/* The slope from the network's output at t, in the query's form: factor · v_x. Returns the divisor
 * in it. */
static double answer(const struct field_flow *flow, const struct model_query *q, size_t d,
                     const float *v_x, double v_t, double t, double *factor)
{
    double divisor = field_flow_divisor(flow, v_x, d, v_t, t);
    *factor = (q->form == ODE_SLOPE_DLNT ? t : 1.0) / divisor;
    for (size_t j = 0; j < d; j++)
        q->slope[j] = (double)(float)(*factor * (double)v_x[j]);
    return divisor;
}

static void pfgm_slopes(const struct model *m, struct model_workspace *ws, int n,
                        const struct model_query *queries)
{
    const struct field_flow flow = flow_of(m);
    double factor;
    fill_rows(m, ws, n, queries);
    nn_net_forward(m->net, ws->nn, n, ws->x, ws->t, ws->label, ws->v_x, ws->v_t);
    for (int i = 0; i < n; i++)
        answer(&flow, &queries[i], m->dimension, ws->v_x[i], (double)ws->v_t[i], (double)ws->t[i],
               &factor);
}

/* Queries that are in the network. */
struct product_call {
    struct field_flow flow;
    size_t d;
    const struct model_query *queries;
    const float *t;
};

/* The slope's derivative before the network's: slope = f v_x/D, so a cotangent c on it is
 * f c/D − f (c·v_x)/D² ∂D/∂v_x on v_x and −f (c·v_x)/D² ∂D/∂v_t on v_t. */
static double product_output(void *context, int image, const float *v_x, float v_t,
                             float *v_x_slope, float *v_t_slope)
{
    const struct product_call *call = context;
    const struct model_query *q = &call->queries[image];
    double t = (double)call->t[image], factor, along = 0.0;
    double divisor = answer(&call->flow, q, call->d, v_x, (double)v_t, t, &factor);
    const struct field_flow_slope slope = field_flow_divisor_slope(&call->flow, v_x, call->d, t);
    for (size_t j = 0; j < call->d; j++)
        along += q->cotangent[j] * (double)v_x[j];
    along *= factor / divisor;
    for (size_t j = 0; j < call->d; j++)
        v_x_slope[j] = (float)(factor * q->cotangent[j] - along * slope.v_x * (double)v_x[j]);
    *v_t_slope = (float)(-along * slope.v_t);
    return 0.0;
}

static void pfgm_slopes_vjp(const struct model *m, struct model_workspace *ws, int n,
                            const struct model_query *queries)
{
    const size_t d = m->dimension;
    struct product_call call = {flow_of(m), d, queries, ws->t};
    fill_rows(m, ws, n, queries);
    model_net_products(m, ws, n, product_output, &call);
    for (int i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            queries[i].product[j] = (double)ws->v_x[i][j];
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
    .vjp_fill = model_net_vjp_fill,
    .slopes_vjp = pfgm_slopes_vjp,
    .field = model_net_field,
};
