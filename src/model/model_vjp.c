/* The learned families' network for products (nn_vjp.h), made when the first likelihood is asked
 * for.
 *
 * Its weights cannot be had from the packed ones, and keeping them for all who never ask would
 * double every model. So they are read from the checkpoint once more, by its path, and only if the
 * file still has the digest of what was loaded. Whichever thread comes first makes the network
 * under a lock of the model's own, for which others with the same need wait. */
#include "model_family.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct model_vjp {
    pthread_mutex_t lock;
    struct nn_vjp *net; /* NULL until asked for; never changed then */
    char *path;
};

int model_vjp_prepare(struct model *m, const char *path, struct err *e)
{
    m->vjp = calloc(1, sizeof *m->vjp);
    if (!m->vjp)
        return err_fail_memory(e, sizeof *m->vjp);
    pthread_mutex_init(&m->vjp->lock, NULL);
    m->vjp->path = strdup(path);
    return m->vjp->path ? 0 : err_fail_memory(e, strlen(path) + 1);
}

void model_vjp_free(struct model_vjp *v)
{
    if (!v)
        return;
    nn_vjp_free(v->net);
    free(v->path);
    pthread_mutex_destroy(&v->lock);
    free(v);
}

static int read_params(const struct ckpt_file *f, const struct nn_arch *arch, float *weights,
                       struct err *e)
{
    size_t count, at = 0;
    struct nn_param *params = nn_arch_params(arch, &count, e);
    int result = params ? 0 : -1;
    for (size_t i = 0; i < count && result == 0; at += params[i++].count) {
        const struct ckpt_tensor *t = ckpt_file_find(f, params[i].name);
        result = t && t->count == params[i].count
                     ? ckpt_tensor_to_f32(t, weights + at, e)
                     : err_fail(e, ERR_INTERNAL, params[i].name, "is not what was loaded");
    }
    free(params);
    return result;
}

static struct nn_vjp *make_net(const struct model *m, struct err *e)
{
    const struct nn_arch *arch = &m->description.arch;
    struct ckpt_file *f =
        ckpt_file_open_again(m->vjp->path, m->sha256, "weights", "load the model anew", e);
    float *weights = f ? calloc(nn_arch_scalars(arch), sizeof *weights) : NULL;
    struct nn_vjp *net = NULL;
    if (f && !weights)
        err_fail_memory(e, nn_arch_scalars(arch) * sizeof *weights);
    else if (f && read_params(f, arch, weights, e) == 0 && ckpt_file_check(f, e) == 0)
        net = nn_vjp_new(arch, weights, nn_net_kernel(m->net), e);
    free(weights);
    ckpt_file_close(f);
    return net;
}

int model_net_vjp_fill(const struct model *m, struct model_workspace *ws, struct err *e)
{
    struct model_vjp *v = m->vjp;
    pthread_mutex_lock(&v->lock);
    if (!v->net)
        v->net = make_net(m, e);
    const struct nn_vjp *net = v->net;
    pthread_mutex_unlock(&v->lock);
    ws->vjp = net ? nn_vjp_workspace_new(net, e) : NULL;
    return ws->vjp ? 0 : -1;
}

void model_net_products(const struct model *m, struct model_workspace *ws, int n,
                        double (*output)(void *context, int image, const float *v_x, float v_t,
                                         float *v_x_slope, float *v_t_slope),
                        void *context)
{
    const struct nn_grad_batch batch = {
        .n = n, .x = ws->x, .t = ws->t, .label = ws->label, .loss = output, .context = context};
    nn_vjp_run(m->vjp->net, ws->vjp, &batch, ws->v_x);
}
