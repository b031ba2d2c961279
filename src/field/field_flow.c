/* The divisor of the flow; sampling and training's sheets both take it from here. Pure, any thread.
 */
#include "field_flow.h"
#include <math.h>

static const double RATIO_MAX = 1.0 - 1e-6;

double field_flow_divisor(const struct field_flow *flow, const float *v_x, size_t n, double v_t,
                          double t)
{
    if (t < flow->t_substitution && flow->gamma > 0.0) {
        double square = 0.0;
        for (size_t i = 0; i < n; i++)
            square += (double)v_x[i] * (double)v_x[i];
        double root = sqrt((double)n);
        double a = sqrt(square) / root;
        if (a > RATIO_MAX)
            a = RATIO_MAX;
        double e = flow->gamma * a / (1.0 - a);
        v_t = -root * t / (sqrt(e * e + t * t) + flow->gamma);
    }
    return v_t + flow->offset;
}
