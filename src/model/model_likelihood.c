/* Likelihood and the path up: what of it is the model's; the engine drives the solver
 * (engine_likelihood.c). Pure functions of their arguments, any thread. */
#include "model_family.h"

#include "base_rng.h"
#include "field_prior.h"

#include <string.h>

#define FORWARD_TOLERANCE 1e-5
#define LIKELIHOOD_TOLERANCE 1e-4
#define LN_2 0.693147180559945309
#define PICTURE_BITS 7.0 /* log2 of 256 steps over a length of 2 */

static struct model_solver forward(const struct model *m, double tolerance)
{
    struct model_solver s = model_solver_default(m);
    s.ode = (struct ode_options){.method = ODE_RK45,
                                 .clock = ODE_CLOCK_LOG,
                                 .rtol = tolerance,
                                 .atol = tolerance,
                                 .max_nfe = s.ode.max_nfe,
                                 .guidance = ODE_GUIDANCE_NONE};
    return s;
}

struct model_solver model_solver_forward_default(const struct model *m)
{
    return forward(m, FORWARD_TOLERANCE);
}

struct model_solver model_solver_likelihood_default(const struct model *m)
{
    return forward(m, LIKELIHOOD_TOLERANCE);
}

int model_likelihood_check(const struct model *m, const struct model_likelihood *l, struct err *e)
{
    const size_t d = m->dimension;
    if (l->probes < 0 || l->probes > MODEL_PROBES_MAX)
        return err_fail(e, ERR_INPUT, "probes", "must be 0 to %d, is %d", MODEL_PROBES_MAX,
                        l->probes);
    if (l->probes == 0 && d > MODEL_TRACE_MAX)
        return err_fail(e, ERR_INPUT, "probes",
                        "the exact trace takes one product a dimension, which is for up to %d "
                        "dimensions; this model has %zu: ask for probes",
                        MODEL_TRACE_MAX, d);
    if (l->reference_constant && m->family->prior_log_density)
        return err_fail(e, ERR_INPUT, "constant",
                        "reference is for models of the family pfgm, whose reference has another "
                        "constant: leave it out");
    return model_vjp_check(m, e);
}

int model_likelihood_vectors(const struct model *m, const struct model_likelihood *l)
{
    return l->probes > 0 ? l->probes : (int)m->dimension;
}

void model_likelihood_vector(const struct model *m, const struct model_likelihood *l, uint64_t seed,
                             uint64_t index, int k, double *out)
{
    const size_t d = m->dimension;
    if (l->probes > 0) {
        rng_signs(seed, index, RNG_LIKELIHOOD_PROBE, (uint64_t)k * d, d, out);
        return;
    }
    memset(out, 0, d * sizeof *out);
    out[k] = 1.0;
}

double model_likelihood_factor(const struct model_likelihood *l)
{
    return l->probes > 0 ? 1.0 / l->probes : 1.0;
}

double model_prior_log_density(const struct model *m, const struct model_solver *solver,
                               const struct model_likelihood *l, const double *x)
{
    const size_t d = m->dimension;
    const double r = model_prior_distance(m, x);
    if (m->family->prior_log_density)
        return m->family->prior_log_density(m, solver, r);
    return l->reference_constant ? field_prior_log_density_reference(d, solver->t_max, r)
                                 : field_prior_log_density(d, solver->t_max, r);
}

double model_bits_per_dimension(const struct model *m, double log_likelihood)
{
    double bits = -log_likelihood / ((double)m->dimension * LN_2);
    return m->vectors ? bits : bits + PICTURE_BITS;
}
