/* A step of NCSN++'s input pyramid, p = (PyramidDown(p) + h) / √2: the image so far, filtered and
 * halved by a 3×3 convolution of stride 2, is added to the trunk. Of the layer's weights dense[0]
 * is used. */
#include "net_layer.h"

static void params(struct net_param_list *l, const struct nn_step *s, const struct nn_arch *arch)
{
    (void)arch;
    net_param_conv(l, "Conv2d_0", s->channels_in, s->channels_out, 3);
}

static void lay(struct net_layout *l, const struct nn_step *s, struct nn_layer *y)
{
    net_lay_inner(l, &y->dense[0], NN_PRODUCT_3X3, 9 * nn_lanes((size_t)s->channels_in),
                  (size_t)s->channels_out, true);
}

static int load(struct net_loader *l, const struct nn_step *s, const struct nn_layer *y)
{
    const struct net_inputs in = net_inputs_of((size_t)s->channels_in);
    return net_load_conv(l, &y->dense[0], &in);
}

/* The filtered image is one pixel larger; in bf16 it is split from `dense`. */
static void needs(const struct nn_net *net, const struct nn_step *s, size_t batch,
                  struct net_needs *k)
{
    size_t lanes = nn_lanes((size_t)s->channels_in), blurred = (size_t)s->side_in + 1;
    net_need_bordered(net, (size_t)s->side_in, lanes, batch, k);
    if (net->terms)
        net_need(&k->dense, batch * blurred * blurred * lanes);
}

/* (PyramidDown(p) + h) / √2: the filter gives 2 · side_out + 1 pixels a side without a border, of
 * which the convolution takes every second. */
static void run(const struct net_run *r, const float *in, const float *trunk, float *out)
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
    p.scale = NN_HALF_ROOT;
    nn_product_run(r->net, r->ws, &p);
}

const struct net_layer_ops net_pyramid = {params, net_conv_macs, lay, load, needs, run};
