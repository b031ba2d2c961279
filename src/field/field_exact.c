/* The exact field as a data prediction: weighted mean of the sources by the distance in d + 1
 * dimensions. Two passes over the sources, first the log weights and their largest, then the mean,
 * so the largest weight is exactly 1 and nothing overflows. Sums run over the sources in order: the
 * bits depend on the arguments alone. Pure function, any thread. */
#include "field_exact.h"
#include "base_math.h"
#include <float.h>

/* ‖x − y‖² + t², kept above 0 so that a point right on a source has a logarithm, and finite: from
 * where squares overflow all sources are alike. */
static double distance_square(const double *x, const double *y, size_t d, double t)
{
    double sum = t * t;
    for (size_t j = 0; j < d; j++) {
        double difference = x[j] - y[j];
        sum += difference * difference;
    }
    if (sum < DBL_MIN)
        return DBL_MIN;
    return sum > DBL_MAX ? DBL_MAX : sum;
}

/* log w_i of all sources for the exponent `power` of 1/q, and the largest. */
static double log_weights_of(const struct field_sources *sources, const double *x, double t,
                             double power, double *log_weights)
{
    size_t d = sources->d;
    double largest = -DBL_MAX;
    for (size_t i = 0; i < sources->count; i++) {
        double q = distance_square(x, sources->points + i * d, d, t);
        double own = sources->weights != NULL ? math_log(sources->weights[i]) : 0.0;
        log_weights[i] = own - power * math_log(q);
        if (log_weights[i] > largest)
            largest = log_weights[i];
    }
    return largest;
}

void field_exact_prediction(const struct field_sources *sources, const double *x, double t,
                            double *log_weights, double *out)
{
    size_t d = sources->d;
    double largest = log_weights_of(sources, x, t, 0.5 * ((double)d + 1.0), log_weights);
    for (size_t j = 0; j < d; j++)
        out[j] = 0.0;
    double total = 0.0;
    for (size_t i = 0; i < sources->count; i++) {
        double w = math_exp(log_weights[i] - largest);
        const double *y = sources->points + i * d;
        total += w;
        for (size_t j = 0; j < d; j++)
            out[j] += w * y[j];
    }
    for (size_t j = 0; j < d; j++)
        out[j] /= total;
}

void field_exact_force(const struct field_sources *sources, const double *x, const double *t,
                       double *log_weights, double *out, double *log_scale)
{
    size_t d = sources->d, components = t != NULL ? d + 1 : d;
    double height = t != NULL ? *t : 0.0, total = 0.0;
    double largest = log_weights_of(sources, x, height, 0.5 * (double)components, log_weights);
    for (size_t j = 0; j < components; j++)
        out[j] = 0.0;
    for (size_t i = 0; i < sources->count; i++) {
        double w = math_exp(log_weights[i] - largest);
        const double *y = sources->points + i * d;
        total += sources->weights != NULL ? sources->weights[i] : 1.0;
        for (size_t j = 0; j < d; j++)
            out[j] += w * (y[j] - x[j]);
        if (t != NULL)
            out[d] -= w * height;
    }
    *log_scale = largest - math_log(total);
}
