/* Where a trained network's weights lie, and how they change layout.
 *
 * The layout walks the plan in the order of the parameter list, as loading does; what a layer has
 * stands in the layer's own file. Changing layout is split over the pool by parameter, packing by
 * matrix, gathering by parameter: each element is written by one task. */
#include "grad_layer.h"
#include "grad_time.h"
#include "base_pool.h"
#include "base_size.h"
#include <stdlib.h>
#include <string.h>

static void lay_all(struct grad_layout *l)
{
    struct nn_grad *g = l->g;
    const struct nn_arch *arch = &g->net.arch;
    grad_time_lay(l);
    for (int i = 0; i < g->net.plan.step_count; i++)
        grad_layer_of(&g->net.plan.steps[i])->lay(l, &g->net.plan.steps[i], &g->layers[i]);
    if (arch->classes > 0) {
        size_t classes = (size_t)arch->classes;
        size_t row = nn_lanes((size_t)nn_label_length(arch));
        g->label = grad_take(l, classes * row);
        grad_add_piece(l, NN_PIECE_NIN, g->label, g->label, row, classes, classes, classes);
    }
    size_t widest = 3 * 2 * nn_lanes(NN_CHANNELS_MAX) + g->net.plan.time_lanes;
    g->zeros = arena_take(&l->arena, widest, sizeof(float));
}

int nn_grad_lay(struct nn_grad *g, struct err *e)
{
    struct grad_layout count = {.g = g};
    size_t bytes;
    lay_all(&count); /* once to count, once to place */
    if (count.arena.overflow || !size_mul(count.canonical, sizeof(float), &bytes))
        return err_fail(e, ERR_LIMIT, "nf", "the weights do not fit in memory");
    if (count.strange || count.next != g->param_count)
        return err_fail(e, ERR_INTERNAL, "", "the layers and the list of parameters disagree");
    g->canonical_count = count.canonical;
    g->canonical = (float *)arena_memory(bytes, e);
    g->block = g->canonical ? arena_memory(count.arena.used, e) : NULL;
    if (!g->block)
        return -1;
    g->block_bytes = count.arena.used + bytes;
    struct grad_layout place = {.g = g, .arena.base = g->block};
    lay_all(&place);
    return 0;
}

/* ---- flat and canonical ---- */

static size_t lane_of(const struct nn_piece *p, size_t i)
{
    return i < p->first ? i : nn_lanes(p->first) + (i - p->first);
}

/* Calls for each element would be slow: rows of the canonical matrix are runs over outputs, whose
 * flat elements lie `step` apart from `from` on. */
struct run {
    size_t flat, step, at, sum, count;
};

static void piece_runs(const struct nn_piece *p, void (*run)(void *context, const struct run *r),
                       void *context)
{
    const struct nn_param *param = p->param;
    if (p->kind == NN_PIECE_VECTOR) {
        size_t first = param->count < p->first ? param->count : p->first;
        struct run r = {p->flat, 1, p->at, p->sum, first};
        run(context, &r);
        if (first < param->count) {
            size_t skip = nn_lanes(first);
            r = (struct run){p->flat + first, 1, p->at + skip, p->sum + skip, param->count - first};
            run(context, &r);
        }
        return;
    }
    bool nin = p->kind == NN_PIECE_NIN;
    size_t outputs = nin ? param->shape[1] : param->shape[0];
    size_t taps = param->count / (outputs * p->channels);
    for (size_t tap = 0; tap < taps; tap++)
        for (size_t i = 0; i < p->channels; i++) {
            size_t row = (tap * p->lanes + lane_of(p, i)) * p->row;
            struct run r = {p->flat + (nin ? i * outputs : i * taps + tap),
                            nin ? 1 : p->channels * taps, p->at + row, p->sum + row, outputs};
            run(context, &r);
        }
}

struct spread {
    struct nn_grad *g;
    const float *weights;
};

static void spread_run(void *context, const struct run *r)
{
    const struct spread *s = context;
    float *to = s->g->canonical + r->at;
    const float *from = s->weights + r->flat;
    for (size_t i = 0; i < r->count; i++)
        to[i] = from[i * r->step];
}

static void spread_task(void *context, size_t task, int thread)
{
    struct spread *s = context;
    (void)thread;
    piece_runs(&s->g->pieces[task], spread_run, s);
}

/* [tap][in][out] to [taps - 1 - tap][out][in]: the convolution's transpose reads its taps in the
 * opposite order. */
static void transpose(const struct nn_grad_dense *d, const float *matrix, float *out)
{
    size_t in = d->back.outputs, outputs = d->shape.outputs, there = d->shape.inputs / d->taps;
    if (there < in)
        memset(out, 0, d->taps * in * outputs * sizeof *out);
    for (size_t tap = 0; tap < d->taps; tap++) {
        const float *from = matrix + tap * there * outputs;
        float *to = out + (d->taps - 1 - tap) * in * outputs;
        for (size_t o = 0; o < outputs; o += 8)
            for (size_t i = 0; i < there; i++)
                for (size_t j = 0; j < 8; j++)
                    to[(o + j) * in + i] = from[i * outputs + o + j];
    }
}

static void pack_task(void *context, size_t task, int thread)
{
    struct spread *s = context;
    struct nn_grad *g = s->g;
    const struct nn_grad_dense *d = g->denses[task];
    const float *matrix = g->canonical + d->at;
    g->kernels->pack(&d->shape, matrix, d->packed);
    if (d->back.outputs == 0)
        return;
    float *transposed = g->transposed + (size_t)thread * g->matrix;
    transpose(d, matrix, transposed);
    g->kernels->pack(&d->back, transposed, d->packed_back);
}

void nn_grad_pack(struct nn_grad *g, const float *weights)
{
    struct spread s = {g, weights};
    pool_run(g->pool, g->param_count, spread_task, &s);
    for (size_t i = 0; i < g->time.shape.outputs; i++)
        g->time_bias[i] = g->canonical[g->time.bias + i] + g->canonical[g->conv_bias + i];
    pool_run(g->pool, g->dense_count, pack_task, &s);
}

struct gather {
    const struct nn_grad *g;
    size_t shards;
    float *gradient;
};

static void gather_run(void *context, const struct run *r)
{
    const struct gather *s = context;
    float *to = s->gradient + r->flat;
    for (size_t i = 0; i < r->count; i++) {
        float sum = s->g->sums[0][r->sum + i];
        for (size_t k = 1; k < s->shards; k++)
            sum += s->g->sums[k][r->sum + i];
        to[i * r->step] = sum;
    }
}

static void gather_task(void *context, size_t task, int thread)
{
    const struct gather *s = context;
    const struct nn_piece *p = &s->g->pieces[task];
    (void)thread;
    if (p->sum == NN_NOWHERE) /* not trained */
        memset(s->gradient + p->flat, 0, p->param->count * sizeof *s->gradient);
    else
        piece_runs(p, gather_run, context);
}

void nn_grad_gather(struct nn_grad *g, size_t shards, float *gradient)
{
    struct gather s = {g, shards, gradient};
    pool_run(g->pool, g->param_count, gather_task, &s);
}
