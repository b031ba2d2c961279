/* From a checkpoint of the references, PFGM's and PFGM++'s, to ours: weights by name or by the
 * EMA's order, then a census. */
#ifndef IMPORT_CONVERT_H
#define IMPORT_CONVERT_H

#include "ckpt_description.h"
#include "import_torch.h"

enum import_weights { IMPORT_WEIGHTS_EMA, IMPORT_WEIGHTS_RAW };

struct import_census {
    size_t tensors;
    uint64_t scalars;
    bool augment_left_out; /* the network had a weight for labels of augmentation, which only
                              training uses */
};

/* Reads `input`, whose kind its content shows: a PyTorch file in any container, or weights.* as
 * safetensors. A state dict needs a `description`; networks saved whole and weights.* give it
 * themselves, and want it zeroed (the caller clears it either way). Takes the EMA or the raw
 * weights, checks that every parameter of the description's network is there with its shape and
 * finite, that nothing is left over (buffers of the reference that are no weights, `sigmas`, are
 * known and skipped), fills the provenance of `description`, and writes `output` atomically:
 * tensors in float32 under the reference's names, in its order of registration. Equal input gives
 * equal bytes. On failure no output is written and an old one stays. `progress` may be NULL. */
int import_convert(const char *input, const char *output, struct ckpt_description *description,
                   enum import_weights weights,
                   void (*progress)(void *context, size_t done, size_t all), void *context,
                   struct import_census *census, struct err *e);

/* The description that import_convert would give to a network of a PyTorch file that was saved
 * whole, of the averaged one if there is one. `out` has been zeroed; the caller clears it either
 * way. */
int import_torch_describe(struct import_torch *t, struct ckpt_description *out, struct err *e);

#endif
