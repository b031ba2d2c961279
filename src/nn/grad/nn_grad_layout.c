/* Where a trained network's weights lie, and how they change layout.
 *
 * The layout walks the plan in the order of the parameter list, as loading does. Changing layout is
 * split over the pool by parameter, packing by matrix, gathering by parameter: each element is
 * written by one task. */
#include "base_size.h"
#include "nn_grad_net.h"
#include "nn_mlp.h"
#include <stdlib.h>
#include <string.h>

struct layout {
    struct nn_grad *g;
    struct arena arena; /* packed weights */
    size_t next, flat;  /* parameter and its offset */
    size_t canonical;
    bool strange; /* the walk and the list of parameters disagree */
};

static size_t take_canonical(struct layout *l, size_t count)
{
    size_t at = l->canonical;
    if (!size_add(l->canonical, (count + 15) / 16 * 16, &l->canonical))
        l->arena.overflow = true;
    return at;
}

/* The piece of the next parameter. */
static void add_piece(struct layout *l, enum nn_piece_kind kind, size_t at, size_t sum, size_t row,
                      size_t channels, size_t first, size_t lanes)
{
    struct nn_grad *g = l->g;
    if (l->next >= g->param_count) {
        l->strange = true;
        return;
    }
    const struct nn_param *param = &g->params[l->next];
    g->pieces[l->next++] =
        (struct nn_piece){kind, param, l->flat, at, sum, row, channels, first, lanes};
    l->flat += param->count;
}

static void add_vector(struct layout *l, size_t at, size_t sum, size_t first)
{
    add_piece(l, NN_PIECE_VECTOR, at, sum, 0, 0, first, 0);
}

/* How a convolution of stride 1 on images of `side` pixels is done, by what the kernel finds
 * faster; others have side 0. */
static enum nn_product_kind dense_kind(const struct nn_grad *g, size_t taps, size_t side,
                                       size_t inputs, size_t outputs)
{
    if (taps == 1)
        return NN_PRODUCT_POINT;
    return side > 0 && g->kernels->winograd(inputs, outputs, side) ? NN_PRODUCT_WINOGRAD
                                                                   : NN_PRODUCT_3X3;
}

static void lay_dense(struct layout *l, struct nn_grad_dense *d, size_t taps, size_t side,
                      size_t lanes, size_t outputs, bool back)
{
    struct nn_grad *g = l->g;
    outputs = nn_lanes(outputs);
    d->taps = taps;
    d->shape =
        (struct nn_product_shape){dense_kind(g, taps, side, lanes, outputs), taps * lanes, outputs};
    size_t inputs = nn_lanes(lanes); /* the stem's are not padded on the way there */
    d->back = (struct nn_product_shape){dense_kind(g, taps, side, outputs, inputs), taps * outputs,
                                        back ? inputs : 0};
    d->at = take_canonical(l, taps * lanes * outputs);
    d->bias = take_canonical(l, outputs);
    d->packed = arena_take(&l->arena, g->kernels->pack_size(&d->shape), sizeof(float));
    size_t scratch = g->kernels->product_scratch(&d->shape), more = 0;
    if (back) {
        d->packed_back = arena_take(&l->arena, g->kernels->pack_size(&d->back), sizeof(float));
        more = g->kernels->product_scratch(&d->back);
    }
    scratch = scratch > more ? scratch : more;
    g->product_scratch = scratch > g->product_scratch ? scratch : g->product_scratch;
    if (taps * inputs * outputs > g->matrix)
        g->matrix = taps * inputs * outputs;
    if (!l->arena.base)
        g->denses[g->dense_count++] = d;
}

static void lay_norm(struct layout *l, struct nn_grad_layer *y, int which, int first, int second)
{
    size_t lanes = nn_lanes((size_t)first) + nn_lanes((size_t)second);
    struct nn_norm_weights *w = &y->norm[which];
    int groups = nn_groups(first + second), size = (first + second) / groups;
    y->gamma[which] = take_canonical(l, lanes);
    y->beta[which] = take_canonical(l, lanes);
    *w = (struct nn_norm_weights){.lanes = lanes, .groups = groups, .group_size = size};
    w->group = arena_take(&l->arena, lanes, sizeof *w->group);
    if (w->group) {
        w->gamma = l->g->canonical + y->gamma[which];
        w->beta = l->g->canonical + y->beta[which];
        memset(w->group, -1, lanes * sizeof *w->group);
        for (int c = 0; c < first + second; c++)
            w->group[c < first ? (size_t)c : nn_lanes((size_t)first) + (size_t)(c - first)] =
                c / size;
    }
    add_vector(l, y->gamma[which], y->gamma[which], (size_t)first);
    add_vector(l, y->beta[which], y->beta[which], (size_t)first);
}

