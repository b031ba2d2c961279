/* The forward pass of the network for vectors; what its features and its output are is told in
 * nn_mlp.h. Steps run in the caller's thread on its workspace, products through the kernels' table,
 * everything else one vector after the other: so a vector's bits do not depend on its neighbours.
 */
#include "nn_mlp.h"
#include "net_run.h"
#include <math.h>

/* ---- what surrounds the layers ---- */

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

/* ---- the steps ---- */

static void run_stem(const struct nn_net *net, const struct nn_workspace *ws,
                     const struct nn_layer *y, size_t n, const float *const x[], float *out)
{
    const struct nn_dense *d = &y->dense[0];
    for (size_t b = 0; b < n; b++) {
        float *row = ws->conv_in + b * d->shape.inputs;
        nn_mlp_features(net, x[b], ws->t[b], row);
        for (size_t i = (size_t)net->arch.channels + NN_MLP_EXTRA; i < d->shape.inputs; i++)
            row[i] = 0;
    }
    nn_linear_run(net, ws, d, n, ws->conv_in, NULL, out);
}

/* out = in + Linear_1(SiLU(Linear_0(SiLU(in)) + Dense_0(SiLU(temb)))). */
static void run_block(const struct nn_net *net, const struct nn_workspace *ws,
                      const struct nn_layer *y, size_t n, const float *in, float *out)
{
    size_t width = y->dense[0].shape.outputs, times = net->time.shape.outputs;
    net->kernels->silu(n * width, in, ws->conv_in);
    nn_linear_run(net, ws, &y->dense[0], n, ws->conv_in, NULL, ws->conv_out);
    for (size_t b = 0; b < n; b++) {
        const float *time = ws->time + b * times + y->time_first;
        for (size_t i = 0; i < width; i++)
            ws->conv_out[b * width + i] += time[i];
    }
    net->kernels->silu(n * width, ws->conv_out, ws->conv_out);
    nn_linear_run(net, ws, &y->dense[1], n, ws->conv_out, in, out);
}

static void run_head(const struct nn_net *net, const struct nn_workspace *ws,
                     const struct nn_layer *y, size_t n, const float *const x[], const float *in,
                     float *out)
{
    const struct nn_dense *d = &y->dense[0];
    net->kernels->silu(n * d->shape.inputs, in, ws->conv_in);
    nn_linear_run(net, ws, d, n, ws->conv_in, NULL, out);
    for (size_t b = 0; b < n; b++) {
        float *v = out + b * d->shape.outputs;
        nn_mlp_field(net, x[b], ws->t[b], v, v);
    }
}

void nn_mlp_step_run(const struct nn_net *net, struct nn_workspace *ws, int step, size_t n,
                     const float *const x[])
{
    const struct nn_step *s = &net->plan.steps[step];
    const struct nn_layer *y = &net->layers[step];
    const float *in = nn_value_at(net, ws, s->in);
    float *out = nn_value_at(net, ws, s->out);
    if (s->kind == NN_STEP_STEM)
        run_stem(net, ws, y, n, x, out);
    else if (s->kind == NN_STEP_HEAD)
        run_head(net, ws, y, n, x, in, out);
    else
        run_block(net, ws, y, n, in, out);
}
