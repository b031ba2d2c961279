/* The operations that layers are made of: which kernel computes one, and whether the thread does it
 * alone or shares it with its team, which is decided here alone. Neither changes a bit.
 */
#include "net_run.h"
#include "nn_profile_work.h"
#include "nn_team_work.h"
#include <string.h>

float *nn_value_at(const struct nn_net *net, const struct nn_workspace *ws, int value)
{
    return ws->values + net->plan.values[value].offset * (size_t)ws->batch;
}

/* ---- operations, by the thread alone or by its team ---- */

/* What an element of a norm or a filter costs, in multiply-adds of a product. */
#define ELEMENT_WORK 30

static bool shared(const struct nn_net *net, const struct nn_workspace *ws,
                   const struct nn_sharing *how, const void *op, size_t work)
{
    if (!how->units || !nn_team_pays(ws->team, work))
        return false;
    nn_team_run(ws->team, net, how, op, ws->scratch);
    return true;
}

static void tiles_run(const struct nn_net *net, const struct nn_workspace *ws,
                      const struct nn_product *p, size_t work)
{
    work = work * (size_t)p->terms / (size_t)net->tiles->rate;
    if (!shared(net, ws, &net->tiles->product, p, work))
        nn_tile_product(net->tiles, p);
}

void nn_product_run(const struct nn_net *net, const struct nn_workspace *ws,
                    const struct nn_product *p)
{
    const struct nn_kernels *k = net->kernels;
    size_t work = p->images * p->height * p->width * p->shape.inputs * p->shape.outputs;
    if (ws->profile) {
        nn_profile_product(ws, p);
        return;
    }
    if (p->terms) {
        tiles_run(net, ws, p, work);
        return;
    }
    if (p->shape.kind == NN_PRODUCT_WINOGRAD)
        work /= 3;
    if (!shared(net, ws, &k->product_sharing, p, work))
        k->product(p);
}

void net_norm(const struct net_run *r, int which, const float *a, size_t lanes_a, const float *b,
              size_t lanes_b, size_t side, bool silu, const struct net_place *to)
{
    const struct nn_norm p = {.weights = &r->layer->norm[which],
                              .parts = b ? 2 : 1,
                              .part = {{a, lanes_a}, {b, lanes_b}},
                              .images = r->n,
                              .side = side,
                              .silu = silu,
                              .target = to->target,
                              .scratch = (double *)(void *)r->ws->scratch,
                              .tiles = to->tiles.terms ? &to->tiles : NULL};
    const struct nn_kernels *k = r->net->kernels;
    size_t numbers = p.images * side * side * p.weights->lanes;
    int64_t begin = nn_profile_begin(r->ws);
    if (!shared(r->net, r->ws, &k->norm_sharing, &p, numbers * ELEMENT_WORK))
        k->norm(&p);
    nn_profile_add(r->ws, begin, NN_PROFILE_NORM, 0,
                   (to->tiles.terms ? 6.0 : 8.0) * (double)numbers);
}

void net_resample(const struct net_run *r, enum nn_resample_kind kind, const float *src,
                  struct nn_target target)
{
    const struct nn_kernels *k = r->net->kernels;
    const struct nn_resample p = {kind, src, r->n, (size_t)r->step->side_in, target};
    size_t side = nn_resample_side(kind, p.side);
    size_t numbers = p.images * side * side * target.lanes;
    size_t sources = p.images * p.side * p.side * target.lanes;
    int64_t begin = nn_profile_begin(r->ws);
    if (!shared(r->net, r->ws, &k->resample_sharing, &p, numbers * ELEMENT_WORK))
        k->resample(&p);
    nn_profile_add(r->ws, begin, NN_PROFILE_RESAMPLING, 0, 4.0 * (double)(sources + numbers));
}

void net_attend(const struct net_run *r, const struct nn_attention *p)
{
    const struct nn_kernels *k = r->net->kernels;
    size_t work = 2 * p->images * p->pixels * p->pixels * p->lanes;
    int64_t begin = nn_profile_begin(r->ws);
    if (r->net->terms) {
        const struct nn_tile_attention tiles = {*p, k, r->net->tiles, r->net->terms};
        const struct nn_sharing *how = &nn_tile_attention_sharing;
        struct nn_share all = {.last = how->units(&tiles), .scratch = p->scratch};
        if (!shared(r->net, r->ws, how, &tiles, work / (size_t)r->net->tiles->rate))
            how->run(&tiles, &all);
    } else if (!shared(r->net, r->ws, &k->attention_sharing, p, work)) {
        k->attention(p);
    }
    const double terms = r->net->terms ? r->net->terms : 1; /* products, in parts of bf16 */
    nn_profile_add(r->ws, begin, NN_PROFILE_ATTENTION, 2.0 * (double)work * terms, 0);
}

