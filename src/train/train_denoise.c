/* The draws of a perturbation: normal 0 of the stream is the noise level's, the rest is g; ‖h‖² is
 * one chi-square variate, since D may be in the millions. */
#include "train_denoise.h"
#include "base_math.h"
#include "field_denoise.h"
#include "train_rng.h"
#include <math.h>

double train_denoise_reach(const struct train_config *c, uint64_t index, double sigma)
{
    if (isinf(c->added))
        return sigma;
    return sigma * sqrt(c->added / rng_chi_square(c->seed, index, RNG_TRAIN_ADDED, c->added));
}

void train_denoise_perturb(const struct train_config *c, int64_t step, int image, size_t n,
                           const float *y, double *scratch, float *x, float *t, float *target)
{
    uint64_t index = train_rng_index(step, (uint64_t)image);
    bool field = nn_arch_of_vectors(&c->arch);
    rng_normals(c->seed, index, RNG_TRAIN_NOISE, n + 1, scratch);
    double sigma = math_exp(c->log_sigma_mean + c->log_sigma_deviation * scratch[0]);
    double reach = train_denoise_reach(c, index, sigma);
    const struct field_denoise around = field_denoise_at(sigma, c->sigma_data, field);
    *t = (float)around.time;
    for (size_t i = 0; i < n; i++) {
        double moved = (double)y[i] + reach * scratch[i + 1];
        x[i] = (float)(around.in * moved);
        target[i] = field ? y[i] : (float)(((double)y[i] - around.skip * moved) / around.out);
    }
    target[n] = 0;
}

double train_denoise_loss(double sigma_data, size_t n, const float *x, float t, const float *target,
                          const float *v_x, float v_t, float share, float *v_x_slope,
                          float *v_t_slope)
{
    double sigma = (double)t, s = sigma_data, ratio = sigma / (double)v_t, sum = 0, along = 0;
    double weight = (sigma * sigma + s * s) / (sigma * s * sigma * s);
    for (size_t i = 0; i < n; i++) {
        double apart = (double)x[i] - ratio * (double)v_x[i] - (double)target[i];
        sum += apart * apart;
        along += apart * (double)v_x[i];
        if (v_x_slope)
            v_x_slope[i] = (float)(-(double)share * weight * ratio * apart);
    }
    if (v_x_slope)
        *v_t_slope = (float)((double)share * weight * ratio / (double)v_t * along);
    return 0.5 * weight * sum;
}

double train_denoise_sigma(const struct train_config *c, float t)
{
    return nn_arch_of_vectors(&c->arch) ? (double)t : math_exp(4 * (double)t);
}

double train_denoise_judge(const struct train_config *c, size_t n, const float *x, float t,
                           const float *target, const float *denoised)
{
    bool field = nn_arch_of_vectors(&c->arch);
    double sigma = train_denoise_sigma(c, t), s = c->sigma_data, sum = 0;
    const struct field_denoise around = field_denoise_at(sigma, s, field);
    for (size_t i = 0; i < n; i++) {
        double y =
            field ? (double)target[i] : around.skip * (double)x[i] + around.out * (double)target[i];
        sum += ((double)denoised[i] - y) * ((double)denoised[i] - y);
    }
    return 0.5 * (sigma * sigma + s * s) / (sigma * s * sigma * s) * sum;
}
