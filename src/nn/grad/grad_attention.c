/* Attention in training (net_attention.c); its own gradient stands in nn_grad_attention.c. Kept:
 * the normed input; query, key and value; the result. */
#include "grad_layer.h"
#include "grad_products.h"

static void lay(struct grad_layout *l, const struct nn_step *s, struct nn_grad_layer *y)
{
    size_t channels = (size_t)s->channels_in, lanes = nn_lanes(channels);
    size_t side = (size_t)s->side_out;
    grad_lay_norm(l, y, 0, s->channels_in, 0);
    grad_lay_dense(l, &y->dense[0], 1, side, lanes, 3 * lanes, true);
    grad_lay_dense(l, &y->dense[1], 1, side, lanes, lanes, true);
    for (size_t i = 0; i < 4; i++) {
        const struct nn_grad_dense *d = &y->dense[i / 3];
        size_t column = i < 3 ? i * lanes : 0;
        grad_add_piece(l, NN_PIECE_NIN, d->at + column, d->at + column, d->shape.outputs, channels,
                       channels, lanes);
        grad_add_vector(l, d->bias + column, d->bias + column, NN_NOWHERE);
    }
}

static void keep(const struct nn_grad *g, int step, struct nn_grad_saved *kept, struct arena *a)
{
    const struct nn_step *s = &g->net.plan.steps[step];
    const struct nn_grad_layer *y = &g->layers[step];
    size_t pixels = NN_GRAD_MICRO * (size_t)(s->side_out * s->side_out);
    size_t out = nn_lanes((size_t)s->channels_out);
    grad_keep_norm(y, 0, kept, a);
    kept->input = grad_keep(a, pixels * out);
    kept->middle = grad_keep(a, pixels * 3 * out);
    kept->second = grad_keep(a, pixels * out);
}

static void needs(const struct nn_grad *g, const struct nn_step *s, struct grad_needs *k)
{
    size_t side = (size_t)s->side_in, pixels = side * side,
           lanes = nn_lanes((size_t)s->channels_in);
    (void)g;
    grad_need_images(k, side, lanes);
    grad_need(&k->lanes, 3 * lanes);
    grad_need(&k->bordered, NN_GRAD_MICRO * pixels * 3 * lanes);
    grad_need(&k->attention, nn_attention_scratch(pixels, lanes));
    grad_need(&k->attention, nn_grad_attention_scratch(pixels, lanes));
}

static void forward(const struct nn_grad_pass *p, int step, const float *in, const float *other,
                    float *out)
{
    (void)other;
    const struct nn_grad *g = p->g;
    const struct nn_step *s = &g->net.plan.steps[step];
    const struct nn_grad_layer *y = &g->layers[step];
    struct nn_grad_saved *kept = &p->w->saved[step];
    size_t side = (size_t)s->side_in, pixels = side * side, lanes = y->norm[0].lanes;
    grad_norm(p, step, 0, in, NULL, side, false, nn_plain_target(kept->input, side, lanes));
    struct nn_product c = grad_point(p, &y->dense[0].shape, y->dense[0].packed, kept->input, pixels,
                                     lanes, kept->middle);
    c.bias = g->canonical + y->dense[0].bias;
    g->kernels->product(&c);
    const struct nn_attention a = {
        kept->middle, p->n, pixels, (size_t)s->channels_in, lanes, kept->second, p->w->attention};
    g->kernels->attention(&a);
    c = grad_point(p, &y->dense[1].shape, y->dense[1].packed, kept->second, pixels, lanes, out);
    c.bias = g->canonical + y->dense[1].bias;
    c.residual = in;
    c.scale = NN_HALF_ROOT;
    g->kernels->product(&c);
}

static void backward(const struct nn_grad_pass *p, int step, float *slope)
{
    const struct nn_grad *g = p->g;
    const struct nn_step *s = &g->net.plan.steps[step];
    const struct nn_grad_layer *y = &g->layers[step];
    const struct nn_grad_saved *kept = &p->w->saved[step];
    size_t side = (size_t)s->side_in, lanes = y->norm[0].lanes;
    struct nn_target scaled = nn_plain_target(p->w->plain[0], side, lanes);
    struct nn_target qkv = nn_plain_target(p->w->bordered, side, 3 * lanes);
    g->grad->place(slope, NN_HALF_ROOT, p->n, side, &scaled);
    grad_sum_bias(p, &scaled, side, y->dense[1].bias);
    grad_point_weights_back(p, &y->dense[1], kept->second, lanes, NULL, 0, side, &scaled);
    grad_point_back(p, &y->dense[1], side, &scaled, p->w->plain[1]);
    const struct nn_attention a = {.qkv = kept->middle,
                                   .images = p->n,
                                   .pixels = side * side,
                                   .channels = (size_t)s->channels_in,
                                   .lanes = lanes,
                                   .scratch = p->w->attention};
    nn_grad_attention_back(p, &a, p->w->plain[1], qkv.out);
    grad_sum_bias(p, &qkv, side, y->dense[0].bias);
    grad_point_weights_back(p, &y->dense[0], kept->input, lanes, NULL, 0, side, &qkv);
    grad_point_back(p, &y->dense[0], side, &qkv, p->w->plain[1]);
    struct nn_norm_back n = grad_norm_back(p, step, 0, side, p->w->plain[1]);
    n.silu = false;
    n.plus = slope;
    n.plus_scale = NN_HALF_ROOT;
    grad_norm_part(p, &n, 0, s->in, lanes);
    g->grad->norm_back(&n);
}

const struct grad_layer_ops grad_attention = {lay, keep, needs, forward, backward};
