/* The time embedding. Arguments are rounded to single precision exactly where the reference rounds
 * them, since a trained network has seen those roundings; the functions themselves are in double
 * from base, so that they do not depend on the machine. */
#include "base_math.h"
#include "nn_layers.h"
#include <math.h>

/* exp(-ln 10000 · i / (half - 1)); the reference multiplies in single precision. With nf = 4 or
 * more half - 1 is at least 1. */
static void mlp_frequencies(int half, float *out)
{
    for (int i = 0; i < half; i++)
        out[i] = (float)math_exp(math_log(4.0) - math_log(64.0) * i / (half - 1));
}

void nn_time_frequencies(const struct nn_arch *arch, float *out)
{
    if (arch->kind == NN_ARCH_MLP) {
        mlp_frequencies(arch->nf / 2, out);
        return;
    }
    int half = arch->nf / 2;
    float step = (float)(-math_log(10000.0) / (half - 1));
    for (int i = 0; i < half; i++)
        out[i] = (float)math_exp((double)((float)i * step));
}

/* Sine and cosine of an angle in radians, by turns in [0, 1). */
static void sine_cosine(float angle, float *sine, float *cosine)
{
    double turns = (double)angle * 0.15915494309189533577, s, c;
    turns -= floor(turns);
    math_sincos_turn(turns < 1.0 ? turns : 0.0, &s, &c);
    *sine = (float)s;
    *cosine = (float)c;
}

void nn_time_embed(const struct nn_net *net, float t, float *out)
{
    bool fourier = net->arch.embedding == NN_EMBEDDING_FOURIER;
    int half = nn_embedding_length(&net->arch) / 2;
    if (net->arch.kind == NN_ARCH_MLP) {
        double log_tau = math_log((double)t / (double)net->scale[0]);
        for (int i = 0; i < half; i++)
            sine_cosine((float)(log_tau * (double)net->frequencies[i]), &out[i], &out[half + i]);
        return;
    }
    float log_t = net->arch.denoiser ? t : fourier ? (float)math_log((double)t) : 0.0f;
    for (int i = 0; i < half; i++) {
        float angle = fourier ? log_t * net->frequencies[i] * 2.0f * 3.14159265358979f
                              : t * net->frequencies[i];
        sine_cosine(angle, &out[i], &out[half + i]);
    }
}
