/* The perceptron's residual block: x + Linear_1(SiLU(Linear_0(SiLU(x)) + time)). Of the layer's
 * weights dense[0] (Linear_0) and dense[1] (Linear_1) are used. */
#include "net_layer.h"

static void params(struct net_param_list *l, const struct nn_step *s, const struct nn_arch *arch)
{
    int width = s->channels_out;
    net_param_linear(l, "Linear_0", width, width);
    net_param_linear(l, "Dense_0", 4 * arch->nf, width);
    net_param_linear(l, "Linear_1", width, width);
}

static uint64_t macs(const struct nn_step *s)
{
    return 2 * (uint64_t)s->channels_in * (uint64_t)s->channels_out;
}

static void lay(struct net_layout *l, const struct nn_step *s, struct nn_layer *y)
{
    size_t width = nn_lanes((size_t)s->channels_out);
    net_lay_inner(l, &y->dense[0], NN_PRODUCT_LINEAR, width, width, true);
    net_lay_inner(l, &y->dense[1], NN_PRODUCT_LINEAR, width, width, true);
}

static int load(struct net_loader *l, const struct nn_step *s, const struct nn_layer *y)
{
    const struct net_inputs in = net_inputs_of((size_t)s->channels_in);
    if (net_load_conv(l, &y->dense[0], &in) != 0 || net_load_time(l, s, NULL) != 0)
        return -1;
    return net_load_conv(l, &y->dense[1], &in);
}

static void needs(const struct nn_net *net, const struct nn_step *s, size_t batch,
                  struct net_needs *k)
{
    size_t width = nn_lanes((size_t)s->channels_out);
    net_need(&k->conv_in, batch * width);
    net_need(&k->conv_out, batch * width);
    if (net->terms)
        net_need(&k->dense, nn_tile_room(batch, width, net->terms));
}

static void run(const struct net_run *r, const float *in, const float *other, float *out)
{
    const struct nn_layer *y = r->layer;
    const struct nn_workspace *ws = r->ws;
    size_t width = y->dense[0].shape.outputs, times = r->net->time.shape.outputs;
    (void)other;
    r->net->kernels->silu(r->n * width, in, ws->conv_in);
    nn_linear_run(r->net, ws, &y->dense[0], r->n, ws->conv_in, NULL, ws->conv_out);
    for (size_t b = 0; b < r->n; b++) {
        const float *time = ws->time + (r->first + b) * times + r->step->time_first;
        for (size_t i = 0; i < width; i++)
            ws->conv_out[b * width + i] += time[i];
    }
    r->net->kernels->silu(r->n * width, ws->conv_out, ws->conv_out);
    nn_linear_run(r->net, ws, &y->dense[1], r->n, ws->conv_out, in, out);
}

const struct net_layer_ops net_vector_block = {params, macs, lay, load, needs, run};
