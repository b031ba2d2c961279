/* Laying out is done twice with the same calls, once to count and once to place; the second time
 * what is not read from the checkpoint is filled in. */
#include "net_layout.h"
#include <string.h>

float *net_lay_zeros(struct net_layout *l, size_t count)
{
    float *out = arena_take(&l->arena, count, sizeof *out);
    if (out)
        memset(out, 0, count * sizeof *out);
    return out;
}

static void lay_product(struct net_layout *l, struct nn_dense *d, enum nn_product_kind kind,
                        size_t inputs, size_t outputs, bool bias, int terms)
{
    d->shape = (struct nn_product_shape){kind, inputs, nn_lanes(outputs)};
    d->terms = terms;
    d->packed = terms ? arena_take(&l->arena, nn_tile_pack_size(&d->shape, terms), sizeof(uint16_t))
                      : arena_take(&l->arena, l->net->kernels->pack_size(&d->shape), sizeof(float));
    d->bias = bias ? net_lay_zeros(l, d->shape.outputs) : NULL;
    if (inputs * d->shape.outputs > l->matrix)
        l->matrix = inputs * d->shape.outputs;
}

void net_lay_dense(struct net_layout *l, struct nn_dense *d, enum nn_product_kind kind,
                   size_t inputs, size_t outputs, bool bias)
{
    lay_product(l, d, kind, inputs, outputs, bias, 0);
}

void net_lay_inner(struct net_layout *l, struct nn_dense *d, enum nn_product_kind kind,
                   size_t inputs, size_t outputs, bool bias)
{
    lay_product(l, d, kind, inputs, outputs, bias, l->net->terms);
}

void net_lay_conv(struct net_layout *l, struct nn_dense *d, size_t side, size_t in, size_t outputs,
                  bool bias)
{
    bool winograd = l->net->terms == 0 && l->net->kernels->winograd(in, nn_lanes(outputs), side);
    net_lay_inner(l, d, winograd ? NN_PRODUCT_WINOGRAD : NN_PRODUCT_3X3, 9 * in, outputs, bias);
}

void net_lay_norm(struct net_layout *l, struct nn_norm_weights *w, int first, int second)
{
    size_t lanes = nn_lanes((size_t)first) + nn_lanes((size_t)second);
    float *gamma = net_lay_zeros(l, lanes), *beta = net_lay_zeros(l, lanes);
    int32_t *group = arena_take(&l->arena, lanes, sizeof *group);
    int groups = nn_groups(first + second), size = (first + second) / groups;
    *w = (struct nn_norm_weights){lanes, groups, size, gamma, beta, group};
    if (!group)
        return;
    memset(group, -1, lanes * sizeof *group);
    for (int c = 0; c < first + second; c++)
        group[c < first ? (size_t)c : nn_lanes((size_t)first) + (size_t)(c - first)] = c / size;
}
