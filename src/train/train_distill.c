/* The grid is a function of the step alone, and the draws of (seed, step, image): nothing of a
 * distillation but weights and averages has to be saved. */
#include "train_distill.h"
#include "base_math.h"
#include "field_denoise.h"
#include "model_choice.h"
#include "train_denoise.h"
#include "train_rng.h"
#include <math.h>

#define HUBER 0.00108 /* c over √N and the data's deviation */

int64_t train_distill_intervals(const struct train_config *c, int64_t step)
{
    int64_t levels = 1, count = c->intervals, k = c->student_steps;
    for (int64_t n = c->intervals; n < c->intervals_last; n *= 2)
        levels++;
    const int64_t span = c->steps > levels ? c->steps / levels : 1;
    for (int64_t level = step / span; level > 0 && count < c->intervals_last; level--)
        count *= 2;
    if (count > c->intervals_last)
        count = c->intervals_last;
    return (count + k - 1) / k;
}

/* Node i of the grid of `intervals` in all. */
static double grid_time(const struct train_config *c, int64_t intervals, int64_t i)
{
    if (i == 0 || i == intervals)
        return i == 0 ? c->t_max : c->t_min;
    const double first = math_pow(c->t_max, 1 / TRAIN_NOISE_RHO);
    const double last = math_pow(c->t_min, 1 / TRAIN_NOISE_RHO);
    return math_pow(first + (double)i / (double)intervals * (last - first), TRAIN_NOISE_RHO);
}

void train_distill_nodes(const struct train_config *c, double *nodes)
{
    for (int64_t j = 0; j < c->student_steps; j++)
        nodes[j] = grid_time(c, c->student_steps, j);
    nodes[c->student_steps] = MODEL_T_MIN;
}

static struct train_distill_span draw_span(const struct train_config *c, int64_t step,
                                           uint64_t index)
{
    const int64_t each = train_distill_intervals(c, step), all = each * c->student_steps;
    double u;
    rng_uniforms(c->seed, index, RNG_TRAIN_INTERVAL, 1, &u);
    const int64_t i = (int64_t)(u * (double)all), segment = i / each;
    return (struct train_distill_span){
        .from = grid_time(c, all, i),
        .to = grid_time(c, all, i + 1),
        .end = segment + 1 < c->student_steps ? grid_time(c, all, (segment + 1) * each) : 0,
        .arrives = (i + 1) % each == 0};
}

void train_distill_perturb(const struct train_config *c, int64_t step, int image, size_t n,
                           const float *y, double *scratch, struct train_distill_span *span,
                           double *x, float *in, float *t)
{
    const uint64_t index = train_rng_index(step, (uint64_t)image);
    *span = draw_span(c, step, index);
    rng_normals(c->seed, index, RNG_TRAIN_NOISE, n, scratch);
    const double reach = train_denoise_reach(c, index, span->from);
    const struct field_denoise around =
        field_denoise_at(span->from, c->sigma_data, nn_arch_of_vectors(&c->arch));
    *t = (float)around.time;
    for (size_t i = 0; i < n; i++) {
        x[i] = (double)y[i] + reach * scratch[i];
        in[i] = (float)(around.in * x[i]);
    }
}

double train_distill_answer(const struct train_config *c, size_t n, double sigma, const double *x,
                            const float *v_x, float v_t, double *out)
{
    const struct field_denoise around =
        field_denoise_at(sigma, c->sigma_data, nn_arch_of_vectors(&c->arch));
    const double net = field_denoise_factor(&around, (double)v_t);
    for (size_t i = 0; i < n; i++)
        out[i] = around.skip * x[i] + net * (double)v_x[i];
    return net;
}

void train_distill_target(const struct train_distill_span *span, size_t n, const double *x,
                          const double *z, float *target)
{
    const double kept = span->end / span->from;
    for (size_t i = 0; i < n; i++)
        target[i] = (float)((z[i] - kept * x[i]) / (1 - kept));
    target[n] = (float)(1 - kept);
}

double train_distill_loss(const struct train_config *c, size_t n, const float *in, float t,
                          const float *target, const float *v_x, float v_t, float share,
                          float *v_x_slope, float *v_t_slope)
{
    const bool field = nn_arch_of_vectors(&c->arch);
    const struct field_denoise around =
        field_denoise_at(train_denoise_sigma(c, t), c->sigma_data, field);
    const double net = field_denoise_factor(&around, (double)v_t), w = (double)target[n];
    const double own = around.skip / around.in, huber = HUBER * c->sigma_data * sqrt((double)n);
    double sum = 0, along = 0;
    for (size_t i = 0; i < n; i++) {
        double apart = own * (double)in[i] + net * (double)v_x[i] - (double)target[i];
        sum += apart * apart;
        along += apart * (double)v_x[i];
    }
    const double size = sqrt(w * w * sum + huber * huber);
    if (!v_x_slope)
        return size - huber;
    const double factor = (double)share * w * w * net / size;
    for (size_t i = 0; i < n; i++) {
        double apart = own * (double)in[i] + net * (double)v_x[i] - (double)target[i];
        v_x_slope[i] = (float)(factor * apart);
    }
    *v_t_slope = field ? (float)(-factor * along / (double)v_t) : 0.0f;
    return size - huber;
}
