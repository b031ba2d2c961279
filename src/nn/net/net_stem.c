/* The first layer of an image's network: a 3×3 convolution of the image, whose pixels are not
 * padded, in f32 whatever the precision. Of the layer's weights dense[0] is used. */
#include "net_layer.h"

static void params(struct net_param_list *l, const struct nn_step *s, const struct nn_arch *arch)
{
    (void)arch;
    net_param_conv(l, "", s->channels_in, s->channels_out, 3);
}

static void lay(struct net_layout *l, const struct nn_step *s, struct nn_layer *y)
{
    net_lay_dense(l, &y->dense[0], NN_PRODUCT_3X3, 9 * (size_t)s->channels_in,
                  (size_t)s->channels_out, true);
}

static int load(struct net_loader *l, const struct nn_step *s, const struct nn_layer *y)
{
    size_t channels = (size_t)s->channels_in;
    const struct net_inputs in = {channels, channels, channels};
    return net_load_conv(l, &y->dense[0], &in);
}

static void needs(const struct nn_net *net, const struct nn_step *s, size_t batch,
                  struct net_needs *k)
{
    (void)net;
    net_need(&k->conv_in,
             nn_bordered_pixels(batch, (size_t)s->side_in) * nn_lanes((size_t)s->channels_in));
}

/* From planes to bordered pixels of `channels` floats, without padding. */
static void run(const struct net_run *r, const float *in, const float *other, float *out)
{
    (void)in;
    (void)other;
    size_t channels = (size_t)r->step->channels_in, side = (size_t)r->step->side_in;
    struct nn_target target = net_bordered_target(r, side, channels);
    for (size_t b = 0; b < r->n; b++)
        for (size_t y = 0; y < side; y++) {
            float *row = nn_target_row(&target, b, y);
            for (size_t c = 0; c < channels; c++)
                for (size_t i = 0; i < side; i++)
                    row[i * channels + c] = r->x[b][(c * side + y) * side + i];
        }
    const struct nn_product p = net_conv_product(r, &r->layer->dense[0], side, channels, out);
    nn_product_run(r->net, r->ws, &p);
}

const struct net_layer_ops net_stem = {params, net_conv_macs, lay, load, needs, run};
