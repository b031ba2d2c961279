/* The time embedding, a row for each kind. Arguments are rounded to single precision exactly where
 * the reference rounds them, since a trained network has seen those roundings; the functions
 * themselves are in double from base, so that they do not depend on the machine. */
#include "net_time.h"
#include "base_math.h"
#include "net_layout.h"
#include "net_loader.h"
#include "net_param_list.h"
#include <math.h>

/* Sine and cosine of an angle in radians, by turns in [0, 1). */
static void sine_cosine(float angle, float *sine, float *cosine)
{
    double turns = (double)angle * 0.15915494309189533577, s, c;
    turns -= floor(turns);
    math_sincos_turn(turns < 1.0 ? turns : 0.0, &s, &c);
    *sine = (float)s;
    *cosine = (float)c;
}

/* ---- positional: of t ---- */

static void positional_params(struct net_param_list *l, const struct nn_arch *arch)
{
    (void)arch;
    l->module = 0;
}

/* exp(-ln 10000 · i / (half - 1)); the reference multiplies in single precision. With nf = 4 or
 * more half - 1 is at least 1. */
static void positional_frequencies(int half, float *out)
{
    float step = (float)(-math_log(10000.0) / (half - 1));
    for (int i = 0; i < half; i++)
        out[i] = (float)math_exp((double)((float)i * step));
}

static int positional_load(struct net_loader *l)
{
    net_time_frequencies(&l->net->arch, l->net->frequencies);
    return 0;
}

static void positional_embed(const struct nn_net *net, float t, float *out)
{
    int half = net->arch.nf / 2;
    for (int i = 0; i < half; i++)
        sine_cosine(t * net->frequencies[i], &out[i], &out[half + i]);
}

/* ---- fourier: of ln t, or of t as it is in a denoiser, times a projection ---- */

static void fourier_params(struct net_param_list *l, const struct nn_arch *arch)
{
    l->module = 0;
    net_param(l, "W", 1, &arch->nf);
    net_param_fixed(l);
    l->module = 1;
}

static int fourier_load(struct net_loader *l)
{
    return net_load_vector(l, "W", l->net->frequencies, SIZE_MAX);
}

static void fourier_embed(const struct nn_net *net, float t, float *out)
{
    float log_t = net->arch.denoiser ? t : (float)math_log((double)t);
    for (int i = 0; i < net->arch.nf; i++) {
        float angle = log_t * net->frequencies[i] * 2.0f * 3.14159265358979f;
        sine_cosine(angle, &out[i], &out[net->arch.nf + i]);
    }
}

/* ---- of vectors: ln τ, with the data's coordinates ---- */

static void vector_params(struct net_param_list *l, const struct nn_arch *arch)
{
    const int one = 1;
    net_param_named(l, NN_MLP_OFFSET, 1, &arch->channels);
    net_param_fixed(l);
    net_param_named(l, NN_MLP_SCALE, 1, &one);
    net_param_fixed(l);
    l->module = 1;
}

static void vector_frequencies(int half, float *out)
{
    for (int i = 0; i < half; i++)
        out[i] = (float)math_exp(math_log(4.0) - math_log(64.0) * i / (half - 1));
}

static int vector_load(struct net_loader *l)
{
    struct nn_net *net = l->net;
    if (net_load_vector(l, "offset", net->offset, SIZE_MAX) != 0 ||
        net_load_vector(l, "scale", net->scale, SIZE_MAX) != 0)
        return -1;
    if (!(net->scale[0] > 0))
        return err_fail(l->e, ERR_INPUT, NN_MLP_SCALE,
                        "is %g, must be above 0: the weights are damaged", (double)net->scale[0]);
    net_time_frequencies(&net->arch, net->frequencies);
    return 0;
}

static void vector_embed(const struct nn_net *net, float t, float *out)
{
    int half = net->arch.nf / 2;
    double log_tau = math_log((double)t / (double)net->scale[0]);
    for (int i = 0; i < half; i++)
        sine_cosine((float)(log_tau * (double)net->frequencies[i]), &out[i], &out[half + i]);
}

/* ---- the rows ---- */

static const struct time_ops {
    void (*params)(struct net_param_list *l, const struct nn_arch *arch);
    void (*frequencies)(int half, float *out); /* NULL: they are learned */
    bool coordinates;                          /* the data's offset and scale */
    int (*load)(struct net_loader *l);
    void (*embed)(const struct nn_net *net, float t, float *out);
} kinds[] = {
    [NN_TIME_POSITIONAL] = {positional_params, positional_frequencies, false, positional_load,
                            positional_embed},
    [NN_TIME_FOURIER] = {fourier_params, NULL, false, fourier_load, fourier_embed},
    [NN_TIME_VECTOR] = {vector_params, vector_frequencies, true, vector_load, vector_embed},
};

void net_time_params(struct net_param_list *l, const struct nn_arch *arch)
{
    kinds[nn_arch_time(arch)].params(l, arch);
    net_param_linear(l, "", nn_embedding_length(arch), 4 * arch->nf);
    l->module++;
    net_param_linear(l, "", 4 * arch->nf, 4 * arch->nf);
}

void net_time_lay(struct net_layout *l)
{
    struct nn_net *net = l->net;
    size_t wide = nn_lanes(4 * (size_t)net->arch.nf);
    net->frequencies = net_lay_zeros(l, (size_t)net->arch.nf);
    if (kinds[nn_arch_time(&net->arch)].coordinates) {
        net->offset = net_lay_zeros(l, (size_t)net->arch.channels);
        net->scale = net_lay_zeros(l, 1);
    }
    net_lay_dense(l, &net->linear[0], NN_PRODUCT_LINEAR,
                  nn_lanes((size_t)nn_embedding_length(&net->arch)), wide, true);
    net_lay_dense(l, &net->linear[1], NN_PRODUCT_LINEAR, wide, wide, true);
}

int net_time_load(struct net_loader *l)
{
    struct nn_net *net = l->net;
    struct net_inputs embedding = net_inputs_of((size_t)nn_embedding_length(&net->arch)),
                      hidden = net_inputs_of(4 * (size_t)net->arch.nf);
    if (kinds[nn_arch_time(&net->arch)].load(l) != 0 ||
        net_load_conv(l, &net->linear[0], &embedding) != 0)
        return -1;
    return net_load_conv(l, &net->linear[1], &hidden);
}

void net_time_frequencies(const struct nn_arch *arch, float *out)
{
    kinds[nn_arch_time(arch)].frequencies(arch->nf / 2, out);
}

void net_time_embed(const struct nn_net *net, float t, float *out)
{
    kinds[nn_arch_time(&net->arch)].embed(net, t, out);
}
