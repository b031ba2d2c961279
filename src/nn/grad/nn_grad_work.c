/* A thread's workspace: what its arrays hold stands in nn_grad_net.h; here is how large they are,
 * the most that any layer needs. Laid out twice, once to count and once to place; all memory is
 * zeroed, which bordered inputs rely on. */
#include "grad_layer.h"
#include <stdlib.h>

static void lay_work(const struct nn_grad *g, struct nn_grad_work *w, const struct grad_needs *k,
                     struct arena *a)
{
    size_t wide = g->linear[1].shape.outputs, n = NN_GRAD_MICRO, values = 0;
    const struct nn_plan *plan = &g->net.plan;
    size_t image = (size_t)g->net.arch.channels * (size_t)g->net.arch.image_size *
                   (size_t)g->net.arch.image_size;
    for (int i = 0; i < plan->value_count; i++) {
        w->value_at[i] = values;
        values += plan->values[i].size * n;
    }
    w->values = grad_keep(a, values);
    w->slopes = grad_keep(a, plan->value_floats * n);
    for (int i = 0; i < plan->step_count; i++)
        grad_layer_of(&plan->steps[i])->keep(g, i, &w->saved[i], a);
    w->bordered = grad_keep(a, k->bordered);
    for (int i = 0; i < 3; i++)
        w->plain[i] = grad_keep(a, k->plain);
    w->attention = grad_keep(a, k->attention);
    w->product = grad_keep(a, g->product_scratch);
    w->outer = grad_keep(a, k->outer);
    w->sums = grad_keep(a, n * k->lanes);
    w->norm = arena_take(a, nn_norm_train_scratch(k->lanes), sizeof(double));
    w->embedding = grad_keep(a, n * g->linear[0].shape.inputs);
    for (int i = 0; i < 4; i++)
        w->hidden[i] = grad_keep(a, n * wide);
    for (int i = 0; i < 2; i++)
        w->hidden_slope[i] = grad_keep(a, n * wide);
    w->time = grad_keep(a, n * g->time.shape.outputs);
    w->time_slope = grad_keep(a, n * g->time.shape.outputs);
    w->v_x = grad_keep(a, image);
    w->v_x_slope = grad_keep(a, image);
}

void nn_grad_work_clear(struct nn_grad_work *w)
{
    free(w->saved);
    free(w->value_at);
    free(w->reached);
    free(w->block);
}

int nn_grad_work_lay(const struct nn_grad *g, struct nn_grad_work *w, struct err *e)
{
    const struct nn_plan *plan = &g->net.plan;
    struct grad_needs needs = {0};
    struct arena arena = {0};
    w->saved = calloc((size_t)plan->step_count, sizeof *w->saved);
    w->value_at = calloc((size_t)plan->value_count, sizeof *w->value_at);
    w->reached = calloc((size_t)plan->value_count, sizeof *w->reached);
    if (!w->saved || !w->value_at || !w->reached)
        return err_fail_memory(e, (size_t)plan->step_count * sizeof *w->saved);
    for (int i = 0; i < plan->step_count; i++)
        grad_layer_of(&plan->steps[i])->needs(g, &plan->steps[i], &needs);
    lay_work(g, w, &needs, &arena);
    if (arena.overflow)
        return err_fail(e, ERR_LIMIT, "nf", "training this network does not fit in memory");
    w->block_bytes = arena.used;
    w->block = arena_memory(arena.used, e);
    if (!w->block)
        return -1;
    arena = (struct arena){.base = w->block};
    lay_work(g, w, &needs, &arena);
    return 0;
}
