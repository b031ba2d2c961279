/* From a solved state to what the order keeps of it. Inside the room only. */
#ifndef ENGINE_IMAGE_H
#define ENGINE_IMAGE_H

#include "engine_internal.h"

/* Turns a solved image, [d] in data scale, into what the order keeps; ERR_NUMERIC for a non-finite
 * state. */
int engine_image_finish(struct engine_request *r, size_t image, const double *state, struct err *e);
/* The sheet of a request whose images are all there. */
int engine_image_make_sheet(struct engine_request *r, struct err *e);
/* The PNG of a state on its path: divided by its largest value, as it is far outside of the range
 * of pictures for most of the path. Into `out`, which is initialised. */
int engine_image_preview(const struct model *m, const double *state, struct buf *out,
                         struct err *e);

#endif
