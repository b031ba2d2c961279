/* A network's architecture as JSON, and the settings that stand beside it wherever a network is
 * described: in a checkpoint, in a configuration of the references, in one of the trainer. */
#ifndef CKPT_ARCH_H
#define CKPT_ARCH_H

#include "ckpt_description.h"

/* Upper ends of the ranges of settings; wide enough for any published model, narrow enough that
 * squares and products of two of them stay finite in float32 or are computed in double. */
#define CKPT_SIGMA_MAX 1e6
#define CKPT_TAU_MAX 10.0
#define CKPT_M_MAX 100000
#define CKPT_GAMMA_MAX 1e6
#define CKPT_NORM_MAX 1e18

/* The network's settings from members of `object`: image_size, channels, nf, ch_mult,
 * num_res_blocks, attn_resolutions, fir, progressive_input, embedding_type; or kind "mlp",
 * dimension, width, depth. `strict`: no other member may be there. Ranges and how the settings fit
 * together are nn_arch_check's. */
int ckpt_arch_read(const json_t *object, bool strict, struct nn_arch *out, const char *what,
                   struct err *e);
/* One integer from 1 to max; an array of at least `least` and at most NN_LEVELS_MAX such. Both are
 * needed. */
int ckpt_int_read(const json_t *object, const char *key, int64_t max, int *out, const char *what,
                  struct err *e);
int ckpt_ints_read(const json_t *object, const char *key, int least, int64_t max, int *out,
                   int *count, const char *what, struct err *e);
/* The same members as a new object, NULL when memory is short. */
json_t *ckpt_arch_json(const struct nn_arch *arch);

/* Shape of what a network makes. */
struct image_shape ckpt_arch_shape(const struct ckpt_description *d);
/* Whether the network described can be (nn_arch_check). */
int ckpt_description_check_arch(const struct ckpt_description *d, const char *what, struct err *e);

/* The member "D", a number or "inf"; and a new value of it. */
int ckpt_added_read(const json_t *root, double *out, const char *what, struct err *e);
json_t *ckpt_added_json(double added);
/* What a PFGM++ description has besides its network: D, sigma_max, sigma_min, sigma_data, rho,
 * num_steps, from members of `root` of these names. */
int ckpt_pfgmpp_read(const json_t *root, struct ckpt_description *d, const char *what,
                     struct err *e);

#endif
