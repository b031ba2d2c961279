/* The PFGM++ family: the network denoises (field_denoise.h), and a sample follows
 * dx/dσ = (x − D(x, σ))/σ from sigma_max to sigma_min and by a last step to 0. σ is the flow's t:
 * with D added dimensions r = σ√D. Single precision surrounds the network alone, as in the
 * reference, whose state is double. */
#include "model_family.h"

#include "field_denoise.h"
#include "field_student.h"

static size_t pfgmpp_time_components(const struct model *m)
{
    (void)m;
    return 0;
}

/* The reference's sampler. */
static void pfgmpp_solver_default(const struct model *m, struct model_solver *s)
{
    if (s->ode.schedule == ODE_SCHEDULE_TUNED)
        return;
    s->ode.method = ODE_HEUN;
    s->ode.schedule = ODE_SCHEDULE_RHO;
    s->ode.steps = m->description.num_steps;
}

/* Its Heun steps are in σ, its grid has the description's exponent. */
static void pfgmpp_solver_settle(const struct model *m, struct model_solver *s)
{
    s->ode.clock = s->ode.method == ODE_HEUN ? ODE_CLOCK_LINEAR : ODE_CLOCK_LOG;
    s->ode.exponent = s->ode.schedule == ODE_SCHEDULE_RHO ? m->description.rho : 0;
}

static const double *pfgmpp_prior_centre(const struct model *m)
{
    return model_vectors(m) ? m->mean : NULL;
}

static void pfgmpp_prior_draw(const struct model *m, const struct model_solver *solver,
                              uint64_t seed, uint64_t index, double *x)
{
    const struct field_student prior = {
        .d = model_dimension(m), .added = m->description.added, .sigma_max = solver->t_max};
    const double *centre = pfgmpp_prior_centre(m);
    field_student_draw(&prior, seed, index, x);
    for (size_t j = 0; centre && j < prior.d; j++)
        x[j] += centre[j];
}

static struct field_denoise around(const struct model *m, double sigma)
{
    return field_denoise_at(sigma, m->description.sigma_data, model_vectors(m));
}

static void pfgmpp_slopes(const struct model *m, struct model_workspace *ws, int n,
                          const struct model_query *queries)
{
    const size_t d = model_dimension(m);
    for (int i = 0; i < n; i++) {
        const struct field_denoise c = around(m, queries[i].t);
        for (size_t j = 0; j < d; j++)
            ws->block[(size_t)i * d + j] = (float)(c.in * queries[i].x[j]);
        ws->t[i] = (float)c.time;
        ws->label[i] = queries[i].label;
    }
    nn_net_forward(m->net, ws->nn, n, ws->x, ws->t, ws->label, ws->v_x, ws->v_t);
    for (int i = 0; i < n; i++) {
        const struct model_query *q = &queries[i];
        const struct field_denoise c = around(m, q->t);
        double factor = q->form == ODE_SLOPE_DLNT ? 1 : 1 / q->t;
        double net = field_denoise_factor(&c, (double)ws->v_t[i]);
        for (size_t j = 0; j < d; j++)
            q->slope[j] = factor * ((1 - c.skip) * q->x[j] - net * (double)ws->v_x[i][j]);
    }
}

static void pfgmpp_field(const struct model *m, struct model_workspace *ws, int n,
                         const float *const x[], const float t[], const int32_t label[],
                         float *const v_x[], float v_t[])
{
    const size_t d = model_dimension(m);
    for (int i = 0; i < n; i++) {
        const struct field_denoise c = around(m, (double)t[i]);
        for (size_t j = 0; j < d; j++)
            ws->block[(size_t)i * d + j] = (float)(c.in * (double)x[i][j]);
        ws->t[i] = (float)c.time;
    }
    nn_net_forward(m->net, ws->nn, n, ws->x, ws->t, label, v_x, v_t);
    for (int i = 0; i < n; i++) {
        const struct field_denoise c = around(m, (double)t[i]);
        double net = field_denoise_factor(&c, (double)v_t[i]);
        for (size_t j = 0; j < d; j++)
            v_x[i][j] = (float)(c.skip * (double)x[i][j] + net * (double)v_x[i][j]);
        v_t[i] = 0;
    }
}

const struct model_family model_family_pfgmpp = {
    .rounding = IMAGE_ROUND_PFGMPP,
    .to_zero = true,
    .load = model_net_load,
    .unload = model_net_unload,
    .kernel_id = model_net_kernel_id,
    .mean = model_net_mean,
    .workspace_fill = model_net_workspace_fill,
    .workspace_clear = model_net_workspace_clear,
    .time_components = pfgmpp_time_components,
    .solver_default = pfgmpp_solver_default,
    .solver_settle = pfgmpp_solver_settle,
    .prior_centre = pfgmpp_prior_centre,
    .prior_draw = pfgmpp_prior_draw,
    .slopes = pfgmpp_slopes,
    .field = pfgmpp_field,
};
