/* Images, latents and probes out of files that a user names: what encoding, decoding and
 * likelihood begin with. By the path's ending:
 *
 *     NAME.png           one picture
 *     NAME.npy           an array (model_points.h)
 *     NAME.safetensors   a tensor of floats, by its name
 *     -                  standard input: a picture or, of latents always, an array
 *     another            a folder: its NAME.png in the order of their names
 *
 * All of it is read and checked before anything is computed; errors name the file. */
#ifndef CLI_POINTS_H
#define CLI_POINTS_H

#include "model_points.h"

struct cli_points {
    size_t n;
    double *values;  /* [n,d] in data scale */
    int32_t *labels; /* [n] that came with latents, or NULL */
};
void cli_points_clear(struct cli_points *p);

/* Images: pictures, or the tensor x or likelihood.x [n,C,H,W] (of vectors [n,d] too), which is in
 * data scale. Free also after a failure. */
int cli_points_images(const struct model *m, const char *path, struct model_scale scale,
                      struct cli_points *out, struct err *e);
/* Two pictures, each of a file of its own, as images 0 and 1. */
int cli_points_pair(const struct model *m, const char *const paths[2], struct model_scale scale,
                    struct cli_points *out, struct err *e);
/* Latents: floats, or the tensor x or prior.x (of a model that denoises heun18.latent), with the
 * classes of its class_onehot where `with_labels` and the model knows any. */
int cli_points_latents(const struct model *m, const char *path, bool with_labels,
                       struct cli_points *out, struct err *e);
/* Probes for n images: floats [n,C,H,W], or [n,K,C,H,W] of K probes per image (of vectors [n,d] and
 * [n,K,d] too), in an array or the tensor epsilon or likelihood.epsilon. K in *probes, to be freed
 * in *out. */
int cli_points_probes(const struct model *m, const char *path, size_t n, int *probes, float **out,
                      struct err *e);

#endif
