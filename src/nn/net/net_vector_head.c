/* The perceptron's last layer: F = Linear(SiLU(x)), from which the field follows (nn_mlp.h). Of the
 * layer's weights dense[0] is used. */
#include "net_layer.h"
#include "nn_mlp.h"

/* F has a number for each of the vector's; the field's last one, v_t, follows from them. */
static int numbers(const struct nn_step *s)
{
    return s->channels_out - 1;
}

static void params(struct net_param_list *l, const struct nn_step *s, const struct nn_arch *arch)
{
    (void)arch;
    net_param_linear(l, "", s->channels_in, numbers(s));
}

static uint64_t macs(const struct nn_step *s)
{
    return (uint64_t)s->channels_in * (uint64_t)numbers(s);
}

static void lay(struct net_layout *l, const struct nn_step *s, struct nn_layer *y)
{
    net_lay_inner(l, &y->dense[0], NN_PRODUCT_LINEAR, nn_lanes((size_t)s->channels_in),
                  (size_t)s->channels_out, true);
}

static int load(struct net_loader *l, const struct nn_step *s, const struct nn_layer *y)
{
    const struct net_inputs in = net_inputs_of((size_t)s->channels_in);
    return net_load_conv(l, &y->dense[0], &in);
}

static void needs(const struct nn_net *net, const struct nn_step *s, size_t batch,
                  struct net_needs *k)
{
    size_t width = nn_lanes((size_t)s->channels_in);
    net_need(&k->conv_in, batch * width);
    if (net->terms)
        net_need(&k->dense, nn_tile_room(batch, width, net->terms));
}

static void run(const struct net_run *r, const float *in, const float *other, float *out)
{
    const struct nn_dense *d = &r->layer->dense[0];
    (void)other;
    r->net->kernels->silu(r->n * d->shape.inputs, in, r->ws->conv_in);
    nn_linear_run(r->net, r->ws, d, r->n, r->ws->conv_in, NULL, out);
    for (size_t b = 0; b < r->n; b++) {
        float *v = out + b * d->shape.outputs;
        nn_mlp_field(r->net, r->x[b], r->t[b], v, v);
    }
}

const struct net_layer_ops net_vector_head = {params, macs, lay, load, needs, run};
