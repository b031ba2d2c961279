/* The perceptron's first layer in training (net_vector_stem.c). Kept: the features. */
#include "grad_layer.h"
#include "grad_products.h"
#include "nn_mlp.h"

/* Training wants no gradient at the features. */
static void lay(struct grad_layout *l, const struct nn_step *s, struct nn_grad_layer *y)
{
    size_t inputs = (size_t)s->channels_in + NN_MLP_EXTRA;
    grad_lay_dense(l, &y->dense[0], 1, 0, nn_lanes(inputs), (size_t)s->channels_out,
                   l->g->options.inputs);
    grad_add_conv(l, &y->dense[0], inputs, inputs);
}

static void keep(const struct nn_grad *g, int step, struct nn_grad_saved *kept, struct arena *a)
{
    kept->input = grad_keep(a, NN_GRAD_MICRO * g->layers[step].dense[0].shape.inputs);
}

/* The features are two more than the vector's numbers. */
static void needs(const struct nn_grad *g, const struct nn_step *s, struct grad_needs *k)
{
    size_t in = nn_lanes((size_t)s->channels_in), out = nn_lanes((size_t)s->channels_out);
    (void)g;
    grad_need_images(k, 1, in > out ? in : out);
    grad_need(&k->plain, NN_GRAD_MICRO * nn_lanes((size_t)s->channels_in + NN_MLP_EXTRA));
}

static void forward(const struct nn_grad_pass *p, int step, const float *in, const float *other,
                    float *out)
{
    (void)in;
    (void)other;
    const struct nn_grad_dense *d = &p->g->layers[step].dense[0];
    float *features = p->w->saved[step].input; /* the padding stays zero */
    for (size_t b = 0; b < p->n; b++)
        nn_mlp_features(&p->g->net, p->batch->x[p->first + b], p->batch->t[p->first + b],
                        features + b * d->shape.inputs);
    grad_rows(p, d, features, out);
}

static void backward(const struct nn_grad_pass *p, int step, float *slope)
{
    const struct nn_grad_dense *d = &p->g->layers[step].dense[0];
    float *features = p->w->plain[0];
    grad_rows_weights_back(p, d, p->w->saved[step].input, slope);
    if (p->sum)
        return;
    grad_rows_back(p, d, slope, features);
    for (size_t b = 0; b < p->n; b++)
        nn_mlp_features_back(&p->g->net, p->batch->x[p->first + b], p->batch->t[p->first + b],
                             features + b * d->shape.inputs, p->x_slope[p->first + b]);
}

const struct grad_layer_ops grad_vector_stem = {lay, keep, needs, forward, backward};
