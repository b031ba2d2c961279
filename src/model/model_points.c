/* Reading points; see the header for what is taken. */
#include "model_points.h"

#include "image_png_read.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int model_points_count(const struct archive_npy *a, size_t n_max, const char *what, size_t *n,
                       struct err *e)
{
    *n = a->rank > 0 ? a->shape[0] : 0;
    return *n >= 1 && *n <= n_max
               ? 0
               : err_fail(e, ERR_INPUT, what,
                          "must hold 1 to %zu images, and its first side says %zu", n_max, *n);
}

static bool sides_are(const struct archive_npy *a, size_t x, size_t y, size_t z)
{
    return a->rank == 4 && a->shape[1] == x && a->shape[2] == y && a->shape[3] == z;
}

static bool is_real(const struct archive_npy *a)
{
    return strcmp(a->type, "<f4") == 0 || strcmp(a->type, "<f8") == 0;
}

/* "|u1 [2, 8, 8, 1]" */
static const char *describe(const struct archive_npy *a, char out[256])
{
    int used = snprintf(out, 256, "%s [", a->type);
    for (int i = 0; i < a->rank; i++)
        used += snprintf(out + used, 256 - (size_t)used, "%s%zu", i ? ", " : "", a->shape[i]);
    snprintf(out + used, 256 - (size_t)used, "]");
    return out;
}

static int fail_shape(const struct model *m, const struct archive_npy *a, bool bytes,
                      const char *what, struct err *e)
{
    const struct image_shape s = model_shape(m);
    char is[256], takes[96] = "";
    if (bytes && !model_vectors(m))
        snprintf(takes, sizeof takes, "|u1 [n, %d, %d, %d] or ", s.height, s.width, s.channels);
    return err_fail(e, ERR_INPUT, what,
                    "is an array %s; the model takes %s<f4 or <f8 [n, %d, %d, %d], little-endian",
                    describe(a, is), takes, s.channels, s.height, s.width);
}

int model_points_latents(const struct model *m, const struct archive_npy *a, size_t n,
                         const char *what, double *out, struct err *e)
{
    const struct image_shape s = model_shape(m);
    const size_t d = model_dimension(m);
    const bool flat = model_vectors(m) && a->rank == 2 && a->shape[1] == d;
    if (!is_real(a) ||
        (!flat && !sides_are(a, (size_t)s.channels, (size_t)s.height, (size_t)s.width)))
        return fail_shape(m, a, false, what, e);
    for (size_t i = 0; i < n * d; i++) {
        out[i] = archive_npy_real(a, i);
        if (!(fabs(out[i]) <= (double)FLT_MAX))
            return err_fail(e, ERR_INPUT, what,
                            "value %zu of image %zu must be a finite number of single precision",
                            i % d, i / d);
    }
    return 0;
}

static void to_scale(const struct model *m, const uint8_t *pixels, size_t i,
                     struct model_scale scale, double *out)
{
    if (scale.noise)
        image_dequantise(pixels, model_shape(m), scale.seed, scale.first_index + i, out);
    else
        image_unquantise(pixels, model_shape(m), model_rounding(m), out);
}

int model_points_images(const struct model *m, const struct archive_npy *a, size_t n,
                        struct model_scale scale, const char *what, double *out, struct err *e)
{
    const struct image_shape s = model_shape(m);
    const size_t d = model_dimension(m), h = (size_t)s.height, w = (size_t)s.width;
    const bool grey = a->rank == 3 && s.channels == 1 && a->shape[1] == h && a->shape[2] == w;
    if (is_real(a) && (model_vectors(m) || sides_are(a, (size_t)s.channels, h, w)))
        return model_points_latents(m, a, n, what, out, e);
    if (strcmp(a->type, "|u1") != 0 || model_vectors(m) ||
        (!grey && !sides_are(a, h, w, (size_t)s.channels)))
        return fail_shape(m, a, true, what, e);
    for (size_t i = 0; i < n; i++)
        to_scale(m, a->data + i * d, i, scale, out + i * d);
    return 0;
}

static int check_pictures(const struct model *m, const char *what, struct err *e)
{
    const int channels = model_shape(m).channels;
    return !model_vectors(m) && (channels == 1 || channels == 3)
               ? 0
               : err_fail(e, ERR_INPUT, what, "the model's data are no pictures: send them as npy");
}

int model_points_png(const struct model *m, const void *data, size_t length, size_t i,
                     struct model_scale scale, const char *what, double *out, struct err *e)
{
    const struct image_shape s = model_shape(m);
    if (check_pictures(m, what, e) != 0)
        return -1;
    uint8_t *pixels = malloc(image_shape_count(s));
    if (!pixels)
        return err_fail_memory(e, image_shape_count(s));
    int result = image_png_read_as(data, length, s, what, pixels, e);
    if (result == 0)
        to_scale(m, pixels, i, scale, out);
    free(pixels);
    return result;
}

/* A flag a pixel, in the first places of `flags` [C,H,W], to one a value. */
static void spread(const struct model *m, uint8_t *flags)
{
    const struct image_shape s = model_shape(m);
    const size_t plane = (size_t)s.height * (size_t)s.width;
    for (int c = 1; c < s.channels; c++)
        memcpy(flags + (size_t)c * plane, flags, plane);
}

int model_points_cut(const struct model *m, const void *data, size_t length, const char *what,
                     double *out, uint8_t *kept, bool *cut, struct err *e)
{
    const struct image_shape s = model_shape(m);
    if (check_pictures(m, what, e) != 0)
        return -1;
    uint8_t *pixels = malloc(image_shape_count(s));
    if (!pixels)
        return err_fail_memory(e, image_shape_count(s));
    int result = image_png_read_cut(data, length, s, what, pixels, kept, e);
    if (result == 0) {
        *cut = memchr(kept, 0, (size_t)s.height * (size_t)s.width) != NULL;
        spread(m, kept);
        image_unquantise(pixels, s, model_rounding(m), out);
    }
    free(pixels);
    return result;
}

int model_points_mask(const struct model *m, const void *data, size_t length, bool alpha_only,
                      const char *what, uint8_t *kept, struct err *e)
{
    if (model_vectors(m))
        return err_fail(e, ERR_INPUT, what, "is of pictures, and the model makes vectors");
    if (image_png_read_mask(data, length, model_shape(m), alpha_only, what, kept, e) != 0)
        return -1;
    spread(m, kept);
    return 0;
}

void model_points_finished(const struct model *m, const uint8_t *pixels, const float *sample,
                           double *out)
{
    if (pixels)
        image_unquantise(pixels, model_shape(m), model_rounding(m), out);
    for (size_t j = 0; !pixels && j < model_dimension(m); j++)
        out[j] = (double)sample[j];
}
