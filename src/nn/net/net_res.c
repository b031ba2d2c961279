/* The residual block, (x + Conv_1(SiLU(GroupNorm_1(Conv_0(SiLU(GroupNorm_0(x))) + time)))) / √2,
 * which may halve or double the image, and read a skip beside the current activation. Where x
 * changes shape a 1×1 convolution, Conv_2, stands in its place in the sum.
 *
 * Of the layer's weights norm[0], dense[0] (Conv_0, whose bias is in the time layer), norm[1],
 * dense[1] (Conv_1) and, with a shortcut, dense[2] (Conv_2) are used. */
#include "net_layer.h"

static void params(struct net_param_list *l, const struct nn_step *s, const struct nn_arch *arch)
{
    int in = s->channels_in + s->channels_skip;
    net_param_norm(l, "GroupNorm_0", in);
    net_param_conv(l, "Conv_0", in, s->channels_out, 3);
    net_param_linear(l, "Dense_0", 4 * arch->nf, s->channels_out);
    net_param_norm(l, "GroupNorm_1", s->channels_out);
    net_param_conv(l, "Conv_1", s->channels_out, s->channels_out, 3);
    if (s->shortcut)
        net_param_conv(l, "Conv_2", in, s->channels_out, 1);
}

static uint64_t macs(const struct nn_step *s)
{
    uint64_t pixels = (uint64_t)s->side_out * (uint64_t)s->side_out;
    uint64_t in = (uint64_t)(s->channels_in + s->channels_skip), out = (uint64_t)s->channels_out;
    return pixels * out * (9 * in + 9 * out + (s->shortcut ? in : 0));
}

static void lay(struct net_layout *l, const struct nn_step *s, struct nn_layer *y)
{
    size_t in = nn_lanes((size_t)s->channels_in) + nn_lanes((size_t)s->channels_skip);
    size_t out = nn_lanes((size_t)s->channels_out), side = (size_t)s->side_out;
    net_lay_norm(l, &y->norm[0], s->channels_in, s->channels_skip);
    net_lay_conv(l, &y->dense[0], side, in, out, false);
    net_lay_norm(l, &y->norm[1], s->channels_out, 0);
    net_lay_conv(l, &y->dense[1], side, out, out, true);
    if (s->shortcut)
        net_lay_inner(l, &y->dense[2], NN_PRODUCT_POINT, in, out, true);
}

static int load(struct net_loader *l, const struct nn_step *s, const struct nn_layer *y)
{
    const struct net_inputs in = {(size_t)(s->channels_in + s->channels_skip),
                                  (size_t)s->channels_in, y->norm[0].lanes};
    const struct net_inputs out = net_inputs_of((size_t)s->channels_out);
    if (net_load_norm(l, &y->norm[0], s->channels_in) != 0 ||
        net_load_conv(l, &y->dense[0], &in) != 0 || net_load_time(l, s, "Conv_0.bias") != 0 ||
        net_load_norm(l, &y->norm[1], s->channels_out) != 0 ||
        net_load_conv(l, &y->dense[1], &out) != 0)
        return -1;
    return s->shortcut ? net_load_conv(l, &y->dense[2], &in) : 0;
}

static void needs(const struct nn_net *net, const struct nn_step *s, size_t batch,
                  struct net_needs *k)
{
    size_t in = nn_lanes((size_t)s->channels_in) + nn_lanes((size_t)s->channels_skip);
    size_t out = nn_lanes((size_t)s->channels_out), wide = in > out ? in : out;
    size_t side_in = (size_t)s->side_in, side = (size_t)s->side_out;
    size_t larger = side_in > side ? side_in : side;
    net_need_bordered(net, side, wide, batch, k);
    net_need(&k->conv_out, batch * side * side * out);
    if (s->resampling == NN_RESAMPLE_NONE)
        return;
    net_need(&k->dense, batch * larger * larger * in);
    if (net->terms)
        net_need(&k->conv_out, batch * side * side * in);
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
        net_resample(r, nn_step_resampling(&r->net->arch, s), r->ws->dense, to.target);
        return;
    }
    net_resample(r, nn_step_resampling(&r->net->arch, s), r->ws->dense,
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
        net_resample(r, nn_step_resampling(&r->net->arch, s), in,
                     nn_plain_target(r->ws->dense, side, lanes));
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

static void run(const struct net_run *r, const float *in, const float *skip, float *out)
{
    const struct nn_step *s = r->step;
    size_t side = (size_t)s->side_out, lanes = nn_lanes((size_t)s->channels_out);
    res_input(r, in, skip);
    struct nn_product p = net_conv_product(
        r, &r->layer->dense[0], side,
        nn_lanes((size_t)s->channels_in) + nn_lanes((size_t)s->channels_skip), r->ws->conv_out);
    p.bias_step = r->net->time.shape.outputs;
    p.bias = r->ws->time + r->first * p.bias_step + s->time_first;
    nn_product_run(r->net, r->ws, &p);
    if (s->shortcut)
        res_shortcut(r, in, skip, out);
    const struct net_place to = net_bordered_place(r, side, lanes, r->net->terms);
    net_norm(r, 1, r->ws->conv_out, lanes, NULL, 0, side, true, &to);
    p = net_conv_product(r, &r->layer->dense[1], side, lanes, out);
    p.residual = s->shortcut ? out : in;
    p.scale = NN_HALF_ROOT;
    nn_product_run(r->net, r->ws, &p);
}

const struct net_layer_ops net_res = {params, macs, lay, load, needs, run};