/* A convolution's or linear layer's two parameters. */
static void add_conv(struct layout *l, const struct nn_grad_dense *d, size_t channels, size_t first)
{
    add_piece(l, NN_PIECE_MATRIX, d->at, d->at, d->shape.outputs, channels, first,
              d->shape.inputs / d->taps);
    add_vector(l, d->bias, d->bias, NN_NOWHERE);
}

static void lay_res(struct layout *l, const struct nn_step *s, struct nn_grad_layer *y)
{
    struct nn_grad *g = l->g;
    size_t first = (size_t)s->channels_in, channels = first + (size_t)s->channels_skip;
    size_t in = nn_lanes(first) + nn_lanes((size_t)s->channels_skip);
    size_t count = (size_t)s->channels_out, out = nn_lanes(count),
           wide = 4 * (size_t)g->net.arch.nf;
    struct nn_grad_dense *time = &g->time;
    lay_norm(l, y, 0, s->channels_in, s->channels_skip);
    lay_dense(l, &y->dense[0], 9, (size_t)s->side_out, in, out, true);
    add_piece(l, NN_PIECE_MATRIX, y->dense[0].at, y->dense[0].at, out, channels, first, in);
    add_vector(l, g->conv_bias + y->time_first, time->bias + y->time_first, NN_NOWHERE);
    add_piece(l, NN_PIECE_MATRIX, time->at + y->time_first, time->at + y->time_first,
              time->shape.outputs, wide, wide, nn_lanes(wide));
    add_vector(l, time->bias + y->time_first, time->bias + y->time_first, NN_NOWHERE);
    lay_norm(l, y, 1, s->channels_out, 0);
    lay_dense(l, &y->dense[1], 9, (size_t)s->side_out, out, out, true);
    add_conv(l, &y->dense[1], count, count);
    if (s->shortcut) {
        lay_dense(l, &y->dense[2], 1, 0, in, out, true);
        add_conv(l, &y->dense[2], channels, first);
    }
}

static void lay_attention(struct layout *l, const struct nn_step *s, struct nn_grad_layer *y)
{
    size_t channels = (size_t)s->channels_in, lanes = nn_lanes(channels);
    lay_norm(l, y, 0, s->channels_in, 0);
    lay_dense(l, &y->dense[0], 1, 0, lanes, 3 * lanes, true);
    lay_dense(l, &y->dense[1], 1, 0, lanes, lanes, true);
    for (size_t i = 0; i < 4; i++) {
        const struct nn_grad_dense *d = &y->dense[i / 3];
        size_t column = i < 3 ? i * lanes : 0;
        add_piece(l, NN_PIECE_NIN, d->at + column, d->at + column, d->shape.outputs, channels,
                  channels, lanes);
        add_vector(l, d->bias + column, d->bias + column, NN_NOWHERE);
    }
}

static void lay_mlp_step(struct layout *l, const struct nn_step *s, struct nn_grad_layer *y)
{
    size_t width = 4 * (size_t)l->g->net.arch.nf, d = (size_t)l->g->net.arch.channels;
    struct nn_grad_dense *time = &l->g->time;
    bool stem = s->kind == NN_STEP_STEM;
    size_t inputs = stem ? d + NN_MLP_EXTRA : width;
    lay_dense(l, &y->dense[0], 1, 0, nn_lanes(inputs), s->kind == NN_STEP_HEAD ? d + 1 : width,
              !stem || l->g->options.inputs);
    add_conv(l, &y->dense[0], inputs, inputs);
    if (s->kind != NN_STEP_RES)
        return;
    add_piece(l, NN_PIECE_MATRIX, time->at + y->time_first, time->at + y->time_first,
              time->shape.outputs, width, width, nn_lanes(width));
    add_vector(l, time->bias + y->time_first, time->bias + y->time_first, NN_NOWHERE);
    lay_dense(l, &y->dense[1], 1, 0, nn_lanes(width), width, true);
    add_conv(l, &y->dense[1], width, width);
}

