/* The field and the features of the network for vectors; what they are stands in nn_mlp.h. One
 * vector after the other, so a vector's bits do not depend on its neighbours. */
#include "nn_mlp.h"
#include <math.h>

/* ‖z‖² / d, and τ. */
static double mean_square(const struct nn_net *net, const float *x)
{
    size_t d = (size_t)net->arch.channels;
    double scale = (double)net->scale[0], sum = 0;
    for (size_t i = 0; i < d; i++) {
        double z = ((double)x[i] - (double)net->offset[i]) / scale;
        sum += z * z;
    }
    return sum / (double)d;
}

void nn_mlp_features(const struct nn_net *net, const float *x, float t, float *out)
{
    size_t d = (size_t)net->arch.channels;
    double scale = (double)net->scale[0], tau = (double)t / scale;
    double radius = sqrt(1 + tau * tau + mean_square(net, x));
    for (size_t i = 0; i < d; i++)
        out[i] = (float)(((double)x[i] - (double)net->offset[i]) / scale / radius);
    out[d] = (float)(tau / radius);
    out[d + 1] = (float)(1 / radius);
}

/* G_i = near · z_i − far · F_i; bend is the derivative of near with the mean square of z. */
struct mix {
    double near, far, scale, bend;
};

static struct mix mix_at(const struct nn_net *net, const float *x, float t)
{
    double scale = (double)net->scale[0], tau = (double)t / scale, square = mean_square(net, x);
    double reach = NN_MLP_REACH * NN_MLP_REACH, k = square <= reach ? 1 : reach / square;
    double one = 1 + tau * tau;
    double bend = square <= reach ? 0 : k / square / (tau * one);
    return (struct mix){(tau * tau + (1 - k)) / (tau * one), 1 / sqrt(one), scale, bend};
}

static double slope_of(const struct nn_net *net, const struct mix *m, const float *x,
                       const float *f, size_t i)
{
    return m->near * ((double)x[i] - (double)net->offset[i]) / m->scale - m->far * (double)f[i];
}

void nn_mlp_field(const struct nn_net *net, const float *x, float t, const float *f, float *v)
{
    size_t d = (size_t)net->arch.channels;
    const struct mix m = mix_at(net, x, t);
    double sum = 1;
    for (size_t i = 0; i < d; i++) {
        double slope = slope_of(net, &m, x, f, i);
        sum += slope * slope;
    }
    double unit = -sqrt((double)d / sum);
    for (size_t i = 0; i < d; i++)
        v[i] = (float)(unit * slope_of(net, &m, x, f, i));
    v[d] = (float)unit;
}

/* The gradient at (v_x, v_t) becomes that at G_i as unit · (slope_i − along · G_i). */
struct turn {
    double unit, along;
};

static struct turn turn_of(const struct nn_net *net, const struct mix *m, const float *x,
                           const float *f, const float *slope)
{
    size_t d = (size_t)net->arch.channels;
    double sum = 1, along = (double)slope[d];
    for (size_t i = 0; i < d; i++) {
        double g = slope_of(net, m, x, f, i);
        sum += g * g;
        along += g * (double)slope[i];
    }
    return (struct turn){-sqrt((double)d / sum), along / sum};
}

void nn_mlp_field_back(const struct nn_net *net, const float *x, float t, const float *f,
                       float *slope)
{
    size_t d = (size_t)net->arch.channels;
    const struct mix m = mix_at(net, x, t);
    const struct turn turn = turn_of(net, &m, x, f, slope);
    for (size_t i = 0; i < d; i++)
        slope[i] = (float)(-m.far * turn.unit *
                           ((double)slope[i] - turn.along * slope_of(net, &m, x, f, i)));
    slope[d] = 0;
}

void nn_mlp_field_input_back(const struct nn_net *net, const float *x, float t, const float *f,
                             const float *slope, float *out)
{
    size_t d = (size_t)net->arch.channels;
    const struct mix m = mix_at(net, x, t);
    const struct turn turn = turn_of(net, &m, x, f, slope);
    double inward = 0; /* Σ of the gradient at G_i times z_i */
    for (size_t i = 0; i < d; i++) {
        double z = ((double)x[i] - (double)net->offset[i]) / m.scale;
        double at = turn.unit * ((double)slope[i] - turn.along * slope_of(net, &m, x, f, i));
        inward += at * z;
    }
    for (size_t i = 0; i < d; i++) {
        double z = ((double)x[i] - (double)net->offset[i]) / m.scale;
        double at = turn.unit * ((double)slope[i] - turn.along * slope_of(net, &m, x, f, i));
        out[i] = (float)((m.near * at + m.bend * inward * 2 * z / (double)d) / m.scale);
    }
}

void nn_mlp_features_back(const struct nn_net *net, const float *x, float t, const float *slope,
                          float *out)
{
    size_t d = (size_t)net->arch.channels;
    double scale = (double)net->scale[0], tau = (double)t / scale;
    double radius = sqrt(1 + tau * tau + mean_square(net, x));
    double inward = tau * (double)slope[d] + (double)slope[d + 1]; /* times the radius */
    for (size_t i = 0; i < d; i++)
        inward += ((double)x[i] - (double)net->offset[i]) / scale * (double)slope[i];
    inward /= radius * radius * (double)d;
    for (size_t i = 0; i < d; i++) {
        double z = ((double)x[i] - (double)net->offset[i]) / scale;
        out[i] += (float)(((double)slope[i] - inward * z) / (radius * scale));
    }
}
