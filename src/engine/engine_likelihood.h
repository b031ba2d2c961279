/* Encode and likelihood: what is particular to the tasks that go from t_min up to t_max. Inside the
 * room only. */
#ifndef ENGINE_LIKELIHOOD_H
#define ENGINE_LIKELIHOOD_H

#include "engine_internal.h"

/* Goes on with the evaluations of likelihoods (their solvers want a slope) by one call of the
 * model: at least one product for each, in all as many as a batch. Those that are complete are
 * `answered` then, their slopes filled, the divergence last; the others want more visits, so that
 * many products hold up neither neighbours nor a cancellation. -1: nothing was evaluated. */
int engine_likelihood_evaluate(struct engine_worker *w, struct engine_slot *const slots[], int n,
                               struct err *e);
/* Keeps a solved state of encode or likelihood in its image. */
int engine_likelihood_finish(struct engine_request *r, size_t image, const double *state,
                             struct err *e);

#endif
