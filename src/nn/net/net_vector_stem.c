/* The perceptron's first layer: a linear layer of the features of a vector, in f32 whatever the
 * precision. Of the layer's weights dense[0] is used. */
#include "net_layer.h"
#include "nn_mlp.h"

static void params(struct net_param_list *l, const struct nn_step *s, const struct nn_arch *arch)
{
    (void)arch;
    net_param_linear(l, "", s->channels_in + NN_MLP_EXTRA, s->channels_out);
}

static uint64_t macs(const struct nn_step *s)
{
    return ((uint64_t)s->channels_in + NN_MLP_EXTRA) * (uint64_t)s->channels_out;
}

static void lay(struct net_layout *l, const struct nn_step *s, struct nn_layer *y)
{
    net_lay_dense(l, &y->dense[0], NN_PRODUCT_LINEAR,
                  nn_lanes((size_t)s->channels_in + NN_MLP_EXTRA), (size_t)s->channels_out, true);
}

static int load(struct net_loader *l, const struct nn_step *s, const struct nn_layer *y)
{
    const struct net_inputs in = net_inputs_of((size_t)s->channels_in + NN_MLP_EXTRA);
    return net_load_conv(l, &y->dense[0], &in);
}

static void needs(const struct nn_net *net, const struct nn_step *s, size_t batch,
                  struct net_needs *k)
{
    (void)net;
    net_need(&k->conv_in, batch * nn_lanes((size_t)s->channels_in + NN_MLP_EXTRA));
}

static void run(const struct net_run *r, const float *in, const float *other, float *out)
{
    const struct nn_dense *d = &r->layer->dense[0];
    (void)in;
    (void)other;
    for (size_t b = 0; b < r->n; b++) {
        float *row = r->ws->conv_in + b * d->shape.inputs;
        nn_mlp_features(r->net, r->x[b], r->t[b], row);
        for (size_t i = (size_t)r->step->channels_in + NN_MLP_EXTRA; i < d->shape.inputs; i++)
            row[i] = 0;
    }
    nn_linear_run(r->net, r->ws, d, r->n, r->ws->conv_in, NULL, out);
}

const struct net_layer_ops net_vector_stem = {params, macs, lay, load, needs, run};
