/* Images and latents out of the bytes that a client sends: PNG, NPY, or either in base64. What a
 * model takes is model_points.h's to say; here what is wrong becomes a 422 under the pointer that
 * the caller gives. Everything is hostile until it has been read. Pure functions.
 * For the files of src/http/api only. */
#ifndef API_POINTS_H
#define API_POINTS_H

#include "http_problem.h"

#include "model_points.h"

/* Reads the header of an array and how many images or latents are in it: 1 to n_max. */
int api_points_array(const void *data, size_t length, size_t n_max, const char *pointer,
                     struct archive_npy *out, size_t *n, struct http_problem *p);
/* All images (in `scale`) or, with NULL, all latents of an array, into out [n,d]. */
int api_points_values(const struct model *m, const struct archive_npy *a, size_t n,
                      const struct model_scale *scale, const char *pointer, double *out,
                      struct http_problem *p);
/* Picture i, a PNG, into out [d]. */
int api_points_png(const struct model *m, const void *data, size_t length, size_t i,
                   struct model_scale scale, const char *pointer, double *out,
                   struct http_problem *p);

/* The same out of a JSON string of base64: picture i, or one latent, into out [d]. */
int api_points_png_text(const struct model *m, const json_t *text, size_t i,
                        struct model_scale scale, const char *pointer, double *out,
                        struct http_problem *p);
int api_points_latent_text(const struct model *m, const json_t *text, const char *pointer,
                           double *out, struct http_problem *p);

/* A picture whose transparent parts are to change (model_points_cut), and a mask
 * (model_points_mask), as bytes and, where it is light, out of a JSON string. */
int api_points_cut(const struct model *m, const void *data, size_t length, const char *pointer,
                   double *out, uint8_t *kept, bool *cut, struct http_problem *p);
int api_points_mask(const struct model *m, const void *data, size_t length, bool alpha_only,
                    const char *pointer, uint8_t *kept, struct http_problem *p);
int api_points_mask_text(const struct model *m, const json_t *text, const char *pointer,
                         uint8_t *kept, struct http_problem *p);

#endif
