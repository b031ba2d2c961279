/* From tensors in PyTorch's layouts to canonical matrices [input][output], which a kernel then
 * packs as it likes. */
#include "net_loader.h"
#include <math.h>
#include <string.h>

const float *net_load_tensor(struct net_loader *l, const char *suffix)
{
    const struct nn_param *p = &l->params[l->next];
    if (l->next >= l->count || strlen(p->name) < strlen(suffix) ||
        strcmp(p->name + strlen(p->name) - strlen(suffix), suffix) != 0) {
        err_fail(l->e, ERR_INTERNAL, suffix, "is not the next parameter of the list");
        return NULL;
    }
    l->next++;
    if (l->weights->read(l->weights->context, p, l->tensor, l->e) != 0)
        return NULL;
    for (size_t i = 0; i < p->count; i++)
        if (!isfinite(l->tensor[i])) {
            err_fail(l->e, ERR_INPUT, p->name,
                     "value %zu of %zu is not finite: the weights are damaged", i, p->count);
            return NULL;
        }
    return l->tensor;
}

int net_load_vector(struct net_loader *l, const char *suffix, float *out, size_t first)
{
    const float *v = net_load_tensor(l, suffix);
    if (!v)
        return -1;
    size_t count = l->params[l->next - 1].count;
    for (size_t c = 0; c < count; c++) /* added: two biases may share a place */
        out[c < first ? c : nn_lanes(first) + (c - first)] += v[c];
    return 0;
}

#define OUTPUTS_TOGETHER 16 /* a cache line of the matrix, which is written once so */

/* A conv [out][in][tap] or linear [out][in] into columns `column`… of `matrix`, `outputs` wide. */
static int load_matrix(struct net_loader *l, const char *suffix, const struct net_inputs *in,
                       float *matrix, size_t outputs, size_t column)
{
    const float *v = net_load_tensor(l, suffix);
    if (!v)
        return -1;
    const struct nn_param *p = &l->params[l->next - 1];
    size_t taps = p->count / (p->shape[0] * p->shape[1]), row = in->channels * taps;
    for (size_t first = 0, last; first < p->shape[0]; first = last) {
        last = first + OUTPUTS_TOGETHER;
        last = last < p->shape[0] ? last : p->shape[0];
        for (size_t i = 0; i < in->channels; i++) {
            size_t lane = i < in->first ? i : nn_lanes(in->first) + (i - in->first);
            for (size_t tap = 0; tap < taps; tap++) {
                float *to = matrix + (tap * in->lanes + lane) * outputs + column;
                for (size_t o = first; o < last; o++)
                    to[o] = v[o * row + i * taps + tap];
            }
        }
    }
    return 0;
}

void net_load_zero(struct net_loader *l, const struct nn_dense *d)
{
    memset(l->matrix, 0, d->shape.inputs * d->shape.outputs * sizeof *l->matrix);
}

void net_load_pack(struct net_loader *l, const struct nn_dense *d, const float *matrix)
{
    if (d->terms)
        nn_tile_pack(&d->shape, d->terms, matrix, (uint16_t *)(void *)d->packed);
    else
        l->net->kernels->pack(&d->shape, matrix, d->packed);
}

int net_load_conv(struct net_loader *l, const struct nn_dense *d, const struct net_inputs *in)
{
    net_load_zero(l, d);
    if (load_matrix(l, "weight", in, l->matrix, d->shape.outputs, 0) != 0)
        return -1;
    net_load_pack(l, d, l->matrix);
    return d->bias ? net_load_vector(l, "bias", d->bias, SIZE_MAX) : 0;
}

int net_load_norm(struct net_loader *l, const struct nn_norm_weights *w, int first)
{
    if (net_load_vector(l, "weight", w->gamma, (size_t)first) != 0)
        return -1;
    return net_load_vector(l, "bias", w->beta, (size_t)first);
}

int net_load_time(struct net_loader *l, const struct nn_step *s, const char *bias)
{
    size_t width = 4 * (size_t)l->net->arch.nf;
    struct net_inputs embedding = net_inputs_of(width);
    float *at = l->net->time.bias + s->time_first;
    if (bias && net_load_vector(l, bias, at, SIZE_MAX) != 0)
        return -1;
    if (load_matrix(l, "Dense_0.weight", &embedding, l->time, l->net->time.shape.outputs,
                    s->time_first) != 0)
        return -1;
    return net_load_vector(l, "Dense_0.bias", at, SIZE_MAX);
}
