/* Both faults would show late: a model that no reader takes, when the run has ended; and data that
 * lie on a few floats, when the samples do. */
#include "train_scale.h"
#include "base_log.h"
#include "ckpt_arch.h"

static int check_bound(const char *key, double value, const char *what, struct err *e)
{
    return value <= CKPT_SIGMA_MAX
               ? 0
               : err_fail(e, ERR_INPUT, what,
                          "\"%s\" is %g by the scale of the data, and a model has at most %g: "
                          "scale the data down",
                          key, value, CKPT_SIGMA_MAX);
}

int train_scale_check(const struct train_config *c, bool denoise, const struct data_set *data,
                      const char *what, struct err *e)
{
    return check_bound(denoise ? "sigma_data" : "sigma", denoise ? c->sigma_data : c->sigma, what,
                       e) != 0
               ? -1
               : data_resolution_check(data, what, e);
}

/* A denoiser hardly ever draws its least noise, so it is measured by the hundredth of the deviation
 * that is σ by the rule. */
void train_scale_warn(const struct train_config *c, bool denoise, const struct data_set *data,
                      const char *path)
{
    double largest;
    const double step = data_float_step(data, &largest), usual = 0.01 * (double)data->scale;
    const double moved = denoise ? usual : c->sigma;
    if (data->values && step > moved)
        log_line(LOG_WARN,
                 "%s: float32 has numbers %.2g apart near %g, and vectors are moved by %.2g: what "
                 "is finer cannot be learned; subtract the mean first%s",
                 path, step, largest, moved, moved < usual ? ", or give a larger \"sigma\"" : "");
}
