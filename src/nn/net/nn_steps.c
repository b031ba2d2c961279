/* Running the program: each step turns values into the next one through the kernels' table. Runs in
 * the caller's thread on the caller's workspace; allocates nothing.
 *
 * Images go through a step in groups: together, so that its weights are read from memory once, but
 * not more of them than the cache holds. Where the workspace has a team, the operations that are
 * large enough are shared with it; that is decided here alone. Neither changes a bit.
 */
#include "net_run.h"
#include "nn_mlp.h"

#define GROUP_FLOATS 300000 /* about what the second-level cache holds */

/* ---- the steps ---- */

static enum nn_resample_kind resample_kind(const struct net_run *r)
{
    if (r->step->resampling == NN_RESAMPLE_UP)
        return r->net->arch.fir ? NN_FIR_UP : NN_BOX_UP;
    return r->net->arch.fir ? NN_FIR_DOWN : NN_BOX_DOWN;
}

/* SiLU(GN_0(x)), resampled if the block resamples, into conv_in. */
static void res_input(const struct net_run *r, const float *in, const float *skip)
{
    const struct nn_step *s = r->step;
    size_t lanes_in = nn_lanes((size_t)s->channels_in);
    size_t lanes_skip = nn_lanes((size_t)s->channels_skip), lanes = lanes_in + lanes_skip;
    size_t side = (size_t)s->side_in, side_out = (size_t)s->side_out;
    const struct net_place to = net_bordered_place(r, side_out, lanes, r->net->terms);
    if (s->resampling == NN_RESAMPLE_NONE) {
        net_norm(r, 0, in, lanes_in, skip, lanes_skip, side, true, &to);
        return;
    }
    const struct net_place normed = net_plain_place(r, r->ws->dense, side, lanes, 0);
    net_norm(r, 0, in, lanes_in, skip, lanes_skip, side, true, &normed);
    if (!r->net->terms) {
        net_resample(r, resample_kind(r), r->ws->dense, to.target);
        return;
    }
    net_resample(r, resample_kind(r), r->ws->dense,
                 nn_plain_target(r->ws->conv_out, side_out, lanes));
    net_split(r, r->ws->conv_out, lanes, NULL, 0, side_out, &to.tiles);
}

/* The shortcut Conv_2(x) goes to `out` first, and Conv_1 then adds to it in place. As tiles its
 * input takes conv_in's place, which is free between the two convolutions. */
static void res_shortcut(const struct net_run *r, const float *in, const float *skip, float *out)
{
    const struct nn_step *s = r->step;
    const struct nn_dense *d = &r->layer->dense[2];
    size_t lanes = nn_lanes((size_t)s->channels_in), side = (size_t)s->side_out;
    size_t more = nn_lanes((size_t)s->channels_skip);
    if (s->resampling != NN_RESAMPLE_NONE) {
        net_resample(r, resample_kind(r), in, nn_plain_target(r->ws->dense, side, lanes));
        in = r->ws->dense;
    }
    struct nn_product p = net_point_product(r, d, side * side, in, lanes, out);
    if (d->terms) {
        const struct net_place to =
            net_plain_place(r, r->ws->conv_in, side, lanes + more, d->terms);
        net_split(r, in, lanes, skip, more, side, &to.tiles);
        nn_product_tiles(&p, d, &to.tiles, 0);
    } else if (skip) {
        p.segment[p.segments++] = (struct nn_segment){skip, more, more};
    }
    nn_product_run(r->net, r->ws, &p);
}

static void run_res(const struct net_run *r, const float *in, const float *skip, float *out)
{
    const struct nn_step *s = r->step;
    size_t side = (size_t)s->side_out, lanes = nn_lanes((size_t)s->channels_out);
    res_input(r, in, skip);
    struct nn_product p = net_conv_product(
        r, &r->layer->dense[0], side,
        nn_lanes((size_t)s->channels_in) + nn_lanes((size_t)s->channels_skip), r->ws->conv_out);
    p.bias_step = r->net->time.shape.outputs;
    p.bias = r->ws->time + r->first * p.bias_step + r->layer->time_first;
    nn_product_run(r->net, r->ws, &p);
    if (s->shortcut)
        res_shortcut(r, in, skip, out);
    const struct net_place to = net_bordered_place(r, side, lanes, r->net->terms);
    net_norm(r, 1, r->ws->conv_out, lanes, NULL, 0, side, true, &to);
    p = net_conv_product(r, &r->layer->dense[1], side, lanes, out);
    p.residual = s->shortcut ? out : in;
    p.scale = NET_HALF_ROOT;
    nn_product_run(r->net, r->ws, &p);
}