void net_split(const struct net_run *r, const float *a, size_t lanes_a, const float *b,
               size_t lanes_b, size_t side, const struct nn_tile_target *target)
{
    const struct nn_kernels *k = r->net->kernels;
    const struct nn_split p = {
        b ? 2 : 1, {{a, lanes_a, lanes_a}, {b, lanes_b, lanes_b}}, r->n, side, side, *target};
    if (!shared(r->net, r->ws, &k->split_sharing, &p, r->n * side * side * (lanes_a + lanes_b)))
        k->split(&p);
}

/* ---- targets ---- */

struct nn_target net_bordered_target(const struct net_run *r, size_t side, size_t lanes)
{
    nn_bordered_zero(r->ws->conv_in, r->n, side, lanes);
    return nn_bordered_target(r->ws->conv_in, side, lanes);
}

/* In bf16 two numbers are as long as a float of the border. */
struct net_place net_bordered_place(const struct net_run *r, size_t side, size_t lanes, int terms)
{
    size_t pitch = side + 1, wide = nn_tile_lanes(lanes);
    size_t plane = nn_tile_plane(nn_bordered_pixels(r->n, side), lanes);
    if (terms == 0)
        return (struct net_place){.target = net_bordered_target(r, side, lanes)};
    for (size_t i = 0; i < nn_bf16_planes(terms); i++)
        nn_bordered_zero(r->ws->conv_in + i * plane / 2, r->n, side, wide / 2);
    return (struct net_place){.tiles = {(uint16_t *)(void *)r->ws->conv_in, pitch + 1, pitch,
                                        pitch * pitch, wide, plane, terms}};
}

struct net_place net_plain_place(const struct net_run *r, float *out, size_t side, size_t lanes,
                                 int terms)
{
    if (terms == 0)
        return (struct net_place){.target = nn_plain_target(out, side, lanes)};
    return (struct net_place){.tiles = nn_plain_tiles(out, r->n, side, lanes, terms)};
}

/* ---- products ---- */

struct nn_product net_conv_product(const struct net_run *r, const struct nn_dense *d, size_t side,
                                   size_t lanes, float *out)
{
    size_t pitch = side + 1;
    struct nn_product p = {.shape = d->shape,
                           .packed = d->packed,
                           .bias = d->bias,
                           .segments = 3,
                           .in_image = pitch * pitch,
                           .in_row = pitch,
                           .in_step = 1,
                           .images = r->n,
                           .height = side,
                           .width = side,
                           .scale = 1.0f,
                           .out = out,
                           .scratch = r->ws->scratch};
    for (size_t i = 0; i < 3; i++)
        p.segment[i] = (struct nn_segment){r->ws->conv_in + i * pitch * lanes, lanes, 3 * lanes};
    if (d->terms) {
        const struct nn_tile_target in = {.out = (uint16_t *)(void *)r->ws->conv_in,
                                          .lanes = nn_tile_lanes(lanes),
                                          .plane =
                                              nn_tile_plane(nn_bordered_pixels(r->n, side), lanes)};
        nn_product_tiles(&p, d, &in, pitch);
    }
    return p;
}

struct nn_product net_point_product(const struct net_run *r, const struct nn_dense *d,
                                    size_t pixels, const float *in, size_t lanes, float *out)
{
    return (struct nn_product){.shape = d->shape,
                               .packed = d->packed,
                               .bias = d->bias,
                               .segments = 1,
                               .segment = {{in, lanes, lanes}},
                               .in_image = pixels,
                               .in_row = pixels,
                               .in_step = 1,
                               .images = r->n,
                               .height = 1,
                               .width = pixels,
                               .scale = 1.0f,
                               .out = out};
}

void nn_linear_run(const struct nn_net *net, const struct nn_workspace *ws,
                   const struct nn_dense *d, size_t n, const float *in, const float *residual,
                   float *out)
{
    struct nn_product p = {.shape = d->shape,
                           .packed = d->packed,
                           .bias = d->bias,
                           .segments = 1,
                           .segment = {{in, d->shape.inputs, d->shape.inputs}},
                           .in_image = n,
                           .in_row = n,
                           .in_step = 1,
                           .images = 1,
                           .height = 1,
                           .width = n,
                           .residual = residual,
                           .scale = 1.0f,
                           .out = out};
    if (d->terms) {
        const struct nn_split rows = {
            1, {{in, d->shape.inputs, d->shape.inputs}},
            n, 1,
            1, nn_plain_tiles(ws->dense, n, 1, d->shape.inputs, d->terms)};
        net->kernels->split(&rows);
        nn_product_tiles(&p, d, &rows.target, 0);
    }
    nn_product_run(net, ws, &p);
}
