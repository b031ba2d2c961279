/* Reading PNG files from strangers: sizes are looked at before anything is allocated. */
#ifndef IMAGE_PNG_READ_H
#define IMAGE_PNG_READ_H

#include "image.h"

struct image_png {
    struct image_shape shape; /* channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha */
    uint8_t *pixels;          /* [H,W,C], owned by the caller: free() */
};

/* Reads one picture of at most `side_max` pixels a side. Values are taken as they are stored: gamma
 * and colour profiles change nothing; 16 bits are rounded to 8, fewer are spread over 0 to 255, a
 * palette becomes its colours (an index beyond it is an error), and transparency of any kind
 * becomes alpha. ERR_INPUT (or ERR_LIMIT for the size) with `what` and the reason; then nothing is
 * allocated. */
int image_png_read(const void *data, size_t length, int side_max, const char *what,
                   struct image_png *out, struct err *e);

/* Reads one picture into pixels [H,W,C] of a shape with 1 or 3 channels. Its sides must be the
 * shape's; grey becomes colour, colour whose channels are all alike becomes grey, and alpha that is
 * opaque everywhere is dropped: nothing is lost. ERR_INPUT for what would lose something. */
int image_png_read_as(const void *data, size_t length, struct image_shape shape, const char *what,
                      uint8_t *pixels, struct err *e);
/* The same, but where `solid` [H,W] is not NULL, transparency is taken too: 1 where a pixel is more
 * opaque than not, else 0. */
int image_png_read_cut(const void *data, size_t length, struct image_shape shape, const char *what,
                       uint8_t *pixels, uint8_t *solid, struct err *e);

/* A picture that says of each pixel yes or no, into set [H,W]: 1 where it is lighter than the
 * middle and more opaque than not; with `alpha_only` where it is the latter, and then it must have
 * an alpha channel. Its sides must be the shape's; its channels may be any. ERR_INPUT. */
int image_png_read_mask(const void *data, size_t length, struct image_shape shape, bool alpha_only,
                        const char *what, uint8_t *set, struct err *e);

#endif
