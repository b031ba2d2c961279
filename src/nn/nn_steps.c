/* Running the program: each step turns values into the next one through the kernels' table. Runs in
 * the caller's thread on the caller's workspace; allocates nothing.
 *
 * Images go through a step in groups: together, so that its weights are read from memory once, but
 * not more of them than the cache holds. Where the workspace has a team, the operations that are
 * large enough are shared with it; that is decided here alone. Neither changes a bit.
 */
#include "nn_layers.h"
#include "nn_mlp.h"
#include "nn_team_work.h"
#include <math.h>
#include <string.h>

#define GROUP_FLOATS 300000               /* about what the second-level cache holds */
#define HALF_ROOT 0.70710678118654752440f /* 1 / √2 after every residual add */

struct run {
    const struct nn_net *net;
    struct nn_workspace *ws;
    const struct nn_step *step;
    const struct nn_layer *layer;
    size_t first, n; /* images */
};

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
    if (p->terms) {
        tiles_run(net, ws, p, work);
        return;
    }
    if (p->shape.kind == NN_PRODUCT_WINOGRAD)
        work /= 3;
    if (!shared(net, ws, &k->product_sharing, p, work))
        k->product(p);
}

static void norm_run(const struct run *r, const struct nn_norm *p)
{
    const struct nn_kernels *k = r->net->kernels;
    size_t work = p->images * p->side * p->side * p->weights->lanes * ELEMENT_WORK;
    if (!shared(r->net, r->ws, &k->norm_sharing, p, work))
        k->norm(p);
}

static void resample_run(const struct run *r, const struct nn_resample *p)
{
    const struct nn_kernels *k = r->net->kernels;
    size_t side = nn_resample_side(p->kind, p->side);
    size_t work = p->images * side * side * p->target.lanes * ELEMENT_WORK;
    if (!shared(r->net, r->ws, &k->resample_sharing, p, work))
        k->resample(p);
}

static void attention_run(const struct run *r, const struct nn_attention *p)
{
    const struct nn_kernels *k = r->net->kernels;
    size_t work = 2 * p->images * p->pixels * p->pixels * p->lanes;
    if (r->net->terms) {
        const struct nn_tile_attention tiles = {*p, k, r->net->tiles, r->net->terms};
        const struct nn_sharing *how = &nn_tile_attention_sharing;
        struct nn_share all = {.last = how->units(&tiles), .scratch = p->scratch};
        if (!shared(r->net, r->ws, how, &tiles, work / (size_t)r->net->tiles->rate))
            how->run(&tiles, &all);
    } else if (!shared(r->net, r->ws, &k->attention_sharing, p, work)) {
        k->attention(p);
    }
}

/* One or two images side by side by channel, in bf16. */
static void split_run(const struct run *r, const float *a, size_t lanes_a, const float *b,
                      size_t lanes_b, size_t side, const struct nn_tile_target *target)
{
    const struct nn_kernels *k = r->net->kernels;
    const struct nn_split p = {
        b ? 2 : 1, {{a, lanes_a, lanes_a}, {b, lanes_b, lanes_b}}, r->n, side, side, *target};
    if (!shared(r->net, r->ws, &k->split_sharing, &p, r->n * side * side * (lanes_a + lanes_b)))
        k->split(&p);
}

/* ---- targets ---- */

void nn_bordered_clear(float *out, size_t n, size_t side, size_t lanes)
{
    size_t pitch = side + 1;
    for (size_t b = 0; b < n; b++) {
        float *image = out + b * pitch * pitch * lanes;
        memset(image, 0, pitch * lanes * sizeof *out);
        for (size_t y = 1; y <= side; y++)
            memset(image + y * pitch * lanes, 0, lanes * sizeof *out);
    }
    memset(out + n * pitch * pitch * lanes, 0, (pitch + 1) * lanes * sizeof *out);
}

/* Where an operation puts what a product reads: floats or, with terms, numbers of bf16. */
struct place {
    struct nn_target target;
    struct nn_tile_target tiles;
};

