/* The last layer of an image's network: SiLU(norm), then a 3×3 convolution to the output's
 * channels; in the reference two modules. Of the layer's weights norm[0] and dense[0] are used. */
#include "net_layer.h"

static void params(struct net_param_list *l, const struct nn_step *s, const struct nn_arch *arch)
{
    (void)arch;
    net_param_norm(l, "", s->channels_in);
    l->module++;
    net_param_conv(l, "", s->channels_in, s->channels_out, 3);
}

static void lay(struct net_layout *l, const struct nn_step *s, struct nn_layer *y)
{
    net_lay_norm(l, &y->norm[0], s->channels_in, 0);
    net_lay_conv(l, &y->dense[0], (size_t)s->side_out, nn_lanes((size_t)s->channels_in),
                 nn_lanes((size_t)s->channels_out), true);
}

static int load(struct net_loader *l, const struct nn_step *s, const struct nn_layer *y)
{
    const struct net_inputs in = net_inputs_of((size_t)s->channels_in);
    if (net_load_norm(l, &y->norm[0], s->channels_in) != 0)
        return -1;
    return net_load_conv(l, &y->dense[0], &in);
}

static void needs(const struct nn_net *net, const struct nn_step *s, size_t batch,
                  struct net_needs *k)
{
    net_need_bordered(net, (size_t)s->side_in, nn_lanes((size_t)s->channels_in), batch, k);
}

static void run(const struct net_run *r, const float *in, const float *other, float *out)
{
    (void)other;
    size_t side = (size_t)r->step->side_in, lanes = nn_lanes((size_t)r->step->channels_in);
    const struct net_place to = net_bordered_place(r, side, lanes, r->net->terms);
    net_norm(r, 0, in, lanes, NULL, 0, side, true, &to);
    const struct nn_product p = net_conv_product(r, &r->layer->dense[0], side, lanes, out);
    nn_product_run(r->net, r->ws, &p);
}

const struct net_layer_ops net_head = {params, net_conv_macs, lay, load, needs, run};
