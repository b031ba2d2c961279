/* Self-attention over the pixels of an image, with a residual: (x + NIN_3(attention)) / √2. Of the
 * layer's weights norm[0], dense[0] (query, key and value side by side) and dense[1] (NIN_3) are
 * used.
 *
 * A NIN's W is [in][out], the other way round than a 1×1 convolution. */
#include "net_layer.h"
#include <string.h>

static const char *const names[4][2] = {
    {"NIN_0.W", "NIN_0.b"}, {"NIN_1.W", "NIN_1.b"}, {"NIN_2.W", "NIN_2.b"}, {"NIN_3.W", "NIN_3.b"}};

static void params(struct net_param_list *l, const struct nn_step *s, const struct nn_arch *arch)
{
    const int shape[2] = {s->channels_in, s->channels_in};
    (void)arch;
    net_param_norm(l, "GroupNorm_0", s->channels_in);
    for (size_t i = 0; i < 4; i++) {
        net_param(l, names[i][0], 2, shape);
        net_param(l, names[i][1], 1, shape);
    }
}

/* Four NINs, scores, and their product with the values. */
static uint64_t macs(const struct nn_step *s)
{
    uint64_t pixels = (uint64_t)s->side_out * (uint64_t)s->side_out;
    uint64_t in = (uint64_t)s->channels_in;
    return pixels * in * (4 * in + 2 * pixels);
}

static void lay(struct net_layout *l, const struct nn_step *s, struct nn_layer *y)
{
    size_t lanes = nn_lanes((size_t)s->channels_in);
    net_lay_norm(l, &y->norm[0], s->channels_in, 0);
    net_lay_inner(l, &y->dense[0], NN_PRODUCT_POINT, lanes, 3 * lanes, true);
    net_lay_inner(l, &y->dense[1], NN_PRODUCT_POINT, lanes, lanes, true);
}

/* A NIN into columns `column`… of the loader's matrix, `outputs` wide. */
static int load_nin(struct net_loader *l, const char *suffix, size_t channels, size_t outputs,
                    size_t column)
{
    const float *v = net_load_tensor(l, suffix);
    if (!v)
        return -1;
    for (size_t i = 0; i < channels; i++)
        memcpy(l->matrix + i * outputs + column, v + i * channels, channels * sizeof *v);
    return 0;
}

static int load(struct net_loader *l, const struct nn_step *s, const struct nn_layer *y)
{
    size_t channels = (size_t)s->channels_in, lanes = y->norm[0].lanes;
    if (net_load_norm(l, &y->norm[0], s->channels_in) != 0)
        return -1;
    for (size_t i = 0; i < 4; i++) {
        const struct nn_dense *d = &y->dense[i / 3];
        size_t column = i < 3 ? i * lanes : 0;
        if (column == 0)
            net_load_zero(l, d);
        if (load_nin(l, names[i][0], channels, d->shape.outputs, column) != 0 ||
            net_load_vector(l, names[i][1], d->bias + column, SIZE_MAX) != 0)
            return -1;
        if (i >= 2)
            net_load_pack(l, d, l->matrix);
    }
    return 0;
}

static void needs(const struct nn_net *net, const struct nn_step *s, size_t batch,
                  struct net_needs *k)
{
    size_t lanes = nn_lanes((size_t)s->channels_in), pixels = (size_t)(s->side_in * s->side_in);
    net_need(&k->conv_in, batch * pixels * lanes); /* the result */
    net_need(&k->conv_out, batch * pixels * 3 * lanes);
    net_need(&k->dense, batch * pixels * lanes);
    net_need(&k->scratch, nn_attention_scratch(pixels, lanes));
    if (!net->terms)
        return;
    net_need(&k->dense, nn_tile_room(batch * pixels, lanes, net->terms));
    net_need(&k->scratch, nn_tile_attention_scratch(pixels, lanes, net->terms));
}

static void run(const struct net_run *r, const float *in, const float *other, float *out)
{
    (void)other;
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
    net_attend(r, &a);
    p = net_point_product(r, &r->layer->dense[1], pixels, ws->conv_in, lanes, out);
    if (r->net->terms) {
        net_split(r, ws->conv_in, lanes, NULL, 0, side, &to.tiles);
        nn_product_tiles(&p, &r->layer->dense[1], &to.tiles, 0);
    }
    p.residual = in;
    p.scale = NN_HALF_ROOT;
    nn_product_run(r->net, ws, &p);
}

const struct net_layer_ops net_attention = {params, macs, lay, load, needs, run};
