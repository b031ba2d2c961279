/* Products for images: pieces of a batch there and back, one after the other in the caller's
 * thread. Packing needs a pool's words, so each net has one of the caller's thread alone. */
#include "nn_vjp.h"

#include "nn_grad_net.h"

#include <stdlib.h>

struct nn_vjp {
    struct pool *pool;
    struct nn_grad *g;
};

struct nn_vjp_workspace {
    struct nn_grad_work work;
};

struct nn_vjp *nn_vjp_new(const struct nn_arch *arch, const float *weights, enum nn_kernel kernel,
                          struct err *e)
{
    const struct nn_grad_options options = {.kernel = kernel, .batch = 1, .inputs = true};
    struct nn_vjp *v = calloc(1, sizeof *v);
    if (!v) {
        err_fail_memory(e, sizeof *v);
        return NULL;
    }
    v->pool = pool_new(1, e);
    v->g = v->pool ? nn_grad_new(arch, &options, v->pool, e) : NULL;
    if (!v->g) {
        nn_vjp_free(v);
        return NULL;
    }
    nn_grad_weights_set(v->g, weights);
    return v;
}

void nn_vjp_free(struct nn_vjp *v)
{
    if (!v)
        return;
    nn_grad_free(v->g);
    pool_free(v->pool);
    free(v);
}

size_t nn_vjp_bytes(const struct nn_vjp *v)
{
    return nn_grad_bytes(v->g);
}

struct nn_vjp_workspace *nn_vjp_workspace_new(const struct nn_vjp *v, struct err *e)
{
    struct nn_vjp_workspace *ws = calloc(1, sizeof *ws);
    if (!ws) {
        err_fail_memory(e, sizeof *ws);
        return NULL;
    }
    if (nn_grad_work_lay(v->g, &ws->work, e) == 0)
        return ws;
    nn_vjp_workspace_free(ws);
    return NULL;
}

void nn_vjp_workspace_free(struct nn_vjp_workspace *ws)
{
    if (!ws)
        return;
    nn_grad_work_clear(&ws->work);
    free(ws);
}

void nn_vjp_run(const struct nn_vjp *v, struct nn_vjp_workspace *ws,
                const struct nn_grad_batch *batch, float *const x_slope[])
{
    struct nn_grad_pass p = {.g = v->g, .w = &ws->work, .batch = batch, .x_slope = x_slope};
    for (size_t n = (size_t)batch->n; p.first < n; p.first += p.n) {
        p.n = n - p.first < NN_GRAD_MICRO ? n - p.first : NN_GRAD_MICRO;
        nn_grad_forward(&p);
        for (size_t b = 0; b < p.n; b++)
            nn_grad_loss(&p, b, true);
        nn_grad_backward(&p);
    }
}
