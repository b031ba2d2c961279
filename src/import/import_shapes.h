/* What the shapes of a state dict's tensors tell of the network: width, levels, blocks, attention,
 * embedding and input pyramid. What leaves no trace in a shape (the size of the images, the filter
 * of the resampling, the field's constants) is the caller's to say. */
#ifndef IMPORT_SHAPES_H
#define IMPORT_SHAPES_H

#include "base_json.h"
#include "import_torch.h"
#include "nn_arch.h"

/* What the tensors tell, in `out`, whose image_size is 0 and whose attn_resolutions are levels,
 * 0 the first. Every parameter of such a network is there with its shape, and nothing else is.
 * ERR_INPUT when no network has these tensors. */
int import_shapes_read(const struct import_torch *t, struct nn_arch *out, struct err *e);

/* A configuration of the reference (ckpt_description_from_config) for the file: what its tensors
 * tell, and `settings`, an object with the members image_size, fir, gamma, sigma, tau, M, z_max,
 * z_min, upper_norm, z_exp. Where one is missing, the error lists all that are, as options of
 * `pfgm convert`. A file that says itself what its network is makes `*whole` true, and NULL comes
 * back without an error. A new reference. */
json_t *import_shapes_config(const char *path, const json_t *settings, bool *whole, struct err *e);

#endif
