/* The time embedding, with the rows of the images' classes, forward and back. */
#include "grad_time.h"
#include "grad_products.h"
#include "net_time.h"
#include <string.h>

/* The data's coordinates, which are not trained. */
static void lay_coordinates(struct grad_layout *l)
{
    struct nn_grad *g = l->g;
    size_t offset = grad_take(l, (size_t)g->net.arch.channels), scale = grad_take(l, 1);
    g->net.offset = l->arena.base ? g->canonical + offset : NULL;
    g->net.scale = l->arena.base ? g->canonical + scale : NULL;
    grad_add_vector(l, offset, NN_NOWHERE, NN_NOWHERE);
    grad_add_vector(l, scale, NN_NOWHERE, NN_NOWHERE);
}

static void lay_projection(struct grad_layout *l)
{
    struct nn_grad *g = l->g;
    size_t at = grad_take(l, (size_t)g->net.arch.nf);
    g->net.frequencies = l->arena.base ? g->canonical + at : NULL;
    grad_add_vector(l, at, NN_NOWHERE, NN_NOWHERE);
}

static void lay_frequencies(struct grad_layout *l)
{
    struct nn_grad *g = l->g;
    g->net.frequencies = arena_take(&l->arena, (size_t)g->net.arch.nf, sizeof(float));
    if (l->arena.base)
        net_time_frequencies(&g->net.arch, g->net.frequencies);
}

void grad_time_lay(struct grad_layout *l)
{
    struct nn_grad *g = l->g;
    const struct nn_arch *arch = &g->net.arch;
    size_t length = (size_t)nn_embedding_length(arch), wide = 4 * (size_t)arch->nf;
    size_t time = g->net.plan.time_lanes;
    if (nn_arch_time(arch) == NN_TIME_VECTOR)
        lay_coordinates(l);
    if (nn_arch_time(arch) == NN_TIME_FOURIER)
        lay_projection(l);
    else
        lay_frequencies(l);
    /* Only a denoiser has something to learn before it. */
    grad_lay_dense(l, &g->linear[0], 1, 0, nn_lanes(length), wide, arch->denoiser);
    grad_add_conv(l, &g->linear[0], length, length);
    grad_lay_dense(l, &g->linear[1], 1, 0, nn_lanes(wide), wide, true);
    grad_add_conv(l, &g->linear[1], wide, wide);
    grad_lay_dense(l, &g->time, 1, 0, nn_lanes(wide), time, true);
    g->conv_bias = grad_take(l, time);
    g->time_bias = arena_take(&l->arena, time, sizeof(float));
}

/* ---- forward ---- */

/* The rows of the images' classes, added to their rows in `out`. */
static void add_labels(const struct nn_grad_pass *p, float *out)
{
    size_t row = nn_lanes((size_t)nn_label_length(&p->g->net.arch));
    for (size_t b = 0; b < p->n && p->batch->label; b++) {
        int32_t label = p->batch->label[p->first + b];
        if (label >= 0)
            p->g->grad->add(p->g->canonical + p->g->label + (size_t)label * row, 1.0f, row,
                            out + b * row);
    }
}

/* hidden: 0 Linear_0, 1 its SiLU, 2 temb with the label's row, 3 its SiLU. A denoiser's embedding
 * has the label's row. */
void grad_time_forward(const struct nn_grad_pass *p)
{
    const struct nn_grad *g = p->g;
    struct nn_grad_work *w = p->w;
    size_t inputs = g->linear[0].shape.inputs, wide = g->linear[1].shape.outputs;
    memset(w->embedding, 0, p->n * inputs * sizeof *w->embedding);
    for (size_t b = 0; b < p->n; b++)
        net_time_embed(&g->net, p->batch->t[p->first + b], w->embedding + b * inputs);
    if (g->net.arch.denoiser)
        add_labels(p, w->embedding);
    grad_linear(g, &g->linear[0].shape, g->linear[0].packed, g->canonical + g->linear[0].bias, p->n,
                w->embedding, w->hidden[0]);
    g->kernels->silu(p->n * wide, w->hidden[0], w->hidden[1]);
    grad_linear(g, &g->linear[1].shape, g->linear[1].packed, g->canonical + g->linear[1].bias, p->n,
                w->hidden[1], w->hidden[2]);
    if (!g->net.arch.denoiser)
        add_labels(p, w->hidden[2]);
    g->kernels->silu(p->n * wide, w->hidden[2], w->hidden[3]);
    grad_linear(g, &g->time.shape, g->time.packed, g->time_bias, p->n, w->hidden[3], w->time);
}

/* ---- and back ---- */

/* Of the rows that grad_time_forward added. */
static void labels_back(const struct nn_grad_pass *p, const float *slope)
{
    size_t row = nn_lanes((size_t)nn_label_length(&p->g->net.arch));
    for (size_t b = 0; b < p->n && p->batch->label; b++) {
        int32_t label = p->batch->label[p->first + b];
        if (label >= 0)
            p->g->grad->add(slope + b * row, 1.0f, row, p->sum + p->g->label + (size_t)label * row);
    }
}

/* The time layer's bias has been summed by the blocks already. */
void grad_time_backward(const struct nn_grad_pass *p)
{
    const struct nn_grad *g = p->g;
    struct nn_grad_work *w = p->w;
    size_t wide = g->linear[1].shape.outputs;
    float *above = w->hidden_slope[0], *below = w->hidden_slope[1];
    grad_linear_weights_back(p, &g->time, w->hidden[3], w->time_slope);
    grad_linear(g, &g->time.back, g->time.packed_back, g->zeros, p->n, w->time_slope, above);
    g->grad->silu_back(p->n * wide, w->hidden[2], above);
    if (!g->net.arch.denoiser)
        labels_back(p, above);
    for (size_t b = 0; b < p->n; b++)
        g->grad->add(above + b * wide, 1.0f, wide, p->sum + g->linear[1].bias);
    grad_linear_weights_back(p, &g->linear[1], w->hidden[1], above);
    grad_linear(g, &g->linear[1].back, g->linear[1].packed_back, g->zeros, p->n, above, below);
    g->grad->silu_back(p->n * wide, w->hidden[0], below);
    for (size_t b = 0; b < p->n; b++)
        g->grad->add(below + b * wide, 1.0f, wide, p->sum + g->linear[0].bias);
    grad_linear_weights_back(p, &g->linear[0], w->embedding, below);
    if (g->net.arch.denoiser && g->net.arch.classes > 0) {
        grad_linear(g, &g->linear[0].back, g->linear[0].packed_back, g->zeros, p->n, below,
                    above); /* shorter than `above` */
        labels_back(p, above);
    }
}
