/* The networks of PFGM++'s reference (class SongUNet) in terms of ours. Internal to the room.
 *
 * They are, operation for operation, the network that nn has: a UNetBlock is a residual block and,
 * where it attends, an attention block; its residual encoder's convolution-then-filter is the same
 * linear map as our filter-then-convolution. So importing one is renaming and relayout, by the
 * tables of import_song.c; no weight is computed but for the class embedding, see there. */
#ifndef IMPORT_SONG_H
#define IMPORT_SONG_H

#include "base_json.h"
#include "ckpt_description.h"
#include "import_pickle.h"
#include "import_table.h"

/* What a file says of its network: the description, and the length of the augmentation's labels,
 * whose weight is there when it is not 0. */
struct import_song {
    struct ckpt_description *description;
    int augment_dim;
};

/* From the configuration that accompanies plain tensors: family "pfgmpp", D, image_size, channels,
 * arch ("ncsnpp" or "ddpmpp"), model_channels, channel_mult, num_blocks, attn_resolutions,
 * label_dim, augment_dim, sigma_data, sigma_min, sigma_max, rho, num_steps. All are needed, unknown
 * keys are errors. The description has been cleared. */
int import_song_from_config(const json_t *config, const char *what, struct import_song *out,
                            struct err *e);
/* From a module saved whole, an EDMPrecond around a SongUNet, by the constructor's arguments that
 * it recorded and the reference's defaults for the others. What a file cannot say (the sampler's
 * noise levels, rho and number of steps) is the reference's. */
int import_song_from_module(const struct import_value *module, const char *what,
                            struct import_song *out, struct err *e);

/* From the averaged or the raw network of a PyTorch file, which must be whole. */
int import_song_from_torch(const struct import_torch *t, bool raw, struct import_song *out,
                           struct err *e);

/* How a parameter's values lie in the reference's tensor. */
enum import_layout {
    IMPORT_LAYOUT_SAME,
    IMPORT_LAYOUT_QKV,        /* one of three parts, interleaved by output channel */
    IMPORT_LAYOUT_TRANSPOSED, /* [out,in,1,1] for [in,out] */
    IMPORT_LAYOUT_LABELS,     /* the class embedding, transposed and scaled */
    IMPORT_LAYOUT_FOLDED      /* a bias that takes up the class embedding's */
};
struct import_song_item {
    size_t index; /* in the source's table */
    enum import_layout layout;
    int part;                          /* of IMPORT_LAYOUT_QKV: 0 query, 1 key, 2 value */
    size_t folded_weight, folded_bias; /* indices, of IMPORT_LAYOUT_FOLDED */
};

/* The census: finds each parameter's tensor, shape and type checked, so that every tensor of the
 * source is used once (that of queries, keys and values thrice). Filters of resampling layers must
 * be there and be the architecture's; the weight of augmentation labels is known and left out. */
int import_song_match(const struct import_song *song, const struct nn_param *params, size_t count,
                      const struct import_source *source, struct import_song_item *items,
                      struct err *e);

/* The values of one parameter [param->count]. */
int import_song_read(const struct import_source *source, const struct nn_param *param,
                     const struct import_song_item *item, float *out, struct err *e);

#endif
