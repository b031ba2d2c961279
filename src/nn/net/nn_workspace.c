/* A thread's workspace: the most that any layer needs of each shared array, in one block. */
#include "nn_net.h"
#include "base_size.h"
#include "net_layer.h"
#include <stdlib.h>

#define BATCH_MAX 4096

/* Of the norms (two doubles a lane) and the products. */
static void scratch_needs(const struct nn_net *net, const struct nn_layer *y, struct net_needs *k)
{
    for (size_t i = 0; i < sizeof y->norm / sizeof y->norm[0]; i++)
        net_need(&k->scratch, 4 * y->norm[i].lanes);
    for (size_t i = 0; i < sizeof y->dense / sizeof y->dense[0]; i++)
        if (y->dense[i].packed && !y->dense[i].terms)
            net_need(&k->scratch, net->kernels->product_scratch(&y->dense[i].shape));
}

static void lay_workspace(const struct nn_net *net, struct nn_workspace *ws,
                          const struct net_needs *k, struct arena *a)
{
    size_t batch = (size_t)ws->batch, wide = net->linear[1].shape.outputs, values = 0;
    if (!size_mul(net->plan.value_floats, batch, &values))
        a->overflow = true;
    ws->values = arena_take(a, values, sizeof(float));
    ws->conv_in = arena_take(a, k->conv_in, sizeof(float));
    ws->conv_out = arena_take(a, k->conv_out, sizeof(float));
    ws->dense = arena_take(a, k->dense, sizeof(float));
    ws->embedding = arena_take(a, batch * net->linear[0].shape.inputs, sizeof(float));
    ws->hidden[0] = arena_take(a, batch * wide, sizeof(float));
    ws->hidden[1] = arena_take(a, batch * wide, sizeof(float));
    ws->time = arena_take(a, batch * net->time.shape.outputs, sizeof(float));
    ws->scratch = arena_take(a, k->scratch, sizeof(float));
}

struct nn_workspace *nn_workspace_new(const struct nn_net *net, int batch, struct err *e)
{
    if (batch < 1 || batch > BATCH_MAX) {
        err_fail(e, ERR_LIMIT, "batch", "must be 1 to %d, is %d", BATCH_MAX, batch);
        return NULL;
    }
    struct net_needs needs = {0};
    for (int i = 0; i < net->plan.step_count; i++) {
        const struct nn_step *s = &net->plan.steps[i];
        net_layer_of(s)->needs(net, s, (size_t)batch, &needs);
        scratch_needs(net, &net->layers[i], &needs);
    }
    struct nn_workspace *ws = calloc(1, sizeof *ws);
    if (!ws) {
        err_fail_memory(e, sizeof *ws);
        return NULL;
    }
    ws->batch = batch;
    ws->net = net;
    struct arena arena = {0};
    lay_workspace(net, ws, &needs, &arena); /* once to count, once to place */
    ws->block_bytes = arena.used;
    if (arena.overflow)
        err_fail(e, ERR_LIMIT, "batch", "%d images of this network do not fit in memory", batch);
    else
        ws->block = arena_memory(arena.used, e);
    if (!ws->block) {
        free(ws);
        return NULL;
    }
    arena = (struct arena){.base = ws->block};
    lay_workspace(net, ws, &needs, &arena);
    return ws;
}

void nn_workspace_free(struct nn_workspace *ws)
{
    if (!ws)
        return;
    free(ws->block);
    free(ws);
}

size_t nn_workspace_bytes(const struct nn_workspace *ws)
{
    return ws->block_bytes;
}

int nn_workspace_batch(const struct nn_workspace *ws)
{
    return ws->batch;
}
