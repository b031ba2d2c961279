/* Moving pictures: PNGs as the frames of one animated PNG (the APNG extension of PNG, third
 * edition), which viewers that do not know it show as the first frame.
 *
 *     signature, IHDR, acTL, fcTL 0, IDAT of frame 0, fcTL 1, fdAT …, IEND
 */
#ifndef IMAGE_APNG_H
#define IMAGE_APNG_H

#include "image.h"

/* `frames` pictures [frames][H,W,C] (C 1 or 3) that are shown for `delay_ms` each, the last one for
 * `last_ms`, over and over. Equal input gives equal bytes. Appends to `out`. */
int image_apng_encode(const uint8_t *pixels, int frames, struct image_shape shape, int delay_ms,
                      int last_ms, struct buf *out, struct err *e);

#endif
