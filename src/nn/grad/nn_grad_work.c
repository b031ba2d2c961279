/* A thread's workspace: what its arrays hold is told in nn_grad_net.h; here is how large they are.
 * Laid out twice, once to count and once to place; all memory is zeroed, which bordered inputs rely
 * on. */
#include "base_size.h"
#include "nn_grad_net.h"
#include "nn_mlp_grad.h"
#include <stdlib.h>

/* Floats that the steps need in each shared array, for one piece of a batch. */
struct needs {
    size_t bordered, plain, attention, outer, lanes;
};

static void grow(size_t *need, size_t count)
{
    if (count > *need)
        *need = count;
}

static void step_needs(const struct nn_grad *g, const struct nn_step *s, struct needs *k)
{
    size_t in = nn_lanes((size_t)s->channels_in) + nn_lanes((size_t)s->channels_skip);
    size_t out = nn_lanes((size_t)s->channels_out), wide = in > out ? in : out;
    size_t side = (size_t)(s->side_in > s->side_out ? s->side_in : s->side_out);
    if (s->kind == NN_STEP_PYRAMID)
        side++; /* the blurred image */
    grow(&k->lanes, wide);
    if (s->kind == NN_STEP_RES || s->kind == NN_STEP_HEAD)
        grow(&k->outer, g->grad->conv_outer_scratch(in, out, NN_GRAD_MICRO, (size_t)s->side_out));
    if (s->kind == NN_STEP_RES)
        grow(&k->outer, g->grad->conv_outer_scratch(out, out, NN_GRAD_MICRO, (size_t)s->side_out));
    grow(&k->bordered, nn_bordered_pixels(NN_GRAD_MICRO, side) * wide);
    grow(&k->plain, NN_GRAD_MICRO * side * side * wide);
    if (s->kind == NN_STEP_ATTENTION) {
        grow(&k->lanes, 3 * in);
        grow(&k->bordered, NN_GRAD_MICRO * side * side * 3 * in);
        grow(&k->attention, nn_attention_scratch(side * side, in));
        grow(&k->attention, nn_grad_attention_scratch(side * side, in));
    }
}

static float *take(struct arena *a, size_t count)
{
    return arena_take(a, count, sizeof(float));
}

static void lay_norm(const struct nn_grad_layer *y, int which, struct nn_grad_saved *kept,
                     struct arena *a)
{
    kept->mean[which] = take(a, NN_GRAD_MICRO * y->norm[which].lanes);
    kept->inverse[which] = take(a, NN_GRAD_MICRO * y->norm[which].lanes);
}

static void lay_saved(const struct nn_grad *g, int step, struct nn_grad_saved *kept,
                      struct arena *a)
{
    if (g->net.arch.kind == NN_ARCH_MLP) {
        nn_mlp_grad_keep(g, step, kept, a);
        return;
    }
    const struct nn_step *s = &g->net.plan.steps[step];
    const struct nn_grad_layer *y = &g->layers[step];
    size_t side = (size_t)s->side_out, pixels = NN_GRAD_MICRO * side * side;
    size_t border = nn_bordered_pixels(NN_GRAD_MICRO, side);
    size_t blurred = (size_t)s->side_in + 1, out = nn_lanes((size_t)s->channels_out);
    switch (s->kind) {
    case NN_STEP_STEM:
        kept->input = take(a, border * (size_t)s->channels_in);
        break;
    case NN_STEP_HEAD:
        lay_norm(y, 0, kept, a);
        kept->input = take(a, border * y->norm[0].lanes);
        break;
    case NN_STEP_PYRAMID:
        kept->input = take(a, NN_GRAD_MICRO * blurred * blurred * nn_lanes((size_t)s->channels_in));
        break;
    case NN_STEP_ATTENTION:
        lay_norm(y, 0, kept, a);
        kept->input = take(a, pixels * out);
        kept->middle = take(a, pixels * 3 * out);
        kept->second = take(a, pixels * out);
        break;
    case NN_STEP_RES:
        lay_norm(y, 0, kept, a);
        lay_norm(y, 1, kept, a);
        kept->input = take(a, border * y->norm[0].lanes);
        kept->middle = take(a, pixels * out);
        kept->second = take(a, border * out);
        if (s->resampling != NN_RESAMPLE_NONE)
            kept->shortcut = take(a, pixels * y->norm[0].lanes);
        if (g->options.dropout > 0)
            kept->keep = arena_take(a, pixels * out, 1);
        break;
    }
}

static void lay_work(const struct nn_grad *g, struct nn_grad_work *w, const struct needs *k,
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
    w->values = take(a, values);
    w->slopes = take(a, plan->value_floats * n);
    for (int i = 0; i < plan->step_count; i++)
        lay_saved(g, i, &w->saved[i], a);
    w->bordered = take(a, k->bordered);
    for (int i = 0; i < 3; i++)
        w->plain[i] = take(a, k->plain);
    w->attention = take(a, k->attention);
    w->product = take(a, g->product_scratch);
    w->outer = take(a, k->outer);
    w->sums = take(a, n * k->lanes);
    w->norm = arena_take(a, nn_norm_train_scratch(k->lanes), sizeof(double));
    w->embedding = take(a, n * g->linear[0].shape.inputs);
    for (int i = 0; i < 4; i++)
        w->hidden[i] = take(a, n * wide);
    for (int i = 0; i < 2; i++)
        w->hidden_slope[i] = take(a, n * wide);
    w->time = take(a, n * g->time.shape.outputs);
    w->time_slope = take(a, n * g->time.shape.outputs);
    w->v_x = take(a, image);
    w->v_x_slope = take(a, image);
}

void nn_grad_work_free(struct nn_grad_work *w)
{
    free(w->saved);
    free(w->value_at);
    free(w->reached);
    free(w->block);
}

int nn_grad_work_lay(const struct nn_grad *g, struct nn_grad_work *w, struct err *e)
{
    const struct nn_plan *plan = &g->net.plan;
    struct needs needs = {0};
    struct arena arena = {0};
    w->saved = calloc((size_t)plan->step_count, sizeof *w->saved);
    w->value_at = calloc((size_t)plan->value_count, sizeof *w->value_at);
    w->reached = calloc((size_t)plan->value_count, sizeof *w->reached);
    if (!w->saved || !w->value_at || !w->reached)
        return err_fail_memory(e, (size_t)plan->step_count * sizeof *w->saved);
    for (int i = 0; i < plan->step_count; i++) {
        step_needs(g, &plan->steps[i], &needs);
        /* an mlp's features are wider than its vectors */
        grow(&needs.plain,
             NN_GRAD_MICRO * g->layers[i].dense[0].shape.inputs / g->layers[i].dense[0].taps);
    }
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
