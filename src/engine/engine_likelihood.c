/* Tasks that go up, from images at t_min to t_max: encoding, and the likelihood, whose solver
 * carries the integral of the flow's divergence as one more component behind the image's.
 *
 * Everything runs on the worker that holds the slot. An evaluation takes as many visits as its
 * products need; those of all likelihoods in a batch share the visit's call of the model. A slot's
 * products are added in their order, whatever call each was in, so the seed rule holds. The vectors
 * are made anew at each evaluation, which costs next to nothing beside a product and no memory a
 * slot. */
#include "engine_likelihood.h"

#include "base_size.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Room for the vectors of a batch of this model; kept for the next. */
static int take_vectors(struct engine_worker *w, size_t d, struct err *e)
{
    size_t doubles, bytes;
    if (!size_mul(2 * (size_t)w->engine->batch, d, &doubles) ||
        !size_mul(doubles, sizeof *w->vectors, &bytes))
        return err_fail(e, ERR_LIMIT, "", "vectors of %zu values are too long", d);
    if (doubles <= w->vector_doubles)
        return 0;
    free(w->vectors);
    w->vectors = malloc(bytes);
    w->vector_doubles = w->vectors ? doubles : 0;
    return w->vectors ? 0 : err_fail_memory(e, bytes);
}

static void fill_vector(const struct engine_slot *slot, int k, double *out)
{
    const struct engine_request *r = slot->request;
    const struct engine_order *o = &r->order;
    const struct model *m = o->model->model;
    const size_t d = model_dimension(m);
    if (!r->epsilon) {
        model_likelihood_vector(m, &o->likelihood, engine_request_seed(r, slot->image),
                                r->images[slot->image].index, k, out);
        return;
    }
    const float *from = r->epsilon + (slot->image * (size_t)o->likelihood.probes + (size_t)k) * d;
    for (size_t j = 0; j < d; j++)
        out[j] = (double)from[j];
}

/* The slot's next product as query i of the call. */
static void add_product(struct engine_worker *w, struct engine_slot *slot, size_t i, size_t d)
{
    double *vector = w->vectors + i * d;
    fill_vector(slot, slot->vectors++, vector);
    w->queries[i] = model_query_of(slot->solver, slot->label, slot->slope);
    w->queries[i].cotangent = vector;
    w->queries[i].product = vector + (size_t)w->engine->batch * d;
}

/* Takes the products in turn from all slots; of[i] is whose query i is. How many. */
static int fill_call(struct engine_worker *w, struct engine_slot *const slots[], int n, size_t d,
                     struct engine_slot *of[])
{
    int count = 0;
    for (bool more = true; more && count < w->engine->batch;) {
        more = false;
        for (int i = 0; i < n && count < w->engine->batch; i++) {
            const struct engine_order *o = &slots[i]->request->order;
            if (slots[i]->vectors == model_likelihood_vectors(o->model->model, &o->likelihood))
                continue;
            add_product(w, slots[i], (size_t)count, d);
            of[count++] = slots[i];
            more = true;
        }
    }
    return count;
}

/* An evaluation that has all its products becomes an answer. */
static void complete(struct engine_slot *slot, size_t d)
{
    const struct engine_order *o = &slot->request->order;
    slot->answered = slot->vectors == model_likelihood_vectors(o->model->model, &o->likelihood);
    if (!slot->answered)
        return;
    slot->slope[d] = slot->products * model_likelihood_factor(&o->likelihood);
    slot->products = 0.0;
    slot->vectors = 0;
}

int engine_likelihood_evaluate(struct engine_worker *w, struct engine_slot *const slots[], int n,
                               struct err *e)
{
    struct engine_model *em = slots[0]->request->order.model;
    struct model_workspace *ws = em->workspaces[w->number];
    struct engine_slot *of[ENGINE_BATCH_MAX];
    const size_t d = model_dimension(em->model);
    if (take_vectors(w, d, e) != 0 || model_workspace_vjp(em->model, ws, e) != 0)
        return -1;
    int count = fill_call(w, slots, n, d, of);
    model_slopes_vjp(em->model, ws, count, w->queries);
    for (int i = 0; i < count; i++)
        for (size_t j = 0; j < d; j++)
            of[i]->products += w->queries[i].cotangent[j] * w->queries[i].product[j];
    for (int i = 0; i < n; i++)
        complete(slots[i], d);
    return 0;
}

int engine_likelihood_finish(struct engine_request *r, size_t image, const double *state,
                             struct err *e)
{
    const struct engine_order *o = &r->order;
    const struct model *m = o->model->model;
    const size_t d = model_dimension(m);
    struct engine_image *out = &r->images[image];
    out->state = malloc(d * sizeof *out->state);
    if (!out->state)
        return err_fail_memory(e, d * sizeof *out->state);
    memcpy(out->state, state, d * sizeof *out->state);
    for (size_t i = 0; i < d; i++) /* of single precision, as latents are told */
        if (!(fabs(state[i]) <= (double)FLT_MAX))
            return err_fail(e, ERR_NUMERIC, "", "value %zu of the latent is not finite", i);
    if (o->task != ENGINE_TASK_LIKELIHOOD)
        return 0;
    out->log_likelihood = model_prior_log_density(m, &o->solver, &o->likelihood, state) + state[d];
    out->bits_per_dimension = model_bits_per_dimension(m, out->log_likelihood);
    return isfinite(out->log_likelihood)
               ? 0
               : err_fail(e, ERR_NUMERIC, "", "the likelihood is not finite");
}