/* A bordered image set in conv_in; zeroes the border, which other steps have overwritten. */
static struct nn_target bordered_target(const struct run *r, size_t side, size_t lanes)
{
    nn_bordered_clear(r->ws->conv_in, r->n, side, lanes);
    return nn_bordered_target(r->ws->conv_in, side, lanes);
}

/* The same for `terms`; in bf16 two numbers are as long as a float of the border. */
static struct place bordered_place(const struct run *r, size_t side, size_t lanes, int terms)
{
    size_t pitch = side + 1, wide = nn_tile_lanes(lanes);
    size_t plane = nn_tile_plane(nn_bordered_pixels(r->n, side), lanes);
    if (terms == 0)
        return (struct place){.target = bordered_target(r, side, lanes)};
    for (size_t i = 0; i < nn_bf16_planes(terms); i++)
        nn_bordered_clear(r->ws->conv_in + i * plane / 2, r->n, side, wide / 2);
    return (struct place){.tiles = {(uint16_t *)(void *)r->ws->conv_in, pitch + 1, pitch,
                                    pitch * pitch, wide, plane, terms}};
}

/* Pixels without a border at `out`, likewise. */
static struct place plain_place(const struct run *r, float *out, size_t side, size_t lanes,
                                int terms)
{
    if (terms == 0)
        return (struct place){.target = nn_plain_target(out, side, lanes)};
    return (struct place){.tiles = nn_plain_tiles(out, r->n, side, lanes, terms)};
}

/* ---- products ---- */

/* The product of a bordered 3×3 convolution over conv_in; `lanes` floats a pixel. */
static struct nn_product conv_product(const struct run *r, const struct nn_dense *d, size_t side,
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

/* A product over `pixels` unbordered pixels; the caller may append a second segment, or make it one
 * of tiles. */
static struct nn_product point_product(const struct run *r, const struct nn_dense *d, size_t pixels,
                                       const float *in, size_t lanes, float *out)
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

/* ---- the steps ---- */

static void run_norm(const struct run *r, int which, const float *a, size_t lanes_a, const float *b,
                     size_t lanes_b, size_t side, bool silu, const struct place *to)
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
    norm_run(r, &p);
}

static enum nn_resample_kind resample_kind(const struct run *r)
{
    if (r->step->resampling == NN_RESAMPLE_UP)
        return r->net->arch.fir ? NN_FIR_UP : NN_BOX_UP;
    return r->net->arch.fir ? NN_FIR_DOWN : NN_BOX_DOWN;
}

static void run_resample(const struct run *r, const float *src, struct nn_target target)
{
    const struct nn_resample p = {resample_kind(r), src, r->n, (size_t)r->step->side_in, target};
    resample_run(r, &p);
}

/* SiLU(GN_0(x)), resampled if the block resamples, into conv_in. */
static void res_input(const struct run *r, const float *in, const float *skip)
{
    const struct nn_step *s = r->step;
    size_t lanes_in = nn_lanes((size_t)s->channels_in);
    size_t lanes_skip = nn_lanes((size_t)s->channels_skip), lanes = lanes_in + lanes_skip;
    size_t side = (size_t)s->side_in, side_out = (size_t)s->side_out;
    const struct place to = bordered_place(r, side_out, lanes, r->net->terms);
    if (s->resampling == NN_RESAMPLE_NONE) {
        run_norm(r, 0, in, lanes_in, skip, lanes_skip, side, true, &to);
        return;
    }
    const struct place normed = plain_place(r, r->ws->dense, side, lanes, 0);
    run_norm(r, 0, in, lanes_in, skip, lanes_skip, side, true, &normed);
    if (!r->net->terms) {
        run_resample(r, r->ws->dense, to.target);
        return;
    }
    run_resample(r, r->ws->dense, nn_plain_target(r->ws->conv_out, side_out, lanes));
    split_run(r, r->ws->conv_out, lanes, NULL, 0, side_out, &to.tiles);
}

/* The shortcut Conv_2(x) goes to `out` first, and Conv_1 then adds to it in place. As tiles its
 * input takes conv_in's place, which is free between the two convolutions. */
