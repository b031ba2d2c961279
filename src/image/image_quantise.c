/* From data scale to bytes.
 *
 * The two reference codes round differently: PFGM's evaluation scales to [0, 1], clips, multiplies
 * by 255 and truncates; PFGM++ multiplies by 127.5, adds 128, clips and truncates. Both are part of
 * the seed rule, so this is the only place that knows them. Everything is double: a conversion to
 * float first would move values across a boundary now and then.
 *
 * Pure functions of their arguments, callable from any thread. */
#include "image.h"

#include "base_rng.h"
#include <math.h>

size_t image_shape_count(struct image_shape s)
{
    return (size_t)s.channels * (size_t)s.height * (size_t)s.width;
}

static double clip(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

static uint8_t quantise_pfgm(double x)
{
    return (uint8_t)floor(255.0 * clip((x + 1.0) / 2.0, 0.0, 1.0));
}

static uint8_t quantise_pfgmpp(double x)
{
    return (uint8_t)floor(clip(127.5 * x + 128.0, 0.0, 255.0));
}

/* All of it is looked at before the first byte is written: a picture is whole or it is not there.
 */
static int check_finite(const double *sample, struct image_shape shape, struct err *e)
{
    size_t plane = (size_t)shape.height * (size_t)shape.width;
    size_t count = image_shape_count(shape);
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(sample[i]))
            return err_fail(e, ERR_NUMERIC, "",
                            "the sample is not finite at channel %zu, row %zu, column %zu",
                            i / plane, i % plane / (size_t)shape.width, i % (size_t)shape.width);
    }
    return 0;
}

int image_quantise(const double *sample, struct image_shape shape, enum image_rounding rounding,
                   uint8_t *pixels, struct err *e)
{
    size_t plane = (size_t)shape.height * (size_t)shape.width;
    size_t channels = (size_t)shape.channels;
    if (check_finite(sample, shape, e) != 0)
        return -1;
    for (size_t c = 0; c < channels; c++) {
        const double *from = sample + c * plane;
        for (size_t p = 0; p < plane; p++) {
            pixels[p * channels + c] =
                rounding == IMAGE_ROUND_PFGM ? quantise_pfgm(from[p]) : quantise_pfgmpp(from[p]);
        }
    }
    return 0;
}

void image_unquantise(const uint8_t *pixels, struct image_shape shape, enum image_rounding rounding,
                      double *sample)
{
    const size_t plane = (size_t)shape.height * (size_t)shape.width;
    const size_t channels = (size_t)shape.channels;
    const double middle = rounding == IMAGE_ROUND_PFGM ? 0.5 : 0.0;
    for (size_t c = 0; c < channels; c++)
        for (size_t p = 0; p < plane; p++)
            sample[c * plane + p] = ((double)pixels[p * channels + c] + middle) / 127.5 - 1.0;
}

void image_dequantise(const uint8_t *pixels, struct image_shape shape, uint64_t seed,
                      uint64_t index, double *sample)
{
    const size_t plane = (size_t)shape.height * (size_t)shape.width;
    const size_t channels = (size_t)shape.channels;
    rng_uniforms(seed, index, RNG_DEQUANTISE, plane * channels, sample);
    for (size_t c = 0; c < channels; c++)
        for (size_t p = 0; p < plane; p++) {
            double *to = sample + c * plane + p;
            *to = ((double)pixels[p * channels + c] + *to) / 128.0 - 1.0;
        }
}
