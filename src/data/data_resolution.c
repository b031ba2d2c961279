/* Vectors are kept as float32, and read so by a field: far from 0 its numbers lie too far apart to
 * tell them from each other. */
#include "data.h"
#include <float.h>
#include <math.h>

#define STEPS_MIN 10 /* of float32 in a deviation of the data */

double data_float_step(const struct data_set *d, double *largest)
{
    float most = 0;
    for (size_t i = 0; d->values && i < d->count * (size_t)d->channels; i++)
        most = fmaxf(most, fabsf(d->values[i]));
    *largest = (double)most;
    return (double)nextafterf(most, FLT_MAX) - (double)most;
}

int data_resolution_check(const struct data_set *d, const char *what, struct err *e)
{
    double largest;
    const double step = data_float_step(d, &largest), scale = (double)d->scale;
    return STEPS_MIN * step <= scale || !d->values
               ? 0
               : err_fail(e, ERR_INPUT, what,
                          "vectors are kept as float32, whose numbers near %g are %.2g apart, and "
                          "these deviate by %.2g: subtract the mean first",
                          largest, step, scale);
}