static void res_shortcut(const struct run *r, const float *in, const float *skip, float *out)
{
    const struct nn_step *s = r->step;
    const struct nn_dense *d = &r->layer->dense[2];
    size_t lanes = nn_lanes((size_t)s->channels_in), side = (size_t)s->side_out;
    size_t more = nn_lanes((size_t)s->channels_skip);
    if (s->resampling != NN_RESAMPLE_NONE) {
        run_resample(r, in, nn_plain_target(r->ws->dense, side, lanes));
        in = r->ws->dense;
    }
    struct nn_product p = point_product(r, d, side * side, in, lanes, out);
    if (d->terms) {
        const struct place to = plain_place(r, r->ws->conv_in, side, lanes + more, d->terms);
        split_run(r, in, lanes, skip, more, side, &to.tiles);
        nn_product_tiles(&p, d, &to.tiles, 0);
    } else if (skip) {
        p.segment[p.segments++] = (struct nn_segment){skip, more, more};
    }
    nn_product_run(r->net, r->ws, &p);
}

static void run_res(const struct run *r, const float *in, const float *skip, float *out)
{
    const struct nn_step *s = r->step;
    size_t side = (size_t)s->side_out, lanes = nn_lanes((size_t)s->channels_out);
    res_input(r, in, skip);
    struct nn_product p = conv_product(
        r, &r->layer->dense[0], side,
        nn_lanes((size_t)s->channels_in) + nn_lanes((size_t)s->channels_skip), r->ws->conv_out);
    p.bias_step = r->net->time.shape.outputs;
    p.bias = r->ws->time + r->first * p.bias_step + r->layer->time_first;
    nn_product_run(r->net, r->ws, &p);
    if (s->shortcut)
        res_shortcut(r, in, skip, out);
    const struct place to = bordered_place(r, side, lanes, r->net->terms);
    run_norm(r, 1, r->ws->conv_out, lanes, NULL, 0, side, true, &to);
    p = conv_product(r, &r->layer->dense[1], side, lanes, out);
    p.residual = s->shortcut ? out : in;
    p.scale = HALF_ROOT;
    nn_product_run(r->net, r->ws, &p);
}

static void run_attention(const struct run *r, const float *in, float *out)
{
    struct nn_workspace *ws = r->ws;
    size_t side = (size_t)r->step->side_in, pixels = side * side;
    size_t channels = (size_t)r->step->channels_in, lanes = nn_lanes(channels);
    const struct place to = plain_place(r, ws->dense, side, lanes, r->net->terms);
    run_norm(r, 0, in, lanes, NULL, 0, side, false, &to);
    struct nn_product p =
        point_product(r, &r->layer->dense[0], pixels, ws->dense, lanes, ws->conv_out);
    if (r->net->terms)
        nn_product_tiles(&p, &r->layer->dense[0], &to.tiles, 0);
    nn_product_run(r->net, ws, &p);
    const struct nn_attention a = {ws->conv_out, r->n,        pixels,     channels,
                                   lanes,        ws->conv_in, ws->scratch};
    attention_run(r, &a);
    p = point_product(r, &r->layer->dense[1], pixels, ws->conv_in, lanes, out);
    if (r->net->terms) {
        split_run(r, ws->conv_in, lanes, NULL, 0, side, &to.tiles);
        nn_product_tiles(&p, &r->layer->dense[1], &to.tiles, 0);
    }
    p.residual = in;
    p.scale = HALF_ROOT;
    nn_product_run(r->net, ws, &p);
}

/* (PyramidDown(p) + h) / √2: the filter gives 2 · side_out + 1 pixels a side without a border, of
 * which the convolution takes every second. */
