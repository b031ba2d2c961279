/* Noise levels in units of the data: the constants of Karras et al. 2022 are for data of a
 * deviation of 0.5 about 0. Pictures of garments on black lie 0.82 from 0; with 0.5 the network's
 * input is too large, and the levels end too low. */
#include "train_noise.h"
#include "base_math.h"
#include <math.h>

#define DENOISE_DATA 0.5
#define DENOISE_MAX 80.0
#define DENOISE_MIN 0.002
#define DENOISE_MEAN (-1.2)
#define DEVIATION_MIN 1e-3 /* of data that are all but 0 */

double train_config_deviation(const struct data_set *data)
{
    const double size = (double)data->channels * data->side * data->side;
    const double deviation = data->values ? (double)data->scale : data->norm / sqrt(size);
    return deviation > DEVIATION_MIN ? deviation : DEVIATION_MIN;
}

double train_config_noise_mean(double sigma_data)
{
    return DENOISE_MEAN + math_log(sigma_data / DENOISE_DATA);
}

void train_noise_resolve(struct train_config *c, const struct data_set *data)
{
    if (c->sigma_data <= 0)
        c->sigma_data = train_config_deviation(data);
    double scale = c->sigma_data / DENOISE_DATA;
    if (c->t_max <= 0)
        c->t_max = DENOISE_MAX * scale;
    if (c->t_min <= 0)
        c->t_min = DENOISE_MIN * scale;
    if (c->log_sigma_mean >= TRAIN_NOISE_RULE)
        c->log_sigma_mean = train_config_noise_mean(c->sigma_data);
}
