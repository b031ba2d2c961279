/* Tensors that a user hands in: points and latents from a safetensors file. */
#ifndef CLI_TENSORS_H
#define CLI_TENSORS_H

#include "ckpt_safetensors.h"
#include "image.h"

/* The tensor of one of the two names, the first preferred. NULL and ERR_INPUT that names the file
 * and both when there is none, or when it holds no floats. */
const struct ckpt_tensor *cli_tensor_find(const struct ckpt_file *f, const char *name,
                                          const char *other, struct err *e);
/* [n,C,H,W] of the model's shape, or [n,d] of vectors, with n ≥ 1; n in *n. */
int cli_tensor_check_images(const struct ckpt_file *f, const struct ckpt_tensor *t,
                            struct image_shape shape, size_t *n, struct err *e);

/* Classes [n] from the rows of class_onehot [n,classes] (or denoise.class_onehot), in floats: one 1
 * among zeros, or zeros alone for no class (-1), which all are without such a tensor; *found
 * says whether there is one. */
int cli_tensor_labels(const struct ckpt_file *f, size_t classes, size_t n, int32_t *out,
                      bool *found, struct err *e);

#endif
