/* Both faults would show late: a model that no reader takes, when the run has ended; and data that
 * lie on a few floats, when the samples do. */
#include "train_scale.h"
#include "base_log.h"
#include "ckpt_arch.h"
#include <float.h>
#include <math.h>

#define STEPS_MIN 10 /* of float32 in a deviation of the data */

static int check_bound(const char *key, double value, const char *what, struct err *e)
{
    return value <= CKPT_SIGMA_MAX
               ? 0
               : err_fail(e, ERR_INPUT, what,
                          "\"%s\" is %g by the scale of the data, and a model has at most %g: "
                          "scale the data down",
                          key, value, CKPT_SIGMA_MAX);
}

/* How far apart floats are where vectors lie farthest from 0. */
static double step_of(const struct data_set *data, double *largest)
{
    float most = 0;
    for (size_t i = 0; data->values && i < data->count * (size_t)data->channels; i++)
        most = fmaxf(most, fabsf(data->values[i]));
    *largest = (double)most;
    return (double)nextafterf(most, FLT_MAX) - (double)most;
}

int train_scale_check(const struct train_config *c, bool denoise, const struct data_set *data,
                      const char *what, struct err *e)
{
    double largest;
    const double step = step_of(data, &largest), scale = (double)data->scale;
    if (check_bound(denoise ? "sigma_data" : "sigma", denoise ? c->sigma_data : c->sigma, what,
                    e) != 0)
        return -1;
    return STEPS_MIN * step <= scale || !data->values
               ? 0
               : err_fail(e, ERR_INPUT, what,
                          "vectors are learned as float32, whose numbers near %g are %.2g apart, "
                          "and these deviate by %.2g: subtract the mean first",
                          largest, step, scale);
}

/* A denoiser hardly ever draws its least noise, so it is measured by the hundredth of the deviation
 * that is σ by the rule. */
void train_scale_warn(const struct train_config *c, bool denoise, const struct data_set *data,
                      const char *path)
{
    double largest;
    const double step = step_of(data, &largest), usual = 0.01 * (double)data->scale;
    const double moved = denoise ? usual : c->sigma;
    if (data->values && step > moved)
        log_line(LOG_WARN,
                 "%s: float32 has numbers %.2g apart near %g, and vectors are moved by %.2g: what "
                 "is finer cannot be learned; subtract the mean first%s",
                 path, step, largest, moved, moved < usual ? ", or give a larger \"sigma\"" : "");
}
