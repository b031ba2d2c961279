/* The divisor of the flow; sampling and training's sheets both take it from here. Pure, any thread.
 */
#include "field_flow.h"
#include <math.h>
#include <stdbool.h>

static const double RATIO_MAX = 1.0 - 1e-6;

static bool substituted(const struct field_flow *flow, double t)
{
    return t < flow->t_substitution && flow->gamma > 0.0;
}

/* a = ‖v_x‖/√d, not held. */
static double ratio(const float *v_x, size_t n, double root)
{
    double square = 0.0;
    for (size_t i = 0; i < n; i++)
        square += (double)v_x[i] * (double)v_x[i];
    return sqrt(square) / root;
}

double field_flow_divisor(const struct field_flow *flow, const float *v_x, size_t n, double v_t,
                          double t)
{
    if (substituted(flow, t)) {
        double root = sqrt((double)n);
        double a = ratio(v_x, n, root);
        if (a > RATIO_MAX)
            a = RATIO_MAX;
        double e = flow->gamma * a / (1.0 - a);
        v_t = -root * t / (sqrt(e * e + t * t) + flow->gamma);
    }
    return v_t + flow->offset;
}

/* With s = √(e² + t²): dD/ds = √d t/(s + γ)², ds/de = e/s, de/da = γ/(1 - a)², da/dv_x = v_x/(d a);
 * and e/a = γ/(1 - a), so that nothing divides by a length of 0. */
struct field_flow_slope field_flow_divisor_slope(const struct field_flow *flow, const float *v_x,
                                                 size_t n, double t)
{
    if (!substituted(flow, t))
        return (struct field_flow_slope){0.0, 1.0};
    double root = sqrt((double)n), a = ratio(v_x, n, root);
    if (a > RATIO_MAX)
        return (struct field_flow_slope){0.0, 0.0};
    double rest = 1.0 - a, e = flow->gamma * a / rest, s = sqrt(e * e + t * t);
    double length = s + flow->gamma;
    double by_a = flow->gamma * flow->gamma / (rest * rest * rest);
    return (struct field_flow_slope){t * by_a / (root * s * length * length), 0.0};
}
