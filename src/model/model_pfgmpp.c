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

/* Its Heun steps are in σ, its grid has the description's exponent. rk45 has the clock that was
 * chosen. */
static void pfgmpp_solver_resolve(const struct model *m, struct model_solver *s)
{
    if (ode_method_is_fixed_step(s->ode.method))
        s->ode.clock = s->ode.method == ODE_HEUN ? ODE_CLOCK_LINEAR : ODE_CLOCK_LOG;
    s->ode.exponent = s->ode.schedule == ODE_SCHEDULE_RHO ? m->description.rho : 0;
}

static const double *pfgmpp_prior_centre(const struct model *m)
{
    return m->vectors ? m->mean : NULL;
}

static void pfgmpp_prior_draw(const struct model *m, const struct model_solver *solver,
                              uint64_t seed, uint64_t index, double *x)
{
    const struct field_student prior = {
        .d = m->dimension, .added = m->description.added, .sigma_max = solver->t_max};
    const double *centre = pfgmpp_prior_centre(m);
    field_student_draw(&prior, seed, index, x);
    for (size_t j = 0; centre && j < prior.d; j++)
        x[j] += centre[j];
}

static struct field_denoise around(const struct model *m, double sigma)
{
    return field_denoise_at(sigma, m->description.sigma_data, m->vectors);
}

static double pfgmpp_prior_log_density(const struct model *m, const struct model_solver *solver,
                                       double r)
{
    const struct field_student prior = {
        .d = m->dimension, .added = m->description.added, .sigma_max = solver->t_max};
    return field_student_log_density(&prior, r);
}

/* What the network takes, into the rows. */
static void fill_rows(const struct model *m, struct model_workspace *ws, int n,
                      const struct model_query *queries)
{
    const size_t d = m->dimension;
    for (int i = 0; i < n; i++) {
        const struct field_denoise c = around(m, queries[i].t);
        for (size_t j = 0; j < d; j++)
            ws->block[(size_t)i * d + j] = (float)(c.in * queries[i].x[j]);
        ws->t[i] = (float)c.time;
        ws->label[i] = queries[i].label;
    }
}

/* The slope from the network's output, x − D in ln σ: its factor of x, and returned that of v_x. */
static double answer(const struct model *m, const struct model_query *q, const float *v_x,
                     double v_t, double *own)
{
    const struct field_denoise c = around(m, q->t);
    double unit = q->form == ODE_SLOPE_DLNT ? 1 : 1 / q->t;
    double net = unit * field_denoise_factor(&c, v_t);
    *own = unit * (1 - c.skip);
    for (size_t j = 0; j < m->dimension; j++)
        q->slope[j] = *own * q->x[j] - net * (double)v_x[j];
    return net;
}

static void pfgmpp_slopes(const struct model *m, struct model_workspace *ws, int n,
                          const struct model_query *queries)
{
    double own;
    fill_rows(m, ws, n, queries);
    nn_net_forward(m->net, ws->nn, n, ws->x, ws->t, ws->label, ws->v_x, ws->v_t);
    for (int i = 0; i < n; i++)
        answer(m, &queries[i], ws->v_x[i], (double)ws->v_t[i], &own);
}

/* Queries that are in the network. */
struct product_call {
    const struct model *m;
    const struct model_query *queries;
};

/* The slope's derivative before the network's: slope = a x − b v_x, so a cotangent c on it is −b c
 * on v_x, and since b has 1/v_t in it where the network is a field, b (c·v_x)/v_t on v_t. What x
 * itself adds, a c, is kept in the query's product. */
static double product_output(void *context, int image, const float *v_x, float v_t,
                             float *v_x_slope, float *v_t_slope)
{
    const struct product_call *call = context;
    const struct model_query *q = &call->queries[image];
    double own, net = answer(call->m, q, v_x, (double)v_t, &own), along = 0;
    for (size_t j = 0; j < call->m->dimension; j++) {
        along += q->cotangent[j] * (double)v_x[j];
        v_x_slope[j] = (float)(-net * q->cotangent[j]);
        q->product[j] = own * q->cotangent[j];
    }
    *v_t_slope = call->m->vectors ? (float)(net * along / (double)v_t) : 0.0f;
    return 0;
}

static void pfgmpp_slopes_vjp(const struct model *m, struct model_workspace *ws, int n,
                              const struct model_query *queries)
{
    struct product_call call = {m, queries};
    fill_rows(m, ws, n, queries);
    model_net_products(m, ws, n, product_output, &call);
    for (int i = 0; i < n; i++) {
        const struct field_denoise c = around(m, queries[i].t);
        for (size_t j = 0; j < m->dimension; j++)
            queries[i].product[j] += c.in * (double)ws->v_x[i][j];
    }
}

static void pfgmpp_field(const struct model *m, struct model_workspace *ws, int n,
                         const float *const x[], const float t[], const int32_t label[],
                         float *const v_x[], float v_t[])
{
    const size_t d = m->dimension;
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
    .denoises = true,
    .load = model_net_load,
    .unload = model_net_unload,
    .kernel_id = model_net_kernel_id,
    .mean = model_net_mean,
    .workspace_fill = model_net_workspace_fill,
    .workspace_clear = model_net_workspace_clear,
    .time_components = pfgmpp_time_components,
    .solver_default = pfgmpp_solver_default,
    .solver_resolve = pfgmpp_solver_resolve,
    .prior_centre = pfgmpp_prior_centre,
    .prior_draw = pfgmpp_prior_draw,
    .prior_log_density = pfgmpp_prior_log_density,
    .slopes = pfgmpp_slopes,
    .vjp_fill = model_net_vjp_fill,
    .slopes_vjp = pfgmpp_slopes_vjp,
    .field = pfgmpp_field,
};