static void lay_step(struct layout *l, const struct nn_step *s, struct nn_grad_layer *y)
{
    if (l->g->net.arch.kind == NN_ARCH_MLP) {
        lay_mlp_step(l, s, y);
        return;
    }
    size_t channels = (size_t)s->channels_in, lanes = nn_lanes(channels);
    size_t out = (size_t)s->channels_out;
    switch (s->kind) {
    case NN_STEP_RES:
        lay_res(l, s, y);
        return;
    case NN_STEP_ATTENTION:
        lay_attention(l, s, y);
        return;
    case NN_STEP_STEM: /* its input's pixels are not padded, and training wants no gradient there */
        lay_dense(l, &y->dense[0], 9, 0, channels, out, l->g->options.inputs);
        break;
    case NN_STEP_HEAD:
        lay_norm(l, y, 0, s->channels_in, 0);
        lay_dense(l, &y->dense[0], 9, (size_t)s->side_out, lanes, out, true);
        break;
    case NN_STEP_PYRAMID:
        lay_dense(l, &y->dense[0], 9, 0, lanes, out, s->in != 0 || l->g->options.inputs);
        break;
    }
    add_conv(l, &y->dense[0], channels, channels);
}

static void lay_all(struct layout *l)
{
    struct nn_grad *g = l->g;
    const struct nn_arch *arch = &g->net.arch;
    size_t length = (size_t)nn_embedding_length(arch), wide = 4 * (size_t)arch->nf, time = 0;
    for (int i = 0; i < g->net.plan.step_count; i++)
        if (g->net.plan.steps[i].kind == NN_STEP_RES) {
            g->layers[i].time_first = time;
            time += nn_lanes((size_t)g->net.plan.steps[i].channels_out);
        }
    if (arch->kind == NN_ARCH_MLP) {
        size_t offset = take_canonical(l, (size_t)arch->channels), scale = take_canonical(l, 1);
        g->net.offset = l->arena.base ? g->canonical + offset : NULL;
        g->net.scale = l->arena.base ? g->canonical + scale : NULL;
        add_vector(l, offset, NN_NOWHERE, NN_NOWHERE);
        add_vector(l, scale, NN_NOWHERE, NN_NOWHERE);
    }
    if (arch->embedding == NN_EMBEDDING_FOURIER) {
        size_t at = take_canonical(l, (size_t)arch->nf);
        g->net.frequencies = l->arena.base ? g->canonical + at : NULL;
        add_vector(l, at, NN_NOWHERE, NN_NOWHERE);
    } else {
        g->net.frequencies = arena_take(&l->arena, (size_t)arch->nf, sizeof(float));
        if (l->arena.base)
            nn_time_frequencies(arch, g->net.frequencies);
    }
    /* Only a denoiser has something to learn before it. */
    lay_dense(l, &g->linear[0], 1, 0, nn_lanes(length), wide, arch->denoiser);
    add_conv(l, &g->linear[0], length, length);
    lay_dense(l, &g->linear[1], 1, 0, nn_lanes(wide), wide, true);
    add_conv(l, &g->linear[1], wide, wide);
    lay_dense(l, &g->time, 1, 0, nn_lanes(wide), time, true);
    g->conv_bias = take_canonical(l, time);
    g->time_bias = arena_take(&l->arena, time, sizeof(float));
    for (int i = 0; i < g->net.plan.step_count; i++)
        lay_step(l, &g->net.plan.steps[i], &g->layers[i]);
    if (arch->classes > 0) {
        size_t classes = (size_t)arch->classes;
        size_t row = nn_lanes((size_t)nn_label_length(arch));
        g->label = take_canonical(l, classes * row);
        add_piece(l, NN_PIECE_NIN, g->label, g->label, row, classes, classes, classes);
    }
    size_t widest = 3 * 2 * nn_lanes(NN_CHANNELS_MAX) + time;
    g->zeros = arena_take(&l->arena, widest, sizeof(float));
}

int nn_grad_lay(struct nn_grad *g, struct err *e)
{
    struct layout count = {.g = g};
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
    struct layout place = {.g = g, .arena.base = g->block};
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