static void run_pyramid(const struct run *r, const float *in, const float *trunk, float *out)
{
    const struct nn_dense *d = &r->layer->dense[0];
    size_t lanes = nn_lanes((size_t)r->step->channels_in);
    size_t side = (size_t)r->step->side_out, blurred = (size_t)r->step->side_in + 1;
    float *to = d->terms ? r->ws->dense : r->ws->conv_in;
    const struct nn_resample blur = {NN_FIR_BLUR, in, r->n, (size_t)r->step->side_in,
                                     nn_plain_target(to, blurred, lanes)};
    resample_run(r, &blur);
    struct nn_product p = conv_product(r, d, blurred - 1, lanes, out);
    if (d->terms) {
        const struct place tiles = plain_place(r, r->ws->conv_in, blurred, lanes, d->terms);
        split_run(r, to, lanes, NULL, 0, blurred, &tiles.tiles);
        nn_product_tiles(&p, d, &tiles.tiles, blurred);
    }
    p.in_row = 2 * blurred;
    p.in_step = 2;
    p.height = p.width = side;
    p.residual = trunk;
    p.scale = HALF_ROOT;
    nn_product_run(r->net, r->ws, &p);
}

/* From planes to bordered pixels of `channels` floats, without padding. */
static void run_stem(const struct run *r, const float *const x[], float *out)
{
    size_t channels = (size_t)r->step->channels_in, side = (size_t)r->step->side_in;
    struct nn_target target = bordered_target(r, side, channels);
    for (size_t b = 0; b < r->n; b++)
        for (size_t y = 0; y < side; y++) {
            float *row = nn_target_row(&target, b, y);
            for (size_t c = 0; c < channels; c++)
                for (size_t i = 0; i < side; i++)
                    row[i * channels + c] = x[b][(c * side + y) * side + i];
        }
    const struct nn_product p = conv_product(r, &r->layer->dense[0], side, channels, out);
    nn_product_run(r->net, r->ws, &p);
}

static void run_head(const struct run *r, const float *in, float *out)
{
    size_t side = (size_t)r->step->side_in, lanes = nn_lanes((size_t)r->step->channels_in);
    const struct place to = bordered_place(r, side, lanes, r->net->terms);
    run_norm(r, 0, in, lanes, NULL, 0, side, true, &to);
    const struct nn_product p = conv_product(r, &r->layer->dense[0], side, lanes, out);
    nn_product_run(r->net, r->ws, &p);
}

/* Images that go through a step together: few enough that what one operation writes is still near
 * when the next reads it, and so many that a layer's weights, where they are larger than an image,
 * come from memory once. No bit depends on it. */
static size_t group_images(const struct nn_net *net, int step)
{
    const struct nn_step *s = &net->plan.steps[step];
    size_t image = net->plan.values[s->in].size + 2 * net->plan.values[s->out].size;
    size_t count = GROUP_FLOATS / image;
    return count == 0 ? 1 : count;
}

static const float *value_of(const struct run *r, int value)
{
    if (value < 0)
        return NULL;
    return nn_value_at(r->net, r->ws, value) + r->first * r->net->plan.values[value].size;
}

void nn_step_run(const struct nn_net *net, struct nn_workspace *ws, int step, size_t n,
                 const float *const x[])
{
    if (net->arch.kind == NN_ARCH_MLP) {
        nn_mlp_step_run(net, ws, step, n, x);
        return;
    }
    const struct nn_step *s = &net->plan.steps[step];
    size_t group = group_images(net, step), size = net->plan.values[s->out].size;
    for (size_t first = 0; first < n; first += group) {
        const struct run r = {
            net, ws, s, &net->layers[step], first, n - first < group ? n - first : group};
        const float *in = value_of(&r, s->in), *other = value_of(&r, s->other);
        float *out = nn_value_at(net, ws, s->out) + first * size;
        switch (s->kind) {
        case NN_STEP_STEM:
            run_stem(&r, x + first, out);
            break;
        case NN_STEP_RES:
            run_res(&r, in, other, out);
            break;
        case NN_STEP_ATTENTION:
            run_attention(&r, in, out);
            break;
        case NN_STEP_PYRAMID:
            run_pyramid(&r, in, other, out);
            break;
        case NN_STEP_HEAD:
            run_head(&r, in, out);
            break;
        }
    }
}
