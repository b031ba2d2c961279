/* Element types: sizes, names, and the one place where stored bytes become floats, for readers of
 * files; what all others need is declared in ckpt_safetensors.h. Pure functions, any thread. */
#ifndef CKPT_DTYPE_H
#define CKPT_DTYPE_H

#include "ckpt_safetensors.h"

/* The type that safetensors writes as `name`, or false. */
bool ckpt_dtype_parse(const char *name, enum ckpt_dtype *out);

/* f16 and bf16 to f32: exact for every bit pattern, subnormals, infinities and NaN included. */
float ckpt_half_to_f32(uint16_t bits);
float ckpt_bfloat_to_f32(uint16_t bits);

/* `count` elements of a float type, `step` elements apart in `source` (any alignment; 1 for
 * adjacent ones), to `out` [count]. f64 is rounded to nearest. Returns `count`, or the index of the
 * first finite f64 that f32 cannot hold. */
size_t ckpt_elements_to_f32(enum ckpt_dtype dtype, const unsigned char *source, size_t step,
                            size_t count, float *out);
void ckpt_elements_to_f64(enum ckpt_dtype dtype, const unsigned char *source, size_t count,
                          double *out);

/* "[2, 3]" in `out`; returns `out`. The size is enough for any shape of CKPT_RANK_MAX dimensions.
 */
#define CKPT_SHAPE_TEXT (CKPT_RANK_MAX * 22 + 3)
const char *ckpt_shape_text(int rank, const uint64_t *shape, char out[CKPT_SHAPE_TEXT]);

#endif
