/* Draws of PFGM++'s prior.
 *
 * The ratio of a normal and the root of a chi-square, never a Beta variate B turned into
 * B/(1 − B): for small D B rounds to 1 and the radius to infinity. The chi-square is one draw and
 * not D squares, since D is in the millions where the law is nearly normal. What feeds a sample
 * uses base_math and base_rng only. Pure functions, any thread. */
#include "field_student.h"
#include "base_math.h"
#include "base_rng.h"
#include "field_prior.h"
#include <math.h>

int field_student_check(const struct field_student *prior, struct err *e)
{
    if (prior->d == 0)
        return err_fail(e, ERR_INPUT, "d", "the data dimension must be at least 1");
    double added = prior->added;
    if (!(added >= 1.0) || (added > FIELD_ADDED_MAX && !isinf(added)))
        return err_fail(e, ERR_INPUT, "D", "%g is neither in [1, %g] nor infinite", added,
                        FIELD_ADDED_MAX);
    if (!(prior->sigma_max > 0.0) || !(prior->sigma_max <= FIELD_T_MAX))
        return err_fail(e, ERR_INPUT, "sigma_max", "%g is not in (0, %g]", prior->sigma_max,
                        FIELD_T_MAX);
    return 0;
}

void field_student_draw(const struct field_student *prior, uint64_t seed, uint64_t index, double *x)
{
    double scale = prior->sigma_max;
    if (!isinf(prior->added)) {
        double square = rng_chi_square(seed, index, RNG_PRIOR_ADDED, prior->added);
        scale *= sqrt(prior->added / square);
    }
    rng_normals(seed, index, RNG_PRIOR_DIRECTION, prior->d, x);
    for (size_t j = 0; j < prior->d; j++)
        x[j] *= scale;
}

double field_student_log_density(const struct field_student *prior, double r)
{
    const double log_two_pi = 1.8378770664093454836, log_pi = 1.1447298858494001741;
    double d = (double)prior->d, added = prior->added, scale = prior->sigma_max;
    double square = (r / scale) * (r / scale);
    if (isinf(added))
        return -0.5 * d * (log_two_pi + 2 * math_log(scale)) - 0.5 * square;
    double tail = square / added < 1e-3 ? log1p(square / added) : math_log(1 + square / added);
    return math_lgamma(0.5 * (added + d)) - math_lgamma(0.5 * added) -
           0.5 * d * (log_pi + math_log(added) + 2 * math_log(scale)) - 0.5 * (added + d) * tail;
}
