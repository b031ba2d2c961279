/* The prior: draws, density and radius distribution.
 *
 * A draw is a ratio of normals, not of gammas or a Beta variate turned into b/(1 − b): the ratio
 * has no 0/0 and no b that rounds to 1, so the tails are finite without a special case beyond h =
 * 0. What feeds a sample uses base_math and base_rng only, in a fixed order. Pure functions, any
 * thread. */
#include "field_prior.h"
#include "base_math.h"
#include "base_rng.h"
#include <math.h>

/* The smallest |h| that Box and Muller's formula can give from rng_unit's 52 bits and a half, short
 * of an exact zero: √(−2 ln(1 − 2^-53)) = 2^-26 times sin(2π·2^-53). */
static const double SMALLEST_NORMAL = 0x1p-26 * 0x1p-53 * 6.28318530717958648;
static const double LN_2 = 0.693147180559945309;
static const double LN_PI = 1.14472988584940017;

int field_prior_check(const struct field_prior *prior, struct err *e)
{
    if (prior->d == 0)
        return err_fail(e, ERR_INPUT, "d", "the data dimension must be at least 1");
    if (!(prior->t_max > 0.0) || !(prior->t_max <= FIELD_T_MAX))
        return err_fail(e, ERR_INPUT, "t_max", "%g is not in (0, %g]", prior->t_max, FIELD_T_MAX);
    if (!(prior->norm_min >= 0.0) || !isfinite(prior->norm_min))
        return err_fail(e, ERR_INPUT, "norm_min", "%g is not a finite number of at least 0",
                        prior->norm_min);
    if (!(prior->norm_max > 0.0) || !(prior->norm_max >= prior->norm_min))
        return err_fail(e, ERR_INPUT, "norm_max", "%g is not above 0 and at least norm_min = %g",
                        prior->norm_max, prior->norm_min);
    return 0;
}

double field_prior_radius(const struct field_prior *prior, double g_norm, double h)
{
    double size = fabs(h) < SMALLEST_NORMAL ? SMALLEST_NORMAL : fabs(h);
    double r = prior->t_max * (g_norm / size);
    if (r < prior->norm_min)
        return prior->norm_min;
    return r > prior->norm_max ? prior->norm_max : r;
}

void field_prior_draw(const struct field_prior *prior, uint64_t seed, uint64_t index, double *x)
{
    size_t d = prior->d;
    double h;
    rng_normals(seed, index, RNG_PRIOR_DIRECTION, d, x);
    rng_normals(seed, index, RNG_PRIOR_RADIUS, 1, &h);
    double square = 0.0;
    for (size_t j = 0; j < d; j++)
        square += x[j] * x[j];
    double g_norm = sqrt(square);
    double r = field_prior_radius(prior, g_norm, h);
    if (!(g_norm > 0.0)) { /* all d normals vanish: no direction is better than another */
        x[0] = 1.0;
        g_norm = 1.0;
    }
    for (size_t j = 0; j < d; j++)
        x[j] = r * (x[j] / g_norm);
}

/* ln(a² + b²) for non-negative a, b, not both 0, without squaring what might overflow. */
static double log_square_sum(double a, double b)
{
    double big = a > b ? a : b;
    double ratio = (a > b ? b : a) / big;
    return 2.0 * math_log(big) + log1p(ratio * ratio);
}

/* ln S_m(1), the area of the unit sphere in m dimensions, m = 2·half. */
static double log_sphere(double half)
{
    return LN_2 + half * LN_PI - math_lgamma(half);
}

double field_prior_log_density(size_t d, double t_max, double r)
{
    double half = 0.5 * ((double)d + 1.0);
    return math_log(t_max) - log_sphere(half) + LN_2 - half * log_square_sum(r, t_max);
}

double field_prior_log_density_reference(size_t d, double t_max, double r)
{
    double half = 0.5 * (double)d;
    return math_log(t_max) - log_sphere(half) + LN_2 - (half + 0.5) * log_square_sum(r, t_max);
}

/* Γ(a + 1/2) / Γ(a). For large a the difference of two large logarithms would lose the digits that
 * the asymptotic series (NIST DLMF 5.11.13) keeps; from a = 32 its first left-out term is below
 * 1e-13. */
static double gamma_half_ratio(double a)
{
    if (a < 32.0)
        return math_exp(math_lgamma(a + 0.5) - math_lgamma(a));
    static const double term[] = {1.0,
                                  -1.0 / 8.0,
                                  1.0 / 128.0,
                                  5.0 / 1024.0,
                                  -21.0 / 32768.0,
                                  -399.0 / 262144.0,
                                  869.0 / 4194304.0};
    double sum = 0.0;
    for (size_t k = sizeof term / sizeof term[0]; k-- > 0;)
        sum = sum / a + term[k];
    return sqrt(a) * sum;
}

/* The continued fraction of the incomplete beta function (NIST DLMF 8.17.22) by Lentz's method:
 * I_x(a, b) = x^a (1−x)^b / (a B(a, b)) times this. Converges in about √max(a, b) terms for
 * x < (a + 1)/(a + b + 2), which the caller sees to; NaN, should it not. */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1.0, dd = 1.0 - (a + b) * x / (a + 1.0);
    dd = 1.0 / (fabs(dd) < tiny ? tiny : dd);
    double value = dd;
    for (int k = 1; k < 100000; k++) {
        double m = k, two = 2.0 * m;
        double even = m * (b - m) * x / ((a + two - 1.0) * (a + two));
        double odd = -(a + m) * (a + b + m) * x / ((a + two) * (a + two + 1.0));
        double step = 1.0;
        for (int half = 0; half < 2; half++) {
            double coefficient = half == 0 ? even : odd;
            dd = 1.0 + coefficient * dd;
            c = 1.0 + coefficient / c;
            dd = 1.0 / (fabs(dd) < tiny ? tiny : dd);
            c = fabs(c) < tiny ? tiny : c;
            step = c * dd;
            value *= step;
        }
        if (fabs(step - 1.0) < 3e-16)
            return value;
    }
    return NAN;
}

double field_prior_radius_cdf(size_t d, double t_max, double r)
{
    if (!(r > 0.0))
        return 0.0;
    if (isinf(r))
        return 1.0;
    /* x = r²/(r² + T²) and y = 1 − x, each to full precision. */
    double big = r > t_max ? r : t_max;
    double p = (r / big) * (r / big), q = (t_max / big) * (t_max / big);
    double x = p / (p + q), y = q / (p + q);
    double a = 0.5 * (double)d, b = 0.5;
    double log_x = x > 0.5 ? log1p(-y) : math_log(x);
    /* 1/B(a, 1/2) = Γ(a + 1/2) / (Γ(a) √π). */
    double front = math_exp(a * log_x) * sqrt(y) * gamma_half_ratio(a) / math_exp(0.5 * LN_PI);
    if (x < (a + 1.0) / (a + b + 2.0))
        return front * beta_fraction(a, b, x) / a;
    return 1.0 - front * beta_fraction(b, a, y) / b;
}
