/* Elementary functions in plain double arithmetic, in a fixed order and without contraction; see
 * the header for why. Each reduces its argument exactly or in two pieces and then sums a Taylor
 * series long enough that what is cut off lies below the last bit. */
#include "base_math.h"

#include <math.h>
#include <stdbool.h>

#define LN2_HI                                                                                     \
    0x1.62e42fefa3800p-1 /* the first 43 bits of ln 2: k·LN2_HI is exact for |k| < 2^10 */
#define LN2_LO 0x1.ef35793c76730p-45
#define TWO_PI 0x1.921fb54442d18p+2
#define TWO_PI_LO 0x1.1a62633145c07p-52
#define HALF_LN_TWO_PI 0x1.d67f1c864beb5p-1

double math_exp(double x)
{
    if (isnan(x))
        return x;
    if (x > 709.8)
        return INFINITY;
    if (x < -745.2)
        return 0.0;
    double k = floor(x / (LN2_HI + LN2_LO) + 0.5);
    double r = (x - k * LN2_HI) - k * LN2_LO; /* |r| ≤ ln 2 / 2 */
    double sum = 1.0;
    /* 1 + r/1 (1 + r/2 (1 + …)), 14 terms: the next is below 5e-18. */
    for (int i = 14; i >= 1; i--)
        sum = 1.0 + r / i * sum;
    return ldexp(sum, (int)k);
}

double math_log(double x)
{
    if (isnan(x) || x < 0.0)
        return NAN;
    if (x == 0.0)
        return -INFINITY;
    if (isinf(x))
        return x;
    int k;
    double m = frexp(x, &k); /* [1/2, 1) */
    if (m < 0x1.6a09e667f3bcdp-1) {
        m *= 2.0;
        k--;
    }
    /* ln m = 2 artanh f, f = (m-1)/(m+1), |f| ≤ 0.172. Written as (m-1) minus what is smaller, so
     * that the rounding of f weighs little: with g = m-1 and s = f·(f²·(2/3 + …)), ln m = g - (g²/2
     * - f·(g²/2 + R)), R = 2f²/3·(…)·…: the form that fdlibm made common. */
    double g = m - 1.0;
    double f = g / (2.0 + g);
    double f2 = f * f;
    double series = 0.0;
    for (int i = 25; i >= 3; i -= 2)
        series = f2 * (2.0 / i + series);
    double half_square = 0.5 * g * g;
    double kd = (double)k;
    return kd * LN2_HI - ((half_square - (f * (half_square + series) + kd * LN2_LO)) - g);
}

void math_sincos_turn(double u, double *sine, double *cosine)
{
    double quarter = floor(4.0 * u + 0.5);
    double r = u - quarter * 0.25; /* exact, |r| ≤ 1/8 */
    double a = r * TWO_PI + r * TWO_PI_LO;
    double a2 = a * a;
    double s = 0.0, c = 0.0;
    /* sin a / a and cos a as nested series: a ≤ π/4, the next terms are below 1e-19 and 3e-18. */
    for (int i = 18; i >= 2; i -= 2) {
        s = -a2 / (double)(i * (i + 1)) * (1.0 + s);
        c = -a2 / (double)(i * (i - 1)) * (1.0 + c);
    }
    s = a + a * s;
    c = 1.0 + c;
    switch ((int)quarter & 3) {
    case 0:
        *sine = s;
        *cosine = c;
        break;
    case 1:
        *sine = c;
        *cosine = -s;
        break;
    case 2:
        *sine = -s;
        *cosine = -c;
        break;
    default:
        *sine = -c;
        *cosine = s;
        break;
    }
}

double math_pow(double x, double y)
{
    return math_exp(y * math_log(x));
}

double math_lgamma(double x)
{
    if (!(x > 0.0))
        return NAN;
    /* Γ(x) = Γ(x+n) / (x (x+1) … (x+n-1)) brings x to where Stirling's series is exact to a double.
     */
    double product = 1.0;
    while (x < 16.0) {
        product *= x;
        x += 1.0;
    }
    double inverse = 1.0 / x;
    double inverse2 = inverse * inverse;
    static const double bernoulli[] = {1.0 / 12,   -1.0 / 360,       1.0 / 1260, -1.0 / 1680,
                                       1.0 / 1188, -691.0 / 360360., 1.0 / 156};
    double series = 0.0;
    for (int i = 6; i >= 0; i--)
        series = series * inverse2 + bernoulli[i];
    return (x - 0.5) * math_log(x) - x + HALF_LN_TWO_PI + series * inverse - math_log(product);
}
