/* Images and latents in data scale out of arrays and pictures that strangers give.
 *
 * The one place that says which arrays a model takes: pictures as bytes [n,H,W,C] (or [n,H,W] with
 * one channel), anything in data scale as floats [n,C,H,W], and vectors as floats [n,d] too.
 * Everything is hostile until it has been read: shapes are looked at before values, and every
 * number must be finite in single precision, which is what a network reads. Errors are ERR_INPUT
 * under the name `what`. Pure functions; any thread. */
#ifndef MODEL_POINTS_H
#define MODEL_POINTS_H

#include "archive_npy_read.h"
#include "model.h"

/* What the bytes of a picture become. */
struct model_scale {
    bool noise; /* image_dequantise by (seed, first_index + i) for image i, else image_unquantise */
    uint64_t seed, first_index;
};

/* How many images or latents an array of any type holds: its first side, 1 to n_max. */
int model_points_count(const struct archive_npy *a, size_t n_max, const char *what, size_t *n,
                       struct err *e);
/* All n latents of an array into out [n,d]: float32 or float64. */
int model_points_latents(const struct model *m, const struct archive_npy *a, size_t n,
                         const char *what, double *out, struct err *e);
/* The same of images: floats, or the bytes of pictures. */
int model_points_images(const struct model *m, const struct archive_npy *a, size_t n,
                        struct model_scale scale, const char *what, double *out, struct err *e);
/* Picture i, a PNG, into out [d]; see image_png_read_as for what fits. */
int model_points_png(const struct model *m, const void *data, size_t length, size_t i,
                     struct model_scale scale, const char *what, double *out, struct err *e);

/* ---- editing ---- */

/* One picture into out [d], whose transparent parts are those that are to change: `kept` [d] is 1
 * where it is opaque, and the result says in *cut whether any of it is not. */
int model_points_cut(const struct model *m, const void *data, size_t length, const char *what,
                     double *out, uint8_t *kept, bool *cut, struct err *e);
/* A mask, a picture of the model's sides, into kept [d]; see image_png_read_mask. */
int model_points_mask(const struct model *m, const void *data, size_t length, bool alpha_only,
                      const char *what, uint8_t *kept, struct err *e);
/* The image of a finished request, from its pixels [H,W,C] or, where those are NULL, its sample
 * [d], into out [d]: what its PNG or array would be read as. */
void model_points_finished(const struct model *m, const uint8_t *pixels, const float *sample,
                           double *out);

#endif