static void run_attention(const struct net_run *r, const float *in, float *out)
{
    struct nn_workspace *ws = r->ws;
    size_t side = (size_t)r->step->side_in, pixels = side * side;
    size_t channels = (size_t)r->step->channels_in, lanes = nn_lanes(channels);
    const struct net_place to = net_plain_place(r, ws->dense, side, lanes, r->net->terms);
    net_norm(r, 0, in, lanes, NULL, 0, side, false, &to);
    struct nn_product p =
        net_point_product(r, &r->layer->dense[0], pixels, ws->dense, lanes, ws->conv_out);
    if (r->net->terms)
        nn_product_tiles(&p, &r->layer->dense[0], &to.tiles, 0);
    nn_product_run(r->net, ws, &p);
    const struct nn_attention a = {ws->conv_out, r->n,        pixels,     channels,
                                   lanes,        ws->conv_in, ws->scratch};
    net_attention(r, &a);
    p = net_point_product(r, &r->layer->dense[1], pixels, ws->conv_in, lanes, out);
    if (r->net->terms) {
        net_split(r, ws->conv_in, lanes, NULL, 0, side, &to.tiles);
        nn_product_tiles(&p, &r->layer->dense[1], &to.tiles, 0);
    }
    p.residual = in;
    p.scale = NET_HALF_ROOT;
    nn_product_run(r->net, ws, &p);
}

/* (PyramidDown(p) + h) / √2: the filter gives 2 · side_out + 1 pixels a side without a border, of
 * which the convolution takes every second. */
static void run_pyramid(const struct net_run *r, const float *in, const float *trunk, float *out)
{
    const struct nn_dense *d = &r->layer->dense[0];
    size_t lanes = nn_lanes((size_t)r->step->channels_in);
    size_t side = (size_t)r->step->side_out, blurred = (size_t)r->step->side_in + 1;
    float *to = d->terms ? r->ws->dense : r->ws->conv_in;
    net_resample(r, NN_FIR_BLUR, in, nn_plain_target(to, blurred, lanes));
    struct nn_product p = net_conv_product(r, d, blurred - 1, lanes, out);
    if (d->terms) {
        const struct net_place tiles = net_plain_place(r, r->ws->conv_in, blurred, lanes, d->terms);
        net_split(r, to, lanes, NULL, 0, blurred, &tiles.tiles);
        nn_product_tiles(&p, d, &tiles.tiles, blurred);
    }
    p.in_row = 2 * blurred;
    p.in_step = 2;
    p.height = p.width = side;
    p.residual = trunk;
    p.scale = NET_HALF_ROOT;
    nn_product_run(r->net, r->ws, &p);
}

/* From planes to bordered pixels of `channels` floats, without padding. */
static void run_stem(const struct net_run *r, const float *const x[], float *out)
{
    size_t channels = (size_t)r->step->channels_in, side = (size_t)r->step->side_in;
    struct nn_target target = net_bordered_target(r, side, channels);
    for (size_t b = 0; b < r->n; b++)
        for (size_t y = 0; y < side; y++) {
            float *row = nn_target_row(&target, b, y);
            for (size_t c = 0; c < channels; c++)
                for (size_t i = 0; i < side; i++)
                    row[i * channels + c] = x[b][(c * side + y) * side + i];
        }
    const struct nn_product p = net_conv_product(r, &r->layer->dense[0], side, channels, out);
    nn_product_run(r->net, r->ws, &p);
}

static void run_head(const struct net_run *r, const float *in, float *out)
{
    size_t side = (size_t)r->step->side_in, lanes = nn_lanes((size_t)r->step->channels_in);
    const struct net_place to = net_bordered_place(r, side, lanes, r->net->terms);
    net_norm(r, 0, in, lanes, NULL, 0, side, true, &to);
    const struct nn_product p = net_conv_product(r, &r->layer->dense[0], side, lanes, out);
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

static const float *value_of(const struct net_run *r, int value)
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
        const struct net_run r = {
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
