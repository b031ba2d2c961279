/* Laying out is done twice with the same calls, once to count and once to place. Each parameter
 * gets its piece, in the order of the list. */
#include "grad_layout.h"
#include "base_size.h"
#include <string.h>

size_t grad_take(struct grad_layout *l, size_t count)
{
    size_t at = l->canonical;
    if (!size_add(l->canonical, (count + 15) / 16 * 16, &l->canonical))
        l->arena.overflow = true;
    return at;
}

void grad_add_piece(struct grad_layout *l, enum nn_piece_kind kind, size_t at, size_t sum,
                    size_t row, size_t channels, size_t first, size_t lanes)
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

void grad_add_vector(struct grad_layout *l, size_t at, size_t sum, size_t first)
{
    grad_add_piece(l, NN_PIECE_VECTOR, at, sum, 0, 0, first, 0);
}

/* How a convolution of stride 1 on images of `side` pixels is done, by what the kernel finds
 * faster; others, and what is no convolution, have side 0. */
static enum nn_product_kind dense_kind(const struct nn_grad *g, size_t taps, size_t side,
                                       size_t inputs, size_t outputs)
{
    if (taps == 1)
        return side > 0 ? NN_PRODUCT_POINT : NN_PRODUCT_LINEAR;
    return side > 0 && g->kernels->winograd(inputs, outputs, side) ? NN_PRODUCT_WINOGRAD
                                                                   : NN_PRODUCT_3X3;
}

void grad_lay_dense(struct grad_layout *l, struct nn_grad_dense *d, size_t taps, size_t side,
                    size_t lanes, size_t outputs, bool back)
{
    struct nn_grad *g = l->g;
    outputs = nn_lanes(outputs);
    d->taps = taps;
    d->shape =
        (struct nn_product_shape){dense_kind(g, taps, side, lanes, outputs), taps * lanes, outputs};
    size_t inputs = nn_lanes(lanes); /* the stem's are not padded in the forward pass */
    d->back = (struct nn_product_shape){dense_kind(g, taps, side, outputs, inputs), taps * outputs,
                                        back ? inputs : 0};
    d->at = grad_take(l, taps * lanes * outputs);
    d->bias = grad_take(l, outputs);
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

void grad_lay_norm(struct grad_layout *l, struct nn_grad_layer *y, int which, int first, int second)
{
    size_t lanes = nn_lanes((size_t)first) + nn_lanes((size_t)second);
    struct nn_norm_weights *w = &y->norm[which];
    int groups = nn_groups(first + second), size = (first + second) / groups;
    y->gamma[which] = grad_take(l, lanes);
    y->beta[which] = grad_take(l, lanes);
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
    grad_add_vector(l, y->gamma[which], y->gamma[which], (size_t)first);
    grad_add_vector(l, y->beta[which], y->beta[which], (size_t)first);
}

void grad_add_conv(struct grad_layout *l, const struct nn_grad_dense *d, size_t channels,
                   size_t first)
{
    grad_add_piece(l, NN_PIECE_MATRIX, d->at, d->at, d->shape.outputs, channels, first,
                   d->shape.inputs / d->taps);
    grad_add_vector(l, d->bias, d->bias, NN_NOWHERE);
}

void grad_add_time(struct grad_layout *l, const struct nn_step *s)
{
    size_t wide = 4 * (size_t)l->g->net.arch.nf;
    const struct nn_grad_dense *time = &l->g->time;
    size_t at = time->at + s->time_first, bias = time->bias + s->time_first;
    grad_add_piece(l, NN_PIECE_MATRIX, at, at, time->shape.outputs, wide, wide, nn_lanes(wide));
    grad_add_vector(l, bias, bias, NN_NOWHERE);
}
