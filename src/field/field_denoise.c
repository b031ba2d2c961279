/* In double throughout: what the network takes and gives is rounded by who calls it. */
#include "field_denoise.h"
#include "base_math.h"
#include <math.h>

struct field_denoise field_denoise_at(double sigma, double sigma_data, bool field)
{
    if (field)
        return (struct field_denoise){
            .skip = 1, .in = 1, .time = sigma, .out = -sigma, .field = true};
    double s = sigma_data, square = sigma * sigma + s * s;
    return (struct field_denoise){.skip = s * s / square,
                                  .in = 1 / sqrt(square),
                                  .time = math_log(sigma) / 4,
                                  .out = sigma * s / sqrt(square)};
}

double field_denoise_factor(const struct field_denoise *c, double v_t)
{
    return c->field ? c->out / v_t : c->out;
}
