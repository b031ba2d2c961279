/* The architecture of a field network and the list of its parameters.
 *
 * One network class covers DDPM++ and NCSN++ (they are settings of it). An nn_arch is plain data;
 * the list of parameters, with the names that the reference gives them, follows from it alone, so
 * import, census, loading and training all walk the same list in the same order.
 *
 * A network with classes has one more parameter behind all others, NN_LABEL_EMBEDDING [classes][4
 * nf]. Its row of an image's class is added to the time embedding, before the blocks' SiLU; nothing
 * is added for an image without a label.
 *
 * The denoisers of PFGM++ are the same network but for three things that `denoiser` says: the head
 * has no channel for v_t, the time is fed to the embedding as it is (it is the logarithm of a noise
 * level), and a class's row, [classes][length of the embedding] here, is added before the first
 * linear layer. (The reference's bias of the labels, added whether or not there is a label, is part
 * of that layer's bias here.) */
#ifndef NN_ARCH_H
#define NN_ARCH_H

#include "base_err.h"
#include "nn_pixels.h"
#include <stdint.h>

#define NN_LEVELS_MAX 8
#define NN_NAME_MAX 96
#define NN_SIDE_MAX 1024
#define NN_LABEL_EMBEDDING "label_embedding.weight"
#define NN_CLASSES_MAX 1000
#define NN_RES_BLOCKS_MAX 64
/* Of an mlp, the first two parameters: the data's offset [d] and scale [1], which is above 0. */
#define NN_MLP_OFFSET "all_modules.0.offset"
#define NN_MLP_SCALE "all_modules.0.scale"

enum nn_embedding { NN_EMBEDDING_POSITIONAL, NN_EMBEDDING_FOURIER };
enum nn_input_pyramid { NN_PYRAMID_NONE, NN_PYRAMID_RESIDUAL };

/* An image's network (DDPM++, NCSN++), or one for vectors (nn_mlp.h), which are images of d
 * channels and one pixel: its width is 4 nf, its depth num_res_blocks, and other settings do not
 * apply. */
enum nn_arch_kind { NN_ARCH_UNET, NN_ARCH_MLP };

struct nn_arch {
    enum nn_arch_kind kind;
    int image_size;             /* pixels a side; images are square */
    int channels;               /* of the image: 1 to 16 */
    int nf;                     /* base width */
    int levels;                 /* resolutions */
    int ch_mult[NN_LEVELS_MAX]; /* width of a level = nf * ch_mult */
    int num_res_blocks;         /* per level, downward */
    int attn_count;
    int attn_resolutions[NN_LEVELS_MAX]; /* in pixels a side */
    bool fir;                            /* resample with the [1,3,3,1] filter instead of box */
    enum nn_input_pyramid pyramid;
    enum nn_embedding embedding;
    bool denoiser; /* of PFGM++; not for an mlp */
    int classes;   /* rows of the label embedding; 0: none. Not among an architecture's stored
                      settings: it is the number of the description's labels */
};

/* How the time reaches the network: as sines and cosines of t times fixed frequencies, of ln t
 * times learned ones, or, of vectors, of ln τ. */
enum nn_time { NN_TIME_POSITIONAL, NN_TIME_FOURIER, NN_TIME_VECTOR };

static inline bool nn_arch_of_vectors(const struct nn_arch *arch)
{
    return arch->kind == NN_ARCH_MLP;
}

static inline enum nn_time nn_arch_time(const struct nn_arch *arch)
{
    if (nn_arch_of_vectors(arch))
        return NN_TIME_VECTOR;
    return arch->embedding == NN_EMBEDDING_FOURIER ? NN_TIME_FOURIER : NN_TIME_POSITIONAL;
}

struct nn_param {
    char name[NN_NAME_MAX]; /* as the reference names it, without "module.":
                               all_modules.3.Conv_0.weight */
    int rank;               /* 1, 2 or 4 */
    size_t shape[4]; /* PyTorch order: conv [out,in,kh,kw], linear [out,in], NIN W [in,out] */
    size_t count;    /* product of shape */
    bool trainable;  /* false only for the Fourier projection and an mlp's coordinates */
};

/* Where weights come from: fills `out` with the param's values in f32, in PyTorch order; 0 or -1.
 */
struct nn_weights {
    int (*read)(void *context, const struct nn_param *param, float *out, struct err *e);
    void *context;
};

/* Checks what can be said setting by setting; nn_arch_check does this first. */
int nn_arch_check_ranges(const struct nn_arch *arch, struct err *e);

/* The published settings by the names of `pfgm convert --preset`: cifar10-ddpmpp,
 * cifar10-ddpmpp-deep, cifar10-ncsnpp, celeba64-ddpmpp, bedroom-ddpmpp. NULL for another name. */
const struct nn_arch *nn_arch_preset(const char *name);

/* ---- what follows from the plan: nn_arch_params.c ---- */

/* Checks every range and that the levels divide the image size, that group norms divide their
 * channels, and that no size overflows. The error names the setting by its configuration key. */
int nn_arch_check(const struct nn_arch *arch, struct err *e);

/* All parameters in the reference's registration order, in an array that the caller frees; NULL on
 * failure. `arch` is checked first. */
struct nn_param *nn_arch_params(const struct nn_arch *arch, size_t *count, struct err *e);

/* Total number of scalars in the parameters; the multiply-adds of one evaluation of one image. */
size_t nn_arch_scalars(const struct nn_arch *arch);
uint64_t nn_arch_macs(const struct nn_arch *arch);

#endif
