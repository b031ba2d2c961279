/* Pictures from samples: quantising, contact sheets, PNG, NPY and archives.
 *
 * A sample is float or double [C,H,W] in data scale (clean pixels in [-1, 1]); pixels are uint8
 * [H,W,C]. Nothing here knows where a sample came from. NaN never becomes a pixel. */
#ifndef IMAGE_H
#define IMAGE_H

#include "base_buf.h"
#include <stdint.h>

struct image_shape {
    int channels; /* 1 to 16; PNG takes 1 (grey) and 3 (RGB) */
    int height, width;
};
size_t image_shape_count(struct image_shape s); /* C·H·W */
/* Shape [1,1,d] is that of vectors, which are no pictures: they have no pixels, no PNG, no sheet.
 */
static inline bool image_shape_is_vector(struct image_shape s)
{
    return s.channels == 1 && s.height == 1;
}

/* How a family of models turns data scale into bytes (the references differ, see the seed rule). */
enum image_rounding {
    IMAGE_ROUND_PFGM,  /* floor(255 · clip((x+1)/2, 0, 1)) */
    IMAGE_ROUND_PFGMPP /* floor(clip(127.5·x + 128, 0, 255)) */
};

/* sample [C,H,W] → pixels [H,W,C], arithmetic in double. ERR_NUMERIC (with the element's place) and
 * pixels untouched when a value is not finite. */
int image_quantise(const double *sample, struct image_shape shape, enum image_rounding rounding,
                   uint8_t *pixels, struct err *e);
/* pixels [H,W,C] → sample [C,H,W]: of each byte the middle of the values that are rounded to it, so
 * that what comes back from encoding and decoding within half a byte is the same picture. */
void image_unquantise(const uint8_t *pixels, struct image_shape shape, enum image_rounding rounding,
                      double *sample);
/* The same for a likelihood, which is a density: byte v becomes 2·(v + u)/256 − 1, u uniform in
 * (0, 1) by RNG_DEQUANTISE of (seed, index), number j of element j of the sample [C,H,W]. */
void image_dequantise(const uint8_t *pixels, struct image_shape shape, uint64_t seed,
                      uint64_t index, double *sample);

/* A sheet of n equal images, row by row, `columns` wide, a gap of `gap` black pixels between and no
 * border; empty places black; every pixel then repeated scale × scale (nearest neighbour). */
struct image_grid {
    int columns, scale, gap;
};
/* The gap in every sheet of ours, so that the command line and the daemon make the same bytes. */
#define IMAGE_GRID_GAP 0
#define IMAGE_SIDE_MAX 32768          /* of any picture that is written */
#define IMAGE_PIXELS_MAX (256u << 20) /* bytes of pixels of one picture */
/* The sheet's shape, or -1 with ERR_LIMIT when a side or the whole passes the limits above. */
int image_grid_shape(struct image_grid grid, struct image_shape one, size_t n,
                     struct image_shape *sheet, struct err *e);
/* Puts image k (pixels [H,W,C]) at its place in a sheet of that shape, enlarging it. The sheet was
 * zeroed by the caller. */
void image_grid_place(struct image_grid grid, struct image_shape one, struct image_shape sheet,
                      size_t k, const uint8_t *pixels, uint8_t *sheet_pixels);
/* columns ≈ √n rounded up. */
int image_grid_columns(size_t n);

/* The PNG of pixels [H,W,C] (C 1 or 3), 8 bits, no interlace; filter and compression level are
 * fixed so that equal pixels and text give equal bytes. `text_key`/`text` go into one uncompressed
 * tEXt (Latin-1) or iTXt chunk before the image data; NULL for none. No time, no software name.
 * Appends to `out`. */
int image_png_encode(const uint8_t *pixels, struct image_shape shape, const char *text_key,
                     const char *text, struct buf *out, struct err *e);

#endif
